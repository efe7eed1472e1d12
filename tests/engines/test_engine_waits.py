"""Waits: one that runs out leaves a machine that the next up takes on; one that is interrupted ends in seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_stack import Stack
from tests import extent
from tests.starting import Start

PROGRAM = """
net = jvp.Network("net", name=P + "net", cidr=CIDR)
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
vm = jvp.Instance(
    "vm", name=P + "vm", memory="32MiB", virt_type="qemu", root_disk={"pool": pool.id, "size": "1MiB"},
    nics=[{"name": "eth0", "network": net.id, "mac": mac}], wait_for=wait, wait_timeout=limit,
)
pulumi.export("uuid", vm.uuid)
"""
MAC = "52:54:00:aa:bb:01"
GRACE_S = 40.0
"""How long a command may go on after Ctrl-C."""


@contextlib.contextmanager
def killed_after(seconds: float, process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that ends with all that it started: at this limit, or when the test is done with it."""

    def end() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        end()


def test_a_wait_that_runs_out_is_said_with_its_reason_and_waited_for_again(
    stack: Stack, domain: Callable[[str], Any]
) -> None:
    stack.write(PROGRAM, mac=MAC, wait="ip", limit="2s")
    failed = stack.up(ok=False)
    assert f"no address after 2s: no lease for {MAC} on {stack.names['P']}net" in failed.errors
    assert f'look at its console with "virsh console {stack.names["P"]}vm"' in failed.errors
    assert "Traceback" not in failed.text
    life = domain("vm").ID()
    # The state has it, and knows that it is not done.
    assert stack.state()["vm"]["id"] == domain("vm").UUIDString()
    assert stack.preview().ops == {"vm": ["update"]}
    assert "no address after 2s" in stack.up(ok=False).errors
    stack.write(PROGRAM, mac=MAC, wait="none", limit="2s")
    assert stack.up().ops == {"vm": ["update"]}
    stack.settle()
    assert domain("vm").ID() == life


@pytest.mark.both_ways
@pytest.mark.parametrize("to", extent.sample(("ctrl-c", "sigint-to-pulumi"), "interrupt", share=0.5, least=1))
def test_an_interrupt_during_a_wait_ends_in_seconds_and_the_next_up_goes_on(
    stack: Stack, daemon: Any, domain: Callable[[str], Any], to: str, started: Start
) -> None:
    stack.write(PROGRAM, mac=MAC, wait="ip", limit="5m")
    with killed_after(180, stack.start("up", "--yes", "--skip-preview")) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "waiting for an address" in line:
                break
        else:
            pytest.fail("the up never waited")
        uuid = domain("vm").UUIDString()
        begun = time.monotonic()
        if to == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=120)
        took = time.monotonic() - begun
    assert process.returncode != 0
    assert took < GRACE_S, f"{took:.1f} s after the interrupt:\n{text}"
    stack.write(PROGRAM, mac=MAC, wait="none", limit="5m")
    done = stack.up()
    assert "create" not in done.ops.get("vm", []) or domain("vm").UUIDString() == uuid
    stack.settle()
    assert stack.outputs()["uuid"] == uuid
    ours = [one for one in daemon.listAllDomains(0) if one.name().startswith(stack.names["P"])]
    assert [one.UUIDString() for one in ours] == [uuid]
    started.assert_kept()

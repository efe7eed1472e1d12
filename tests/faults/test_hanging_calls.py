"""Calls of libvirt that do not come back: a verb ends at its deadline and with Ctrl-C, and the next one converges."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.starting import Start, warm_up

from faults import armed
from faults.slow import SlowHost, until
from hosts.engine import Stack
from jvp.core.errors import Cancelled, Unreachable
from jvp.core.identity import Key
from jvp.core.work import Work
from jvp.resources import registry
from jvp.resources.provider import Provider

SOON_S = 20.0
"""The product promises 5 s from the deadline or the Ctrl-C on; a test's machine may be busy."""


@pytest.fixture
def slow(hosts_folder: Path) -> Iterator[SlowHost]:
    with contextlib.closing(SlowHost(hosts_folder / "hang", f"{hosts_folder.name}-hang")) as found:
        yield found


def test_a_verb_ends_at_its_deadline_and_at_a_cancel_and_the_next_converges(slow: SlowHost) -> None:
    calls = registry.calls(Provider(uri=slow.host.uri))
    key, inputs = Key("", "Network", "hang::net", "net"), calls.check("Network", {"cidr": "192.168.86.0/24"}).inputs
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"the time is up, and libvirt's virNetwork\.create has not come back"):
        calls.create("Network", key, inputs, Work(begin + 2))
    assert time.monotonic() - begin < 2 + SOON_S
    # What is asked of others meanwhile is answered: the connection of the call that hangs is given up.
    pool = {"path": str(slow.host.pools / "meanwhile")}
    made = calls.create("StoragePool", Key("", "StoragePool", "hang::pool", "pool"), pool, Work(time.monotonic() + 60))
    calls.delete("StoragePool", made.stored, Work(time.monotonic() + 60))
    work = Work(time.monotonic() + 60)
    threading.Timer(1, work.cancelled.set).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled, match="stopped on request, though libvirt's"):
        calls.create("Network", key, inputs, work)
    assert time.monotonic() - begin < 1 + SOON_S
    slow.release()
    slow.heal()
    made = calls.create("Network", key, inputs, Work(time.monotonic() + 60))
    assert made.stored.state["state"] == "active"
    calls.delete("Network", made.stored, Work(time.monotonic() + 60))


@pytest.mark.engines
@pytest.mark.both_ways
def test_ctrl_c_through_the_cli(slow: SlowHost, hosts_folder: Path, pulumi_cli: None, started: Start) -> None:
    stack = Stack(hosts_folder / "hang-stack", slow.host.uri)
    armed.install(stack.folder / "bin", "pulumi")
    stack.environment["PATH"] = f"{stack.folder / 'bin'}:{stack.environment['PATH']}"
    if started.is_warm:
        warm_up(armed.COMMAND, armed.SELF)
    stack.declare({"net": ("Network", {"cidr": "192.168.87.0/24"})})
    with running(stack, "up", "--yes", "--skip-preview", "--stack", "dev") as process:
        until(lambda: slow.begun() > 0, "the call never came")
        begin = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=60)
    took = time.monotonic() - begin
    assert "stopped on request, though libvirt's virNetwork.create has not come back" in re.sub(r"\s+", " ", text)
    assert took < SOON_S, text
    started.launches()
    slow.release()
    slow.heal()
    stack.up().expect()
    started.launches()
    stack.destroy().expect()
    # With these three a warm process has answered one of them in time, however busy the machine is.
    started.assert_kept()


@contextlib.contextmanager
def running(stack: Stack, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with stack.begin(*arguments) as process:
        try:
            yield process
        finally:
            process.kill()

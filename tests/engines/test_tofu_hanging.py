"""A call of libvirt that does not come back: Ctrl-C ends the apply all the same, and the next one converges."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.starting import Start, warm_up
from tofu_stack import Tofu

from faults import armed
from faults.slow import SlowHost, until
from hosts.fixtures import hosts_folder

__all__ = ["hosts_folder"]
SOON_S = 20.0
"""The product promises 5 s from the Ctrl-C on; the call itself never comes back, and a test's machine may be busy."""
MODULE = """
provider "jvp" {
  uri = local.URI
}

resource "jvp_network" "net" {
  name = "hang"
  cidr = "192.168.88.0/24"
}
"""


@pytest.fixture
def slow(hosts_folder: Path) -> Iterator[SlowHost]:
    with contextlib.closing(SlowHost(hosts_folder / "tofu", f"{hosts_folder.name}-tofu")) as found:
        yield found


@pytest.mark.both_ways
def test_ctrl_c(slow: SlowHost, make_module: Callable[..., Tofu], started: Start) -> None:
    module = make_module()
    module.override(module.folder / "bin", armed.script("terraform"))
    if started.is_warm:
        warm_up(armed.COMMAND, armed.SELF)
    module.write(MODULE, URI=slow.host.uri)
    process = module.start("apply", "-no-color", "-auto-approve")
    try:
        until(lambda: slow.begun() > 0, "the call never came")
        begin = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    took = time.monotonic() - begin
    said = re.sub(r"[\s│╷╵]+", " ", text)
    assert "stopped on request, though libvirt's virNetwork.create has not come back" in said, text
    assert took < SOON_S, text
    started.launches()
    slow.release()
    slow.heal()
    module.apply()
    started.launches()
    module.destroy()
    # With these three a warm process has answered one of them in time, however busy the machine is.
    started.assert_kept()

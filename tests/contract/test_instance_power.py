"""Guests that are not simply on or off: renamed while they run, crashed, saved to disk, undefined while they run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import libvirt
import libvirt_qemu
import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.kinds import running

from jvp.core.calls import Stored
from jvp.libvirt.xml import parse, put, text_of

INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE


def bare(bench: Bench, stem: str, **more: Any) -> Bag:
    """A running machine with nothing to wait for."""
    return {**running(bench, bench.name(stem)), "nics": [], "disks": [], "cloudInit": None, **more}


@pytest.mark.parametrize(("paused", "after"), [(False, "running"), (True, "stopped")])
def test_a_rename_gives_a_guest_whose_power_nobody_manages_back_as_it_was(
    bench: Bench, made: Callable[[Bag], Stored], paused: bool, after: str
) -> None:
    raw = bare(bench, "unmanaged")
    stored = made(raw)
    if paused:
        domain_of(bench, stored).suspend()
    raw |= {"name": bench.name("other"), "powerState": "unmanaged"}
    stored = bench.update("Instance", stored, raw).stored
    assert (stored.state["name"], stored.state["state"]) == (raw["name"], after)
    bench.converged("Instance", stored, raw)


def crash(bench: Bench, stored: Stored) -> None:
    """As a guest's kernel that panics, of a machine that keeps what is left for a look at it."""
    domain = domain_of(bench, stored)
    domain.destroy()
    root = parse(domain.XMLDesc(INACTIVE))
    put(root, "on_crash", "preserve")
    put(root, "devices/panic/@model", "isa")
    domain = bench.connection.defineXML(text_of(root))
    domain.create()
    libvirt_qemu.qemuMonitorCommand(domain, "o /b 0x505 1", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    end = time.monotonic() + 10
    while domain.state()[0] != libvirt.VIR_DOMAIN_CRASHED and time.monotonic() < end:
        time.sleep(0.05)


@pytest.mark.parametrize("power", ["running", "paused", "stopped"])
def test_a_crashed_guest_is_brought_to_what_is_declared(
    bench: Bench, made: Callable[[Bag], Stored], power: str
) -> None:
    raw = bare(bench, "crashed")
    stored = made(raw)
    crash(bench, stored)
    raw |= {"powerState": power, "maxCpus": 2}
    found = bench.read("Instance", stored)
    assert found is not None
    assert found.state["state"] == "crashed"
    assert "powerState" in bench.plan("Instance", found, raw)
    stored = bench.update("Instance", found, raw).stored
    assert (stored.state["state"], stored.state["pending"]) == (power, [])
    bench.converged("Instance", stored, raw)

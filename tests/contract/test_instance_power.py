"""Guests that are not simply on or off: renamed while they run, crashed, saved to disk, undefined while they run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu
import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.kinds import running

from jvp.core.errors import Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link.xml import parse, put, text_of
from jvp.resources.instance import storage

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


def data(bench: Bench) -> list[Bag]:
    return [{"name": "data", "volume": bench.volumes[0].id}]


@pytest.mark.parametrize("change", [{"maxCpus": 2}, {"disks": []}, {"name": "x"}], ids=["room", "disk", "name"])
def test_a_saved_guest_goes_on_and_is_changed_as_it_runs(
    bench: Bench, made: Callable[[Bag], Stored], change: Bag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "UNPLUG_S", 0.5)  # nothing in this guest lets go of a disk
    raw = bare(bench, "saved", disks=data(bench))
    stored = made(raw)
    domain = domain_of(bench, stored)
    domain.managedSave(0)
    raw |= {**change, **({"name": bench.name("saved-other")} if "name" in change else {})}
    found = bench.read("Instance", stored)
    assert found is not None
    stored = bench.update("Instance", found, raw).stored
    assert stored.state["state"] == "running"
    assert stored.state["pendingRestart"] is ("name" not in change)
    assert not domain.hasManagedSaveImage(0)
    bench.converged("Instance", stored, raw)


def test_what_a_saved_guest_needs_is_not_deleted(
    bench: Bench, made: Callable[[Bag], Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "UNPLUG_S", 0.5)
    volume = bench.create("Volume", "gone", {"name": bench.name("gone"), "pool": bench.pool.id, "size": "1MiB"}).stored
    network = bench.create("Network", "gone", {"name": bench.name("gone"), "cidr": bench.cidr()}).stored
    parts = {
        "disks": [{"name": "data", "volume": volume.id}],
        "nics": [{"name": "eth0", "network": network.id}],
    }
    raw = bare(bench, "needs", **parts)
    stored = made(raw)
    domain = domain_of(bench, stored)
    domain.managedSave(0)
    before = domain.XMLDesc(INACTIVE)
    for token, part in (("Volume", volume), ("Network", network)):
        with pytest.raises(Rejected, match=f"belongs to .*start that guest, or .*managedsave-remove {raw['name']}"):
            bench.delete(token, part)
    assert domain.XMLDesc(INACTIVE) == before
    raw |= {"disks": [], "nics": []}
    stored = bench.update("Instance", stored, raw).stored
    assert domain.isActive()
    domain.destroy()
    bench.delete("Volume", volume)
    bench.delete("Network", network)
    stored = bench.update("Instance", stored, raw).stored
    bench.converged("Instance", stored, raw)


def test_a_guest_whose_disk_is_gone_starts_without_what_it_was_saved_with(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    volume = bench.create("Volume", "lost", {"name": bench.name("lost"), "pool": bench.pool.id, "size": "1MiB"}).stored
    network = bench.create("Network", "lost", {"name": bench.name("lost"), "cidr": bench.cidr()}).stored
    raw = bare(
        bench, "lost", disks=[{"name": "data", "volume": volume.id}], nics=[{"name": "eth0", "network": network.id}]
    )
    stored = made(raw)
    domain, warned = domain_of(bench, stored), list[str]()
    domain.managedSave(0)
    bench.connection.storageVolLookupByPath(volume.state["path"]).delete(0)
    lost = bench.connection.networkLookupByUUIDString(network.id)
    lost.destroy()
    lost.undefine()
    raw |= {"disks": [], "nics": []}
    stored = bench.update("Instance", stored, raw, Work(warn=warned.append)).stored
    assert domain.isActive()
    assert re.search(
        rf"saved to disk with the network .* and the disk {volume.state['path']}, which are gone", warned[0]
    )
    bench.converged("Instance", stored, raw)
    bench.read("Volume", volume)


def test_a_saved_guest_whose_power_nobody_manages_is_not_changed(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, "left")
    stored = made(raw)
    domain = domain_of(bench, stored)
    domain.managedSave(0)
    before = domain.XMLDesc(INACTIVE)
    raw |= {"powerState": "unmanaged"}
    for change in ({"name": bench.name("left-other")}, {"memory": "48MiB"}):
        with pytest.raises(Rejected, match=f"managedsave-remove {raw['name']}"):
            bench.update("Instance", stored, {**raw, **change})
    assert domain.XMLDesc(INACTIVE) == before
    stored = bench.update("Instance", stored, {**raw, "shutdownTimeout": "1s"}).stored
    assert domain.hasManagedSaveImage(0)
    bench.converged("Instance", stored, {**raw, "shutdownTimeout": "1s"})


def test_a_saved_guest_that_is_to_be_off_is_renamed(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, "off")
    stored = made(raw)
    domain, warned = domain_of(bench, stored), list[str]()
    domain.managedSave(0)
    raw |= {"powerState": "stopped", "name": bench.name("off-other")}
    planned = list[str]()
    bench.calls.preview_update("Instance", stored, bench.inputs("Instance", raw), Work(warn=planned.append))
    assert [line for line in planned if "stopped means off" in line], "the plan tells what is lost"
    assert domain.hasManagedSaveImage(0)
    stored = bench.update("Instance", stored, raw, Work(warn=warned.append)).stored
    assert not domain.hasManagedSaveImage(0)
    assert "stopped means off" in warned[0]
    bench.converged("Instance", stored, raw)


def test_a_plan_tells_who_misses_a_network_and_a_pool_that_stop(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = running(bench, bench.name("misses"))
    stored = made(raw)
    for token, part, says in (("Network", bench.network, "is cut off"), ("StoragePool", bench.pool, "with disks in")):
        assert part is not None
        said = list[str]()
        inputs = bench.inputs(token, {**part.inputs, "active": False})
        bench.calls.preview_update(token, part, inputs, Work(warn=said.append))
        assert [(raw["name"] in line, says in line) for line in said] == [(True, True)]
        bench.calls.preview_update(token, part, bench.inputs(token, part.inputs), Work(warn=said.append))
        assert len(said) == 1
    domain_of(bench, stored).destroy()
    bench.calls.preview_update(token, part, inputs, Work(warn=said.append))
    assert len(said) == 1


def test_a_rename_of_what_is_off_is_nothing_to_warn_of(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw, said = bare(bench, "quiet", powerState="stopped"), list[str]()
    stored = made(raw)
    inputs = bench.inputs("Instance", {**raw, "name": bench.name("quiet")})
    bench.calls.preview_update("Instance", stored, inputs, Work(warn=said.append))
    assert said == []


def test_the_memory_is_told_in_bytes(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, "bytes", powerState="stopped", memory="100MB", maxMemory="200MB")
    stored = made(raw)
    assert [stored.state[name] for name in ("memoryBytes", "maxMemoryBytes")] == [96 << 20, 191 << 20]
    bench.converged("Instance", stored, raw)


@pytest.mark.parametrize("power", ["running", "stopped"])
def test_a_guest_that_was_undefined_while_it_runs_is_defined_again(
    bench: Bench, made: Callable[[Bag], Stored], power: str
) -> None:
    raw = {**running(bench, bench.name("transient")), "autostart": power == "running"}
    stored = bench.converged("Instance", made(raw), raw)
    domain, warned = domain_of(bench, stored), list[str]()
    before, life = domain.XMLDesc(INACTIVE), domain.ID()
    seed = Path(stored.state["rootDiskPath"]).with_name(storage.seed_name(stored.id))
    written = seed.stat().st_mtime_ns
    domain.undefine()
    found = bench.calls.read("Instance", stored, Work(warn=warned.append))
    assert found is not None
    assert "was undefined while it runs" in warned[0]
    raw |= {"powerState": power}
    more = {"running": ["autostart"], "stopped": ["powerState"]}[power]
    assert bench.plan("Instance", found, raw) == [*more, "name"]
    stored = bench.update("Instance", found, raw).stored
    assert domain.isPersistent()
    assert domain_of(bench, stored).ID() == (life if power == "running" else -1)
    assert domain.XMLDesc(INACTIVE) == before
    assert seed.stat().st_mtime_ns == written
    bench.converged("Instance", stored, raw)

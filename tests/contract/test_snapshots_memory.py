"""Snapshots that keep a running guest's memory, and which of its disks one holds."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from typing import Any

import libvirt
import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bench
from tests.contract.storage_support import Lines
from tests.contract.test_plan_new import foretold

from jvp.core.errors import Busy, Cancelled, NoSpace, Rejected
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, put, text_of, value
from jvp.libvirt.snapshots import making, memory
from jvp.resources.provider import Provider as Settings
from jvp.resources.registry import calls as registered

make = test_snapshots.make
RESTORED = [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_RESTORED]


def back(bench: Bench, snapshot: Any, request: str | None = None) -> list[str]:
    said = Lines()
    told = bench.calls.act("rollbackSnapshot", snapshot.id, {}, said.work(), request_id=request)
    assert told == {"state": "running"}
    return said.warnings


def test_memory_comes_back_with_the_hardware_of_then(make: Any, bench: Bench) -> None:
    """What the program has changed since the guest is given afterwards, or it waits; the plan stays empty."""
    machine = make("running", "raw")
    machine.write(1, 0)
    snapshot = machine.take("s1", memory=True)
    assert machine.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    (kept,) = machine.folder.glob(f"jvp-{machine.stored.id}-memory*")
    assert snapshot.state["memory"] is True
    assert snapshot.state["allocationBytes"] > kept.stat().st_blocks * 512
    found, _ = bench.calls.invoke("getVolumes", {"pool": machine.volume.state["poolUuid"]}, Work())
    assert found is not None
    assert kept.name not in [one["name"] for one in found["volumes"]]
    added = bench.create("Volume", "later", {"name": bench.name("later"), "pool": machine.raw["rootDisk"]["pool"],
                                             "size": "1MiB"}).stored  # fmt: skip
    raw = {**machine.raw, "memory": "40MiB", "nics": [{"name": "eth0"}],
           "disks": [*machine.raw["disks"], {"name": "later", "volume": added.id}]}  # fmt: skip
    machine.stored = bench.update("Instance", machine.stored, raw).stored
    machine.write(2, 1)
    assert any("does not hold the disks later" in line for line in back(bench, snapshot, "once"))
    assert machine.domain.state() == RESTORED
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2
    read = bench.read("Instance", machine.stored)
    assert read is not None
    assert bench.plan("Instance", read, raw) == []
    assert read.state["pendingRestart"] is True
    live = parse(machine.domain.XMLDesc(0))
    assert {value(one, "alias/@name") for one in live.iterfind("devices/disk")} >= {"ua-jvp-disk-later"}
    assert [value(one, "alias/@name") for one in live.iterfind("devices/interface")] == ["ua-jvp-nic-eth0"]

    machine.write(3, 2)
    assert back(bench, snapshot, "once") == []  # the same request: what was written since stays
    assert machine.reads() == [bytes((1, 0, 3, 0, 0, 0))] * 2
    machine.domain.destroy()
    back(bench, snapshot)  # of a guest that is off, too, and the file has stayed for it
    assert machine.domain.state() == RESTORED
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2
    machine.drop(snapshot)
    assert not [name for name in machine.files() if any(word in name for word in ("layer", "snap", "memory"))]
    machine.domain.destroy()
    machine.stored = bench.update("Instance", machine.stored, {**machine.raw, "powerState": "stopped"}).stored
    bench.delete("Volume", added)


def test_the_disks_that_a_snapshot_holds(make: Any, bench: Bench) -> None:
    machine = make("stopped", "qcow2")
    machine.write(1, 0)
    with pytest.raises(Rejected, match="has no disk no-such that it can write to; it has data") as caught:
        machine.take("s1", volumes=["no-such"])
    assert caught.value.path == ("volumes",)
    checked = bench.calls.check(
        "Snapshot", {"instance": "a", "volumes": ["root"], "memory": True, "quiesce": "required"}
    )
    assert [one.path for one in checked.failures] == [("quiesce",), ("volumes",)]
    alone, named = machine.take("s1", volumes=[]), machine.take("s2", volumes=["data"])
    assert [one.state["disks"] for one in (alone, named)] == [["root"], ["root", "data"]]
    assert (alone.state["volumes"], named.state["volumes"]) == ([], ["data"])
    assert bench.plan("Snapshot", named, {"name": "s2", "instance": machine.stored.id}) == ["volumes"]
    machine.write(2, 1)
    bench.calls.act("rollbackSnapshot", alone.id, {}, Work())
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0)), bytes((1, 2, 0, 0, 0, 0))]
    machine.drop(alone)
    machine.drop(named)
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0)), bytes((1, 2, 0, 0, 0, 0))]


def test_what_keeps_memory_from_being_kept(make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = make("stopped")
    bare, raw = machine.files(), {"name": "s1", "instance": machine.stored.id, "memory": True}

    def refused(kind: type[Exception], why: str) -> None:
        said = foretold(bench, registered(Settings()), "Snapshot", raw)
        assert any(re.search(why, line) for line in said), said
        with pytest.raises(kind, match=why) as caught:
            bench.create("Snapshot", "s1", raw)
        assert caught.value.path == ("memory",)  # type: ignore[attr-defined]

    refused(Rejected, "it is off, and there is none to keep")
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    before = machine.domain.XMLDesc(flags)
    root = parse(before)
    put(root, "cpu/@mode", "maximum")
    put(root, "cpu/@migratable", "off")
    bench.connection.defineXML(text_of(root))
    machine.domain.create()
    refused(Rejected, "cannot be saved: it has a CPU that is not migratable")
    machine.domain.destroy()
    bench.connection.defineXML(before)
    machine.domain.create()
    monkeypatch.setattr(memory.lookup, "free_bytes", lambda _: 1 << 20)
    refused(NoSpace, "may take 32 MiB, and the storage pool .* has 1 MiB left")
    monkeypatch.undo()
    with pytest.raises(Rejected, match="memory is kept with all of them"):
        bench.create("Snapshot", "s1", {**raw, "volumes": []})
    assert machine.files() == bare
    machine.domain.destroy()


def test_saving_memory_stops_when_that_is_asked_for(make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = make("running")
    bare, work = machine.files(), Lines().work()
    monkeypatch.setattr(memory, "is_saving", lambda _, work=None: work and work.cancelled.set())
    monkeypatch.setattr(memory, "_LOOK_S", 0.0)
    raw = {"name": "s1", "instance": machine.stored.id, "memory": True}
    with contextlib.suppress(Cancelled):  # unless libvirt has it by then: the guest is small
        bench.create("Snapshot", "s1", raw, work)
        bare = machine.files()
    assert machine.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert machine.files() == bare
    machine.drop(bench.create("Snapshot", "s1", raw).stored)

    # What it asks libvirt for, while a call is under way.
    asked, work = threading.Event(), Lines().work()

    def call(_: Any) -> None:
        asked.wait()
        raise libvirt.libvirtError("canceled by client")

    node = bench.calls.handlers["Snapshot"].node
    with pytest.raises(Cancelled):
        memory._long(work, node, call, work.cancelled.set, asked.set)
    asked.clear()
    work = Lines().work()  # the guest was back when it was cut off
    assert memory._long(work, node, lambda _: asked.wait() and None, work.cancelled.set, asked.set) is False


def test_libvirt_goes_on_when_the_process_dies(make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it saves memory, and while it brings that back: the next run waits for it, and ends the rest."""
    machine = make("running")
    machine.write(1, 0)
    raw = {"name": "s1", "instance": machine.stored.id, "memory": True}
    begun = {"keep": lambda: machine.domain.jobStats()["type"], "restore": machine.domain.isActive}

    def dies(step: str, act: Callable[[], object]) -> None:
        whole = getattr(memory, step)

        def beside(*arguments: Any) -> None:
            other = threading.Thread(target=whole, args=arguments)
            other.start()
            threads.append(other)
            while other.is_alive() and not begun[step]():
                pass
            raise test_snapshots.Died

        with monkeypatch.context() as patch:
            patch.setattr(memory, step, beside)
            with pytest.raises(test_snapshots.Died):
                act()

    threads: list[threading.Thread] = []
    monkeypatch.setattr(making, "_take_back_quietly", lambda *_: None)
    dies("keep", lambda: bench.create("Snapshot", "s1", raw))
    snapshot = bench.create("Snapshot", "s1", raw).stored
    assert snapshot.state["memory"] is True
    machine.write(2, 1)
    dies("restore", lambda: back(bench, snapshot, "once"))
    back(bench, snapshot, "once")
    assert machine.domain.state() == RESTORED
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2
    for thread in threads:
        thread.join()

    with monkeypatch.context() as patch:
        patch.setattr(memory, "restore", lambda *_: False)
        with pytest.raises(Busy, match="took longer than the call may"):
            back(bench, snapshot, "late")
    assert not machine.domain.isActive()
    back(bench, snapshot, "late")
    assert machine.domain.state() == RESTORED


@pytest.mark.parametrize("changed", ["name", "disk", "file"])
def test_what_keeps_memory_from_coming_back(make: Any, bench: Bench, changed: str) -> None:
    """A plan says it, and nothing is cut off."""
    machine = make("running")
    snapshot = machine.take("s1", memory=True)
    files = list(machine.folder.glob(f"jvp-{machine.stored.id}-memory*"))
    if changed == "file":
        files[0].write_bytes(b"")
        why = "its file .* is gone, or is not what was written"
    else:
        why = "the instance was called" if changed == "name" else "the guest had the disks data"
        machine.domain.destroy()
        before = machine.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        if changed == "name":
            machine.domain.rename(bench.name("other"))
        else:
            bench.connection.defineXML(before.replace("ua-jvp-disk-data", "ua-theirs"))
    said = bench.calls.actions["rollbackSnapshot"].foreseen(Work(), snapshot.id)
    assert any(re.search(why, line) for line in said)
    with pytest.raises(Rejected, match=why if changed != "disk" else "not attached"):
        back(bench, snapshot)
    assert bool(machine.domain.isActive()) is (changed == "file")
    if changed == "disk":
        bench.connection.defineXML(before)


def test_a_guest_that_is_frozen_still_is_thawed(make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """libvirt freezes and thaws in one call; where it died itself in that, the next try has the guest go on."""
    machine, thawed = make("running"), list[str]()
    raw = {"name": "s1", "instance": machine.stored.id}

    def die(*_: Any) -> None:
        raise test_snapshots.Died

    with monkeypatch.context() as patch:
        patch.setattr(making, "_snapshot", die)
        patch.setattr(making, "_take_back_quietly", lambda *_: None)
        with pytest.raises(test_snapshots.Died):
            bench.create("Snapshot", "s1", raw)
    monkeypatch.setattr(making, "_has_agent", lambda _: True)
    monkeypatch.setattr(libvirt.virDomain, "fsThaw", lambda domain, *_: thawed.append(domain.UUIDString()))
    said = Lines()
    bench.create("Snapshot", "s1", raw, said.work())
    assert thawed == [machine.stored.id]
    assert any("file systems were not frozen" in line for line in said.warnings)


def test_a_cd_that_was_taken_out_since_is_missed_by_nobody(bench: Bench, leftovers: None) -> None:
    assert bench.pool is not None
    name, cd = (
        bench.name("cd"),
        next(one for one in bench.volumes if one.state["name"].removeprefix(bench.prefix).startswith("cd")),
    )
    bare = {"name": name, "memory": "32MiB", "shutdownTimeout": "0s",
            "rootDisk": {"pool": bench.pool.id, "size": "1MiB"}}  # fmt: skip
    stored = bench.create("Instance", name, {**bare, "iso": cd.id}).stored
    try:
        snapshot = bench.create("Snapshot", "s", {"name": "s", "instance": stored.id, "memory": True}).stored
        stored = bench.update("Instance", stored, bare).stored
        assert back(bench, snapshot) == []
        read = bench.read("Instance", stored)
        assert read is not None
        assert bench.plan("Instance", read, bare) == []
    finally:
        bench.delete("Instance", stored)

"""Snapshots on the real daemon: what they hold, and that their end gives back what they took, byte by byte."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu
import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.storage_support import Lines

from jvp.core.errors import Busy, Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import guest
from jvp.libvirt.link.xml import parse, value
from jvp.libvirt.snapshots import making, record
from jvp.resources.instance import changing

SIZE = 1 << 20
PIECE = 65536


class Machine:
    """An instance with a root disk and a volume, into which a test writes."""

    def __init__(self, bench: Bench, state: str, format: str) -> None:
        assert bench.pool is not None
        self.bench, pool = bench, bench.pool.id
        self.volume_raw: Bag = {"name": bench.name("v"), "pool": pool, "size": "1MiB", "format": format}
        self.volume = bench.create("Volume", self.volume_raw["name"], self.volume_raw).stored
        self.raw: Bag = {
            "name": bench.name("i"), "memory": "32MiB", "rootDisk": {"pool": pool, "size": "1MiB", "format": format},
            "disks": [{"name": "data", "volume": self.volume.id}], "powerState": state, "shutdownTimeout": "0s",
        }  # fmt: skip
        self.stored = bench.create("Instance", self.raw["name"], self.raw).stored
        self.domain = bench.connection.lookupByUUIDString(self.stored.id)
        self.folder = Path(self.volume.state["path"]).parent

    def take(self, name: str, **more: Any) -> Stored:
        raw = {"name": name, "instance": self.stored.id, **more}
        made = self.bench.create("Snapshot", f"{self.stored.id}{name}", raw).stored
        read = self.bench.read("Snapshot", made)
        assert read is not None
        assert self.bench.plan("Snapshot", read, raw) == []
        return read

    def drop(self, snapshot: Stored) -> list[str]:
        said = Lines()
        self.bench.calls.delete("Snapshot", snapshot, said.work())
        assert self.bench.read("Snapshot", snapshot) is None
        return said.warnings

    def active(self) -> dict[str, tuple[str, str]]:
        """Format and path of both disks, as the next start has them."""
        root = parse(self.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        named = {value(one, "alias/@name"): one for one in root.iterfind("devices/disk")}
        both = ("root", named["ua-jvp-root"]), ("data", named["ua-jvp-disk-data"])
        return {name: (str(value(one, "driver/@type")), str(value(one, "source/@file"))) for name, one in both}

    def write(self, letter: int, place: int) -> None:
        """Write a piece into both disks, as the guest would."""
        words = f"write -P {letter} {place * PIECE} {PIECE}"
        for name, (format, path) in self.active().items():
            if self.domain.isActive():
                alias = "ua-jvp-root" if name == "root" else "ua-jvp-disk-data"
                for said in (words, "flush"):
                    said = f'qemu-io -d /machine/peripheral/{alias}/virtio-backend "{said}"'
                    flags = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
                    libvirt_qemu.qemuMonitorCommand(self.domain, said, flags)
            else:
                subprocess.run(["qemu-io", "-f", format, "-c", words, path], check=True, capture_output=True)

    def reads(self) -> list[bytes]:
        """The first byte of each piece of the root disk and of the data disk, which must be all of one."""
        found = []
        for format, path in self.active().values():
            with tempfile.NamedTemporaryFile() as out:
                words = ["qemu-img", "convert", "-U", "-f", format, "-O", "raw", path, out.name]
                subprocess.run(words, check=True, capture_output=True)
                whole = Path(out.name).read_bytes()
            pieces = [whole[at : at + PIECE] for at in range(0, 6 * PIECE, PIECE)]
            assert all(len(set(piece)) == 1 for piece in pieces)
            found.append(bytes(piece[0] for piece in pieces))
        return found

    def files(self) -> set[str]:
        self.bench.connection.storagePoolLookupByUUIDString(self.volume.state["poolUuid"]).refresh()
        return {path.name.replace(self.stored.id, "U") for path in self.folder.iterdir() if self.stored.id in path.name}


@pytest.fixture
def make(bench: Bench, leftovers: None) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def one(state: str, format: str = "qcow2") -> Machine:
        made.append(Machine(bench, state, format))
        return made[-1]

    yield one
    for machine in made:
        bench.delete("Instance", machine.stored)
        assert machine.files() == set()
        bench.delete("Volume", machine.volume)


@pytest.mark.parametrize("undefined", [False, True])
def test_what_stays_of_an_instance_keeps_all_that_was_written(make: Any, bench: Bench, undefined: bool) -> None:
    """Its deletion merges what lies over a volume, and takes the rest with it, also after it was undefined by half."""
    machine: Machine = make("running", "raw")
    machine.write(1, 0)
    machine.take("s1")
    machine.write(2, 1)
    machine.take("s2")
    machine.write(3, 2)
    data = machine.volume.state["path"]
    if undefined:
        machine.domain.undefine()  # it runs on
    bench.delete("Instance", machine.stored)
    assert machine.files() == set()
    assert Path(data).read_bytes()[: 3 * PIECE] == b"".join(bytes([letter]) * PIECE for letter in (1, 2, 3))
    bench.converged("Volume", machine.volume, machine.volume_raw)


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_snapshot_in_the_middle_of_an_update_keeps_its_layers(
    make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Another call takes it after the update looked at the disks; another process even after it has drafted them."""
    machine: Machine = make(state)
    taken: list[Stored] = []

    def after(module: Any, name: str) -> None:
        step = getattr(module, name)

        def meanwhile(*arguments: Any, **named: Any) -> Any:
            result = step(*arguments, **named)
            monkeypatch.setattr(module, name, step)
            taken.append(machine.take(f"s{len(taken)}"))
            return result

        monkeypatch.setattr(module, name, meanwhile)

    after(changing, "_resolved")
    machine.stored = bench.update("Instance", machine.stored, {**machine.raw, "memory": "40MiB"}).stored
    layers = machine.active()
    assert all("jvp-" in path for _, path in layers.values())
    bench.converged("Instance", machine.stored, {**machine.raw, "memory": "40MiB"})

    after(changing, "_leave_addresses")
    with monkeypatch.context() as patch:
        patch.setattr(changing.record, "turn", lambda *_: contextlib.nullcontext())
        with pytest.raises(Busy, match="were changed by another run; run again"):
            bench.update("Instance", machine.stored, machine.raw)
    assert all(machine.active()[name][1] != path for name, (_, path) in layers.items())
    machine.write(1, 0)
    machine.stored = bench.update("Instance", machine.stored, machine.raw).stored
    for snapshot in taken:
        machine.drop(snapshot)
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2


@pytest.mark.parametrize(("state", "format"), [("running", "raw"), ("stopped", "qcow2")])
def test_taken_and_deleted_the_middle_the_end_and_the_only_one(
    make: Any, bench: Bench, state: str, format: str
) -> None:
    machine: Machine = make(state, format)
    bare, before = machine.files(), machine.active()
    machine.write(1, 0)
    taken = [machine.take("s1", description="before")]
    machine.write(2, 1)
    taken.append(machine.take("s2"))
    machine.write(3, 2)
    taken.append(machine.take("s3"))
    machine.write(4, 3)
    whole = bytes((1, 2, 3, 4, 0, 0))
    assert machine.reads() == [whole, whole]
    assert [one.state.get("parent") for one in taken] == [None, "s1", "s2"]
    assert taken[0].state["disks"] == ["root", "data"]
    assert taken[0].state["sizeBytes"] == 2 * SIZE
    found, _ = bench.calls.invoke("getSnapshots", {"instance": machine.raw["name"]}, Work())
    assert found is not None
    assert [one["name"] for one in found["snapshots"]] == ["s1", "s2", "s3"]
    # Neither the instance nor the volume has changed for their programs.
    read = bench.read("Instance", machine.stored)
    assert read is not None
    assert bench.plan("Instance", read, machine.raw) == []
    bench.converged("Volume", machine.volume, machine.volume_raw)
    with pytest.raises(Rejected, match=r"lies under a snapshot of .* \(s1, s2.* s3\)"):
        bench.delete("Volume", machine.volume)

    assert machine.drop(taken[1]) == []
    assert machine.reads() == [whole, whole]
    third = bench.read("Snapshot", taken[2])
    assert third is not None
    assert third.state["parent"] == "s1"
    assert machine.drop(taken[2]) == []
    assert machine.reads() == [whole, whole]
    machine.write(5, 4)
    assert machine.drop(taken[0]) == []
    assert machine.reads() == [bytes((1, 2, 3, 4, 5, 0))] * 2
    assert (machine.files(), machine.active()) == (bare, before)
    bench.converged("Volume", machine.volume, machine.volume_raw)
    if state == "running":
        assert machine.domain.isActive()
        machine.domain.destroy()
        machine.domain.create()  # from what the definition says


def test_a_disk_that_grew_since_and_what_stands_in_the_way(make: Any, bench: Bench) -> None:
    machine: Machine = make("stopped", "raw")
    taken = machine.take("s1")
    larger = {**machine.volume_raw, "size": "2MiB"}
    bench.update("Volume", machine.volume, larger)
    machine.write(1, 0)
    assert machine.drop(taken) == []
    read = bench.read("Volume", machine.volume)
    assert read is not None
    assert (read.state["sizeBytes"], bench.plan("Volume", read, larger)) == (2 * SIZE, [])
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2

    bare, raw = machine.files(), {"name": "s2", "instance": machine.stored.id}
    machine.domain.create()
    with pytest.raises(Rejected, match="the guest cannot freeze") as caught:
        bench.create("Snapshot", "s2", {**raw, "quiesce": "required"})
    assert (caught.value.path, machine.files()) == (("quiesce",), bare)


def test_others_snapshots_are_listed_and_left_alone(make: Any, bench: Bench) -> None:
    machine: Machine = make("stopped", "qcow2")
    theirs = machine.domain.snapshotCreateXML("<domainsnapshot><name>of-virsh</name></domainsnapshot>", 0)
    before = theirs.getXMLDesc(0)
    raw = {"name": "s1", "instance": machine.stored.id}
    with pytest.raises(Rejected, match="has snapshots of another tool, of-virsh") as caught:
        bench.create("Snapshot", "s1", raw)
    assert caught.value.path == ("instance",)
    found, _ = bench.calls.invoke("getSnapshots", {"instance": machine.stored.id, "details": True}, Work())
    assert found is not None
    assert [(one["name"], one["foreign"]) for one in found["snapshots"]] == [("of-virsh", True)]
    assert theirs.getXMLDesc(0) == before
    theirs.delete(0)
    machine.take("s1")


def test_uefis_variables_are_kept_with_it(make: Any, bench: Bench) -> None:
    assert bench.pool is not None
    raw: Bag = {"name": bench.name("uefi"), "memory": "64MiB", "powerState": "paused", "firmware": "uefi",
                "rootDisk": {"pool": bench.pool.id, "size": "1MiB"}}  # fmt: skip
    stored = bench.create("Instance", raw["name"], raw).stored
    folder = Path(stored.state["rootDiskPath"]).parent
    try:
        taken = bench.create("Snapshot", "u", {"name": "u", "instance": stored.id}).stored
        (kept,) = folder.glob(f"jvp-{stored.id}-firmware*")
        assert kept.read_bytes() == (folder / f"jvp-{stored.id}-nvram").read_bytes()
        bench.delete("Snapshot", taken)
        assert not kept.exists()
        bench.create("Snapshot", "u", {"name": "u", "instance": stored.id})
    finally:
        bench.delete("Instance", stored)
    assert not [path.name for path in folder.iterdir() if stored.id in path.name]


class Died(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_what_was_merged_is_not_merged_again(
    make: Any, bench: Bench, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion that dies when the file between has nothing more to tell, and what was there goes on being written."""
    machine: Machine = make(state, "qcow2")
    taken = []
    for number, name in enumerate(("s1", "s2")):
        machine.write(number + 1, number)
        taken.append(machine.take(name))
    machine.write(3, 2)

    def die(*_: Any) -> None:
        raise Died

    def dies(step: tuple[Any, str], snapshot: Stored) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(*step, die)
            with pytest.raises(Died):
                bench.delete("Snapshot", snapshot)

    for snapshot, letter in ((taken[0], 4), (taken[1], 5)):  # the middle, then the last
        dies((record.Snap, "moved") if letter == 4 else (making, "remove_file"), snapshot)
        read = bench.read("Snapshot", snapshot)
        assert read is not None
        assert read.unfinished
        machine.write(letter, letter - 1)
        machine.write(letter, 0)
        assert machine.drop(snapshot) == []
    assert machine.reads() == [bytes((5, 2, 3, 4, 5, 0))] * 2
    assert not [name for name in machine.files() if "layer" in name or "snap" in name]


@pytest.mark.parametrize(("state", "format"), [("running", "raw"), ("stopped", "qcow2")])
def test_back_and_forth_between_snapshots(make: Any, bench: Bench, state: str, format: str) -> None:
    machine: Machine = make(state, format)
    bare, before = machine.files(), machine.active()
    taken = []
    for number, name in enumerate(("s1", "s2")):
        machine.write(number + 1, number)
        taken.append(machine.take(name))
    machine.write(3, 2)

    def back(snapshot: Stored, request: str | None = None) -> None:
        told = bench.calls.act("rollbackSnapshot", snapshot.id, {}, Work(), request_id=request)
        assert told == {"state": state}

    back(taken[0], "once")
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2
    machine.write(4, 3)
    back(taken[0], "once")  # the same request: what was written since stays
    assert machine.reads() == [bytes((1, 0, 0, 4, 0, 0))] * 2
    read = bench.read("Instance", machine.stored)
    assert read is not None
    assert bench.plan("Instance", read, machine.raw) == []
    bench.converged("Volume", machine.volume, machine.volume_raw)
    larger = {**machine.volume_raw, "size": "2MiB"}
    bench.update("Volume", machine.volume, larger)
    back(taken[1])
    assert machine.reads() == [bytes((1, 2, 0, 0, 0, 0))] * 2
    bench.converged("Volume", bench.update("Volume", machine.volume, larger).stored, larger)
    # Two ways go on from the first one: its data is merged when one of them is gone.
    back(taken[0])
    machine.write(5, 4)
    assert len([name for name in machine.files() if "layer" in name]) == 4
    assert any("its data is merged when these are deleted" in line for line in machine.drop(taken[0]))
    assert machine.reads() == [bytes((1, 0, 0, 0, 5, 0))] * 2
    assert machine.drop(taken[1]) == []
    assert machine.reads() == [bytes((1, 0, 0, 0, 5, 0))] * 2
    assert (machine.files(), machine.active()) == (bare, before)


@pytest.mark.parametrize("step", ["cut_off", "point", "start"])
def test_a_way_back_that_was_cut_off_goes_on_or_is_ended(
    make: Any, bench: Bench, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine: Machine = make("running", "qcow2")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    machine.write(2, 1)

    def die(*_: Any) -> None:
        raise Died

    for again in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(making if step == "point" else guest, step, die)
            with pytest.raises(Died):
                bench.calls.act("rollbackSnapshot", snapshot.id, {}, Work(), request_id=f"r{again}")
        if again:
            told = bench.calls.act("rollbackSnapshot", snapshot.id, {}, Work(), request_id="rTrue")
            assert told == {"state": "running"}
            assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2
            machine.write(3, 2)
    machine.drop(snapshot)
    now = (1, 0, 0, 0, 0, 0) if step == "start" else (1, 0, 3, 0, 0, 0)
    assert machine.reads() == [bytes(now)] * 2
    assert not [name for name in machine.files() if "layer" in name]


@pytest.mark.parametrize("next_one", ["snapshot", "instance"])
def test_what_was_cut_off_is_ended_before_anything_else(
    make: Any, bench: Bench, next_one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest has gone on with what a deletion merged into, and then the process died."""
    machine: Machine = make("running", "raw")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    machine.write(2, 0)

    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(making, "remove_file", die)
        with pytest.raises(Died):
            bench.delete("Snapshot", snapshot)
    machine.write(3, 0)
    if next_one == "snapshot":
        second = machine.take("s2")
        machine.drop(second)
        assert machine.reads()[0][0] == 3
        bench.delete("Snapshot", snapshot)
        assert not [name for name in machine.files() if "layer" in name or "snap" in name]
    else:
        bench.delete("Instance", machine.stored)
        assert machine.files() == set()

"""Snapshots beside what others do meanwhile: nothing that a guest wrote is lost, and it starts again."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bench
from tests.contract.storage_support import Lines

from jvp.core.errors import Busy, Rejected
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, put, text_of, value
from jvp.libvirt.snapshots import making, merging, record

make = test_snapshots.make


def test_two_at_one_address_have_layers_of_their_own(make: Any, bench: Bench) -> None:
    """An engine makes what replaces a snapshot, by another name, before it deletes that."""
    machine = make("stopped")
    raw = {"name": "s1", "instance": machine.stored.id}
    first = bench.create("Snapshot", "same", raw).stored
    assert bench.read("Snapshot", first) is not None
    machine.write(1, 0)
    second = bench.create("Snapshot", "same", {**raw, "name": "s2"}).stored
    machine.drop(first)
    machine.write(2, 1)
    bench.calls.act("rollbackSnapshot", second.id, {}, Work())
    assert machine.reads() == [bytes((1, 0, 0, 0, 0, 0))] * 2
    machine.drop(second)


@pytest.mark.parametrize("other", ["take", "rollback"])
def test_another_process_changes_the_disks_while_one_is_taken(
    make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """The layers would stand on what the guest has left, and after its next start it would lack what is between."""
    machine = make("running", "raw")
    machine.write(1, 0)
    taken = [machine.take("s0")]
    step = making.lookup.create_volume

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        made = step(*arguments, **named)
        monkeypatch.setattr(making.lookup, "create_volume", step)
        with monkeypatch.context() as patch:
            patch.setattr(making, "_refuse_unfinished", lambda *_: None)  # it looked before our claim
            if other == "take":
                taken.append(machine.take("theirs"))
            else:
                bench.calls.act("rollbackSnapshot", taken[0].id, {}, Work())
        machine.write(2, 1)
        return made

    monkeypatch.setattr(making.lookup, "create_volume", meanwhile)
    monkeypatch.setattr(record, "turn", lambda *_: contextlib.nullcontext())
    with pytest.raises(Busy, match="changed by another run meanwhile"):
        bench.create("Snapshot", "ours", {"name": "ours", "instance": machine.stored.id})
    machine.domain.destroy()
    assert machine.reads() == [bytes((1, 2, 0, 0, 0, 0))] * 2
    machine.domain.create()
    assert not [name for name in machine.files() if "ours" in name]


def test_what_was_saved_or_kept_inside_a_layer_stays_until_it_is_dropped(make: Any, bench: Bench) -> None:
    """A saved guest goes on with the files by their names, and another tool's internal snapshot is in the layer."""
    machine = make("running")
    taken = machine.take("s1")
    machine.domain.managedSave(0)
    with pytest.raises(Rejected, match="was saved to disk, and goes on from there"):
        bench.delete("Snapshot", taken)
    machine.domain.create()
    machine.domain.destroy()
    theirs = machine.domain.snapshotCreateXML("<domainsnapshot><name>of-virsh</name></domainsnapshot>", 0)
    with pytest.raises(Rejected, match="has snapshots of another tool, of-virsh"):
        bench.delete("Snapshot", taken)
    machine.domain.revertToSnapshot(theirs)
    theirs.delete(0)
    assert machine.drop(taken) == []


@pytest.mark.parametrize(("state", "next_one"), [("running", "rollback"), ("stopped", "instance")])
def test_a_merge_that_no_pool_has_seen_is_not_done_again(
    make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch, state: str, next_one: str
) -> None:
    """The process dies when the files are merged, and libvirt's pool still tells what they stood on before."""
    machine = make(state)
    taken = []
    for number in (0, 1):
        machine.write(number + 1, number)
        taken.append(machine.take(f"s{number}"))
    step = merging.learn

    def dies(work: Any, node: Any, paths: Any) -> None:
        if isinstance(paths, tuple):  # after the merge
            raise test_snapshots.Died
        step(work, node, paths)

    with monkeypatch.context() as patch:
        patch.setattr(merging, "learn", dies)
        with pytest.raises(test_snapshots.Died):
            bench.delete("Snapshot", taken[0])
    with pytest.raises(Rejected, match="is being deleted, or its deletion was cut off"):
        bench.calls.act("rollbackSnapshot", taken[0].id, {}, Work())
    if next_one == "instance":
        bench.delete("Instance", machine.stored)
        assert machine.files() == set()
    else:
        bench.calls.act("rollbackSnapshot", taken[1].id, {}, Work())
        assert machine.reads() == [bytes((1, 2, 0, 0, 0, 0))] * 2
        machine.drop(taken[1])


def test_what_others_make_of_its_files_is_told_and_left(make: Any, bench: Bench) -> None:
    """A disk that was pointed back to what a snapshot holds, and an overlay over a layer that would go."""
    machine = make("stopped")
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    bare = machine.domain.XMLDesc(flags)
    first = machine.take("s1")
    layered = machine.domain.XMLDesc(flags)
    bench.connection.defineXML(bare)
    with pytest.raises(Rejected, match=r"writes to .*, which snapshot .s1. holds"):
        bench.calls.act("rollbackSnapshot", first.id, {}, Work())
    bench.connection.defineXML(layered)
    layer = Path(machine.active()["root"][1])
    machine.take("s2")
    bench.calls.act("rollbackSnapshot", first.id, {}, Work())

    theirs = layer.with_name("theirs.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", layer, "-F", "qcow2", theirs], check=True)
    machine.files()  # the pool sees it
    with pytest.raises(Rejected, match=r"theirs.qcow2 stands on .*, which goes with its snapshots"):
        bench.delete("Instance", machine.stored)
    assert layer.exists()
    theirs.unlink()
    machine.files()

    # What a way back drops, under their overlay, or as their disk.
    layer = Path(machine.active()["root"][1])
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", layer, "-F", "qcow2", theirs], check=True)
    with pytest.raises(Rejected, match=r"theirs.qcow2 stands on .*, which is dropped"):
        bench.calls.act("rollbackSnapshot", first.id, {}, Work())
    theirs.unlink()
    machine.files()
    with other_machine(bench, layer) as name:
        with pytest.raises(Rejected, match=f"which is dropped, is a disk of {name} too"):
            bench.calls.act("rollbackSnapshot", first.id, {}, Work())
        with pytest.raises(Rejected, match=f"its root disk {layer} is used by {name} too"):
            bench.delete("Instance", machine.stored)
    assert layer.exists()


@contextlib.contextmanager
def other_machine(bench: Bench, path: Path) -> Iterator[str]:
    """A machine of somebody else that has this file as its disk, by its name."""
    root = parse("<domain type='qemu'><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>"
                 "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source/>"
                 "<target dev='vda' bus='virtio'/></disk></devices></domain>")  # fmt: skip
    put(root, "name", bench.name("theirs"))
    put(root, "devices/disk/source/@file", str(path))
    domain = bench.connection.defineXML(text_of(root))
    try:
        yield domain.name()
    finally:
        domain.undefine()


def test_uefis_variables_that_no_pool_has_are_told_of(bench: Bench, leftovers: None, tmp_path: Path) -> None:
    """libvirt's own place for them is none: neither a snapshot nor a way back pretends to hold them."""
    assert bench.pool is not None
    raw = {"name": bench.name("uefi"), "memory": "64MiB", "powerState": "stopped", "firmware": "uefi",
           "rootDisk": {"pool": bench.pool.id, "size": "1MiB"}}  # fmt: skip
    stored = bench.create("Instance", raw["name"], raw).stored
    domain = bench.connection.lookupByUUIDString(stored.id)
    ours, said = value(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)), "os/nvram"), Lines()

    def keep_them_at(path: str | None) -> None:
        root = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        put(root, "os/nvram", path)
        bench.connection.defineXML(text_of(root))

    keep_them_at(f"{tmp_path}/nvram")
    try:
        bench.create("Snapshot", "u", {"name": "u", "instance": stored.id}, said.work())
        assert said.warnings == [
            f"UEFI's variables, {tmp_path}/nvram, are in no active storage pool: the snapshot does not hold them"
        ]
    finally:
        keep_them_at(ours)
        bench.delete("Instance", stored)

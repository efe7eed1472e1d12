"""Snapshots beside what others do meanwhile: nothing that a guest wrote is lost, and it starts again."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bench

from jvp.core.errors import Busy, Rejected
from jvp.core.work import Work
from jvp.libvirt.snapshots import making, record

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

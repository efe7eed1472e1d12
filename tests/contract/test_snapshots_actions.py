"""Snapshots as actions on their instance, for who has no engine."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bench

from jvp.core import action
from jvp.core.errors import NameTaken, NotFound, Stopped
from jvp.core.work import Work
from jvp.resources import registry
from jvp.resources.provider import Provider

make = test_snapshots.make


def test_taken_and_gone_back_to_once_for_each_request(make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, objects = make("stopped"), registry.objects(Provider(virt_type="qemu"))
    name, own = machine.raw["name"], machine.stored.id

    def act(token: str, request: str | None = None, **args: Any) -> Any:
        # An engine declares the instance: whose action it is nobody asks.
        return objects.act(token, name, args, Work(), request_id=request, force=True)

    machine.write(1, 0)
    taken = {"state": "stopped", "name": "before", "id": f"{own}/before"}
    assert act("snapshotInstance", "one", name="before", description="why", volumes=["data"]) == taken
    assert act("snapshotInstance", "one", name="before", description="why", volumes=["data"]) == taken
    with pytest.raises(NameTaken, match="before"):
        act("snapshotInstance", "two", name="before")
    found = objects.get("Snapshot", f"{name}/before", Work())
    assert found is not None
    assert found.inputs == {"name": "before", "instance": name, "description": "why", "volumes": ["data"]}
    assert found.holder is None

    # Without a name it is the time, and one that died goes on with the same.
    with monkeypatch.context() as patch:
        patch.setattr(action, "_note", lambda notes, one: notes.write((one,)) if one.since is not None else die())
        with pytest.raises(test_snapshots.Died):
            act("snapshotInstance", "cut")
    machine.write(2, 1)
    timed = act("snapshotInstance", "cut")
    names = {one["name"] for one in objects.list("Snapshot", {"instance": own}, Work())}
    assert names == {"before", timed["name"]}
    assert act("snapshotInstance")["name"] not in names
    assert act("snapshotInstance", "cut") == timed

    with pytest.raises(NotFound, match=r"there is no snapshot .no. of it; there are: .*, before") as caught:
        act("rollbackInstance", to="no")
    assert caught.value.path == ("to",)
    effect, *more = objects.foreseen("rollbackInstance", name, {"to": "before"}, Work())
    assert (effect, more) == (registry.ACTIONS["rollbackSnapshot"].effect, [])
    assert act("rollbackInstance", "back", to="before") == {"state": "stopped"}
    machine.write(3, 2)
    assert act("rollbackInstance", "back", to="before") == {"state": "stopped"}
    assert machine.reads() == [bytes((1, 0, 3, 0, 0, 0))] * 2
    objects.delete("Snapshot", f"{name}/{timed['name']}", Work())
    with pytest.raises(NotFound, match=f"{timed['name']}. that this request took is gone"):
        act("snapshotInstance", "cut")

    pool = bench.connection.storagePoolLookupByUUIDString(machine.volume.state["poolUuid"])
    pool.destroy()
    try:
        with pytest.raises(Stopped, match="is not active; start it"):
            act("rollbackInstance", to="before")
        with pytest.raises(Stopped):
            objects.delete("Snapshot", f"{name}/before", Work())
    finally:
        pool.create()
    objects.delete("Snapshot", f"{name}/before", Work())


def die() -> None:
    raise test_snapshots.Died

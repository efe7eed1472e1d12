"""Objects without an engine, over a toy: what its mark tells in the place of a state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.core.toys import Car, Cars

from jvp.core import recall
from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.declaration import Declaration
from jvp.core.errors import Invalid, NotFound, Rejected, dotted
from jvp.core.identity import DeclaredBy, Key, Mark
from jvp.core.objects import Objects
from jvp.core.stored import Stored
from jvp.core.values import UNKNOWN, Secret
from jvp.core.work import Work
from jvp.resources import registry

CLI, REST = DeclaredBy("cli"), DeclaredBy("rest")
RAW: dict[str, Any] = {
    "name": "a", "size": "2GiB", "doors": 3, "colour": "red", "engine": {"power": 100},
    "wheels": [{"name": "x", "mac": "52:54:00:AA:BB:CC"}, {"name": "y", "size": "1MiB"}],
    "note": "remember", "pin": Secret("hunter2"),
}  # fmt: skip


@pytest.fixture
def cars() -> Cars:
    return Cars()


@pytest.fixture
def objects(cars: Cars) -> Objects:
    return Objects({"Car": cars}, {}, lambda: "the-host")


def apply(objects: Objects, raw: dict[str, Any], **more: Any) -> Any:
    return objects.apply("Car", raw, Work(), by=more.pop("by", CLI), **more)


def planned(objects: Objects, raw: dict[str, Any]) -> list[str]:
    return [dotted(change.path) for change in objects.plan("Car", None, raw, Work()).changes]


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in RAW.items() if name not in names}


def test_an_apply_makes_and_then_changes_nothing(objects: Objects, cars: Cars) -> None:
    told = objects.plan("Car", None, RAW, Work())
    assert (told.id, told.changes, told.state["plate"], cars.cars) == (None, (), UNKNOWN, {})
    made = apply(objects, RAW)
    assert (made.created, made.changes) == (True, ())
    before = dict(cars.cars)
    assert before[made.stored.id][0].acknowledged
    assert planned(objects, RAW) == []
    again = apply(objects, RAW)
    assert (again.created, again.changes, again.stored.id) == (False, (), made.stored.id)
    assert cars.cars == before
    assert apply(objects, RAW, by=REST).changes == ()
    assert str(cars.cars[made.stored.id][0].declared_by) == "the command line, car a"


def test_what_is_exported_applies_to_nothing(objects: Objects, cars: Cars) -> None:
    made = apply(objects, RAW)
    found = objects.get("Car", "a", Work())
    assert found is not None
    assert (found.id, found.holder, found.declared_by) == (made.stored.id, None, DeclaredBy("cli", address="car a"))
    assert sorted(found.inputs) == ["colour", "doors", "engine", "name", "size", "wheels"]
    assert found.inputs["engine"] == {"power": 100}
    assert {wheel["name"]: sorted(wheel) for wheel in found.inputs["wheels"]} == {
        "x": ["mac", "name"], "y": ["name", "size"],
    }  # fmt: skip
    assert "hunter2" not in repr(found)
    assert planned(objects, found.inputs) == []
    before = dict(cars.cars)
    assert apply(objects, found.inputs).changes == ()
    assert cars.cars == before
    assert planned(objects, RAW) == []


def test_what_is_taken_out_goes_back_to_its_default(objects: Objects) -> None:
    apply(objects, RAW)
    assert planned(objects, without("colour", "doors")) == ["colour", "doors", "rearDoors"]
    assert [dotted(one.path) for one in apply(objects, without("colour", "doors")).changes][:2] == ["colour", "doors"]
    found = objects.get("Car", "a", Work())
    assert found is not None
    assert (found.state["doors"], found.state.get("colour")) == (4, None)
    # What was chosen and never declared is not taken out; an item of a list is.
    fewer = {**without("colour", "doors"), "wheels": [{"name": "x"}, {"name": "y", "size": "1MiB"}]}
    apply(objects, fewer)
    assert planned(objects, fewer) == []
    assert planned(objects, {**fewer, "wheels": [{"name": "x"}]}) == ["wheels[1]"]
    assert planned(objects, {**fewer, "wheels": [{"name": "x"}, {"name": "y"}]}) == ["wheels[1].size"]


def test_what_cannot_be_read_is_compared_with_what_was_declared(objects: Objects) -> None:
    apply(objects, RAW)
    assert planned(objects, {**RAW, "note": "forget"}) == ["note"]
    assert planned(objects, {**RAW, "pin": Secret("hunter3")}) == ["pin"]
    apply(objects, {**RAW, "pin": Secret("hunter3")})
    assert planned(objects, {**RAW, "pin": Secret("hunter3")}) == []
    assert planned(objects, RAW) == ["pin"]
    assert planned(objects, without("pin", "note")) == []


def test_a_replacement_is_never_done_unasked(objects: Objects, cars: Cars) -> None:
    apply(objects, RAW)
    other = {**RAW, "wheels": [{"name": "x", "rim": "steel"}, {"name": "y", "size": "1MiB"}]}
    assert objects.plan("Car", None, other, Work()).replaces
    before = dict(cars.cars)
    with pytest.raises(Rejected, match=r'car "a" would have to be made anew to change in wheels\[0\].rim, which is'):
        apply(objects, other)
    assert cars.cars == before


def test_a_create_that_was_cut_off_goes_on(objects: Objects, cars: Cars) -> None:
    def cut(*_: Any) -> Any:
        raise KeyboardInterrupt

    read = cars.read
    cars.read = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        apply(objects, RAW)
    cars.read = read  # type: ignore[method-assign]
    (uuid,) = cars.cars
    assert not cars.cars[uuid][0].acknowledged
    assert objects.plan("Car", None, RAW, Work()).id is None
    made = apply(objects, {**RAW, "doors": 5})
    assert (made.created, made.stored.id) == (True, uuid)
    assert cars.cars[uuid][0].acknowledged
    assert planned(objects, {**RAW, "doors": 5}) == []


def test_a_create_that_is_not_finished_goes_on(objects: Objects, cars: Cars) -> None:
    cars.reasons = ("the car does not start",)
    made = apply(objects, RAW)
    assert (made.created, made.reasons) == (True, cars.reasons)
    cars.reasons = ()
    again = apply(objects, RAW)
    assert (again.created, again.reasons, again.stored.id) == (True, (), made.stored.id)
    assert not apply(objects, RAW).created


def engine(cars: Cars) -> str:
    by = DeclaredBy.of("pulumi", "shop/dev", "urn:pulumi:dev::shop::jvp:index:Car::a")
    key = Key("", "Car", "urn", "a", by)
    calls = Calls({"Car": cars}, {})
    stored = calls.create("Car", key, check(Car, RAW).inputs, Work()).stored
    read = calls.read("Car", stored, Work())
    assert read is not None
    return read.id


STACK = 'the Pulumi stack "shop/dev", urn:pulumi:dev::shop::jvp:index:Car::a'


def test_what_an_engine_declares_reads_and_plans_the_same(objects: Objects, cars: Cars) -> None:
    uuid = engine(cars)
    found = objects.get("Car", "a", Work())
    assert found is not None
    assert (found.id, found.holder) == (uuid, f"declared by {STACK}")
    assert planned(objects, RAW) == []
    assert planned(objects, {**RAW, "doors": 5}) == ["doors"]


def test_what_others_have_is_changed_by_force_alone(objects: Objects, cars: Cars) -> None:
    uuid = engine(cars)
    before = cars.cars[uuid]
    for call, done in (
        (lambda: apply(objects, {**RAW, "doors": 5}), "changed"),
        (lambda: objects.delete("Car", uuid, Work()), "deleted"),
    ):
        with pytest.raises(Rejected) as caught:
            call()
        assert caught.value.message == f'car "a" is declared by {STACK}, and is not {done} without force'
    assert cars.cars[uuid] == before
    changed = apply(objects, {"name": "a", "doors": 5}, force=True)
    assert [dotted(one.path) for one in changed.changes] == ["doors"]  # what is not said is nobody's to take out
    mark, state = cars.cars[uuid]
    assert (state.doors, state.size, mark.declared_by) == (5, "2097152KiB", before[0].declared_by)
    assert '"colour"' in mark.declared
    objects.delete("Car", "a", Work(), force=True)
    assert cars.cars == {}


def test_what_an_engine_is_making_is_not_changed_by_force_either(objects: Objects, cars: Cars) -> None:
    uuid = engine(cars)
    cars.cars[uuid] = (replace(cars.cars[uuid][0], acknowledged=False), cars.cars[uuid][1])
    before = dict(cars.cars)
    with pytest.raises(Rejected, match="whose run is not over"):
        apply(objects, {**RAW, "doors": 5}, force=True)
    assert cars.cars == before


def test_what_nobody_of_ours_made_is_changed_by_force_alone(objects: Objects, cars: Cars) -> None:
    uuid = engine(cars)
    cars.cars[uuid] = (Mark("", 0), cars.cars[uuid][1])
    with pytest.raises(Rejected, match='car "a" is not one that jvp made, and is not changed without force'):
        apply(objects, RAW)
    assert planned(objects, {"name": "a", "doors": 5}) == ["doors"]
    apply(objects, {"name": "a", "doors": 5}, force=True)
    assert objects.get("Car", "a", Work()).holder == "not one that jvp made"  # type: ignore[union-attr]


def test_an_object_of_another_name_than_declared_is_not_touched(objects: Objects, cars: Cars) -> None:
    uuid = apply(objects, RAW).stored.id
    made = apply(objects, {"name": uuid})
    assert made.created
    assert len(cars.cars) == 2
    renamed = apply(objects, {**RAW, "doors": 9}, reference=uuid)
    assert renamed.stored.id == uuid


def test_errors(objects: Objects) -> None:
    with pytest.raises(NotFound, match='there is no car "no-such"; there are: none'):
        objects.get("Car", "no-such", Work())
    with pytest.raises(NotFound):
        objects.delete("Car", "no-such", Work())
    with pytest.raises(Invalid, match="without an engine the name tells one object from another"):
        apply(objects, {"doors": 3})
    with pytest.raises(Invalid) as caught:
        objects.plan("Car", None, {**RAW, "doors": 10}, Work())
    assert caught.value.path == ("doors",)
    apply(objects, RAW)
    with pytest.raises(Invalid, match="is no setting of a car; there are: none"):
        objects.delete("Car", "a", Work(), options={"doors": 3})


def test_what_an_older_version_noted_nothing_of_is_as_after_an_import(objects: Objects, cars: Cars) -> None:
    uuid = apply(objects, RAW).stored.id
    mark, state = cars.cars[uuid]
    cars.cars[uuid] = (replace(mark, declared=""), state)
    assert planned(objects, without("colour", "doors", "note", "pin")) == []
    apply(objects, {**RAW, "doors": 4})
    assert planned(objects, without("colour")) == ["colour", "doors"]


def test_a_mark_that_somebody_edited_may_name_an_item_alone(objects: Objects, cars: Cars) -> None:
    made = apply(objects, RAW).stored
    mark, *rest = cars.cars[made.id]
    edited = Declaration((("name",), ("wheels", "x"), ("wheels", "z"))).text
    cars.cars[made.id] = (replace(mark, declared=edited), *rest)
    found = objects.get("Car", "a", Work())
    assert found is not None
    assert sorted(wheel["name"] for wheel in found.inputs["wheels"]) == ["x", "y"]
    assert planned(objects, found.inputs) == []


@pytest.mark.parametrize(
    ("said", "meant"), [("false", False), ("No", False), (False, False), (None, False), ("true", True)]
)
def test_a_setting_for_a_delete_is_what_the_check_makes_of_it(said: Any, meant: bool) -> None:
    known = Stored("i", {"name": "a", "deleteData": True}, {"name": "a", "deleteData": True}, {})
    kind: Any = registry.TYPES["StoragePool"]
    found = recall.with_options(kind, known, {"deleteData": said})
    assert found.state["deleteData"] is meant


def test_a_setting_for_a_delete_is_never_guessed() -> None:
    """Where what else is declared breaks a rule, the check converts nothing."""
    known = Stored("i", {"name": "a", "path": "/proc"}, {"name": "a", "deleteData": False}, {})
    kind: Any = registry.TYPES["StoragePool"]
    with pytest.raises(Invalid, match="must be true or false") as caught:
        recall.with_options(kind, known, {"deleteData": "no"})
    assert caught.value.path == ("deleteData",)
    assert recall.with_options(kind, known, {"deleteData": True}).state["deleteData"] is True


def test_what_goes_between_two_looks_is_not_made_anew_by_its_reference(
    objects: Objects, cars: Cars, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = apply(objects, RAW).stored.id
    monkeypatch.setattr(Cars, "noted", lambda *_: None)
    for call in (objects.plan, lambda *given: objects.apply("Car", given[2], given[3], by=CLI, reference=given[1])):
        with pytest.raises(NotFound, match=f'car "{uuid}" is gone'):
            call("Car", uuid, RAW, Work())
    assert list(cars.cars) == [uuid]

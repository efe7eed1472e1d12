"""Diff: every kind of change and its effect; respelling; what a program never said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.toys import Car, CarState

from jvp.core.check import check
from jvp.core.diff import Change, Kind, declared, diff, respelled
from jvp.core.errors import dotted
from jvp.core.facts import Effect
from jvp.core.values import UNKNOWN, Secret

Bag = dict[str, Any]

STATE: Bag = {
    "name": "a", "size": "1GiB", "colour": "red", "doors": 4, "open": False, "rearDoors": 2,
    "wheels": [
        {"name": "front", "size": "1MiB", "mac": "52:54:00:aa:bb:cc", "rim": "steel"},
        {"name": "rear", "mac": "52:54:00:aa:bb:dd"},
    ],
    "engine": {"power": 90, "fuel": "petrol"}, "tags": ["x", "y"], "labels": {"k": "v"}, "plate": "p", "sizeBytes": 1,
}  # fmt: skip
INPUTS = {name: value for name, value in STATE.items() if name not in ("plate", "sizeBytes")}


def plan(new: Bag, *, state: Bag = STATE, old: Bag = INPUTS, imported: bool = False) -> list[tuple[str, Kind, Effect]]:
    changes = diff(Car, state, old, new, imported=imported)
    return [(dotted(change.path), change.kind, change.effect) for change in changes]


def having(**values: Any) -> Bag:
    return {name: value for name, value in {**INPUTS, **values}.items() if value is not None}


def test_nothing_differs() -> None:
    assert plan(INPUTS) == []


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (having(size="2GiB"), ("size", Kind.UPDATE, Effect.LIVE)),
        (having(doors=2), ("doors", Kind.UPDATE, Effect.NEXT_BOOT)),
        (having(open=True), ("open", Kind.UPDATE, Effect.LIVE)),
        (having(name="b"), ("name", Kind.UPDATE, Effect.REPLACE)),
        (having(colour=None), ("colour", Kind.DELETE, Effect.LIVE)),
        (having(engine=None), ("engine", Kind.DELETE, Effect.POWER_OFF)),
        (having(engine={"power": 91, "fuel": "petrol"}), ("engine.power", Kind.UPDATE, Effect.POWER_OFF)),
        (having(engine={"power": 90, "fuel": "petrol", "code": "x"}), ("engine.code", Kind.ADD, Effect.POWER_OFF)),
        (having(tags=["x"]), ("tags", Kind.UPDATE, Effect.LIVE)),
        (having(tags=["y", "x"]), ("tags", Kind.UPDATE, Effect.LIVE)),
        (having(labels={"k": "w"}), ("labels", Kind.UPDATE, Effect.LIVE)),
        (having(wheels=[INPUTS["wheels"][0]]), ("wheels[1]", Kind.DELETE, Effect.LIVE)),
        (having(wheels=[*INPUTS["wheels"], {"name": "spare"}]), ("wheels[2]", Kind.ADD, Effect.LIVE)),
        (having(wheels=[{**INPUTS["wheels"][0], "size": "2MiB"}, INPUTS["wheels"][1]]),
         ("wheels[0].size", Kind.UPDATE, Effect.LIVE)),
        (having(wheels=[INPUTS["wheels"][1], {**INPUTS["wheels"][0], "rim": "gold"}]),
         ("wheels[1].rim", Kind.UPDATE, Effect.REPLACE)),
        (having(wheels=[{"name": "front", "mac": "52:54:00:aa:bb:cc", "rim": "steel"}, INPUTS["wheels"][1]]),
         ("wheels[0].size", Kind.DELETE, Effect.LIVE)),
    ],
)  # fmt: skip
def test_one_change(new: Bag, expected: tuple[str, Kind, Effect]) -> None:
    assert plan(new) == [expected]


def test_added() -> None:
    assert plan(INPUTS, state={**STATE, "colour": None}) == [("colour", Kind.ADD, Effect.LIVE)]
    assert plan(INPUTS, state={**STATE, "engine": None}) == [("engine", Kind.ADD, Effect.POWER_OFF)]


@pytest.mark.parametrize(
    "new",
    [
        having(size="1024MiB"),
        having(wheels=INPUTS["wheels"][::-1]),
        having(wheels=[{**INPUTS["wheels"][0], "mac": "52:54:00:AA:BB:CC", "size": "1024KiB"}, INPUTS["wheels"][1]]),
        having(engine={"fuel": "petrol", "power": 90}),
        having(name=None),
        having(wheels=[{"name": "front", "size": "1MiB", "rim": "steel"}, {"name": "rear"}]),
    ],
    ids=[
        "unit",
        "order of a list",
        "spelling in an item",
        "order of keys",
        "computed unset",
        "computed unset in an item",
    ],
)
def test_the_same_meaning_is_no_change(new: Bag) -> None:
    assert plan(new) == []


def test_output_properties_never_differ() -> None:
    assert plan(INPUTS, state={**STATE, "plate": "q", "sizeBytes": 2}) == []


def test_property_taken_out_goes_back_to_its_default() -> None:
    new = check(Car, {name: value for name, value in INPUTS.items() if name not in ("size", "doors")}).whole
    state = {**STATE, "size": "3GiB", "doors": 6}
    assert plan(new, state=state, old={**INPUTS, "size": "3GiB", "doors": 6}) == [
        ("size", Kind.UPDATE, Effect.LIVE),
        ("doors", Kind.UPDATE, Effect.NEXT_BOOT),
    ]


def test_nullable_that_the_program_never_said_is_not_managed() -> None:
    old = {name: value for name, value in INPUTS.items() if name != "colour"}
    assert plan(old, old=old) == []


def test_unset_after_an_import_is_not_managed() -> None:
    new = {name: value for name, value in INPUTS.items() if name not in ("colour", "engine")}
    assert plan(new, imported=True) == []
    assert plan({**new, "wheels": [INPUTS["wheels"][0]]}, imported=True, old={}) == []


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (having(size=UNKNOWN), [("size", Kind.UPDATE, Effect.LIVE)]),
        (having(engine=UNKNOWN), [("engine", Kind.UPDATE, Effect.POWER_OFF)]),
        (having(engine={"power": UNKNOWN, "fuel": "petrol"}), [("engine.power", Kind.UPDATE, Effect.POWER_OFF)]),
        (having(wheels=UNKNOWN), [("wheels", Kind.UPDATE, Effect.LIVE)]),
        (having(tags=["x", UNKNOWN]), [("tags", Kind.UPDATE, Effect.LIVE)]),
        (having(labels={"k": UNKNOWN}), [("labels", Kind.UPDATE, Effect.LIVE)]),
        (having(wheels=[UNKNOWN, INPUTS["wheels"][1]]),
         [("wheels[0]", Kind.ADD, Effect.LIVE), ("wheels[0]", Kind.DELETE, Effect.LIVE)]),
        (having(wheels=[{"name": UNKNOWN}, *INPUTS["wheels"]]), [("wheels[0]", Kind.ADD, Effect.LIVE)]),
        (having(wheels=[{**INPUTS["wheels"][0], "rim": UNKNOWN}, INPUTS["wheels"][1]]),
         [("wheels[0].rim", Kind.UPDATE, Effect.REPLACE)]),
    ],
)  # fmt: skip
def test_unknown_is_a_change(new: Bag, expected: list[tuple[str, Kind, Effect]]) -> None:
    assert plan(new) == expected


def test_a_new_write_only_value_is_a_change() -> None:
    assert plan(having(note="b"), state={**STATE, "note": "a"}) == [("note", Kind.UPDATE, Effect.LIVE)]
    assert plan(having(pin=Secret("b")), state={**STATE, "pin": Secret("a")}) == [("pin", Kind.UPDATE, Effect.LIVE)]
    assert plan(having(pin=Secret("a")), state={**STATE, "pin": Secret("a")}) == []


def test_changes_hold_old_and_new() -> None:
    (change,) = diff(Car, STATE, INPUTS, having(size="2GiB"))
    assert change == Change(("size",), Kind.UPDATE, Effect.LIVE, "1GiB", "2GiB")
    assert change.having(Effect.REPLACE) == Change(("size",), Kind.UPDATE, Effect.REPLACE, "1GiB", "2GiB")


names = st.sampled_from(["a", "b", "c", "d", "e"])
wheels = st.lists(
    st.fixed_dictionaries({"name": names}, optional={"size": st.sampled_from(["1MiB", "1024KiB", "2MiB"])}),
    unique_by=lambda wheel: wheel["name"],
)


@given(wheels, st.randoms())
def test_order_of_a_keyed_list_never_matters(items: list[Bag], random: Any) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    assert diff(Car, {"wheels": items}, {"wheels": items}, {"wheels": shuffled}) == []
    assert respelled(CarState, {"wheels": shuffled}, {"wheels": items}) == {"wheels": items}


@given(wheels, wheels)
def test_applying_a_diff_leaves_none(before: list[Bag], after: list[Bag]) -> None:
    inputs = check(Car, {"wheels": after}).inputs
    assert diff(Car, inputs, {"wheels": before}, inputs) == []
    changed = bool(diff(Car, {"wheels": before}, {"wheels": before}, {"wheels": after}))
    meaning = [
        {one["name"]: {"size": one.get("size", "").replace("1024KiB", "1MiB")} for one in w} for w in (before, after)
    ]
    assert changed == (meaning[0] != meaning[1])


def test_respelled_keeps_the_users_spelling_only_where_it_means_the_same() -> None:
    prior = {"size": "2GiB", "wheels": [{"name": "b", "mac": "52:54:00:AA:BB:CC"}, {"name": "a", "size": "1MiB"}]}
    read = {
        "wheels": [{"name": "c"}, {"name": "a", "size": "1024KiB"}, {"name": "b", "mac": "52:54:00:aa:bb:cc"}],
        "plate": "p", "size": "2048MiB",
    }  # fmt: skip
    assert respelled(CarState, read, prior) == {
        "size": "2GiB",
        "wheels": [{"name": "b", "mac": "52:54:00:AA:BB:CC"}, {"name": "a", "size": "1MiB"}, {"name": "c"}],
        "plate": "p",
    }
    assert list(respelled(CarState, read, prior)) == ["size", "wheels", "plate"]
    assert respelled(CarState, {"size": "3GiB"}, prior) == {"size": "3GiB"}
    assert respelled(CarState, {"size": "2048MiB"}, {"size": Secret("2GiB")}) == {"size": Secret("2GiB")}
    assert respelled(CarState, {"size": "2GiB"}, {"size": UNKNOWN}) == {"size": "2GiB"}


def test_declared_leaves_unsaid_what_was_unsaid() -> None:
    state = {**STATE, "size": "2GiB", "colour": "blue"}

    def of(state: Bag, prior: Bag) -> Bag:
        return declared(Car, state, prior, check(Car, prior).whole)

    alike = {**state, "size": "1024MiB", "tags": [], "labels": {}, "wheels": []}
    assert of(alike, {}) == {}
    assert of(alike, {"doors": 4}) == {"doors": 4}
    assert of(alike, {"engine": {"fuel": "petrol"}}) == {"engine": {"fuel": "petrol"}}
    assert of(alike, {"size": "2GiB"}) == {"size": "1024MiB"}
    assert of({**alike, "colour": None}, {"colour": "red"}) == {}
    assert of(alike, {"colour": Secret("red")}) == {"colour": Secret("blue")}
    found = of({**alike, "wheels": STATE["wheels"]}, {"wheels": [{"name": "rear"}]})
    assert found == {"wheels": [STATE["wheels"][0], {"name": "rear"}]}


def test_declared_says_what_is_unlike_the_default() -> None:
    prior: Bag = {"engine": {}}
    state = {**STATE, "size": "2GiB", "tags": [], "labels": {}, "wheels": [], "engine": {"power": 7, "fuel": "petrol"}}
    assert declared(Car, state, prior, check(Car, prior).whole) == {"size": "2GiB", "engine": {"power": 7}}

"""Set, unset, default: after an import and with states of the first form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.core.toys import Car, Cars

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import dotted
from jvp.core.identity import Key
from jvp.core.stored import Stored
from jvp.core.values import Secret, secret_paths
from jvp.core.wanted import filled, set_alone, unset
from jvp.core.work import Work

Bag = dict[str, Any]
HERS: Bag = {
    "name": "a", "size": "2GiB", "doors": 2, "open": True, "wheels": [{"name": "x"}], "tags": ["y"],
    "engine": {"power": 7}, "labels": {"k": "v"}, "colour": "red",
}  # fmt: skip
OURS: Bag = {"size": "1GiB", "doors": 4, "open": False, "wheels": [], "tags": [], "labels": {}}


@pytest.fixture
def calls() -> Calls:
    return Calls({"Car": Cars()}, {})


def inputs(raw: Bag) -> Bag:
    checked = check(Car, raw)
    assert checked.failures == ()
    return checked.inputs


def plan(calls: Calls, stored: Stored, raw: Bag) -> set[str]:
    return {dotted(change.path) for change in calls.diff("Car", stored, inputs(raw)).changes}


def imported(calls: Calls) -> Stored:
    calls.create("Car", Key("", "car", "one", "one"), inputs(HERS), Work())
    found = calls.import_("Car", "a", Work())
    assert found is not None
    return found


def updated(calls: Calls, stored: Stored, raw: Bag) -> Stored:
    new = calls.update("Car", stored, inputs(raw), Work()).stored
    read = calls.read("Car", new, Work())
    assert read == new
    assert plan(calls, new, raw) == set()
    return new


@pytest.mark.parametrize("name", OURS)
def test_set_to_the_default_is_set(calls: Calls, name: str) -> None:
    """Of an object that was imported, and still after an update that did not name the property."""
    found = imported(calls)
    for stored in (found, updated(calls, found, {"name": "a", "colour": "blue"})):
        raw = {"name": "a", "colour": stored.state["colour"], name: OURS[name]}
        assert {path.partition("[")[0] for path in plan(calls, stored, raw)} == {name}
        done = updated(calls, stored, raw)
        assert {key: done.state.get(key) for key in OURS if key != name} == {
            key: found.state[key] for key in OURS if key != name
        }
        assert done.state[name] == OURS[name]


def test_what_was_set_once_goes_back_to_its_default(calls: Calls) -> None:
    stored = updated(calls, imported(calls), {"name": "a", "doors": 3})
    assert plan(calls, stored, {"name": "a"}) == {"doors"}
    stored = updated(calls, stored, {"name": "a"})
    assert (stored.state["doors"], stored.state["size"], stored.state["open"]) == (4, "2097152KiB", True)


def test_a_preview_has_what_was_found(calls: Calls) -> None:
    bag = calls.preview_update("Car", imported(calls), inputs({"name": "a", "colour": "blue"}), Work())
    assert (bag["colour"], bag["doors"], bag["size"], bag["open"]) == ("blue", 2, "2097152KiB", True)


def test_inside_of_an_object_or_an_item_too(calls: Calls) -> None:
    raw: Bag = {"name": "a", "engine": {"power": 7, "fuel": "diesel"}, "wheels": [{"name": "x", "size": "1MiB"}]}
    calls.create("Car", Key("", "car", "one", "one"), inputs(raw), Work())
    found = calls.import_("Car", "a", Work())
    assert found is not None
    bare: Bag = {"name": "a", "engine": {}, "wheels": [{"name": "x"}]}
    assert plan(calls, found, bare) == set()
    assert plan(calls, found, {**bare, "engine": {"power": 90}}) == {"engine.power"}
    stored = updated(calls, found, {**bare, "engine": {"fuel": "petrol"}})
    assert stored.state["engine"] == {"power": 7, "fuel": "petrol"}
    assert stored.state["wheels"][0]["size"] == "1MiB"
    assert plan(calls, stored, {"name": "a", "wheels": []}) == {"engine", "wheels[0]"}
    stored = updated(calls, stored, {**bare, "wheels": [{"name": "x", "size": "2MiB"}]})
    assert plan(calls, stored, bare) == {"wheels[0].size"}
    stored = updated(calls, stored, {"name": "a", "engine": {}, "wheels": [{"name": "y"}]})
    assert [place for place in stored.private["unmanaged"] if len(place) > 1] == [["engine", "power"]]


INSIDE: list[Any] = [["wheels", "x", "size"], ["engine", "power"]]
FOUND: Bag = {"name": "a", "wheels": [{"name": "x", "size": "2MiB"}], "engine": {"power": 7}}
SECRETS: list[tuple[Bag, set[tuple[Any, ...]]]] = [
    ({"wheels": Secret([{"name": "x"}]), "engine": {}}, {("wheels",)}),
    ({"wheels": [Secret({"name": "x"})], "engine": {}}, {("wheels", 0)}),
    ({"wheels": [{"name": Secret("x")}], "engine": Secret({})}, {("wheels", 0, "name"), ("engine",)}),
]


@pytest.mark.parametrize(("raw", "secret"), SECRETS, ids=["list", "item", "object"])
def test_what_is_inside_of_a_secret_stays_as_it_was_found(calls: Calls, raw: Bag, secret: set[tuple[Any, ...]]) -> None:
    raw = {"name": "a", **raw}
    assert unset(Car, INSIDE, raw) == INSIDE
    whole = filled(Car, raw, INSIDE, FOUND)
    assert whole.spec is not None
    assert (whole.spec.wheels[0].size, whole.spec.engine.power) == ("2MiB", 7)
    assert secret_paths(whole.whole) == secret_paths(whole.inputs) == secret
    # Its state is secret from then on, and is read by plans in which it is so, and in which it is no longer.
    calls.create("Car", Key("", "car", "one", "one"), inputs(FOUND), Work())
    found = calls.import_("Car", "a", Work())
    assert found is not None
    stored = updated(calls, found, raw)
    assert secret <= secret_paths(stored.state)
    assert [place for place in stored.private["unmanaged"] if len(place) > 1] == INSIDE
    assert plan(calls, stored, {"name": "a", "wheels": [{"name": "x"}], "engine": {}}) == set()


def test_what_a_secret_of_the_state_fills_in_is_a_secret() -> None:
    hidden = {"name": "a", "wheels": Secret(FOUND["wheels"]), "engine": Secret(FOUND["engine"])}
    whole = filled(Car, {"name": "a", "wheels": [{"name": "x"}], "engine": {}}, INSIDE, hidden).whole
    assert secret_paths(whole) == {("wheels", 0, "size"), ("engine", "power")}


def test_a_secret_beside_what_was_found_is_in_no_message() -> None:
    raw: Bag = {"name": "a", "wheels": [Secret({"name": "x", "mac": "hush-hush-hush-hush"})]}
    checked = filled(Car, raw, INSIDE, FOUND)
    assert checked.failures
    assert not [one for one in checked.failures if "hush" in one.message]
    assert "hush" not in repr(checked.whole)


def test_what_breaks_a_rule_beside_what_is_set_follows_it(calls: Calls) -> None:
    raw: Bag = {"name": "a", "doors": 8, "colour": "red"}
    calls.create("Car", Key("", "car", "one", "one"), inputs(raw), Work())
    found = calls.import_("Car", "a", Work())
    assert found is not None
    crowded = replace(found, state={**found.state, "doors": 12})
    assert plan(calls, crowded, {"name": "a"}) == {"doors"}


def of_the_first_form(stored: Stored, raw: Bag) -> Stored:
    """As a version kept it whose check filled in every default."""
    return replace(stored, inputs=check(Car, raw).whole, private=_old(stored.private))


def _old(private: Bag) -> Bag:
    """It knew the unmanaged properties at the top alone."""
    names = (
        {"unmanaged": [place[0] for place in private["unmanaged"] if len(place) == 1]}
        if private.get("unmanaged")
        else {}
    )
    return {**private, "schema": 1.0, **names}


def test_an_old_state_needs_nothing(calls: Calls) -> None:
    """Neither with the new SDK, which sends what the program sets, nor with an old one, which sends every default."""
    raw: Bag = {"name": "a", "colour": "red", "doors": 2, "engine": {"power": 7}}
    old = of_the_first_form(calls.create("Car", Key("", "car", "one", "one"), inputs(raw), Work()).stored, raw)
    for given in (raw, check(Car, raw).whole):
        assert plan(calls, old, given) == set()
    read = calls.read("Car", old, Work())
    assert read is not None
    assert read.inputs == raw
    assert read.private["schema"] == Car.schema_version
    assert plan(calls, read, raw) == set()
    assert plan(calls, read, {"name": "a", "engine": {}}) == {"colour", "doors", "rearDoors", "engine.power"}


def test_an_old_import_is_left_alone_until_its_program_says_more(calls: Calls) -> None:
    """The old provider took each default that its SDK sent as not said; the new one takes it as said, and shows it."""
    raw = {"name": "a", "colour": "red"}
    old = of_the_first_form(imported(calls), raw)
    for stored in (old, replace(old, private={**old.private, "imported": False})):
        assert plan(calls, stored, raw) == set()
        assert plan(calls, stored, {**raw, "doors": 4}) == {"doors"}
        sent = {**raw, "size": "1GiB", "doors": 4, "open": False}
        assert plan(calls, stored, sent) == {"size", "doors", "open"}


def test_old_inputs_lose_what_they_would_have_anyway() -> None:
    raw: Bag = {"name": "a", "doors": 6, "engine": {"fuel": "diesel"}, "wheels": [{"name": "x", "rim": "steel"}]}
    assert set_alone(Car, check(Car, raw).whole) == raw
    assert set_alone(Car, {**check(Car, raw).whole, "rearDoors": 2, "gone": 1}) == {**raw, "rearDoors": 2}

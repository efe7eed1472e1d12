"""A resource that stands for an action, over a toy: once for each request, whoever dies."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.test_core_action import GoesOn
from tests.unit.core.toys import Car, Cars

from jvp.core import standin
from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import NotFound, Rejected, Unreachable, dotted
from jvp.core.identity import DeclaredBy, Key, Mark
from jvp.core.model import fields
from jvp.core.stored import Stored
from jvp.core.work import Work

TYPE = standin.type_of(GoesOn, "BumpCar")
KEY = Key("", "BumpCar", "urn", "bump", DeclaredBy("pulumi", "shop/dev", "urn"))
Bag = dict[str, Any]


@pytest.fixture
def cars() -> Cars:
    return Cars()


@pytest.fixture
def bump() -> GoesOn:
    return GoesOn()


@pytest.fixture
def calls(cars: Cars, bump: GoesOn) -> Calls:
    handlers = {"Car": cars}
    found = Calls({**handlers, "BumpCar": standin.handler_of(TYPE, bump, lambda: cars)}, {}, actions={"bumpCar": bump})
    found.create("Car", Key("", "Car", "one", "one"), check(Car, {"name": "a"}).inputs, Work())
    return found


def made(calls: Calls, word: str = "x") -> Stored:
    return calls.create("BumpCar", KEY, given(calls, word), Work()).stored


def given(calls: Calls, word: str) -> Any:
    return calls.check("BumpCar", {"car": "a", "triggers": {"word": word}}).sound()


def test_what_it_is_declared_with() -> None:
    assert (TYPE.kind, TYPE.token, TYPE.stands_for) == ("car bump", "BumpCar", "bumpCar")
    assert [*fields(TYPE.spec)] == ["car", "triggers"]
    assert [*fields(TYPE.state)] == ["car", "triggers", "times", "request"]


def test_it_acts_when_it_is_made_and_anew_with_another_trigger(calls: Calls, bump: GoesOn) -> None:
    stored = made(calls)
    assert (stored.state["times"], bump.times) == (1, 1)
    read = calls.read("BumpCar", stored, Work())
    assert read is not None
    assert (read.state, bump.times) == (stored.state, 1)
    assert calls.diff("BumpCar", read, given(calls, "x")).changes == ()
    for times, word in enumerate(("y", "x", "y"), 2):  # a word that was there before is another request all the same
        plan = calls.diff("BumpCar", stored, given(calls, word))
        assert [dotted(change.path) for change in plan.changes] == ["triggers"]
        assert not plan.replaces
        stored = calls.update("BumpCar", stored, given(calls, word), Work()).stored
        assert (stored.state["times"], bump.times) == (times, times)


def test_who_dies_before_the_state_is_saved_does_not_act_twice(calls: Calls, bump: GoesOn) -> None:
    one, again = made(calls), made(calls)
    assert (again, bump.times) == (one, 1)
    bump.dies = True
    with pytest.raises(KeyboardInterrupt):
        calls.update("BumpCar", one, given(calls, "y"), Work())
    bump.dies = False
    two = calls.update("BumpCar", one, given(calls, "y"), Work()).stored
    assert calls.update("BumpCar", one, given(calls, "y"), Work()).stored == two
    assert bump.times == 2


def test_one_that_was_removed_acts_when_it_is_made_again(
    calls: Calls, cars: Cars, bump: GoesOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.delete("BumpCar", made(calls), Work())
    made(calls)
    assert bump.times == 2
    # To remove it needs nothing of the node.
    stored = made(calls)

    def unreachable(*_: Any) -> str:
        raise Unreachable("nobody answers")

    monkeypatch.setattr(cars, "find", unreachable)
    calls.delete("BumpCar", stored, Work())


def test_a_preview_acts_not_and_says_what_will_be(calls: Calls, bump: GoesOn) -> None:
    lines: list[str] = []
    calls.preview_create("BumpCar", given(calls, "x"), Work(warn=lines.append))
    assert (lines, bump.times) == (['car bump of "a": it counts'], 0)


def test_what_is_refused(calls: Calls, cars: Cars, bump: GoesOn) -> None:
    with pytest.raises(Rejected, match="a car bump stands for what is done, and there is nothing to import"):
        calls.import_("BumpCar", "a", Work())
    assert list(calls.list("BumpCar", Work())) == []
    missing = calls.check("BumpCar", {"car": "no-such"}).sound()
    with pytest.raises(NotFound) as unknown:
        calls.create("BumpCar", KEY, missing, Work())
    (uuid,) = cars.cars
    cars.cars[uuid] = (Mark("", 0), cars.cars[uuid][1])
    with pytest.raises(Rejected, match="is not one that jvp has, and is left alone") as foreign:
        made(calls)
    assert unknown.value.path == foreign.value.path == ("car",)
    assert bump.times == 0


def test_another_object_is_another_resource(calls: Calls) -> None:
    stored = made(calls)
    assert calls.diff(
        "BumpCar", stored, calls.check("BumpCar", {"car": "b", "triggers": {"word": "x"}}).sound()
    ).replaces

"""The audit over toys: one call is told at its begin and at its end, whatever becomes of it, and no value with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.core.test_core_action import GoesOn
from tests.unit.core.test_core_standin import KEY, TYPE
from tests.unit.core.toys import Car, Cars

from jvp.core import audit, standin
from jvp.core.audit import Caller, Entry
from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Cancelled, JvpError, NotFound, Rejected
from jvp.core.identity import DeclaredBy, Key
from jvp.core.objects import Objects
from jvp.core.values import Secret
from jvp.core.work import Work

ANNA = Caller("uid 1000 (anna)", "cli")
RAW: dict[str, Any] = {
    "name": "a", "size": "2GiB", "wheels": [{"name": "x", "mac": "52:54:00:AA:BB:CC"}, {"name": "y", "size": "1GiB"}],
    "engine": {"code": Secret("sesame")}, "labels": {"hunter2": "x"}, "note": "remember", "pin": "hunter2",
}  # fmt: skip
NAMES = ("name", "size", "wheels.name", "wheels.mac", "wheels.size", "engine.code", "labels", "note", "pin")
BY = DeclaredBy("cli")


class Told(list[Entry]):
    """What came to the sink. Each call is told twice."""

    def __call__(self, entry: Entry) -> None:
        self.append(entry)

    def last(self) -> Entry:
        begun, ended = self[-2:]
        assert (begun.outcome, begun.call, begun.at) == ("begun", ended.call, ended.at)
        assert [one.call for one in self].count(ended.call) == 2
        assert (begun.verb, begun.kind, begun.properties) == (ended.verb, ended.kind, ended.properties)
        return ended


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def cars() -> Cars:
    return Cars()


@pytest.fixture
def calls(cars: Cars, told: Told) -> Calls:
    bump = GoesOn()
    kinds = {"Car": cars, "BumpCar": standin.handler_of(TYPE, bump, lambda: cars)}
    return Calls(kinds, {}, actions={"bumpCar": bump}, audit=told)


@pytest.fixture
def objects(cars: Cars, told: Told) -> Objects:
    return Objects({"Car": cars}, {}, lambda: "the-host", actions={"bumpCar": GoesOn()}, audit=told)


def told_of(entry: Entry) -> tuple[str, ...]:
    return (entry.caller.who, entry.verb, entry.kind, entry.name, entry.outcome)


def work() -> Work:
    return Work(caller=ANNA)


def test_what_an_engine_asks_for_is_told_once(calls: Calls, told: Told) -> None:
    inputs = check(Car, RAW).inputs
    calls.preview_create("Car", inputs, work())
    assert told == []
    made = calls.create("Car", Key("", "Car", "one", "one"), inputs, work()).stored
    assert (told_of(told.last()), told.last().id) == ((ANNA.who, "create", "Car", "a", "done"), made.id)
    assert (told.last().properties, told.last().changed) == (NAMES, ())
    news = check(Car, {**RAW, "doors": 2, "wheels": [{"name": "x", "size": "3GiB"}]}).inputs
    calls.preview_update("Car", made, news, work(), calls.diff("Car", made, news, work()))
    calls.read("Car", made, work())
    calls.import_("Car", "a", work())
    assert len(told) == 2
    changed = calls.update("Car", made, news, work()).stored
    assert told_of(told.last()) == (ANNA.who, "update", "Car", "a", "done")
    assert told.last().changed == ("doors", "rearDoors", "wheels.size", "wheels")
    calls.delete("Car", changed, work())
    assert (told_of(told.last()), told.last().id) == ((ANNA.who, "delete", "Car", "a", "done"), made.id)
    assert "hunter2" not in str(told)
    assert "sesame" not in str(told)
    assert "remember" not in str(told)


def test_an_adoption_is_one_call(calls: Calls, cars: Cars, told: Told) -> None:
    inputs = check(Car, {"name": "a"}).inputs
    Calls({"Car": cars}, {}).create("Car", Key("", "Car", "one", "one"), inputs, Work())
    cars.cars = {uuid: (replace(mark, key=""), car) for uuid, (mark, car) in cars.cars.items()}
    calls.create("Car", Key("", "Car", "two", "two"), check(Car, {"name": "a", "doors": 2}).inputs, work(), adopt=True)
    assert told_of(told.last()) == (ANNA.who, "create", "Car", "a", "done")
    assert (told.last().id, len(told)) == (*cars.cars, 2)


def test_what_stands_for_an_action_is_told_by_its_object(calls: Calls, cars: Cars, told: Told) -> None:
    calls.create("Car", Key("", "Car", "one", "one"), check(Car, {"name": "a"}).inputs, Work())
    made = calls.create("BumpCar", KEY, {"car": "a", "triggers": {"hunter2": "y"}}, work()).stored
    assert told_of(told.last()) == (ANNA.who, "create", "BumpCar", "a", "done")
    assert told.last().properties == ("car", "triggers")
    calls.delete("BumpCar", made, work())
    assert told_of(told.last()) == (ANNA.who, "delete", "BumpCar", "a", "done")


def test_what_is_asked_for_without_an_engine_is_told_once(objects: Objects, told: Told) -> None:
    objects.plan("Car", None, RAW, work())
    assert told == []
    made = objects.apply("Car", RAW, work(), by=BY).stored
    assert (told_of(told.last()), told.last().id) == ((ANNA.who, "apply", "Car", "a", "done"), made.id)
    objects.apply("Car", {**RAW, "doors": 2}, work(), by=BY, reference=made.id)
    assert (told.last().changed, told.last().name) == (("doors", "rearDoors"), "a")
    objects.get("Car", "a", work())
    assert len(told) == 4
    objects.act("bumpCar", "a", {}, work())
    assert (told_of(told.last()), told.last().id) == ((ANNA.who, GoesOn.word, "Car", "a", "done"), made.id)
    objects.delete("Car", made.id, work())
    assert (told_of(told.last()), told.last().id) == ((ANNA.who, "delete", "Car", "a", "done"), made.id)


def test_what_fails_is_told_with_its_sentence_and_without_secrets(objects: Objects, cars: Cars, told: Told) -> None:
    def hook(_spec: Car) -> None:
        raise Rejected("the code hunter2 is \x1b[31mrefused")

    with pytest.raises(JvpError):
        objects.apply("Car", {**RAW, "doors": 12}, work(), by=BY)
    assert (told.last().outcome, told.last().detail) == ("failed", "doors: has 12, more than any car")
    cars.hook = hook
    with pytest.raises(Rejected):
        objects.apply("Car", RAW, work(), by=BY)
    assert (told.last().outcome, told.last().detail) == ("failed", r"the code [secret] is \x1b[31mrefused")
    with pytest.raises(NotFound):
        objects.delete("Car", "none", work())
    assert (told.last().name, told.last().outcome) == ("none", "failed")
    assert "hunter2" not in str(told)


def test_what_is_cancelled_or_unfinished_is_told_as_that(objects: Objects, cars: Cars, told: Told) -> None:
    def hook(_spec: Car) -> None:
        raise Cancelled("stopped on request")

    cars.hook = hook
    with pytest.raises(Cancelled):
        objects.apply("Car", RAW, work(), by=BY)
    assert told.last().outcome == "cancelled"
    cars.hook, cars.reasons = lambda _spec: None, ("it waits for petrol",)
    objects.apply("Car", RAW, work(), by=BY)
    assert (told.last().outcome, told.last().detail) == ("partial", "it waits for petrol")


def test_who_ends_in_the_middle_has_begun(objects: Objects, cars: Cars, told: Told) -> None:
    def hook(_spec: Car) -> None:
        raise KeyboardInterrupt

    cars.hook = hook
    with pytest.raises(KeyboardInterrupt):
        objects.apply("Car", RAW, work(), by=BY)
    assert [one.outcome for one in told] == ["begun"]


def test_a_sink_that_fails_is_one_warning(cars: Cars) -> None:
    def sink(_entry: Entry) -> None:
        raise OSError(28, "No space left on device", "/full/audit")

    lines: list[str] = []
    objects = Objects({"Car": cars}, {}, lambda: "the-host", audit=sink)
    for doors in (2, 3):
        objects.apply("Car", {**RAW, "doors": doors}, Work(warn=lines.append), by=BY)
    (line,) = lines
    assert line.startswith("the audit cannot be written (/full/audit): No space left on device")


def test_names_are_those_of_the_model_alone() -> None:
    odd = {"wheels": {"name": 1}, "engine": [3, {"power": 1}], "labels": "x", "size": None, "hunter2": 3}
    assert audit.names(Car, odd) == ("wheels", "engine", "labels")

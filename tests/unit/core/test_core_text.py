"""Text of strangers: what acts on a display stands as its escape, and what users wrote stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.toys import Car, Cars, CarState

from jvp.core.calls import Calls
from jvp.core.errors import Bug, NameTaken, Rejected
from jvp.core.handler import Listed
from jvp.core.identity import Key
from jvp.core.stored import Stored
from jvp.core.text import LINE_MAX, harmless, harmless_value, is_harmless, sentence
from jvp.core.values import Secret
from jvp.core.work import Work

EVIL = "<{%evil%}>\x1b[2J\u202e"
SHOWN = r"<\x7b%evil%}>\x1b[2J\u202e"
KEY = Key("", "Car", "urn:pulumi:s::p::::a", "a")


@pytest.fixture
def cars() -> Cars:
    return Cars()


@pytest.fixture
def calls(cars: Cars) -> Calls:
    return Calls({"Car": cars}, {})


def made(calls: Calls, **raw: Any) -> Stored:
    return calls.create("Car", KEY, calls.check("Car", {"name": "a", **raw}).inputs, Work()).stored


@given(st.text() | st.text("<{%}> \x1b\n\u202e"))
def test_one_harmless_line(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()
    assert "<{%" not in shown
    assert harmless(shown) == shown
    if text.isprintable() and "<{%" not in text:
        assert shown == text


@given(st.text() | st.text("<{%}> \x1b\n\t\u202e\u3000"))
def test_a_value_keeps_its_lines_and_its_letters(text: str) -> None:
    shown = harmless_value({"a": [text]})["a"][0]
    assert "<{%" not in shown
    assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\r"}
    assert harmless_value(shown) == shown
    value = {text: [text, 1, None, Secret(text)]}
    if is_harmless(value):
        assert harmless_value(value) == value


def test_what_has_many_lines_keeps_them() -> None:
    assert harmless_value("a\n\tb\r\x9b\u3000c") == "a\n\tb\\r\\x9b\u3000c"


def test_a_long_sentence_keeps_its_end() -> None:
    shown = sentence("a" * 10**6 + "; run the command again")
    assert len(shown) == LINE_MAX
    assert shown.endswith("; run the command again")


def test_nothing_that_a_call_says_acts_on_a_display(calls: Calls, cars: Cars) -> None:
    said: list[str] = []
    work = Work(status=said.append, warn=said.append)
    cars.warning, cars.reasons = EVIL, (EVIL,)
    inputs = calls.check("Car", {"name": "a"}).inputs
    calls.preview_create("Car", inputs, work)
    assert said == [SHOWN]
    assert calls.create("Car", KEY, inputs, work).reasons == (SHOWN,)

    def fail(error: Exception) -> str:
        def hook(_spec: Car) -> None:
            raise error

        cars.hook = hook
        with pytest.raises((Rejected, NameTaken, Bug)) as caught:
            calls.create("Car", KEY, inputs, work)
        if isinstance(error, NameTaken):
            assert error.id == SHOWN
        return str(caught.value)

    assert fail(Rejected(EVIL)) == SHOWN
    assert fail(NameTaken(EVIL, id=EVIL)) == SHOWN
    assert fail(RuntimeError(EVIL)).endswith(SHOWN)


def test_a_secret_that_acts_on_a_display_is_masked_all_the_same(calls: Calls, cars: Cars) -> None:
    cars.reasons = (f"the pin {EVIL} is weak",)
    assert calls.create("Car", KEY, calls.check("Car", {"name": "a", "pin": Secret(EVIL)}).inputs, Work()).reasons == (
        "the pin [secret] is weak",
    )


def test_what_a_stranger_wrote_is_harmless_in_a_state_and_what_the_user_wrote_stays(calls: Calls, cars: Cars) -> None:
    stored = made(calls, colour=EVIL, tags=["ok"])
    assert stored.state["colour"] == stored.inputs["colour"] == EVIL
    theirs, shown = f"{EVIL} of a stranger", f"{SHOWN} of a stranger"
    mark, car = cars.cars[stored.id]
    cars.cars[stored.id] = (
        mark,
        car.model_copy(update={"tags": [theirs], "plate": theirs, "labels": {theirs: theirs}}),
    )
    read = calls.read("Car", stored, Work())
    assert read is not None
    assert read.state["colour"] == EVIL
    assert read.state["tags"] == [shown] == read.inputs["tags"]
    assert read.state["plate"] == shown
    assert read.state["labels"] == {shown: shown}
    # And what an older version kept is so in a plan.
    old = Stored(stored.id, stored.inputs, {**stored.state, "plate": theirs}, {"unfinished": [EVIL]})
    assert old.unfinished == (SHOWN,)
    cars.hook = lambda spec: None
    planned = calls.preview_update("Car", Stored(stored.id, stored.inputs, old.state), stored.inputs, Work())
    assert planned["plate"] == shown
    assert planned["colour"] == EVIL


def test_an_import_and_a_listing_are_harmless(calls: Calls, cars: Cars) -> None:
    stored = made(calls)
    mark, car = cars.cars[stored.id]
    cars.cars[stored.id] = (mark, CarState.model_construct(**{**dict(car), "colour": EVIL}))
    found = calls.import_("Car", "a", Work())
    assert found is not None
    assert found.inputs["colour"] == SHOWN
    cars.cars[stored.id] = (mark, CarState.model_construct(**{**dict(car), "name": EVIL}))
    assert list(calls.list("Car", Work())) == [Listed(stored.id, SHOWN)]

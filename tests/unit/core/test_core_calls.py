"""The calls over a toy: spelling, secrets, unknown values, unexpected errors, import, partial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field
from tests.unit.core.toys import Car, Cars

from jvp.core.calls import Calls
from jvp.core.check import check, failures_text
from jvp.core.errors import Bug, Cancelled, Invalid, NameTaken, NotFound, Rejected
from jvp.core.identity import Key
from jvp.core.model import Spec
from jvp.core.stored import Result, Stored
from jvp.core.values import UNKNOWN, Secret, has_unknown
from jvp.core.work import Work

Bag = dict[str, Any]
RAW: Bag = {
    "name": "a", "size": "2GiB", "wheels": [{"name": "x", "mac": "52:54:00:AA:BB:CC"}, {"name": "y"}],
    "colour": Secret("vermilion"), "note": "remember", "pin": Secret("hunter2"),
}  # fmt: skip


class AskArgs(Spec):
    """Which."""

    word: Annotated[Secret[str], Field(description="A word.")]


class Answer(Spec):
    """What."""

    text: Annotated[str | None, Field(description="The word's length.")] = None
    secret: Annotated[Secret[str] | None, Field(description="The word.")] = None


class Ask:
    token: ClassVar[str] = "ask"
    args: ClassVar[type[Spec]] = AskArgs
    result: ClassVar[type[Spec]] = Answer

    def call(self, work: Work, args: Any) -> Any:
        word = args.word.reveal()
        if word == "boom!":
            raise RuntimeError(word)
        return Answer(text=str(len(word)), secret=args.word)


@pytest.fixture
def cars() -> Cars:
    return Cars()


@pytest.fixture
def calls(cars: Cars) -> Calls:
    return Calls({"Car": cars}, {"ask": Ask()})


@pytest.fixture
def work() -> Work:
    return Work()


def inputs(raw: Bag) -> Bag:
    checked = check(Car, raw)
    assert not checked.failures, failures_text(checked.failures)
    return checked.inputs


def made(calls: Calls, raw: Bag = RAW, address: str = "one") -> Result:
    return calls.create("Car", Key("", "car", address, address), inputs(raw), Work())


def test_life(calls: Calls, cars: Cars, work: Work) -> None:
    stored = made(calls).stored
    assert stored.inputs == inputs(RAW)
    assert stored.state["size"] == "2GiB"
    assert stored.state["wheels"] == [
        {"name": "x", "mac": "52:54:00:AA:BB:CC"}, {"name": "y", "mac": "52:54:00:00:00:01"},
    ]  # fmt: skip
    assert calls.diff("Car", stored, stored.inputs).changes == ()
    read = calls.read("Car", stored, work)
    assert read == stored
    new = inputs({**RAW, "size": "3GiB"})
    plan = calls.diff("Car", stored, new)
    assert [change.path for change in plan.changes] == [("size",)]
    assert not plan.replaces
    assert calls.diff("Car", stored, inputs({**RAW, "name": "b"})).replaces
    updated = calls.update("Car", stored, new, work).stored
    assert [change.path for change in cars.changes] == [("size",)]
    assert updated.state["sizeBytes"] == 3 * 1024**3
    assert calls.read("Car", updated, work) == updated
    assert [one.name for one in calls.list("Car", work)] == ["a"]
    calls.delete("Car", updated, work)
    calls.delete("Car", updated, work)
    assert calls.read("Car", updated, work) is None
    with pytest.raises(NotFound, match="is gone"):
        calls.update("Car", updated, new, work)


def test_a_second_create_resumes_until_it_is_read(calls: Calls, work: Work) -> None:
    first = made(calls)
    assert made(calls) == first
    calls.read("Car", first.stored, work)
    with pytest.raises(NameTaken):
        made(calls)
    assert made(calls, {**RAW, "name": "b"}).stored.id != first.stored.id


def test_state_has_secrets_where_the_inputs_have_them(calls: Calls, work: Work) -> None:
    stored = made(calls).stored
    assert stored.state["colour"] == Secret("vermilion")
    assert stored.state["pin"] == Secret("hunter2")
    assert stored.state["note"] == "remember"
    assert "hunter2" not in repr(stored)
    read = calls.read("Car", stored, work)
    assert read is not None
    assert read.state["colour"] == Secret("vermilion")
    assert read.inputs["colour"] == Secret("vermilion")


def test_drift_of_a_secret_stays_secret(calls: Calls, cars: Cars, work: Work) -> None:
    stored = made(calls).stored
    mark, state = cars.cars[stored.id]
    cars.cars[stored.id] = (mark, state.model_copy(update={"colour": "crimson"}))
    read = calls.read("Car", stored, work)
    assert read is not None
    assert read.state["colour"] == Secret("crimson")
    assert [change.path for change in calls.diff("Car", read, stored.inputs).changes] == [("colour",)]


@pytest.mark.parametrize("kind", [Invalid, NameTaken, NotFound, Rejected, Cancelled])
@pytest.mark.parametrize("verb", ["create", "update"])
def test_secrets_are_masked_in_errors(calls: Calls, cars: Cars, work: Work, kind: type[Exception], verb: str) -> None:
    stored = made(calls).stored

    def hook(spec: Car) -> None:
        raise kind(f"no {spec.colour} with {spec.pin.reveal() if spec.pin else ''}")

    cars.hook = hook
    with pytest.raises(kind) as caught:
        calls.create("Car", Key("", "car", "b"), inputs(RAW), work) if verb == "create" else calls.update(
            "Car", stored, inputs(RAW), work
        )
    assert str(caught.value) == "no [secret] with [secret]"


def test_secrets_are_masked_in_reasons_and_warnings(calls: Calls, cars: Cars) -> None:
    cars.reasons = ("vermilion is not dry", "hunter2 is weak")
    result = made(calls)
    assert result.reasons == ("[secret] is not dry", "[secret] is weak")
    cars.reasons = ()
    assert calls.update("Car", result.stored, inputs(RAW), Work()).reasons == ()
    cars.warning = "hunter2 is weak"
    lines: list[str] = []
    calls.preview_create("Car", inputs(RAW), Work(warn=lines.append))
    assert lines == ["[secret] is weak"]


def test_the_unexpected_is_a_bug_of_one_sentence(calls: Calls, cars: Cars) -> None:
    def hook(spec: Car) -> None:
        raise KeyError(f"lost hunter2 of {spec.name}")

    cars.hook = hook
    with pytest.raises(Bug) as caught:
        made(calls)
    text = str(caught.value)
    assert text.startswith("this is a defect of jvp, please report it: KeyError at test_core_calls.py:")
    assert "[secret]" in text
    assert "hunter2" not in text
    assert "\n" not in text
    assert "Traceback" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_keyboard_interrupt_is_no_bug(calls: Calls, cars: Cars) -> None:
    def hook(spec: Car) -> None:
        raise KeyboardInterrupt

    cars.hook = hook
    with pytest.raises(KeyboardInterrupt):
        made(calls)


def test_create_refuses_what_check_would(calls: Calls, cars: Cars, work: Work) -> None:
    with pytest.raises(Invalid) as caught:
        calls.create("Car", Key("", "car", "x"), {**inputs(RAW), "size": "1G"}, work)
    assert caught.value.path == ("size",)
    with pytest.raises(Bug, match="an unknown value reached an apply"):
        calls.create("Car", Key("", "car", "x"), {**inputs(RAW), "size": UNKNOWN}, work)
    assert cars.cars == {}


def test_import_writes_nothing_and_its_inputs_preview_empty(calls: Calls, cars: Cars, work: Work) -> None:
    stored = made(calls, {"name": "a", "size": "2GiB", "colour": "red", "engine": {"power": 7}}).stored
    before = dict(cars.cars)
    for reference in ("a", stored.id):
        found = calls.import_("Car", reference, work)
        assert found is not None
        assert found.imported
        assert found.id == stored.id
        assert calls.diff("Car", found, inputs(found.inputs)).changes == ()
        assert calls.diff("Car", found, inputs({"name": "a", "size": "2GiB"})).changes == ()
        assert {"plate", "sizeBytes"}.isdisjoint(found.inputs)
    assert cars.cars == before
    with pytest.raises(NotFound, match='there is no car "zzz"; there are: a'):
        calls.import_("Car", "zzz", work)


@pytest.mark.parametrize(
    ("reference", "says"),
    [("", "must not be empty"), ("a\0b", "control characters"), ("a\ud800", "control"), ("x" * 5000, "at most 4096")],
)
def test_what_can_be_the_id_of_nothing_is_not_looked_for(calls: Calls, work: Work, reference: str, says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        calls.import_("Car", reference, work)
    assert caught.value.path == ("id",)


def test_import_ends_with_the_first_update(calls: Calls, work: Work) -> None:
    made(calls, {"name": "a", "colour": "red"})
    found = calls.import_("Car", "a", work)
    assert found is not None
    new = inputs({"name": "a"})
    assert calls.diff("Car", found, new).changes == ()
    updated = calls.update("Car", found, inputs({"name": "a", "colour": "red"}), work).stored
    assert not updated.imported
    assert [change.path for change in calls.diff("Car", updated, new).changes] == [("colour",)]


def test_what_cannot_be_read_back_goes_with_its_property(calls: Calls, work: Work) -> None:
    stored = made(calls, {"name": "a", "note": "remember", "pin": "hunter2"}).stored
    read = calls.read("Car", stored, work)
    assert read is not None
    assert read.state["note"] == "remember"
    updated = calls.update("Car", read, inputs({"name": "a", "pin": "hunter2"}), work).stored
    assert "note" not in updated.state
    assert updated.state["pin"] == Secret("hunter2")


def test_preview_of_a_create(calls: Calls, work: Work) -> None:
    bag = calls.preview_create("Car", inputs({"size": "2GiB", "pin": "hunter2"}), work)
    assert bag["name"] is UNKNOWN
    assert bag["plate"] is UNKNOWN
    assert bag["sizeBytes"] == 2 * 1024**3
    assert bag["pin"] == Secret("hunter2")
    unknown = calls.preview_create("Car", inputs({"size": UNKNOWN, "wheels": [UNKNOWN]}), work)
    assert unknown["sizeBytes"] is UNKNOWN
    assert unknown["wheels"] == [UNKNOWN]


def test_preview_of_an_update_knows_what_stays(calls: Calls, work: Work) -> None:
    stored = made(calls, {"colour": "red"}).stored
    same = calls.preview_update("Car", stored, inputs({"colour": "blue"}), work)
    assert not has_unknown(same)
    assert same["plate"] == stored.state["plate"]
    assert same["name"] == stored.state["name"]
    moved = calls.preview_update("Car", stored, inputs({"size": UNKNOWN}), work)
    assert moved["sizeBytes"] is UNKNOWN
    assert moved["plate"] == stored.state["plate"]


def test_a_state_of_another_release_still_loads(calls: Calls, work: Work) -> None:
    stored = made(calls, {"name": "a"}).stored
    old = Stored(stored.id, stored.inputs, {**stored.state, "gone": 1, "doors": 4.0, "size": "4096"}, {})
    read = calls.read("Car", old, work)
    assert read is not None
    assert "gone" not in read.state
    assert read.state["size"] == "1GiB"


def test_a_state_of_a_newer_form_is_refused(calls: Calls, work: Work) -> None:
    there = made(calls, {"name": "a"}).stored
    newer, given = replace(there, private={**there.private, "schema": 3.0}), there.inputs
    verbs: list[Callable[[], object]] = [
        lambda: calls.read("Car", newer, work), lambda: calls.diff("Car", newer, given),
        lambda: calls.update("Car", newer, given, work), lambda: calls.delete("Car", newer, work),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(Rejected, match=r"written by a newer version of jvp \(its form is 3, this one reads 2\)"):
            verb()
    assert calls.read("Car", there, work) is not None


def test_functions(calls: Calls, work: Work) -> None:
    found, failures = calls.invoke("ask", {"word": "hunter2"}, work)
    assert found == {"text": "7", "secret": Secret("hunter2")}
    assert failures == ()
    found, failures = calls.invoke("ask", {"werd": "x"}, work)
    assert found is None
    assert failures_text(failures).partition("; ")[2] != ""
    with pytest.raises(Bug) as caught:
        calls.invoke("ask", {"word": Secret("boom!")}, work)
    assert "boom" not in str(caught.value)


def test_always_secret_arguments_are_masked_however_they_came(calls: Calls, work: Work) -> None:
    with pytest.raises(Bug) as caught:
        calls.invoke("ask", {"word": "boom!"}, work)
    assert "boom" not in str(caught.value)


def test_an_object_is_recorded_with_its_host_and_never_looked_for_on_another(cars: Cars) -> None:
    """Elsewhere it would be "gone", and be made once more while the first lives on."""
    place = ["alpha"]
    calls = Calls({"Car": cars}, {}, lambda: place[0])
    inputs = calls.check("Car", RAW).inputs
    stored = calls.create("Car", Key("", "car", "a", "a"), inputs, Work()).stored
    assert stored.private["host"] == "alpha"
    assert calls.update("Car", stored, inputs, Work()).stored.private["host"] == "alpha"
    imported = calls.import_("Car", stored.id, Work())
    assert imported is not None
    assert imported.private["host"] == "alpha"
    place[0] = "beta"
    there = dict(cars.cars)
    cars.cars.clear()
    for verb in (calls.read, calls.delete, lambda *rest: calls.update(*rest[:2], inputs, rest[2])):
        with pytest.raises(Rejected, match="is on the host alpha, and the provider's uri leads to the host beta"):
            verb("Car", stored, Work())
    # The same host under another id, which libvirtd makes up where the machine has none.
    cars.cars |= there
    found = calls.read("Car", stored, Work())
    assert found is not None
    assert found.private["host"] == "beta"
    assert calls.update("Car", stored, inputs, Work()).stored.private["host"] == "beta"
    calls.delete("Car", stored, Work())
    assert not cars.cars


def test_an_item_that_is_a_secret_stays_one(calls: Calls) -> None:
    """`cloud_init.users=[config.require_secret_object("admin")]`, as the SDK sends it."""
    checked = calls.check("Car", {**RAW, "wheels": [Secret({"name": "x", "mac": "52:54:00:AA:BB:CC"})]})
    assert checked.failures == ()
    assert checked.inputs["wheels"] == [Secret({"name": "x", "mac": "52:54:00:AA:BB:CC"})]
    stored = calls.create("Car", Key("", "car", "a", "a"), checked.inputs, Work()).stored
    assert isinstance(stored.state["wheels"][0], Secret)
    read = calls.read("Car", stored, Work())
    assert read is not None
    assert isinstance(read.state["wheels"][0], Secret)
    assert calls.diff("Car", read, checked.inputs).changes == ()


def test_a_secret_in_a_list_follows_its_item(calls: Calls, cars: Cars) -> None:
    wheels = [{"name": "x", "rim": "steel"}, {"name": "y", "rim": Secret("golden")}]
    inputs = calls.check("Car", {**RAW, "wheels": wheels}).inputs
    stored = calls.create("Car", Key("", "car", "a", "a"), inputs, Work()).stored
    mark, state = cars.cars[stored.id]
    cars.cars[stored.id] = mark, state.model_copy(update={"wheels": state.wheels[:1]})
    read = calls.read("Car", stored, Work())
    assert read is not None
    assert [wheel["rim"] for wheel in read.state["wheels"]] == [Secret("golden")]
    assert "golden" not in repr(read.inputs)


def test_what_follows_from_others_leaves_an_import_alone_until_it_is_said(calls: Calls, cars: Cars) -> None:
    made = calls.create("Car", Key("", "car", "a", "a"), calls.check("Car", {**RAW, "rearDoors": 1}).inputs, Work())
    imported = calls.import_("Car", made.stored.id, Work())
    assert imported is not None
    inputs = calls.check("Car", {name: item for name, item in RAW.items() if name not in ("note", "pin")}).inputs
    assert "rearDoors" not in inputs
    assert calls.diff("Car", imported, inputs).changes == ()
    assert [one.path for one in calls.diff("Car", imported, {**inputs, "rearDoors": 2}).changes] == [("rearDoors",)]


def test_what_cannot_be_declared_is_not_imported(calls: Calls, cars: Cars) -> None:
    made = calls.create("Car", Key("", "car", "a", "a"), calls.check("Car", RAW).inputs, Work())
    mark, state = cars.cars[made.stored.id]
    cars.cars[made.stored.id] = mark, state.model_copy(update={"doors": 11})
    with pytest.raises(Rejected, match="cannot be declared as it is, so it is not imported: doors: has 11"):
        calls.import_("Car", made.stored.id, Work())


def test_no_line_of_a_verb_shows_a_secret(calls: Calls, cars: Cars) -> None:
    said: list[str] = []
    work = Work(status=said.append, warn=said.append)
    calls.secrets.add("uri-password")

    def talk(verb: Any) -> Any:
        def talking(work: Work, *rest: Any) -> Any:
            work.status("painting it vermilion")
            work.warn("pin hunter2 at qemu+tcp://me:uri-password@host/system")
            return verb(work, *rest)

        return talking

    for name in ("create", "read", "update", "delete"):
        setattr(cars, name, talk(getattr(cars, name)))
    inputs = calls.check("Car", RAW).inputs
    stored = calls.create("Car", Key("", "car", "a", "a"), inputs, work).stored
    calls.read("Car", stored, work)
    calls.update("Car", stored, inputs, work)
    calls.delete("Car", stored, work)
    assert said == ["painting it [secret]", "pin [secret] at qemu+tcp://me:[secret]@host/system"] * 4


def test_no_error_shows_a_secret_of_the_settings(calls: Calls, cars: Cars) -> None:
    calls.secrets.add("uri-password")

    def fail(_spec: Car) -> None:
        raise Rejected('cannot connect to "qemu+tcp://me:uri-password@host/system"')

    cars.hook = fail
    with pytest.raises(Rejected, match=r"me:\[secret\]@host"):
        calls.create("Car", Key("", "car", "a", "a"), calls.check("Car", RAW).inputs, Work())

"""The one suite over every registered resource: what any of them promises, whatever it is."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench, steady
from tests.contract.kinds import KINDS, Kind

from jvp.core.errors import Busy, Cancelled, JvpError, NameTaken, NotFound, Rejected, Unreachable, dotted
from jvp.core.stored import Stored
from jvp.core.values import UNKNOWN
from jvp.core.work import Work
from jvp.resources.instance import making
from jvp.resources.registry import TYPES

MARKED = ("Instance", "Network", "StoragePool", "Firewall")
"""Kinds whose objects bear their marks themselves."""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.id)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(autouse=True)
def images(furnished: Bench) -> Iterator[None]:
    yield
    for path in Path("/var/tmp").glob(f"{furnished.prefix}image-*"):
        path.unlink()


def definition(bench: Bench, kind: Kind, stored: Stored) -> str:
    """The object's whole inactive definition, as virsh would show it."""
    connection = bench.connection
    if kind.token == "Network":
        return str(connection.networkLookupByUUIDString(stored.id).XMLDesc(1))
    if kind.token == "Firewall":
        return str(connection.nwfilterLookupByUUIDString(stored.id).XMLDesc(0))
    if kind.token == "StoragePool":
        return str(connection.storagePoolLookupByUUIDString(stored.id).XMLDesc(1))
    if kind.token == "Instance":
        return str(connection.lookupByUUIDString(stored.id).XMLDesc(2))
    if kind.token == "Snapshot":
        assert bench.pool is not None
        stored = bench.pool
    holder = connection.storagePoolLookupByUUIDString(stored.id.partition("/")[0])
    holder.refresh(0)  # a volume's XML tells more after one, whoever asked for it
    return "".join(sorted(described(volume) for volume in holder.listAllVolumes(0)))


def described(foreign: Any) -> str:
    """The XML of anything, without the time when somebody last looked into a file."""
    return re.sub(r"<atime>.*?</atime>", "", foreign.XMLDesc(0))


def test_every_registered_kind_is_exercised() -> None:
    assert set(TYPES) == {kind.token for kind in KINDS}


def test_life(bench: Bench, kind: Kind) -> None:
    name = bench.name("life")
    raw = kind.minimal(bench, name)
    first = bench.create(kind.token, name, raw)
    assert first.reasons == ()
    assert first.stored.inputs == bench.inputs(kind.token, raw)
    assert "not-to-be-shown" not in repr(first)
    # Nobody has read it: the engine may have died before it wrote down the outcome.
    again = bench.create(kind.token, name, raw)
    assert again.stored.id == first.stored.id
    assert steady(again.stored.state) == steady(first.stored.state)
    stored = bench.converged(kind.token, again.stored, raw)
    assert bench.converged(kind.token, stored, raw) == stored or kind.token in ("Instance", "StoragePool")

    new = kind.changed(raw)
    planned = bench.plan(kind.token, stored, new)
    assert planned
    assert not bench.calls.diff(kind.token, stored, bench.inputs(kind.token, new)).replaces
    updated = bench.update(kind.token, stored, new)
    assert updated.reasons == ()
    assert updated.stored.id == stored.id
    settled = bench.converged(kind.token, updated.stored, new)
    once_more = bench.update(kind.token, settled, new)
    assert steady(once_more.stored.state) == steady(settled.state)
    back = bench.update(kind.token, bench.converged(kind.token, once_more.stored, new), new).stored

    bench.delete(kind.token, back)
    assert bench.read(kind.token, back) is None
    bench.delete(kind.token, back)
    with pytest.raises(NotFound, match="gone"):
        bench.update(kind.token, back, new)


def test_preview_tells_what_the_create_gives(bench: Bench, kind: Kind) -> None:
    name = bench.name("preview")
    raw = kind.minimal(bench, name)
    inputs = bench.inputs(kind.token, raw)
    bag = bench.calls.preview_create(kind.token, inputs, Work())
    stored = bench.create(kind.token, name, raw).stored
    try:
        disagreements = [dotted(path) for path in disagreeing(bag, stored.state)]
        assert disagreements == []
    finally:
        bench.delete(kind.token, stored)


def disagreeing(told: Any, actual: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a preview told something else than what came."""
    if told is UNKNOWN:
        return
    if isinstance(told, dict) and isinstance(actual, dict):
        for key, value in told.items():
            yield from disagreeing(value, actual.get(key), (*path, key))
    elif isinstance(told, list) and isinstance(actual, list) and len(told) == len(actual):
        for index, value in enumerate(told):
            yield from disagreeing(value, actual[index], (*path, index))
    elif told != actual:
        yield path


def test_an_acknowledged_name_is_refused_with_the_import_hint(bench: Bench, kind: Kind) -> None:
    name = bench.name("taken")
    raw = kind.minimal(bench, name)
    stored = bench.converged(kind.token, bench.create(kind.token, name, raw).stored, raw)
    before = definition(bench, kind, stored)
    try:
        with pytest.raises(NameTaken) as caught:
            bench.create(kind.token, name, other(bench, kind, raw))
        assert caught.value.path == ("name",)
        assert caught.value.id
        assert name in caught.value.message
        assert definition(bench, kind, stored) == before
    finally:
        bench.delete(kind.token, stored)


def other(bench: Bench, kind: Kind, raw: dict[str, Any]) -> dict[str, Any]:
    """A declaration of the same name that collides with it in nothing else."""
    fresh = kind.minimal(bench, raw["name"])
    if kind.token == "StoragePool":
        fresh["path"] += "-other"
    return {name: value for name, value in fresh.items() if name != "disks"}


def test_an_acknowledged_object_gets_a_sibling_of_the_next_generation(bench: Bench, kind: Kind) -> None:
    label = bench.name("auto")
    raw = {name: value for name, value in kind.minimal(bench, label).items() if name not in ("name", "disks")}
    first = bench.create(kind.token, label, raw).stored
    made = [first]
    try:
        bench.read(kind.token, first)
        sibling = other(bench, kind, {**raw, "name": label})
        sibling.pop("name")
        second = bench.create(kind.token, label, sibling).stored
        made.append(second)
        assert second.id != first.id
        assert second.state["name"] != first.state["name"]
        assert first.state["name"].startswith(label.rstrip("-"))
        assert bench.read(kind.token, first) is not None
    finally:
        for stored in made:
            bench.delete(kind.token, stored)


def test_import_by_name_and_by_id_writes_nothing_and_previews_empty(bench: Bench, kind: Kind) -> None:
    name = bench.name("import")
    raw = kind.minimal(bench, name)
    stored = bench.create(kind.token, name, raw).stored
    try:
        before = definition(bench, kind, stored)
        for reference in (stored.id, bench.calls.handlers[kind.token].place(stored.state)):
            found = bench.calls.import_(kind.token, reference, Work())
            assert found is not None
            assert found.id == stored.id
            assert found.imported
            assert bench.plan(kind.token, found, found.inputs) == []
            assert definition(bench, kind, stored) == before
            read = bench.read(kind.token, found)
            assert read is not None
            assert bench.plan(kind.token, read, found.inputs) == []
            before = definition(bench, kind, stored)  # the read has acknowledged it
        listed = {one.id for one in bench.calls.list(kind.token, Work())}
        assert stored.id in listed
    finally:
        bench.delete(kind.token, stored)


def test_a_name_may_say_its_node_and_no_other_one(bench: Bench, kind: Kind) -> None:
    raw = kind.minimal(bench, bench.name("node"))
    stored = bench.create(kind.token, raw["name"], raw).stored
    place = bench.calls.handlers[kind.token].place(raw)
    host, uuid = bench.connection.getHostname(), bench.calls.host()
    try:
        for node in (host, host.upper(), uuid):
            found = bench.calls.import_(kind.token, f"{node}/{place}", Work())
            assert found is not None
            assert found.id == stored.id
        for prefix in ("another-node", raw["name"], f"{host}/{host}"):
            with pytest.raises(NotFound, match=f'and this provider works on the node "{host}"'):
                bench.calls.import_(kind.token, f"{prefix}/{place}", Work())
    finally:
        bench.delete(kind.token, stored)


def test_import_of_nothing_names_what_there_is(bench: Bench, kind: Kind) -> None:
    assert bench.pool is not None
    reference = f"{bench.pool.id}/no-such" if kind.token in ("Volume", "Template") else "no-such"
    with pytest.raises(NotFound, match="there are: "):
        bench.calls.import_(kind.token, reference, Work())


def test_a_foreign_object_of_the_name_is_left_as_it_is(bench: Bench, kind: Kind) -> None:
    if kind.foreign is None:
        pytest.skip(f"nothing foreign can hold the name of a {kind.id}: it is one in a name of ours")
    name = bench.name("foreign")
    raw = kind.minimal(bench, name)
    foreign = kind.foreign(bench, raw)
    try:
        before = described(foreign)
        with pytest.raises(NameTaken) as caught:
            bench.create(kind.token, name, raw)
        assert name in caught.value.message
        assert caught.value.id
        assert described(foreign) == before
    finally:
        foreign.delete(0) if kind.token == "Volume" else foreign.undefine()


@pytest.mark.parametrize("kind", [one for one in KINDS if one.token in MARKED], ids=lambda kind: kind.id)
@pytest.mark.parametrize("again", [True, False], ids=["the same", "another"])
def test_what_is_removed_while_it_is_looked_at_has_no_name_any_more(
    bench: Bench, kind: Kind, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine deletes and creates side by side where a resource was given another address."""
    handler: Any = bench.calls.handlers[kind.token]
    places = {"StoragePool": lambda: (handler, "_mark"), "Instance": lambda: (making, "mark_of")}
    place, called = places.get(kind.token, lambda: (handler.api, "mark_of"))()
    name = bench.name("going")
    raw = kind.minimal(bench, name)
    old = bench.create(kind.token, name, raw).stored
    assert bench.read(kind.token, old) is not None
    look = getattr(place, called)
    removed: list[str] = []

    def remove_first(found: Any) -> Any:
        if not removed:
            removed.append(name)
            bench.delete(kind.token, old)
        return look(found)

    monkeypatch.setattr(place, called, remove_first)
    new = bench.create(kind.token, name if again else f"{name}-other", raw).stored
    assert removed
    bench.converged(kind.token, new, raw)
    bench.delete(kind.token, new)


def test_what_is_there_already_is_taken_over_when_that_is_asked_for(bench: Bench, kind: Kind) -> None:
    """An object that another program made and left behind."""
    name = bench.name("adopted")
    raw = kind.minimal(bench, name)
    left = bench.create(kind.token, f"{name}-other", raw).stored
    assert bench.read(kind.token, left) is not None
    changed = kind.changed(raw)
    inputs, key = bench.inputs(kind.token, changed), bench.key(kind.token, name)
    with pytest.raises(NameTaken, match=", which another resource of jvp made"):
        bench.calls.create(kind.token, key, inputs, Work())
    # Not from a resource of the same program, which would share it: two of one name, or create_before_destroy.
    same = bench.key(kind.token, f"{name}-other")
    with pytest.raises(NameTaken, match="it is not adopted, for a resource of this program has it already"):
        bench.calls.create(kind.token, same, inputs, Work(), adopt=True)
    lines: list[str] = []
    made = bench.calls.create(kind.token, key, inputs, Work(warn=lines.append), adopt=True).stored
    assert made.id == left.id
    assert any("was there already and is adopted" in line for line in lines)
    bench.converged(kind.token, made, changed)
    with pytest.raises(Rejected, match="is not adopted, for another resource of this program has just done so"):
        bench.calls.create(kind.token, bench.key(kind.token, f"{name}-twice"), inputs, Work(), adopt=True)
    bench.delete(kind.token, made)
    assert bench.read(kind.token, made) is None


def test_what_differs_too_much_is_not_taken_over(bench: Bench) -> None:
    name = bench.name("raw")
    raw = {"name": name, "pool": bench.pool.id, "size": "2MiB", "format": "raw"} if bench.pool else {}
    left = bench.create("Volume", f"{name}-other", raw).stored
    assert bench.read("Volume", left) is not None
    inputs = bench.inputs("Volume", {**raw, "format": "qcow2"})
    with pytest.raises(Rejected, match="is there already and cannot be adopted: it differs in format"):
        bench.calls.create("Volume", bench.key("Volume", name), inputs, Work(), adopt=True)
    bench.converged("Volume", left, raw)
    bench.delete("Volume", left)


HOSTILE = [
    "",
    "..",
    "/",
    "../../etc/passwd",
    "a/b",
    "a\x00",
    "a\nb",
    "<a/>",
    "a&b",
    '"',
    "'",
    "-rf",
    "a" * 300,
    "\u202e",
    "💥",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_refused_offline(furnished: Bench, kind: Kind, name: str) -> None:
    raw = {**kind.minimal(furnished, "x"), "name": name}
    failures = furnished.calls.check(kind.token, raw).failures
    assert [failure.path for failure in failures] == [("name",)]


def test_a_missing_reference_names_those_that_exist(bench: Bench, kind: Kind) -> None:
    if kind.missing is None:
        pytest.skip("this kind refers to nothing")
    assert bench.pool is not None
    assert bench.network is not None
    name = bench.name("missing")
    raw, path, named = kind.missing(kind.minimal(bench, name))
    with pytest.raises(NotFound) as caught:
        bench.create(kind.token, name, raw)
    assert dotted(caught.value.path) == path
    assert "no-such" in caught.value.message
    machine = bench.machines[0] if bench.machines else None
    there = {"pool": bench.pool, "network": bench.network, "machine": machine}[named]
    assert there is not None
    assert there.state["name"] in caught.value.message


def test_an_unknown_property_is_refused_offline(furnished: Bench, kind: Kind) -> None:
    failures = furnished.calls.check(kind.token, {**kind.minimal(furnished, "x"), "nmae": "x"}).failures
    assert [(one.path, one.message) for one in failures] == [
        (("nmae",), 'there is no property "nmae"; did you mean "name"?')
    ]


class Countdown(threading.Event):
    """An event that is set at the n-th look."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0 or super().is_set()


def test_a_cancel_at_any_step_leaves_nothing_or_says_what(bench: Bench, kind: Kind) -> None:
    name = bench.name("cancel")
    raw = kind.minimal(bench, name)
    for looks in range(60):
        event = Countdown(looks)
        try:
            result = bench.create(kind.token, name, raw, Work(cancelled=event))
        except Cancelled:
            found = [one for one in bench.calls.list(kind.token, Work()) if one.name.endswith(name)]
            assert found == [], f"left after a cancel at look {looks}"
            continue
        bench.delete(kind.token, result.stored)
        if event.looks >= 0:
            break
    else:
        pytest.fail("the create never came to its end")


def test_a_deadline_that_is_over_leaves_nothing_or_converges(bench: Bench, kind: Kind) -> None:
    name = bench.name("late")
    raw = kind.minimal(bench, name)
    with contextlib.suppress(Busy, Rejected, Unreachable):
        bench.create(kind.token, name, raw, Work(deadline=0))
    stored = bench.create(kind.token, name, raw).stored
    assert stored.state["name"] == name
    bench.delete(kind.token, stored)


def test_two_creates_at_once_make_one(bench: Bench, kind: Kind) -> None:
    name = bench.name("race")
    raw = kind.minimal(bench, name)
    outcomes: list[Any] = []

    def create() -> None:
        try:
            outcomes.append(bench.create(kind.token, name, raw).stored)
        except JvpError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=create) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    made = [one for one in outcomes if isinstance(one, Stored)]
    assert len(outcomes) == 3
    try:
        assert made or bench.create(kind.token, name, raw)
        assert len({one.id for one in made}) <= 1
        assert all("defect" not in str(one) for one in outcomes)
    finally:
        stored = bench.create(kind.token, name, raw).stored
        bench.delete(kind.token, stored)

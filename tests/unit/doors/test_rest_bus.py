"""The bus of the REST API: in order, bounded, and nobody is skipped without a word."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jvp.doors.rest import bus as module
from jvp.doors.rest.bus import Bus, Event, Listener
from jvp.doors.rest.problems import Refused


def everything(_event: Event) -> bool:
    return True


def listening(bus: Bus, caller: str = "anna", *, last: int | None = None) -> Listener:
    return bus.listen(caller, everything, lambda: None, last)


def numbered(bus: Bus, count: int, **more: Any) -> None:
    for number in range(count):
        bus.publish("object", {"number": number, **more})


def waiting(bus: Bus, listener: Listener) -> Iterator[Event]:
    while some := bus.take(listener)[0]:
        yield from some


def taken(bus: Bus, listener: Listener) -> list[Any]:
    return [one.document.get("number", one.kind) for one in waiting(bus, listener)]


def test_each_listener_hears_in_order_what_it_wants() -> None:
    bus, woken = Bus(), list[str]()
    all_ = bus.listen("anna", everything, lambda: woken.append("all"))
    audit = bus.listen("ben", lambda one: one.kind == "audit", lambda: woken.append("audit"))
    numbered(bus, 2)
    bus.publish("audit", {"number": 2})
    assert woken == ["all", "audit"]  # once for all that wait
    events, last = bus.take(all_)
    assert [(one.kind, json.loads(one.line)["number"]) for one in events] == [
        ("object", 0), ("object", 1), ("audit", 2)
    ]  # fmt: skip
    assert last == events[-1].number
    assert taken(bus, audit) == [2]
    bus.leave(all_)
    numbered(bus, 1)
    assert taken(bus, all_) == []


def test_many_threads_tell_and_every_listener_hears_the_same() -> None:
    bus = Bus()
    listeners = [listening(bus) for _ in range(3)]
    tellers = [threading.Thread(target=numbered, args=(bus, 200), kwargs={"by": one}) for one in range(4)]
    for one in tellers:
        one.start()
    for one in tellers:
        one.join()
    heard = [[*waiting(bus, one)] for one in listeners]
    assert heard[0] == heard[1] == heard[2]
    assert [one.number for one in heard[0]] == sorted({one.number for one in heard[0]})
    for teller in range(4):
        assert [one.document["number"] for one in heard[0] if one.document["by"] == teller] == [*range(200)]


@pytest.mark.parametrize("more", [{}, {"text": "x" * 10_000}], ids=["by count", "by bytes"])
def test_who_takes_too_little_is_cut_off_and_the_others_hear_all(more: dict[str, str]) -> None:
    bus, woken = Bus(), list[str]()
    slow, quick, heard = bus.listen("anna", everything, lambda: woken.append("slow")), listening(bus), list[Any]()
    for number in range(module.COUNT_MAX + 1):
        bus.publish("object", {"number": number, **more})
        assert slow.bytes <= module.BYTES_MAX
        heard += taken(bus, quick)
    assert slow.end == "overflow"
    assert woken == ["slow"] * 2  # by the first event, and by its end
    assert bus.take(slow)[0] == []
    assert (heard, quick.end) == ([*range(module.COUNT_MAX + 1)], "")


def test_what_waits_is_taken_in_pieces_and_none_is_asked_for_twice() -> None:
    bus = Bus()
    listener = listening(bus)
    numbered(bus, 20, text="x" * 10_000)
    bus.publish("other", {})
    first, last = bus.take(listener)
    assert 0 < len(first) < 20
    assert last == first[-1].number
    bus.leave(listener)
    assert taken(bus, listening(bus, last=last)) == [*range(len(first), 20), "other"]


def test_one_event_that_is_too_large_for_the_queue_is_told_alone() -> None:
    bus = Bus()
    listener = listening(bus)
    numbered(bus, 1, text="x" * 2 * module.BYTES_MAX)
    assert taken(bus, listener) == [0]
    assert listener.end == ""


def test_who_comes_back_hears_what_it_missed_or_that_it_missed_something() -> None:
    bus = Bus()
    first = listening(bus)
    start = bus.take(first)[1]
    numbered(bus, 5)
    known = bus.take(first)[0][1].number
    bus.leave(first)
    numbered(bus, 1)
    assert taken(bus, listening(bus, last=known)) == [2, 3, 4, 0]
    assert taken(bus, listening(bus, last=start)) == [0, 1, 2, 3, 4, 0]
    assert taken(bus, bus.listen("b", lambda one: one.document["number"] == 3, lambda: None, known)) == [3]
    for unknown in (start - 1, known + 1000, 0):
        assert taken(bus, listening(bus, last=unknown)) == ["gap"]
    numbered(bus, module.COUNT_MAX)
    assert taken(bus, listening(bus, last=known)) == ["gap"]
    numbered(bus, 1, text="x" * module.BYTES_MAX)
    assert len(bus._recent) <= 1  # what is kept is bounded by bytes, too


def test_without_a_listener_nothing_is_kept_and_no_old_number_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus()
    bus.publish("object", {"number": object()})  # not even written
    assert bus.is_idle()
    one = listening(bus)
    numbered(bus, 2)
    assert not bus.is_idle()
    _, last = bus.take(one)
    bus.leave(one)
    assert not bus.is_idle()  # it may come back
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    assert bus.is_idle()
    assert not bus._recent
    assert taken(bus, listening(bus, last=last)) == ["gap"]


def test_listeners_are_bounded_for_each_caller_and_in_all() -> None:
    bus = Bus()
    mine = [listening(bus) for _ in range(module.EACH_MAX)]
    with pytest.raises(Refused, match="of yours") as refused:
        listening(bus)
    assert refused.value.problem["status"] == 429
    for number in range(module.COUNT_MAX + 1):
        bus.publish("object", {"number": number})
    with pytest.raises(Refused):  # who was cut off is connected still
        listening(bus)
    bus.leave(mine[0])
    bus.leave(mine[0])
    listening(bus)
    for number in range(module.EACH_MAX, module.ALL_MAX):
        listening(bus, f"caller {number}")
    with pytest.raises(Refused, match="all that the server has"):
        listening(bus, "another")


def test_the_end_of_the_server_ends_all_streams() -> None:
    bus, woken = Bus(), list[str]()
    one = bus.listen("anna", everything, lambda: woken.append("woken"))
    numbered(bus, 1)
    bus.close()
    assert (taken(bus, one), one.end, woken) == ([0], "closed", ["woken"] * 2)
    numbered(bus, 1)
    assert taken(bus, one) == []
    with pytest.raises(Refused, match="being stopped"):
        listening(bus)

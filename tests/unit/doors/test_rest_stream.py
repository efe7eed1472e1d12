"""The stream of events, over a connection of the test's own: what is sent, and who is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jvp.core.errors import Invalid, Unreachable
from jvp.doors.rest import bus as buses
from jvp.doors.rest import events
from jvp.doors.rest.bus import Bus, Event
from jvp.doors.rest.caller import HANG_UP
from jvp.doors.rest.events import Stream
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.watching import Watching
from jvp.index import tokens
from jvp.index.store import Index
from jvp.resources import registry
from jvp.resources.provider import Provider

Message = Any


class Watch:
    """libvirt, as it is told to a server."""

    def __init__(self, _provider: Provider, tell: Callable[..., None], gap: Callable[[str], None]) -> None:
        self.tell, self.gap = tell, gap
        self.ready, self.begun, self.ended = asyncio.Event(), 0, 0

    def start(self) -> None:
        self.begun += 1
        self.ready.set()

    def stop(self) -> None:
        self.ended += 1


class Line:
    """One connection: `read` is what the client got. It can stop to read, and go."""

    def __init__(self, bus: Bus, watching: Watching, query: str | None = None, **more: Any) -> None:
        kinds = events._kinds(query)
        takes = events._filter(kinds, more.pop("names", None))
        caller, last, still = more.pop("caller", "anna"), more.pop("last", None), more.pop("still", None)
        self.stream = Stream(bus, watching, caller, kinds, takes, last, still)
        head = {events.HEAD: True} if more.pop("head", False) else {}
        self.scope = {"type": "http", "state": {HANG_UP: self.hang_up}, **head}
        self.got: list[Message] = []
        self.reads, self.gone, self.news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.hung_up = False
        self.reads.set()
        self.task = asyncio.create_task(self.stream(self.scope, self.receive, self.send))

    def hang_up(self) -> None:
        self.hung_up = True
        self.gone.set()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        self.got.append(message)
        self.news.set()

    @property
    def text(self) -> str:
        return b"".join(one.get("body", b"") for one in self.got).decode()

    async def until(self, what: str) -> None:
        while what not in self.text:
            self.news.clear()
            await self.news.wait()


@pytest.fixture
def watches(monkeypatch: pytest.MonkeyPatch) -> list[Watch]:
    made: list[Watch] = []

    def begin(*arguments: Any) -> Watch:
        made.append(Watch(*arguments))
        return made[-1]

    monkeypatch.setattr(registry, "node_events", begin)
    return made


@pytest.fixture
def bus() -> Iterator[Bus]:
    found = Bus()
    yield found
    found.close()


def played(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await scene()

    asyncio.run(limited())


def test_a_client_is_told_what_it_asks_for_and_libvirt_is_asked_once(bus: Bus, watches: list[Watch]) -> None:
    async def scene() -> None:
        watching = Watching(bus, Provider())
        plain = Line(bus, watching, "operation")
        await plain.until("listening")
        assert not watches  # nobody wants to hear of objects
        lines = [Line(bus, watching, names="web-*, db"), Line(bus, watching)]
        for line in lines:
            await line.until("listening")
        assert [one.begun for one in watches] == [1]
        bus.publish("object", {"name": "web-1"})
        bus.publish("object", {"name": "mail"})
        bus.publish("operation", {"id": "x"})
        watches[0].gap("lost")
        bus.publish("object", {"name": "db", "text": "a\nb"})
        bus.close()
        for line in (*lines, plain):
            await line.task
        named, all_ = ([one.partition("\n")[2] for one in line.text.split("\n\n")[1:-1]] for line in lines)
        assert named == [
            'event: object\ndata: {"name":"web-1"}', 'event: gap\ndata: {"reason":"lost"}',
            'event: object\ndata: {"name":"db","text":"a\\nb"}',
        ]  # fmt: skip
        assert len(all_) == 5
        assert plain.text.count("event: ") == 1
        assert dict(plain.got[0]["headers"])[b"content-type"] == b"text/event-stream"
        assert not any(one.hung_up for one in (*lines, plain))

    played(scene)


def test_who_does_not_read_is_cut_off_and_told_and_the_others_hear_all(
    bus: Bus, watches: list[Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        watching = Watching(bus, Provider())
        quick, slow, dead = (Line(bus, watching) for _ in range(3))
        for one in (quick, slow, dead):
            await one.until("listening")
        slow.reads.clear()
        dead.reads.clear()
        for number in range(3 * buses.COUNT_MAX):
            bus.publish("object", {"number": number})
            if number % 100 == 0:
                await quick.until(f'"number":{number}}}')
        await quick.until(f'"number":{3 * buses.COUNT_MAX - 1}}}')
        assert quick.text.count("event: object") == 3 * buses.COUNT_MAX
        slow.reads.set()
        await slow.task
        assert slow.text.endswith(events.OVERFLOW)
        assert "more_body" not in slow.got[-1]
        heard = slow.text.count("event: object")
        assert heard < buses.COUNT_MAX
        assert '"number":0}' in slow.text
        monkeypatch.setitem(events.END_S, "overflow", 0.0)
        monkeypatch.setitem(events.END_S, "closed", 0.0)
        bus.close()
        await dead.task
        await quick.task
        assert (dead.hung_up, slow.hung_up, quick.hung_up) == (True, False, False)

    monkeypatch.setattr(events, "END_S", {**events.END_S})
    played(scene)


def test_who_comes_back_goes_on_and_a_quiet_stream_says_where_from(
    bus: Bus, watches: list[Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_id(line: Line) -> str:
        return line.text.rpartition("id: ")[2].partition("\n")[0]

    async def scene() -> None:
        watching = Watching(bus, Provider())
        line = Line(bus, watching, names="web")
        await line.until("listening")
        bus.publish("object", {"name": "other"})
        before = last_id(line)
        monkeypatch.setattr(events, "HEARTBEAT_S", 0.0)
        bus.publish("object", {"name": "web"})
        await line.until("event: object")
        while last_id(line) == before or line.got[-1]["body"].startswith(b"id:"):
            await asyncio.sleep(0)
        line.gone.set()
        await line.task
        monkeypatch.setattr(events, "HEARTBEAT_S", 15.0)
        bus.publish("object", {"name": "web", "number": 2})
        again = Line(bus, watching, last=events._last(last_id(line)))
        await again.until('"number":2')
        await again.until("listening")
        assert again.text.count("event: ") == 1
        lost = Line(bus, watching, last=events._last("x"))
        await lost.until("listening")
        assert lost.text.count("event: ") == lost.text.count("event: gap") == 1
        # Of objects nobody was told while nobody wanted to hear of them.
        watching.stop()
        blind = Line(bus, watching, last=events._last(last_id(line)))
        await blind.until("event: gap")

    played(scene)


def test_libvirt_is_asked_no_more_when_nobody_has_listened_for_long(
    bus: Bus, watches: list[Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        watching = Watching(bus, Provider())
        line = Line(bus, watching)
        await line.until("listening")
        line.gone.set()
        await line.task
        watching.rest()
        assert watches[0].ended == 0
        monkeypatch.setattr(buses, "KEPT_S", 0.0)
        watching.rest()
        assert watches[0].ended == 1
        await Line(bus, watching).until("listening")
        assert [one.begun for one in watches] == [1, 1]

    played(scene)


def test_too_many_streams_are_refused_and_a_head_ends_at_once(bus: Bus, watches: list[Watch]) -> None:
    async def scene() -> None:
        watching = Watching(bus, Provider())
        head = Line(bus, watching, head=True)
        await head.task
        assert [one["type"] for one in head.got] == ["http.response.start", "http.response.body"]
        lines = [Line(bus, watching) for _ in range(buses.EACH_MAX)]
        for line in lines:
            await line.until("listening")
        with pytest.raises(Refused, match="of yours"):
            await Line(bus, watching).task
        lines[0].gone.set()
        await lines[0].task
        await Line(bus, watching).until("listening")

    played(scene)


def test_the_stream_of_a_token_that_is_valid_no_more_ends(
    bus: Bus, watches: list[Watch], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(events, "ASK_S", 0.0)
    index = Index(f"sqlite:///{tmp_path}/jvp.db")
    token, _ = tokens.create(index, "ci", "viewer", expires_s=600)
    still = events._still(index, token.id)
    assert still is not None
    assert events._still(index, None) is None

    def unknown() -> bool:
        raise Unreachable("the index does not answer")

    async def scene() -> None:
        watching = Watching(bus, Provider())
        lines = [Line(bus, watching, still=one) for one in (still, None, unknown)]
        for line in lines[:2]:
            await line.until("listening")
        tokens.revoke(index, token.id)
        await lines[0].task
        await lines[2].task
        assert not lines[1].task.done()
        assert not any(one.hung_up for one in lines)
        assert "more_body" not in lines[0].got[-1]

    played(scene)
    index.close()


def test_what_no_kind_is_is_refused_and_an_id_that_is_none_is_forgotten() -> None:
    with pytest.raises(Invalid, match='"objects" is no kind of event; there are operation, object, audit'):
        events._kinds("operation,objects")
    assert [events._last(one) for one in (None, "12", "-1", "1e3", "9" * 40, "²")] == [None, 12, -1, -1, -1, -1]


def test_names_are_those_of_the_documents_alone() -> None:
    takes = events._filter(frozenset({"object", "audit"}), "web-?,*.db")
    operations = events._filter(frozenset({"operation"}), "web-?")
    assert operations(Event(1, "operation", {"ref": "web-1"}, ""))
    assert operations(Event(1, "operation", {"ref": "pool/web-1"}, ""))
    assert not operations(Event(1, "operation", {"ref": "web-1/data"}, ""))
    assert not operations(Event(1, "operation", {}, ""))

    def takes_(kind: str, **document: Any) -> bool:
        return takes(Event(1, kind, document, ""))

    assert takes_("object", name="web-1")
    assert takes_("audit", name="x.db")
    assert not takes_("object", name="web-12")
    assert not takes_("object", name=None)
    assert not takes_("object")
    assert not takes_("operation", name="web-1")
    assert takes_("gap", reason="x")

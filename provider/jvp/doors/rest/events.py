"""What happens, as a stream: `GET /api/events`. Source: the HTML standard, "Server-sent events"."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from starlette.types import Receive, Scope, Send

from jvp.core.errors import Invalid, JvpError
from jvp.doors.rest.bus import KEPT_S, KINDS, Bus, Event
from jvp.doors.rest.caller import HANG_UP
from jvp.doors.rest.login import Login, login_of
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.requests import Door, strict
from jvp.doors.rest.waiting import is_left
from jvp.doors.rest.watching import Watching
from jvp.index import tokens
from jvp.index.store import Index

HEARTBEAT_S = 15.0
"""As often something is sent, so that a client that is gone is noticed."""
END_S: Mapping[str, float | None] = {"": None, "overflow": 30.0, "closed": 1.0}
"""So long a client has for reading what is left, by why its stream ends; then the connection is cut."""
ASK_S = 15.0
"""As often it is asked whether a token is valid still."""
READY_S, LOOK_S = 10.0, 0.02
HEAD = "jvp.head"
"""What the scope of a request has that wants no body."""
TYPE = "text/event-stream"
HEADERS = [(b"content-type", TYPE.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
OVERFLOW = 'event: overflow\ndata: {"reason":"you read too slowly; read everything again, and listen anew"}\n\n'
DESCRIBED = {
    "description": "Events, each with a kind, an id and a line of JSON.",
    "content": {TYPE: {"schema": {"type": "string"}}},
}
KINDS_TEXT = f"Which kinds of events, with commas between, of {', '.join(KINDS)}; by default all that you may hear."
NAMES_TEXT = (
    "Only what is about objects of these names, with commas between; `*` stands for any text, `?` for one character."
)
LAST_TEXT = "The id of the last event that you know: those after it are told first, or a gap where they are forgotten."


def add_to(app: FastAPI, door: Door, watching: Watching) -> None:
    """Add the route of the stream."""

    @app.get(
        "/api/events", dependencies=[Depends(strict)], operation_id="listenToEvents", tags=["events"],
        response_class=Response, responses={200: DESCRIBED},
        summary="What happens from now on, as server-sent events, until you go.",
    )  # fmt: skip
    async def listen(
        request: Request,
        kinds: Annotated[str | None, Query(description=KINDS_TEXT)] = None,
        names: Annotated[str | None, Query(description=NAMES_TEXT)] = None,
        last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", description=LAST_TEXT)] = None,
    ) -> Response:
        wanted, login = _kinds(kinds), login_of(request)
        if kinds is not None and "audit" in wanted and not login.is_admin:
            raise Refused(403, "forbidden", "entries of the audit are told to the role admin alone")
        asked = _filter(wanted, names)
        return Stream(
            door.bus, watching, login.subject, wanted, lambda event: _may_hear(login, event) and asked(event),
            _last(last_event_id), _still(door.index, login.token_id),
        )  # fmt: skip


def _still(index: Index | None, token: str | None) -> Callable[[], bool] | None:
    """Tells whether the caller's token is valid still; None over the unix socket."""
    return None if index is None or token is None else lambda: tokens.is_valid(index, token)


def _kinds(text: str | None) -> frozenset[str]:
    if text is None:
        return frozenset(KINDS)
    found = frozenset(one.strip() for one in text.split(","))
    for name in found - {*KINDS}:
        raise Invalid(f'"{name}" is no kind of event; there are {", ".join(KINDS)}', path=("kinds",))
    return found


def _may_hear(login: Login, event: Event) -> bool:
    """Whether the caller may know of it: of operations its own, of the audit an admin, and all within its scope.

    Of an object libvirt tells no tags: a token for some tags alone hears of none.
    """
    told, scope = event.document, login.scope
    if event.kind == "gap":
        return True
    if event.kind == "operation":
        return (login.is_admin or told.get("caller") == login.subject) and scope.has_kind(told.get("kind"))
    if event.kind == "audit":
        return login.is_admin and scope.has_kind(told.get("kind"))
    return scope.has_kind(told.get("kind")) and scope.has_node(told.get("node", "")) and scope.has(told)


def _filter(kinds: frozenset[str], names: str | None) -> Callable[[Event], bool]:
    """What the query asks for. That something is missing concerns who hears of objects."""
    patterns = None if names is None else [one.strip() for one in names.split(",")]

    def takes(event: Event) -> bool:
        if event.kind == "gap":
            return "object" in kinds
        if event.kind not in kinds:
            return False
        return patterns is None or any(fnmatchcase(name, one) for name in _names(event.document) for one in patterns)

    return takes


def _names(document: Mapping[str, Any]) -> Iterator[str]:
    """What its object is called: an operation tells what the request called it, of a volume with its pool."""
    for name in (document.get("name"), str(document.get("ref") or "").rpartition("/")[2]):
        if isinstance(name, str) and name:
            yield name


def _last(text: str | None) -> int | None:
    """The number in an id of ours; -1, which is none, for anything else."""
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1


class Stream(Response):
    """The answer that does not end before its client, the server, or the client's patience does."""

    def __init__(
        self, bus: Bus, watching: Watching, caller: str, kinds: frozenset[str], takes: Callable[[Event], bool],
        last: int | None, still: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._bus, self._watching, self._caller = bus, watching, caller
        self._objects, self._takes, self._last = "object" in kinds, takes, last
        self._still = still
        """Tells now and then whether the caller may still listen."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self._woken, self._ended = asyncio.Event(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the server is gone meanwhile
                loop.call_soon_threadsafe(self._woken.set)
                loop.call_soon_threadsafe(self._ended.set)

        last = self._last if self._last is None or self._watching.is_on or not self._objects else -1
        self._listener = self._bus.listen(self._caller, self._takes, wake, last)
        try:
            await self._run(scope, receive, send)
        finally:
            self._bus.leave(self._listener)
            loop.call_later(KEPT_S, self._watching.rest)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the client until one of both ends it; where it does not take even the end, hang up."""
        telling, left = asyncio.create_task(self._tell(scope, send)), asyncio.create_task(is_left(receive))
        waiting, asking = asyncio.create_task(self._until_given_up()), asyncio.create_task(self._ask())
        try:
            await asyncio.wait((telling, left, waiting), return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
            elif not left.done() and (hang_up := scope["state"].get(HANG_UP)) is not None:
                hang_up()
                await left
        finally:
            for task in (telling, left, waiting, asking):
                task.cancel()

    async def _tell(self, scope: Scope, send: Send) -> None:
        if self._objects:
            self._watching.start()
            await self._watched()
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        is_quiet = True
        while HEAD not in scope:
            self._woken.clear()
            events, last = self._bus.take(self._listener)
            if events:
                await _write(send, "".join(map(_framed, events)))
            elif self._listener.end:
                break
            else:
                if is_quiet:  # its id spares a client that comes back what it did not want to hear
                    await _write(send, f": listening\nid: {last}\n\n")
                is_quiet = not await self._is_woken()
        if self._listener.end == "overflow":
            await _write(send, OVERFLOW)
        await send({"type": "http.response.body", "body": b""})

    async def _watched(self) -> None:
        """Wait until libvirt tells, or does not in time: what the client causes from now on it is to hear."""
        for _ in range(int(READY_S / LOOK_S)):
            if self._watching.is_ready or self._listener.end:
                break
            await asyncio.sleep(LOOK_S)

    async def _is_woken(self) -> bool:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True

    async def _ask(self) -> None:
        """End the stream of who may listen no more, or of whom nobody can tell."""
        may = True
        while may and self._still is not None:
            await asyncio.sleep(ASK_S)
            try:
                may = await anyio.to_thread.run_sync(self._still)
            except JvpError:
                may = False
        if not may:
            self._bus.end(self._listener)

    async def _until_given_up(self) -> None:
        """Come back when the client has had its time for reading the end of its stream."""
        try:
            while True:
                self._ended.clear()
                async with asyncio.timeout(END_S[self._listener.end]):
                    await self._ended.wait()
        except TimeoutError:
            pass


def _framed(event: Event) -> str:
    return f"id: {event.number}\nevent: {event.kind}\ndata: {event.line}\n\n"


async def _write(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

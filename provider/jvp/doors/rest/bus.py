"""What happens, told to whoever listens: operations, objects, entries of the audit.

Each listener hears in order, and all that it wants or an end: who takes too little is cut off, never skipped. While
somebody listens, and a while after, the newest events are kept for who comes back. Else an event costs nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from jvp.doors.rest.problems import Refused

KINDS = ("operation", "object", "audit")
COUNT_MAX, BYTES_MAX = 1000, 1024**2
"""So much may wait for a listener, and so much is kept for who comes back."""
TAKEN_MAX = 64 * 1024
EACH_MAX, ALL_MAX = 20, 100
"""So many listeners may one caller have, and all together."""
KEPT_S = 60.0
"""So long events are kept while nobody listens: somebody may be coming back."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Its number is larger than that of any earlier one, also of an earlier server's."""

    number: int
    kind: str
    document: dict[str, Any]
    line: str = field(repr=False)
    """The document as JSON."""


class Listener:
    """One who listens. Safe to use from many threads."""

    def __init__(self, caller: str, takes: Callable[[Event], bool], wake: Callable[[], None]) -> None:
        self.caller, self.takes, self.wake = caller, takes, wake
        self.end: Literal["", "overflow", "closed"] = ""
        """Why no more comes: too much was waiting, or the server is being stopped."""
        self.queue: deque[Event] = deque()
        self.bytes = 0

    def offer(self, event: Event) -> bool:
        """Have an event wait, or none any more when there are too many; whether to wake who listens."""
        size, waiting = len(event.line), len(self.queue)
        if waiting and (waiting >= COUNT_MAX or self.bytes + size > BYTES_MAX):
            self.queue.clear()
            self.bytes, self.end = 0, "overflow"
            return True
        self.queue.append(event)
        self.bytes += size
        return not waiting  # else it was woken already


class Bus:
    """All listeners of one server. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._recent: deque[Event] = deque()
        self._bytes = 0
        self._last = 0
        self._since = 0
        """Of all events with a higher number none is forgotten."""
        self._is_open = False
        self._is_closed = False
        self._left = 0.0
        """When the last listener went."""

    def publish(self, kind: str, document: dict[str, Any]) -> None:
        """Tell all who listen. Never waits for them. The document is JSON, harmless, and not changed any more."""
        if self._is_open:
            line = json.dumps(document, separators=(",", ":"))
            with self._lock:
                if self._is_open:
                    self._tell(kind, document, line)

    def gap(self, why: str) -> None:
        """Tell all who hear of objects that something may be missing, so that they read everything again."""
        self.publish("gap", {"reason": why})

    def listen(
        self, caller: str, takes: Callable[[Event], bool], wake: Callable[[], None], last: int | None = None
    ) -> Listener:
        """A new listener, from now on or from the event after `last`; where that is forgotten, the first is a gap.

        `wake` is called from any thread whenever there is something to take; it must not call the bus, and not raise.
        Raises Refused when there are too many, or the server is being stopped.
        """
        with self._lock:
            self._refuse(caller)
            if not self._is_open:
                self._open()
            listener = Listener(caller, takes, wake)
            for event in self._missed(last, takes):
                listener.offer(event)
            self._listeners.append(listener)
        return listener

    def take(self, listener: Listener) -> tuple[list[Event], int]:
        """Some of what waits for a listener, as much as is sent at once; and the last number that it need not ask for.

        No event means that none waits; `end` tells whether any may come.
        """
        found, size = list[Event](), 0
        with self._lock:
            while listener.queue and size < TAKEN_MAX:
                found.append(event := listener.queue.popleft())
                size += len(event.line)
            listener.bytes -= size
            return found, found[-1].number if listener.queue else self._last

    def leave(self, listener: Listener) -> None:
        """Tell it no more, and count it no more, also after its end. Again: harmless."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
                self._left = time.monotonic()

    def end(self, listener: Listener) -> None:
        """Tell it no more, and have its stream end."""
        with self._lock:
            listener.end = listener.end or "closed"
            listener.wake()

    def is_idle(self) -> bool:
        """Whether nobody has listened for long; what was kept for who comes back is then forgotten."""
        with self._lock:
            if self._is_open and not self._listeners and time.monotonic() - self._left >= KEPT_S:
                self._forget()
            return not self._is_open

    def close(self) -> None:
        """End all streams, and begin no more."""
        with self._lock:
            self._is_closed = True
            for listener in self._listeners:
                listener.end = "closed"
                listener.wake()
            self._forget()

    def _refuse(self, caller: str) -> None:
        if self._is_closed:
            raise Refused(503, "interrupted", "the server is being stopped; ask again when it is back")
        if sum(1 for one in self._listeners if one.caller == caller) >= EACH_MAX:
            raise Refused(429, "too-many", f"{EACH_MAX} streams of events of yours are open; close one of them")
        if len(self._listeners) >= ALL_MAX:
            raise Refused(429, "too-many", f"{ALL_MAX} streams of events are open, which are all that the server has")

    def _open(self) -> None:
        # By the clock, so that no number of an earlier server or of an earlier while is one of these.
        self._last = self._since = max(self._last + 1, int(time.time() * 1_000_000))
        self._is_open = True

    def _tell(self, kind: str, document: dict[str, Any], line: str) -> None:
        self._last += 1
        event = Event(self._last, kind, document, line)
        self._keep(event)
        for listener in self._listeners:
            if not listener.end and listener.takes(event) and listener.offer(event):
                listener.wake()

    def _keep(self, event: Event) -> None:
        self._recent.append(event)
        self._bytes += len(event.line)
        while len(self._recent) > COUNT_MAX or self._bytes > BYTES_MAX:
            old = self._recent.popleft()
            self._bytes -= len(old.line)
            self._since = old.number

    def _missed(self, last: int | None, takes: Callable[[Event], bool]) -> Iterable[Event]:
        if last is None:
            return ()
        if not self._since <= last <= self._last:
            what = {"reason": "what happened after the last event that you know is forgotten"}
            return (Event(self._last, "gap", what, json.dumps(what)),)
        return [one for one in self._recent if one.number > last and takes(one)]

    def _forget(self) -> None:
        self._is_open, self._bytes = False, 0
        self._recent.clear()

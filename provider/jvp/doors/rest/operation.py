"""One operation: a change under way or over, as memory has it and as the index keeps it."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from jvp.core.audit import Caller
from jvp.core.text import harmless, harmless_value, sentence
from jvp.core.types import utc_text
from jvp.core.work import Progress, Work
from jvp.doors.rest import keys
from jvp.doors.rest.keys import Key
from jvp.doors.rest.login import masked

if TYPE_CHECKING:
    from jvp.index.tables import OperationRow

MESSAGES_MAX = 100
PLACE_MAX = 500
TOLD_S = 1.0
"""Progress is told no more often."""
Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What an operation comes to: a status of HTTP, its body, and where the object is."""

    status: int
    body: Body | None = None
    location: str | None = None
    etag: str | None = None


@dataclass(frozen=True)
class Asked:
    """What is known of the change that an operation makes."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Of the operation."""
    key: Key | None = None
    kind: str = ""
    object: str = ""
    """The id of the object, where it was there."""
    place: str = ""
    """What it is called."""
    call: Body | None = field(default=None, repr=False)
    """What it takes to make the change again; None where that must not be kept."""
    by: Caller | None = None
    """Who asks, for the audit; None where that is known by name alone."""


@dataclass
class Operation:
    """One change under way. Safe to read from any thread."""

    id: str
    what: str
    """The call: `PUT /api/instances/web`."""
    caller: str
    work: Work = field(repr=False)
    asked: Asked = field(default_factory=Asked, repr=False)
    started: float = field(default_factory=time.time)
    ended: float | None = None
    progress: str = ""
    transferred: Progress | None = None
    """Of the image that it moves, or has moved."""
    messages: list[str] = field(default_factory=list)
    answer: Answer | None = None
    problem: Body | None = None
    is_noted: bool = False
    """Whether the index has it."""
    is_cancelled: bool = False
    """Whether somebody asked to end it; a server that is stopped ends it, too, and goes on later."""
    is_left: bool = False
    """Whether this server does no more for it, and it is not over."""
    done: threading.Event = field(default_factory=threading.Event, repr=False)
    idle: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when this server does no more for it."""
    watch: Callable[[Operation], None] | None = field(default=None, repr=False)
    """Has the end of one noticed that another server runs."""
    tell: Callable[[Operation], None] = field(default=lambda _one: None, repr=False)
    """Tells whoever listens to all of them."""
    _told: float = field(default=0.0, repr=False)
    _listeners: list[Callable[[], None]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.work.status, self.work.warn, self.work.progress = self._at, self._noted, self._moved

    def listen(self, told: Callable[[], None]) -> None:
        """Have `told` called at the end, from any thread; at once when it is over."""
        with self._lock:
            if not self.idle.is_set():
                self._listeners.append(told)
                if self.watch is not None:
                    self.watch(self)
                return
        told()

    def unlisten(self, told: Callable[[], None]) -> None:
        """Have it called no more."""
        with self._lock, contextlib.suppress(ValueError):
            self._listeners.remove(told)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for its end."""
        return bool(self._listeners)

    def cancel(self) -> None:
        """Have it end as an engine's Cancel does."""
        self.is_cancelled = True
        self.work.cancelled.set()

    def end(self) -> None:
        """Say that it is over. What its work has seen of the node is let go."""
        self.work = Work(cancelled=self.work.cancelled)
        self.ended = self.ended or time.time()
        with self._lock:
            self.done.set()
        self._say()

    def leave(self) -> None:
        """Say that this server does no more for it, and another one or the next one will."""
        self.is_left = True
        self.answer = self.problem = None
        self._say()

    def _say(self) -> None:
        with self._lock:
            self.idle.set()
            listeners, self._listeners = self._listeners, []
        for told in listeners:
            told()

    def _at(self, line: str) -> None:
        self.progress = line
        self._tell_progress()

    def _noted(self, line: str) -> None:
        if len(self.messages) < MESSAGES_MAX and line not in self.messages:
            self.messages.append(line)

    def _moved(self, found: Progress) -> None:
        self.progress, self.transferred = found.line, found
        self._tell_progress()

    def _tell_progress(self) -> None:
        now = time.monotonic()
        if now - self._told >= TOLD_S and not self.done.is_set():
            self._told = now
            self.tell(self)

    @property
    def state(self) -> str:
        if not self.done.is_set():
            return "cancelling" if self.work.cancelled.is_set() and not self.is_left else "running"
        return self.outcome

    @property
    def outcome(self) -> str:
        """What its work came to."""
        if self.problem is None:
            return "succeeded"
        kind = self.problem["type"].rpartition(":")[2]
        return kind if kind in ("cancelled", "interrupted") else "failed"

    @property
    def is_cut_off(self) -> bool:
        """Whether its work ended before it was done, as far as that tells."""
        left = self.answer is not None and self.answer.body is not None and "unfinished" in self.answer.body
        return left or self.outcome == "cancelled"

    @property
    def keeps_its_key(self) -> bool:
        """Whether its request, sent again, is answered by it. What tells to ask again is done again."""
        if self.asked.key is None or time.time() - self.started > keys.KEPT_S:
            return False
        return self.problem is None or (
            self.problem["status"] < 500 and self.problem["type"] not in ("urn:jvp:cancelled", "urn:jvp:interrupted")
        )

    def document(self, *, whole: bool = True) -> Body:
        """As it is shown; in a list without its result, which may be large."""
        found: Body = {
            "id": self.id, "what": self.what, "caller": self.caller, "state": self.state,
            "startedAt": utc_text(self.started), "messages": [*self.messages],
        }  # fmt: skip
        if self.asked.kind:
            found["kind"] = self.asked.kind
        if self.asked.place:
            found["ref"] = sentence(masked(self.asked.place))
        if self.progress and not self.done.is_set():
            found["progress"] = self.progress
        if self.transferred is not None:
            found["transferred"] = {"done": self.transferred.done, "total": self.transferred.total}
        if self.ended is not None:
            found["endedAt"] = utc_text(self.ended)
        if self.problem is not None:
            found["problem"] = self.problem
        elif whole and self.answer is not None and self.answer.body is not None:
            found["result"] = self.answer.body
        if self.answer is not None and self.answer.location is not None:
            found["location"] = self.answer.location
        return found

    # As the index keeps it

    def columns(self, node: str) -> Body:
        """As it is noted before it begins."""
        asked, key = self.asked, self.asked.key
        return {
            "id": self.id, "node": node, "kind": asked.kind, "object": sentence(asked.object),
            "place": sentence(asked.place)[:PLACE_MAX], "what": self.what, "caller": self.caller,
            "by": asdict(asked.by) if asked.by is not None else None, "call": asked.call, "tries": 1,
            "request": key.id if key is not None else None, "digest": key.request if key is not None else None,
        }  # fmt: skip

    def so_far(self) -> Body:
        """What it tells while it runs."""
        moved = self.transferred
        return {
            "line": harmless(self.progress), "messages": harmless_value(self.messages),
            "transferred": {"done": moved.done, "total": moved.total} if moved is not None else None,
        }  # fmt: skip

    def end_columns(self) -> Body:
        """As its end is noted. What it took to make it again is forgotten."""
        answer = asdict(self.answer) if self.answer is not None else None
        # PostgreSQL takes no NUL, which a request may have in a property's name, or a guest in what it tells.
        told = harmless_value({"answer": answer or {}, "problem": self.problem or {}})
        return {**{name: found or None for name, found in told.items()}, "progress": self.so_far(), "call": None}

    @classmethod
    def of(cls, row: OperationRow) -> Operation:
        """From the index."""
        key = Key(row.request, row.digest or "") if row.request is not None else None
        by = Caller(**row.by) if row.by is not None else None
        asked = Asked(row.id, key, row.kind, row.object, row.place, row.call, by)
        found = cls(row.id, row.what, row.caller, Work(), asked, row.started, is_noted=True)
        found.take_over(row)
        return found

    def take_over(self, row: OperationRow) -> None:
        """Be as the index has it: another server runs it, or has."""
        told = row.progress or {}
        self.progress, self.messages = told.get("line", ""), [*told.get("messages", ())]
        if (moved := told.get("transferred")) is not None:
            self.transferred = Progress("", moved["done"], moved["total"], self.progress)
        if row.state == "cancelling":
            self.cancel()
        if row.ended is not None:
            self.answer, self.problem = Answer(**row.answer) if row.answer is not None else None, row.problem
            self.ended = row.ended
            self.end()

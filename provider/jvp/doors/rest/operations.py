"""Operations: what takes longer than a request may wait. Each runs in a thread of its own, and can be cancelled.

They are kept in memory: those that are over for an hour, at most `KEPT` of them.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jvp.core.errors import Cancelled, Invalid, JvpError
from jvp.core.types import utc_text
from jvp.core.work import Progress, Work
from jvp.doors.rest import keys, problems
from jvp.doors.rest.history import Filter, Place, place_of
from jvp.doors.rest.keys import Key
from jvp.doors.rest.problems import Refused

KEPT, KEPT_S = 1000, 3600.0
RUNNING_MAX = 50
"""So many operations of one caller may run."""
MESSAGES_MAX = 100
OTHER_REQUEST = "was sent before with another request; give each request a key of its own"

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
    done: threading.Event = field(default_factory=threading.Event, repr=False)
    _listeners: list[Callable[[], None]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def listen(self, told: Callable[[], None]) -> None:
        """Have `told` called at the end, from any thread; at once when it is over."""
        with self._lock:
            if not self.done.is_set():
                self._listeners.append(told)
                return
        told()

    def unlisten(self, told: Callable[[], None]) -> None:
        """Have it called no more."""
        with self._lock, contextlib.suppress(ValueError):
            self._listeners.remove(told)

    def end(self) -> None:
        """Say that it is over. What its work has seen of the node is let go."""
        self.work = Work(cancelled=self.work.cancelled)
        self.ended = time.time()
        with self._lock:
            self.done.set()
            listeners, self._listeners = self._listeners, []
        for told in listeners:
            told()

    @property
    def state(self) -> str:
        if not self.done.is_set():
            return "cancelling" if self.work.cancelled.is_set() else "running"
        if self.problem is None:
            return "succeeded"
        kind = self.problem["type"].rpartition(":")[2]
        return kind if kind in ("cancelled", "interrupted") else "failed"

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


class Operations:
    """All operations of one server. Safe to use from many threads."""

    def __init__(self) -> None:
        self._all: dict[str, Operation] = {}
        self._closed = False
        self._lock = threading.Lock()

    def kept(self, key: Key | None) -> Operation | None:
        """The operation of a request that came before with this key. Raises Refused where that was another request."""
        with self._lock:
            return self._of(key)

    def start(
        self, what: str, caller: str, run: Callable[[Work], Answer], timeout_s: float, asked: Asked | None = None
    ) -> Operation:
        """Begin `run` in a thread; of two with the same key at once the second one is the first.

        Raises Refused when the caller has too many under way.
        """
        asked = asked or Asked()
        operation = Operation(asked.id, what, caller, Work(deadline=time.monotonic() + timeout_s), asked)
        operation.work.status = lambda line: setattr(operation, "progress", line)
        operation.work.warn = lambda line: _note(operation, line)
        operation.work.progress = lambda found: _moved(operation, found)
        with self._lock:
            if self._closed:
                raise Refused(503, "interrupted", "the server is being stopped; ask again when it is back")
            self._forget()
            if (before := self._of(asked.key)) is not None:
                return before
            running = sum(1 for one in self._all.values() if one.caller == caller and not one.done.is_set())
            if running >= RUNNING_MAX:
                raise Refused(429, "too-many", f"{RUNNING_MAX} operations of yours are running; wait for one of them")
            self._all[operation.id] = operation
        thread = threading.Thread(target=_run, args=(operation, run), name=f"operation {operation.id}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            with self._lock:
                del self._all[operation.id]
            raise Refused(503, "too-many", "the server can begin nothing more at this moment; ask again") from None
        return operation

    def get(self, operation_id: str) -> Operation:
        """Raises Refused when there is none."""
        with self._lock:
            found = self._all.get(operation_id)
        if found is None:
            raise Refused(404, "not-found", "there is no such operation; it may have ended long ago")
        return found

    def cancel(self, operation: Operation) -> Operation:
        """Have it end as an engine's Cancel does. One that is over stays as it is."""
        operation.work.cancelled.set()
        return operation

    def all(self) -> list[Operation]:
        """The newest first."""
        with self._lock:
            return sorted(self._all.values(), key=place_of, reverse=True)

    def page(self, wanted: Filter, limit: int, after: Place | None = None) -> list[Operation]:
        """The first `limit` of those that are wanted, the newest first; `after` a place of the list."""
        found = (one for one in self.all() if wanted.takes(one) and (after is None or place_of(one) < after))
        return [*itertools.islice(found, limit)]

    def close(self) -> list[Operation]:
        """Cancel what runs, and begin no more. What that is."""
        with self._lock:
            self._closed = True
        running = [one for one in self.all() if not one.done.is_set()]
        for one in running:
            one.work.cancelled.set()
        return running

    def stop(self, limit_s: float) -> None:
        """Close, and wait for what runs."""
        running = self.close()
        end = time.monotonic() + limit_s
        for one in running:
            one.done.wait(max(0.0, end - time.monotonic()))

    def _of(self, key: Key | None) -> Operation | None:
        if key is None:
            return None
        for one in self._all.values():
            if one.asked.key is not None and one.asked.key.id == key.id and one.keeps_its_key:
                if one.asked.key.request != key.request:
                    raise Invalid(OTHER_REQUEST, path=("Idempotency-Key",))
                return one
        return None

    def _forget(self) -> None:
        now = time.time()
        over = sorted((one for one in self._all.values() if one.ended is not None), key=lambda one: one.ended or 0.0)
        for number, one in enumerate(over):
            kept_s = keys.KEPT_S if one.keeps_its_key else KEPT_S
            if len(over) - number > KEPT or now - (one.ended or 0.0) > kept_s:
                del self._all[one.id]


def _note(operation: Operation, line: str) -> None:
    if len(operation.messages) < MESSAGES_MAX and line not in operation.messages:
        operation.messages.append(line)


def _moved(operation: Operation, found: Progress) -> None:
    operation.progress, operation.transferred = found.line, found


def _run(operation: Operation, run: Callable[[Work], Answer]) -> None:
    try:
        operation.answer = run(operation.work)
    except Refused as error:
        operation.problem = error.problem
    except JvpError as error:
        operation.problem = problems.of(error)
    except Exception as error:  # the core has made a sentence of all that it raises
        operation.problem = problems.defect(error)
    finally:
        if operation.answer is None and operation.problem is None:
            operation.problem = problems.of(Cancelled("this was left behind; ask again"))
        operation.end()

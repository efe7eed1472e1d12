"""Operations: what takes longer than a request may wait. Each runs in a thread of its own, and can be cancelled.

With an index each is noted there before it begins, and its end (`durable`). Without one they are kept in memory: those
that are over for an hour, at most `KEPT` of them.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jvp.core.audit import Caller
from jvp.core.errors import Cancelled, Invalid, JvpError
from jvp.core.work import Work
from jvp.doors.rest import keys, problems
from jvp.doors.rest.history import Filter, Place, place_of
from jvp.doors.rest.keys import Key
from jvp.doors.rest.operation import Answer as Answer
from jvp.doors.rest.operation import Asked as Asked
from jvp.doors.rest.operation import Body
from jvp.doors.rest.operation import Operation as Operation
from jvp.doors.rest.problems import Refused

if TYPE_CHECKING:
    from jvp.doors.rest.durable import Durable

KEPT, KEPT_S = 1000, 3600.0
RUNNING_MAX, RUNNING_ALL_MAX = 50, 200
"""So many operations of one caller may run, and so many of all."""
OTHER_REQUEST = "was sent before with another request; give each request a key of its own"


def _untold(_kind: str, _document: Body) -> None:
    return None


class Operations:
    """All operations of one server. Safe to use from many threads."""

    def __init__(self) -> None:
        self.durable: Durable | None = None
        """None where there is no index."""
        self.publish: Callable[[str, dict[str, Any]], None] = _untold
        self._all: dict[str, Operation] = {}
        self._closed = False
        self._lock = threading.Lock()

    def kept(self, key: Key | None) -> Operation | None:
        """The operation of a request that came before with this key.

        Raises Invalid where that was another request, Refused where the index does not tell.
        """
        if key is None:
            return None
        with self._lock:
            found = self._of(key)
        if found is None and self.durable is not None:
            found = self.durable.by_key(key)
        return None if found is None else _same(found, key)

    def start(
        self, what: str, caller: str, run: Callable[[Work], Answer], timeout_s: float, asked: Asked | None = None
    ) -> Operation:
        """Begin `run` in a thread; of two with the same key at once the second one is the first.

        Raises Refused when the caller has too many under way, or the index cannot note it.
        """
        asked = asked or Asked()
        operation = Operation(asked.id, what, caller, Work(deadline=time.monotonic() + timeout_s), asked)
        with self._lock:
            self._forget()
            if asked.key is not None and (before := self._of(asked.key)) is not None:
                return _same(before, asked.key)
            self._refuse(caller)
            self._all[operation.id] = operation
        try:
            found = self.durable.begin(operation, timeout_s) if self.durable is not None else operation
        except (Refused, JvpError) as error:
            self.drop(operation)
            operation.problem = error.problem if isinstance(error, Refused) else problems.of(error)
            operation.end()  # somebody with the same key may wait for it
            raise
        if found is not operation:
            self.drop(operation)
            operation.leave()
            assert asked.key is not None
            return _same(found, asked.key)
        self.run(operation, run)
        return operation

    def run(self, operation: Operation, run: Callable[[Work], Answer]) -> None:
        """Have a thread do its work. Raises Refused when the system gives no more threads."""
        operation.tell = self._tell
        operation.work.caller = operation.asked.by or Caller(operation.caller, "rest", "")
        name = f"operation {operation.id}"
        thread = threading.Thread(target=self._run, args=(operation, run), name=name, daemon=True)
        self._tell(operation)
        with self._lock:
            self._all[operation.id] = operation
        try:
            thread.start()
        except RuntimeError:
            error = Refused(503, "too-many", "the server can begin nothing more at this moment; ask again")
            self.finish(operation, error.problem)
            self.drop(operation)
            raise error from None

    def finish(self, operation: Operation, problem: Body | None = None) -> None:
        """Note its end, and tell all who wait; or leave it to who goes on, where this server is being stopped."""
        operation.problem = problem or operation.problem
        if self.durable is None:
            operation.end()
        elif self.durable.finish(operation, stopping=self._closed):
            self.drop(operation)
        if operation.done.is_set():
            self._tell(operation)

    def get(self, operation_id: str) -> Operation:
        """Raises Refused when there is none."""
        with self._lock:
            found = self._all.get(operation_id)
        if found is None and self.durable is not None:
            found = self.durable.get(operation_id)
        if found is None:
            raise Refused(404, "not-found", "there is no such operation; it may have ended long ago")
        return found

    def cancel(self, operation: Operation) -> Operation:
        """Have it end as an engine's Cancel does. One that is over stays as it is."""
        if not operation.done.is_set():
            operation.cancel()
            if self.durable is not None:
                self.durable.cancel(operation, here=operation.id in self._all)
            self._tell(operation)
        return operation

    def all(self) -> list[Operation]:
        """Those in memory, the newest first."""
        with self._lock:
            return sorted(self._all.values(), key=place_of, reverse=True)

    def running(self) -> list[Operation]:
        """Those that this server runs."""
        return [one for one in self.all() if not one.idle.is_set()]

    def page(self, wanted: Filter, limit: int, after: Place | None = None) -> list[Operation]:
        """The first `limit` of those that are wanted, the newest first; `after` a place of the list."""
        if self.durable is not None:
            here = {one.id: one for one in self.all()}
            return [here.get(one.id, one) for one in self.durable.page(wanted, limit, after)]
        found = (one for one in self.all() if wanted.takes(one) and (after is None or place_of(one) < after))
        return [*itertools.islice(found, limit)]

    @property
    def is_closed(self) -> bool:
        """Whether this server begins nothing more."""
        return self._closed

    def close(self) -> list[Operation]:
        """Cancel what runs, and begin no more. What that is. With an index it is gone on with later."""
        with self._lock:
            self._closed = True
        running = self.running()
        for one in running:
            one.work.cancelled.set()
        return running

    def stop(self, limit_s: float) -> None:
        """Close, and wait for what runs."""
        running = self.close()
        end = time.monotonic() + limit_s
        for one in running:
            one.idle.wait(max(0.0, end - time.monotonic()))
        if self.durable is not None:
            self.durable.close()

    def _refuse(self, caller: str) -> None:
        if self._closed:
            raise Refused(503, "interrupted", "the server is being stopped; ask again when it is back")
        running = [one.caller for one in self._all.values() if not one.idle.is_set()]
        if len(running) >= RUNNING_ALL_MAX:
            raise Refused(503, "too-many", f"{RUNNING_ALL_MAX} operations of all callers are running; ask again later")
        if running.count(caller) >= RUNNING_MAX:
            raise Refused(429, "too-many", f"{RUNNING_MAX} operations of yours are running; wait for one of them")

    def _of(self, key: Key) -> Operation | None:
        for one in self._all.values():
            if one.asked.key is not None and one.asked.key.id == key.id and one.keeps_its_key:
                return one
        return None

    def _tell(self, operation: Operation) -> None:
        self.publish("operation", operation.document(whole=False))

    def drop(self, operation: Operation) -> None:
        """Have memory forget it: the index has it."""
        with self._lock:
            self._all.pop(operation.id, None)

    def _forget(self) -> None:
        now = time.time()
        over = sorted((one for one in self._all.values() if one.ended is not None), key=lambda one: one.ended or 0.0)
        for number, one in enumerate(over):
            kept_s = keys.KEPT_S if one.keeps_its_key else KEPT_S
            if len(over) - number > KEPT or now - (one.ended or 0.0) > kept_s:
                del self._all[one.id]

    def _run(self, operation: Operation, run: Callable[[Work], Answer]) -> None:
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
            self.finish(operation)


def _same(found: Operation, key: Key) -> Operation:
    if found.asked.key is None or found.asked.key.request != key.request:
        raise Invalid(OTHER_REQUEST, path=("Idempotency-Key",))
    return found

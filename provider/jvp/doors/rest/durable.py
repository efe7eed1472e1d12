"""Operations in the index: each is noted before it begins, so that none is forgotten, whatever its server dies of.

The index may fail while they run: the work goes on, and what could not be noted is noted later. What cannot be noted
before it begins is refused, for a crash would forget it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jvp.core.errors import Cancelled, JvpError, Unreachable
from jvp.core.work import Work
from jvp.doors.rest import problems
from jvp.doors.rest.history import Filter, Place
from jvp.doors.rest.keys import Key
from jvp.doors.rest.operation import Answer, Body, Operation
from jvp.doors.rest.problems import Refused
from jvp.index.ledger import Ledger
from jvp.index.tables import OperationRow

if TYPE_CHECKING:
    from jvp.doors.rest.operations import Operations

TICK_S = 1.0
LOOK_S = 3.0
"""So often orphans are looked for, and so long a server that seems dead has to say that it is not."""
CLEAN_S = 600.0
TRIES = 3
"""An operation is begun so often: one that kills its server would kill the next ones, too."""
AGAIN = "send the request again, and it goes on from what is there"
NOT_KEPT = f"the server was ended while this was under way, and a part of what was asked for is not kept; {AGAIN}"
LATE = f"the server was ended while this was under way, and the time for it is over; {AGAIN}"
OFTEN = f"the server was ended while this was under way, and so were {TRIES - 1} that went on with it; {AGAIN}"
REVOKED = "the server was ended while this was under way, and the token that asked for it is not valid any more"
OVERTAKEN = "the server was ended while this was under way, and a later request has changed the object since"


class Durable:
    """The operations of one server as its index has them. Safe to use from many threads."""

    def __init__(
        self,
        operations: Operations,
        ledger: Ledger,
        node: Callable[[], str],
        again: Callable[[Body, Work], Answer],
    ) -> None:
        self._operations, self._ledger, self._again = operations, ledger, again
        self._host, self._node = node, ""
        self._lock = threading.Lock()
        self._unnoted: dict[str, Operation] = {}
        self._watched: list[Operation] = []
        self._suspects: dict[str, tuple[float, float]] = {}
        self._noted: dict[str, Body] = {}
        self._fails = False
        self._ending = threading.Event()
        self._keeper: threading.Thread | None = None
        self._adopter: threading.Thread | None = None

    # What a request asks

    def begin(self, operation: Operation, seconds: float) -> Operation:
        """Note one before its work begins, or find the one that has its key. Raises Refused, and Unreachable where the
        node does not answer."""
        node = self.node()
        with _refusing("; what cannot be noted there is not begun"):
            row = self._ledger.add(operation.columns(node), seconds)
        if row.id != operation.id:
            return self._known(row)
        operation.started, operation.is_noted = row.started, True
        return operation

    def by_key(self, key: Key) -> Operation | None:
        """Raises Refused."""
        with _refusing():
            row = self._ledger.by_key(key.id)
        return None if row is None else self._known(row)

    def get(self, id: str) -> Operation | None:
        """Raises Refused."""
        with _refusing():
            row = self._ledger.get(id)
        return None if row is None else self._known(row)

    def page(self, wanted: Filter, limit: int, after: Place | None) -> list[Operation]:
        """Raises Refused."""
        columns = {"state": wanted.states, "caller": wanted.callers, "kind": wanted.kinds}
        with _refusing():
            return [self._known(row) for row in self._ledger.page(columns, limit, after)]

    def cancel(self, operation: Operation, *, here: bool) -> None:
        """Note that it is to end. Raises Refused where only the index could tell the server that runs it."""
        try:
            self._ledger.cancel(operation.id)
        except JvpError as error:
            if not here:
                raise Refused(503, "index", error.message) from None
            self._complain(error)

    def finish(self, operation: Operation, *, stopping: bool) -> bool:
        """Note its end, or leave it to who goes on with it. Whether memory may forget it."""
        if stopping and not operation.is_cancelled and operation.is_cut_off:
            if operation.asked.call is not None:
                return self._leave(operation)
            if operation.answer is None:
                operation.problem = _interrupted(NOT_KEPT)
        try:
            if not self._end(operation):
                operation.leave()  # another server has taken it
                return True
        except Exception as error:  # whoever waits for it is told in any case
            self._complain(error)
            with self._lock:
                self._unnoted[operation.id] = operation
            operation.end()
            return False
        operation.end()
        return True

    def node(self) -> str:
        """The host that this server works on. Raises JvpError."""
        if not self._node:
            self._node = self._host()
        return self._node

    # What goes on beside them

    def open(self) -> None:
        """Begin to say what runs here, and to look for what other servers have left."""
        self._keeper = threading.Thread(target=self._keep, name="operations", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Say that this server is no more."""
        self._ending.set()
        if self._keeper is not None:
            self._keeper.join()
            self._tick(looks=False, cleans=False)
        with self._complaining():
            self._ledger.leave()

    def _keep(self) -> None:
        looked = cleaned = float("-inf")
        while True:
            now = time.monotonic()
            looks, cleans = now - looked >= LOOK_S or bool(self._suspects), now - cleaned >= CLEAN_S
            looked, cleaned = now if looks else looked, now if cleans else cleaned
            self._tick(looks=looks, cleans=cleans)
            if self._ending.wait(TICK_S):
                return

    def _tick(self, *, looks: bool, cleans: bool) -> None:
        with self._complaining():
            self._say()  # first: an end that cannot be noted must not make this server seem dead
            self._note_ends()
            self._look_at_others()
            if cleans:
                self._ledger.clean()
            if looks and not self._operations.is_closed:  # else it would take what it has just left
                self._find_orphans()
            if self._fails:
                self._ledger.get("")
                self._fails = False
                logging.getLogger("jvp").warning("the index answers again")

    def _note_ends(self) -> None:
        for operation in [*self._unnoted.values()]:
            self._end(operation)
            with self._lock:
                del self._unnoted[operation.id]
            self._operations.drop(operation)

    def _say(self) -> None:
        """Say that this server is there, and see what others want of it."""
        running = {one.id: one for one in self._operations.running() if one.is_noted}
        if not running:
            self._noted.clear()
            return
        told = {id: one.so_far() for id, one in running.items()}
        states = self._ledger.say({id: one for id, one in told.items() if self._noted.get(id) != one}, [*running])
        self._noted = told
        for id, operation in running.items():
            if id not in states:
                operation.work.cancelled.set()  # another server has it, or it has just ended
            elif states[id] == "cancelling" and not operation.is_cancelled:
                self._operations.cancel(operation)

    def _look_at_others(self) -> None:
        """Tell who waits here for the end of what another server runs."""
        with self._lock:
            watched = self._watched = [one for one in self._watched if one.is_awaited]
        over = {row.id: row for row in self._ledger.over({one.id for one in watched})} if watched else {}
        for operation in watched:
            if operation.id in over:
                operation.take_over(over[operation.id])

    def _find_orphans(self) -> None:
        found, now = self._ledger.orphans(), time.monotonic()
        seen = {row.server: said for row, said, _ in found if said is not None}
        self._suspects = {
            server: (said, now) if self._suspects.get(server, (None, 0.0))[0] != said else self._suspects[server]
            for server, said in seen.items()
        }
        dead = [
            (row, is_late)
            for row, said, is_late in found
            if said is None or now - self._suspects[row.server][1] >= LOOK_S
        ]
        if dead and (self._adopter is None or not self._adopter.is_alive()):
            # The node may take long to answer.
            self._adopter = threading.Thread(target=self._adopt, args=(dead,), name="orphans", daemon=True)
            self._adopter.start()

    def _adopt(self, dead: list[tuple[OperationRow, bool]]) -> None:
        node = ""
        with self._complaining():
            node = self.node()
        with self._complaining():
            for row, is_late in dead:
                if self._operations.is_closed:
                    return
                if (row.node == node or is_late) and (left := self._ledger.take(row, node)) is not None:
                    self._resume(row, left)

    def _resume(self, row: OperationRow, left: float) -> None:
        operation, call = Operation.of(row), row.call
        logging.getLogger("jvp").info("%s, operation %s, was cut off", operation.what, operation.id)
        problem = _cancelled() if operation.is_cancelled else None
        if problem is None and (why := self._why_not(row, left)) is not None:
            problem = _interrupted(why)
        if problem is not None or call is None:
            self._operations.finish(operation, problem)
            return
        operation.work.deadline = time.monotonic() + left
        again = call
        self._operations.run(operation, lambda work: self._again(again, work))

    def _why_not(self, row: OperationRow, left: float) -> str | None:
        """Why one that was cut off is not gone on with."""
        if row.call is None:
            return NOT_KEPT
        if row.tries >= TRIES:
            return OFTEN
        if left <= 0:
            return LATE
        if (token := row.call.get("token_id")) is not None and not self._ledger.knows(token):
            return REVOKED
        return OVERTAKEN if self._ledger.is_overtaken(row) else None

    # What they share

    def _end(self, operation: Operation) -> bool:
        columns = operation.end_columns()
        return self._ledger.end(operation.id, operation.outcome, keeps_key=operation.keeps_its_key, **columns)

    def _leave(self, operation: Operation) -> bool:
        with self._complaining():
            self._ledger.release(operation.id)
        operation.leave()
        return True

    def _known(self, row: OperationRow) -> Operation:
        """One that this server does not run, as the index has it."""
        found = Operation.of(row)
        found.watch = self._watch
        return found

    def _watch(self, operation: Operation) -> None:
        with self._lock:
            self._watched = [*self._watched, operation]

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        """Have an index that fails be logged, once until it answers again."""
        try:
            yield
        except Exception as error:  # this thread is the only one that does it
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._fails:
            self._fails = True
            logging.getLogger("jvp").error("%s; operations go on, and are noted when it answers", error)


@contextmanager
def _refusing(then: str = "") -> Iterator[None]:
    """Have an index that does not answer be a Refused."""
    try:
        yield
    except Unreachable as error:
        raise Refused(503, "index", f"{error.message}{then}") from None


def _interrupted(why: str) -> Body:
    return Refused(409, "interrupted", why).problem


def _cancelled() -> Body:
    return problems.of(Cancelled("this was cancelled"))

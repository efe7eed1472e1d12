"""One after the other: changes that are made only where the object is still what the client has seen."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jvp.core.work import Work

if TYPE_CHECKING:
    from jvp.index.ledger import Ledger

EVERY_S = 0.05
OTHERS_S = 0.5
"""So often a turn is asked for that another server may have."""


class Turns:
    """Who is at which object; with a ledger, among all servers of its index. Safe to use from many threads."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self._ledger = ledger
        self._taken = set[str]()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def of(self, name: str, operation: str, work: Work) -> Iterator[None]:
        """Have the object to oneself. Raises Busy and Cancelled instead of waiting for too long.

        Again: an operation that a dead server has left has its turn still.
        """
        what = "another conditional change of the object does not end"
        work.until(lambda: self._take(name), limit_s=float("inf"), every_s=EVERY_S, what=what)
        try:
            with self._among_servers(name, operation, work, what):
                yield
        finally:
            with self._lock:
                self._taken.remove(name)

    @contextlib.contextmanager
    def _among_servers(self, name: str, operation: str, work: Work, what: str) -> Iterator[None]:
        ledger = self._ledger
        if ledger is None:
            yield
            return
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
        work.until(lambda: ledger.take_turn(digest, operation), limit_s=float("inf"), every_s=OTHERS_S, what=what)
        yield
        ledger.leave_turn(digest, operation)  # after an error: the next one sees that this operation is over

    def _take(self, name: str) -> bool:
        with self._lock:
            if name in self._taken:
                return False
            self._taken.add(name)
            return True

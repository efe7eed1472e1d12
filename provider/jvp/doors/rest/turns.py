"""One after the other: changes that are made only where the object is still what the client has seen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from jvp.core.work import Work

EVERY_S = 0.05


class Turns:
    """Who is at which object. Safe to use from many threads."""

    def __init__(self) -> None:
        self._taken = set[str]()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def of(self, name: str, work: Work) -> Iterator[None]:
        """Have the object to oneself. Raises Busy and Cancelled instead of waiting for too long."""
        what = "another conditional change of the object does not end"
        work.until(lambda: self._take(name), limit_s=float("inf"), every_s=EVERY_S, what=what)
        try:
            yield
        finally:
            with self._lock:
                self._taken.remove(name)

    def _take(self, name: str) -> bool:
        with self._lock:
            if name in self._taken:
                return False
            self._taken.add(name)
            return True

"""Names that become free in this run: one object is deleted, and another is to have its name, both at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from jvp.core.errors import NameTaken
from jvp.core.work import Work

R = TypeVar("R")

BEGINS_S = 2.0
"""So long after the one call the delete may come that frees its name: an engine begins both at once, in any order."""
_LOOK_S = 0.2


class Going:
    """Which objects the calls of this process are deleting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: Counter[tuple[str, str]] = Counter()

    @contextlib.contextmanager
    def leaves(self, token: str, object_id: str) -> Iterator[None]:
        """The object is being deleted meanwhile."""
        with self._lock:
            self._ids[token, object_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._ids[token, object_id] -= 1

    def wait(self, work: Work, token: str, step: Callable[[], R], *, patient: bool = True) -> R:
        """Take a step that refuses a taken name before it writes: again, while what has the name is being deleted.

        So it waits to the deadline; if `patient`, also a moment for a delete that has not begun. Raises NameTaken.
        """
        begins = time.monotonic() + (BEGINS_S if patient else 0)
        while True:
            try:
                return step()
            except NameTaken as error:
                may_go = error.holder is not None and time.monotonic() < begins
                if work.left() <= 0 or not (may_go or self._goes(token, error.id)):
                    raise
            work.status("waiting for the name, which another object has still")
            work.wait(_LOOK_S)

    def _goes(self, token: str, object_id: str) -> bool:
        with self._lock:
            return self._ids[token, object_id] > 0

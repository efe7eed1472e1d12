"""Looks at the host that many calls ask for at the same time, and one look answers.

An engine reads ten objects or more at once. Each answer must be of a look that began after it was asked for; so who
asks while a look is running waits for the next one, which answers all who wait by then. Nothing is remembered.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from jvp.core.abandon import Seat, outside, seat
from jvp.core.work import Work

T = TypeVar("T")

_SLICE_S = 0.2
"""So long a wait lasts before it looks whether it was cancelled."""


class Looks:
    """The looks of one process. Safe to use from many threads."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._running: dict[Hashable, tuple[int, Seat | None]] = {}
        """What is looked at, the number of that look, and whose call does it."""
        self._begun: Counter[Hashable] = Counter()
        self._answered: Counter[Hashable] = Counter()
        """The number of the last look that came to its end, by what was looked at."""
        self._waiting: Counter[Hashable] = Counter()
        self._found: dict[Hashable, Any] = {}
        """What the last look found, as long as somebody waits for it."""

    def share(self, work: Work, what: Hashable, look: Callable[[], T]) -> T:
        """What a look at `what` finds that has come to its end and began after this call. Raises what `look` raises.

        An error is told to who looked alone: the others look themselves. A Cancel and the deadline end the wait.
        """
        number, found = self._number(work, what)
        if number is None:
            return found  # type: ignore[no-any-return]
        try:
            found = look()
        except BaseException:
            self._end(what, number)
            raise
        self._end(what, number, found, answers=True)
        return found

    def _number(self, work: Work, what: Hashable) -> tuple[int | None, Any]:
        """The number of the look that this thread is to take; None, and what was found, when another one's answers."""
        with self._turn:
            needed = self._begun[what] + 1
            self._waiting[what] += 1
            try:
                while self._answered[what] < needed:
                    if self._is_free(what):
                        self._begun[what] += 1
                        self._running[what] = self._begun[what], seat()
                        return self._begun[what], None
                    with outside("another call's look at the same thing"):
                        self._turn.wait(_SLICE_S)
                    work.go_on("another call looks at the same thing still; run again")
                return None, self._found.get(what)
            finally:
                self._waiting[what] -= 1
                if not self._waiting[what]:
                    self._found.pop(what, None)

    def _is_free(self, what: Hashable) -> bool:
        """Whether nobody looks at it, or one whose call was left behind and may never come back."""
        _, looking = self._running.get(what, (0, None))
        return what not in self._running or (looking is not None and looking.left)

    def _end(self, what: Hashable, number: int, found: Any = None, *, answers: bool = False) -> None:
        with self._turn:
            if self._running.get(what, (0, None))[0] == number:  # else it was left behind, and another one runs
                del self._running[what]
            if answers and number > self._answered[what]:
                self._answered[what] = number
                if self._waiting[what]:
                    self._found[what] = found
            self._turn.notify_all()

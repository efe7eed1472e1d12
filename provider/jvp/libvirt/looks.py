"""Looks at the host that many calls ask for at the same time, and one look answers.

An engine reads ten objects or more at once. Each answer must be of a look that began after it was asked for; so who
asks while a look is running waits for the next one, which answers all who wait by then. Nothing is remembered.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable

from jvp.core.abandon import outside
from jvp.core.work import Work

_SLICE_S = 0.2
"""So long a wait lasts before it looks whether it was cancelled."""


class Looks:
    """The looks of one process. Safe to use from many threads."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._running: set[Hashable] = set()
        self._begun: Counter[Hashable] = Counter()
        self._answered: Counter[Hashable] = Counter()
        """The number of the last look that came to its end, by what was looked at."""

    def share(self, work: Work, what: Hashable, look: Callable[[], object]) -> None:
        """Return when a look at `what` has come to its end that began after this call. Raises what `look` raises.

        An error is told to who looked alone: the others look themselves. A Cancel and the deadline end the wait.
        """
        number = self._number(work, what)
        if number is None:
            return
        try:
            look()
        except BaseException:
            self._end(what)
            raise
        self._end(what, number)

    def _number(self, work: Work, what: Hashable) -> int | None:
        """The number of the look that this thread is to take; None when another one's has answered it."""
        with self._turn:
            needed = self._begun[what] + 1
            while self._answered[what] < needed:
                if what not in self._running:
                    self._running.add(what)
                    self._begun[what] += 1
                    return self._begun[what]
                with outside("another call's look at the same thing"):
                    self._turn.wait(_SLICE_S)
                work.go_on("another call looks at the same thing still; run again")
        return None

    def _end(self, what: Hashable, number: int = 0) -> None:
        with self._turn:
            self._running.discard(what)
            self._answered[what] = max(self._answered[what], number)
            self._turn.notify_all()

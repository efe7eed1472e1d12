"""One running call: its deadline, its cancellation, its progress, and what to undo when it fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jvp.core.errors import Busy, Cancelled
from jvp.core.identity import Key, Mark

if TYPE_CHECKING:
    from jvp.core.audit import Call, Caller
    from jvp.core.declaration import Declaration

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is, in bytes."""

    what: str
    """What is done: `downloading`."""
    done: int
    total: int | None
    """None where only the end tells it."""
    line: str
    """The same for who shows lines."""


def _silent(_line: str) -> None:
    return None


@dataclass
class Work:
    """What a verb is given to behave well while it runs.

    `status` shows a line that the next one replaces (the engine's live display), `warn` one that stays.
    Every wait goes through `wait`, so that a Cancel ends it within a fraction of a second.
    """

    deadline: float = float("inf")
    """On the clock of `time.monotonic()`."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    status: Report = _silent
    warn: Report = _silent
    progress: Callable[[Progress], None] | None = None
    """Shows how far a transfer is, at most five times a second. Where it is None the line goes to `status`."""
    replans: bool = False
    """Whether the engine plans an object anew once all that it stands on was made: an id that was not known in the
    preview, and is the same as before, then replaces nothing."""
    key: Key | None = None
    """Of the resource that is created or updated: the mark says who declares the object."""

    looks: bool = False
    """Whether a read only looks: `prior` says how to spell what is there, no state has it, and nothing is written."""

    uploads: Mapping[str, str] = field(default_factory=dict)
    """The files of uploaded images that the door has for this call, by their checksums, which it has verified."""

    mark: Mark | None = None
    """What the object should bear, by what the state knows; None of one that was imported and not updated since."""
    declaration: Declaration | None = None
    """What is declared of the object that is created or updated, for its mark; None leaves what is noted."""
    caller: Caller | None = None
    """Who asks, for the audit. The door knows."""
    call: Call | None = None
    """What the audit is told of the call at its end; None of what changes nothing."""
    open_internet: bool = False
    """Whether images come from addresses of the open internet alone: who asks may reach nothing else through us."""
    seen: dict[object, Any] = field(default_factory=dict)
    """What the call has seen of its nodes: see `View.of`."""

    def transferred(self, progress: Progress) -> None:
        """Show how far a transfer is."""
        if self.progress is not None:
            self.progress(progress)
        else:
            self.status(progress.line)

    def left(self, limit_s: float = float("inf")) -> float:
        """Seconds until the deadline, at most `limit_s`, never below 0."""
        return max(0.0, min(limit_s, self.deadline - time.monotonic()))

    def check(self) -> None:
        """Raise Cancelled when the engine asked us to stop. Call it between steps and in every loop."""
        if self.cancelled.is_set():
            raise Cancelled("stopped on request; run the command again and it goes on from here")

    def go_on(self, what: str) -> None:
        """Raise Cancelled as `check` does, and Busy (says `what`) after the deadline. Call it in every loop that takes
        long over many objects."""
        self.check()
        if self.left() <= 0:
            raise Busy(what)

    def wait(self, seconds: float) -> None:
        """Sleep, but not through a Cancel."""
        self.cancelled.wait(self.left(seconds))
        self.check()

    def until(self, done: Callable[[], bool], *, limit_s: float, every_s: float, what: str) -> None:
        """Call `done` until it is true. Raises Busy (says `what`) at the limit or the deadline."""
        end = time.monotonic() + self.left(limit_s)
        while not done():
            if time.monotonic() >= end:
                raise Busy(what)
            self.wait(every_s)


_here = threading.local()


def current() -> Work:
    """The Work of the call that this thread runs, for a wait deep below it that is given none."""
    return getattr(_here, "work", None) or Work()


@contextlib.contextmanager
def running(work: Work) -> Iterator[None]:
    """Have `work` be the current one of this thread."""
    before = getattr(_here, "work", None)
    _here.work = work
    try:
        yield
    finally:
        _here.work = before

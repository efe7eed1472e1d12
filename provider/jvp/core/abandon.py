"""Calls of a C library cannot be ended: a verb runs in a thread that is left behind when one of them does not return.

The door's thread waits. When the verb's time is up, or the engine cancels, a verb that behaves ends by itself. One that
has been in the same call for longer is left behind: the door answers, and the rest of the verb never happens, as if the
process had been killed there. What the call did is read back by the next run.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from jvp.core.errors import Cancelled, Unreachable
from jvp.core.work import Work, running

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_S = 2.5
"""So long a call may still take after the verb's end was due: what a verb takes back is made of short calls."""
_LOOK_S = 0.2
_AGAIN = "run the command again and it goes on from what is there"


class LeftBehind(BaseException):
    """Ends a verb that nobody waits for any more. No `except Exception` on its way is to stop it."""


class Seat:
    """What one thread does for one call of a door."""

    def __init__(self, deadline: float = float("inf")) -> None:
        self.deadline = deadline
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self.waits_for: tuple[str, float] | None = None
        """The call that the thread is in, and since when."""
        self.left = False
        """Whether nobody waits for it any more."""


class outside:
    """While inside, the thread waits for something that may never come: `what` in a sentence.

    Raises LeftBehind at both ends when nobody waits for the thread any more.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._seat = seat()
        if self._seat is not None:
            self._before = self._seat.waits_for
            if self._seat.left:
                raise LeftBehind
            self._seat.waits_for = self._before or (self._what, time.monotonic())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._seat is not None:
            self._seat.waits_for = self._before
            if self._seat.left:
                raise LeftBehind


@contextlib.contextmanager
def turn(lock: contextlib.AbstractContextManager[Any], what: str) -> Iterator[None]:
    """Hold a lock that others hold while they are in calls; `what` is waited for meanwhile.

    Raises LeftBehind, without the lock, when nobody waits for the thread any more.
    """
    with contextlib.ExitStack() as held:
        with outside(what):
            held.enter_context(lock)
        yield


_here = threading.local()
_lock = threading.Lock()
_idle: list[_Thread] = []
_left: list[Seat] = []
os.register_at_fork(after_in_child=_idle.clear)


def seat() -> Seat | None:
    """What this thread does for a door; None in a thread that nobody leaves behind."""
    return getattr(_here, "seat", None)


def hangs() -> bool:
    """Whether a call that was left behind has not returned yet."""
    return any(not one.done.is_set() for one in _left)


def leavable(method: Callable[P, T]) -> Callable[P, T]:
    """A verb that is left behind when it hangs: see `run`. Its Work is among the arguments, or it is just called."""

    @functools.wraps(method)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        work = next((one for one in (*arguments, *named.values()) if isinstance(one, Work)), None)
        return run(work, lambda: method(*arguments, **named))

    return call


def run(work: Work | None, call: Callable[[], T]) -> T:
    """What `call` returns. Raises Cancelled or Unreachable instead of waiting for what does not return, see above.

    Within another one it is waited for apart only where its own time is over earlier.
    """
    here = seat()
    if work is None or (here is not None and work.deadline >= here.deadline):
        return call()
    place = Seat(work.deadline)
    with _lock:
        thread = _idle.pop() if _idle else _Thread()
    thread.take(place, work, call)
    try:
        _wait(work, place)
    except BaseException:
        place.left = True
        with _lock:
            _left[:] = [*(one for one in _left if not one.done.is_set()), place]
        raise
    if place.error is not None:
        raise place.error
    return cast(T, place.result)


def _wait(work: Work, place: Seat) -> None:
    """Until the call is done. Raises Cancelled, Unreachable when it hangs."""
    due: float | None = None
    while not place.done.wait(_LOOK_S):
        now = time.monotonic()
        if not work.cancelled.is_set() and work.left() > 0:
            continue
        due, waits = due or now, place.waits_for
        if waits is None or now - max(due, waits[1]) < PATIENCE_S:
            continue
        hung = f"{waits[0]} has not come back for {now - waits[1]:.0f} s"
        if work.cancelled.is_set():
            raise Cancelled(f"stopped on request, though {hung}; {_AGAIN}")
        raise Unreachable(f"the time is up, and {hung}; see what ails libvirtd on the node, then {_AGAIN}")


class _Thread(threading.Thread):
    """Runs one call after the other. A daemon: the end of the process does not wait for one that hangs."""

    def __init__(self) -> None:
        super().__init__(name="verb", daemon=True)
        self._ready = threading.Semaphore(0)
        self._job: tuple[Seat, Work, Callable[[], Any]]
        self.start()

    def take(self, place: Seat, work: Work, call: Callable[[], Any]) -> None:
        self._job = place, work, call
        self._ready.release()

    def run(self) -> None:
        while True:
            self._ready.acquire()
            place, work, call = self._job
            del self._job
            _here.seat = place
            try:
                with running(work):
                    place.result = call()
            except BaseException as error:
                place.error = error
            del work, call
            _here.seat = None
            with _lock:
                _idle.append(self)  # the last one first: it has a connection already
            place.done.set()
            del place

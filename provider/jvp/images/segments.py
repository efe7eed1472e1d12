"""An image on its way: pieces of data and holes, in order, without gaps.

Rules: the lengths add up to the image; a piece of data is never empty and at most `DATA_MAX` long; what is
a hole reads as zeros, but zeros need not be a hole. Two sequences with the same bytes are the same image.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from jvp.core.errors import Unreachable
from jvp.core.work import Progress, Work

T = TypeVar("T")

BLOCK: Final = 64 * 1024
"""Runs of zeros become holes in steps of this, counted from the start of the image: qcow2's cluster."""
DATA_MAX: Final = 256 * 1024
"""Source: 200 MiB into libvirt 9.0 by pieces of 64 KiB, 256 KiB, 1 MiB: 0.46, 0.26, 0.39 s."""
HEAD_BYTES: Final = 128 * 1024
"""How much of an image's start `inspect` wants to see."""

_ZEROS: Final = bytes(BLOCK)


@dataclass(frozen=True, slots=True)
class Data:
    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Hole:
    length: int


Segment = Data | Hole


def rechunked(chunks: Iterable[bytes], size: int = DATA_MAX) -> Generator[bytes, None, None]:
    """The same bytes in pieces of exactly `size`; the last may be shorter."""
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= size:
            joined = b"".join(held)
            whole = length - length % size
            for start in range(0, whole, size):
                yield joined[start : start + size]
            held, length = [joined[whole:]], length - whole
    if length:
        yield b"".join(held)


def punched(parts: Iterable[bytes | Hole]) -> Iterator[Segment]:
    """Turn aligned blocks of zeros into holes and join neighbouring holes. No part may exceed `DATA_MAX`.

    Source: comparing by `bytes.startswith` costs 20 µs per MiB; `count(0)` 500, a memoryview 3000.
    """
    position = hole = 0
    for part in parts:
        if isinstance(part, Hole):
            hole += part.length
            position += part.length
            continue
        begin = 0  # of the run of data that is being looked at
        size = len(part)
        at = -position % BLOCK
        while at + BLOCK <= size:
            if part.startswith(_ZEROS, at):
                if at > begin:
                    if hole:
                        yield Hole(hole)
                        hole = 0
                    yield Data(part[begin:at])
                hole += BLOCK
                begin = at + BLOCK
            at += BLOCK
        if begin < size:
            if hole:
                yield Hole(hole)
                hole = 0
            yield Data(part[begin:] if begin else part)
        position += size
    if hole:
        yield Hole(hole)


def size_text(count: float) -> str:
    """A number of bytes for a person: `312 MiB`, `2.0 GiB`."""
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 10 and unit != "GiB" else f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


class Meter:
    """Says how far a transfer is, at most five times a second: `downloading 45% of 312 MiB, 80 MiB/s`.

    `done` and `held` may be set by another thread; `show` belongs to the thread that owns the work.
    """

    def __init__(self, verb: str, total: int | None, work: Work) -> None:
        self.done = 0
        self.held = ""
        """What it waits for; shown in place of the progress."""
        self._verb, self._total, self._work = verb, total, work
        self._began = self._last = time.monotonic()
        self._shown = False

    def show(self) -> None:
        if time.monotonic() - self._last >= 0.2:
            self._show()

    def end(self) -> None:
        """All is there: a display that shows a part of it would show that for good."""
        if self._shown:
            self._show()

    def _show(self) -> None:
        now = time.monotonic()
        self._last, self._shown = now, True
        if self.held:
            self._work.status(self.held)
            return
        rate = size_text(self.done / (now - self._began))
        if self._total:
            how_far = f"{min(100, 100 * self.done // self._total)}% of {size_text(self._total)}"
        else:
            how_far = size_text(self.done)
        line = f"{self._verb} {how_far}, {rate}/s"
        self._work.transferred(Progress(self._verb, self.done, self._total, line))


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def ahead(
    items: Iterator[T], work: Work, *, what: str, depth: int = 16, tick: Callable[[], None] = lambda: None
) -> Generator[T, None, None]:
    """Draw `items` in a thread, at most `depth` ahead, so that nothing it waits for delays a Cancel.

    `tick` is called about ten times a second and after each item.
    Raises what `items` raises; Cancelled; Unreachable (says `what`) when the deadline passes.
    """
    box: queue.Queue[_Item[T] | _End] = queue.Queue(depth)
    left = threading.Event()
    threading.Thread(target=_draw, args=(items, box, left), name="jvp-ahead", daemon=True).start()
    try:
        while True:
            work.check()
            if work.left() <= 0:
                raise Unreachable(f"{what} did not end in the time that the call has; run again, or allow more")
            try:
                got = box.get(timeout=min(0.1, work.left(0.1) or 0.001))
            except queue.Empty:
                tick()
                continue
            if isinstance(got, _End):
                if got.error is not None:
                    raise got.error
                return
            tick()
            yield got.value
    finally:
        left.set()


def _draw(items: Iterator[T], box: queue.Queue[_Item[T] | _End], left: threading.Event) -> None:
    """Put the items into the box, and how they ended, until nobody takes them any more."""

    def put(thing: _Item[T] | _End) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                box.put(thing, timeout=0.1)
                return

    try:
        for item in items:
            put(_Item(item))
            if left.is_set():
                return
    except BaseException as error:  # carried over to the thread that waits
        put(_End(error))
    else:
        put(_End(None))


def aside(call: Callable[[], T], work: Work, *, what: str, discard: Callable[[T], None]) -> T:
    """The result of a call that may block for long (a name's resolution, a connect), given up on Cancel.

    A result that comes after that goes to `discard`.
    """
    result: list[T] = []
    lock, left = threading.Lock(), threading.Event()

    def once() -> Iterator[None]:
        value = call()
        with lock:
            if not left.is_set():
                result.append(value)
                return
        discard(value)
        yield  # never reached with anybody listening: it makes this a generator

    try:
        for _ in ahead(once(), work, what=what):
            pass
        return result.pop()
    finally:
        with lock:
            left.set()
        for value in result:
            discard(value)

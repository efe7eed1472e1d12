"""Reading here and there in an image, within bounds: whoever made it may have wanted to hurt its reader."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

Read = Callable[[int, int], bytes]
"""The bytes at an offset, so many; fewer at the end."""
PAGE: Final = 64 * 1024
_KEPT: Final = 64
_PAGES_MAX: Final = 400
_BYTES_MAX: Final = 64 * 1024 * 1024
_STEP: Final = 256
"""What a read costs beside its bytes, so that many small ones end, too."""
_TIME_S: Final = 20.0


class GaveUp(Exception):
    """The image is broken, or too odd to be read on. The text is for developers."""


class Spent(GaveUp):
    """All that may be read of one image has been read."""


class Budget:
    """What looking into one image may cost: each byte that is looked at counts, however often, and the time."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._left, self._ends = _BYTES_MAX, time.monotonic() + _TIME_S

    def spend(self, length: int) -> None:
        """Raises Spent, and what `check` raises."""
        self._check()
        self._left -= length + _STEP
        if self._left < 0 or time.monotonic() > self._ends:
            raise Spent("too much to read")


class Pages:
    """A file of `size` bytes that is fetched in pages, of which the last ones are kept."""

    def __init__(self, fetch: Read, size: int, budget: Budget) -> None:
        self._fetch, self._size, self._budget = fetch, size, budget
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._fetched = 0

    def read(self, offset: int, length: int) -> bytes:
        """As `Read` does. Raises Spent."""
        self._budget.spend(length)
        end = min(offset + length, self._size)
        parts = []
        while 0 <= offset < end:
            number, within = divmod(offset, PAGE)
            part = self._page(number)[within : within + end - offset]
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        found = self._kept.pop(number, None)
        if found is None:
            self._fetched += 1
            if self._fetched > _PAGES_MAX:
                raise Spent("too many places to read")
            found = self._fetch(number * PAGE, min(PAGE, self._size - number * PAGE))
        self._kept[number] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


def exactly(read: Read, offset: int, length: int) -> bytes:
    """All of these bytes. Raises GaveUp where there are fewer."""
    found = read(offset, length)
    if len(found) != length:
        raise GaveUp(f"no {length} bytes at {offset}")
    return found

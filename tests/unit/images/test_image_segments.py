from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.errors import Cancelled, Invalid, Unreachable
from jvp.core.guard import guarded
from jvp.core.work import Progress, Work
from jvp.images.segments import (
    BLOCK,
    DATA_MAX,
    Data,
    Hole,
    Meter,
    ahead,
    aside,
    punched,
    rechunked,
    size_text,
)

pytestmark = pytest.mark.unit

PIECES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=50),
        st.sampled_from([1, 511, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, DATA_MAX]).map(bytes),
        st.sampled_from([1, 4096, BLOCK, 2 * BLOCK + 7]).map(Hole),
    ),
    max_size=12,
)


def flat(parts: list[bytes | Hole]) -> bytes:
    return b"".join(bytes(part.length) if isinstance(part, Hole) else part for part in parts)


@given(PIECES)
def test_punching_changes_no_byte(parts: list[bytes | Hole]) -> None:
    found = list(punched(parts))
    assert b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in found) == flat(parts)
    assert all(segment.length > 0 for segment in found)
    assert all(segment.length <= DATA_MAX for segment in found if isinstance(segment, Data))
    assert not any(isinstance(a, Hole) and isinstance(b, Hole) for a, b in pairwise(found))


def test_aligned_zeros_become_one_hole() -> None:
    found = list(punched([b"x" + bytes(BLOCK - 1), bytes(2 * BLOCK), bytes(BLOCK), b"y"]))
    assert found == [Data(b"x" + bytes(BLOCK - 1)), Hole(3 * BLOCK), Data(b"y")]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_rechunking(chunks: list[bytes], size: int) -> None:
    found = list(rechunked(chunks, size))
    assert b"".join(found) == b"".join(chunks)
    assert all(len(chunk) == size for chunk in found[:-1])
    assert all(0 < len(chunk) <= size for chunk in found)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (312 << 20, "312 MiB"), (2 << 30, "2.0 GiB"),
     (80 << 20, "80 MiB"), (3 << 40, "3.0 TiB")],
)  # fmt: skip
def test_sizes_for_people(count: int, text: str) -> None:
    assert size_text(count) == text


def test_progress_is_sparing() -> None:
    lines: list[str] = []
    progress = Meter("downloading", 100 << 20, Work(status=lines.append))
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        progress.done += 1000
        progress.show()
    assert 1 <= len(lines) <= 3
    assert lines[0].startswith("downloading ")
    assert "% of 100 MiB, " in lines[0]
    assert lines[0].endswith("/s")


def test_progress_that_was_shown_ends_with_all_of_it() -> None:
    lines: list[str] = []
    progress = Meter("copying", 100, Work(status=lines.append))
    progress.end()
    assert lines == []
    progress.done, progress._last = 94, 0.0
    progress.show()
    progress.done = 100
    progress.end()
    assert [line.partition(" of ")[0] for line in lines] == ["copying 94%", "copying 100%"]


def test_who_shows_progress_gets_bytes_and_no_line_and_never_a_secret() -> None:
    lines, shown = list[str](), list[Progress]()
    with guarded({"hunter2"}, work=Work(status=lines.append, progress=shown.append)) as work:
        progress = Meter("copying", 100, work)
        progress.done, progress._last = 94, 0.0
        progress.show()
        work.transferred(Progress('volume "hunter2\x1b[2J"', 1, None, "hunter2: 1%"))
    assert lines == []
    assert (shown[0].what, shown[0].done, shown[0].total) == ("copying", 94, 100)
    assert shown[0].line.startswith("copying 94% of 100 bytes, ")
    assert "hunter2" not in str(shown)
    assert "\x1b" not in shown[1].what


def test_ahead_gives_items_and_errors_in_order() -> None:
    def numbers() -> Iterator[int]:
        yield from range(100)
        raise Invalid("enough")

    got: list[int] = []
    with pytest.raises(Invalid, match="enough"):
        got.extend(ahead(numbers(), Work(), what="counting"))
    assert got == list(range(100))


def test_ahead_does_not_wait_for_a_blocked_thread() -> None:
    free, work = threading.Event(), Work()

    def stuck() -> Iterator[int]:
        yield 1
        free.wait(10)
        yield 2

    items = ahead(stuck(), work, what="counting")
    assert next(items) == 1
    threading.Timer(0.1, work.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        next(items)
    assert time.monotonic() - began < 5
    free.set()


def test_ahead_keeps_the_deadline() -> None:
    free = threading.Event()
    work = Work(deadline=time.monotonic() + 0.2)
    with pytest.raises(Unreachable, match="counting did not end"):
        list(ahead(iter(free.wait, True), work, what="counting", depth=1))
    free.set()


def test_a_late_result_is_discarded() -> None:
    free, work, dropped = threading.Event(), Work(), []
    gone = threading.Event()

    def slow() -> int:
        free.wait(10)
        return 7

    def discard(value: int) -> None:
        dropped.append(value)
        gone.set()

    threading.Timer(0.1, work.cancelled.set).start()
    with pytest.raises(Cancelled):
        aside(slow, work, what="thinking", discard=discard)
    free.set()
    assert gone.wait(5)
    assert dropped == [7]
    assert aside(lambda: 8, Work(), what="thinking", discard=discard) == 8
    assert dropped == [7]

"""Work: deadlines and cancellation."""

from __future__ import annotations

import threading
import time

import pytest

from jvp.core.errors import Busy, Cancelled
from jvp.core.work import Work, current, running


def test_left_is_bounded_by_deadline_and_limit() -> None:
    assert Work().left(3) == 3
    assert Work().left() == float("inf")
    work = Work(deadline=time.monotonic() + 5)
    assert 4 < work.left() <= 5
    assert work.left(1) == 1
    assert Work(deadline=time.monotonic() - 1).left(3) == 0


def test_wait_ends_with_a_cancel() -> None:
    work = Work()
    threading.Timer(0.05, work.cancelled.set).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled, match="run the command again"):
        work.wait(30)
    assert time.monotonic() - begin < 5


def test_wait_ends_at_the_deadline() -> None:
    begin = time.monotonic()
    Work(deadline=begin + 0.05).wait(30)
    assert time.monotonic() - begin < 5


def test_check_raises_only_when_cancelled() -> None:
    work = Work()
    work.check()
    work.cancelled.set()
    with pytest.raises(Cancelled):
        work.check()


def test_until_calls_until_it_is_true() -> None:
    answers = iter([False, False, True])
    Work().until(lambda: next(answers), limit_s=5, every_s=0.001, what="x")
    with pytest.raises(StopIteration):
        next(answers)


def test_until_asks_at_least_once_and_says_what_at_the_limit() -> None:
    asked: list[int] = []

    def ask() -> bool:
        asked.append(1)
        return False

    with pytest.raises(Busy, match="the guest still runs"):
        Work().until(ask, limit_s=0, every_s=1, what="the guest still runs")
    assert asked == [1]
    with pytest.raises(Busy):
        Work(deadline=time.monotonic()).until(lambda: False, limit_s=60, every_s=1, what="x")


def test_until_ends_with_a_cancel() -> None:
    work = Work()
    threading.Timer(0.05, work.cancelled.set).start()
    with pytest.raises(Cancelled):
        work.until(lambda: False, limit_s=30, every_s=10, what="x")


def test_the_current_work_is_the_threads_own() -> None:
    outer, inner, others = Work(), Work(), list[Work]()
    with running(outer):
        with running(inner):
            assert current() is inner
            other = threading.Thread(target=lambda: others.append(current()))
            other.start()
            other.join()
        assert current() is outer
    assert outer not in (current(), *others)
    assert inner not in others

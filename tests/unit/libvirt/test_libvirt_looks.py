"""One look answers all who waited for it, and never one who asked after it had begun."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jvp.core import abandon
from jvp.core.errors import Busy, Cancelled, Rejected, Unreachable
from jvp.core.work import Work
from jvp.libvirt.link.looks import Looks

MANY = 20


class Host:
    """Something that changes, and takes its time to be looked at."""

    def __init__(self) -> None:
        self.value = self.seen = self.looks = 0
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def look(self) -> None:
        self.looks += 1
        value = self.value
        self.begun.set()
        assert self.goes_on.wait(10)
        self.seen = value


def _waiting(looks: Looks, count: int) -> None:
    """Until so many wait for a look."""
    end = time.monotonic() + 10
    while len(looks._turn._waiters) < count:  # type: ignore[attr-defined]
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_asks_while_a_look_runs_shares_the_next_one() -> None:
    host, looks = Host(), Looks()

    def ask() -> int:
        looks.share(Work(), "pool", host.look)
        return host.seen

    with ThreadPoolExecutor(MANY + 1) as threads:
        first = threads.submit(ask)
        assert host.begun.wait(10)
        host.value = 1  # after that look had begun
        others = [threads.submit(ask) for _ in range(MANY)]
        _waiting(looks, MANY)
        host.goes_on.set()
        assert first.result(10) in (0, 1)
        assert [one.result(10) for one in others] == [1] * MANY
    assert host.looks == 2


def test_looks_at_other_things_do_not_wait_and_later_ones_look_again() -> None:
    host, looks = Host(), Looks()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(looks.share, Work(), "pool", host.look)
        assert host.begun.wait(10)
        seen: list[int] = []
        looks.share(Work(), "other", lambda: seen.append(1))
        looks.share(Work(), "other", lambda: seen.append(2))
        assert seen == [1, 2]
        host.goes_on.set()
        first.result(10)


def test_an_error_is_of_who_looked_and_the_others_look_themselves() -> None:
    host, looks = Host(), Looks()

    def fail() -> None:
        host.look()
        raise Rejected("no")

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(looks.share, Work(), "pool", fail)
        assert host.begun.wait(10)
        second = [threads.submit(looks.share, Work(), "pool", fail) for _ in range(2)]
        _waiting(looks, 2)
        host.goes_on.set()
        for one in (first, *second):
            with pytest.raises(Rejected):
                one.result(10)
    assert host.looks == 3


def test_a_wait_for_a_look_ends_with_a_cancel_and_at_the_deadline() -> None:
    host, looks = Host(), Looks()
    stopped = Work()
    stopped.cancelled.set()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(looks.share, Work(), "pool", host.look)
        assert host.begun.wait(10)
        with pytest.raises(Cancelled):
            looks.share(stopped, "pool", host.look)
        with pytest.raises(Busy):
            looks.share(Work(deadline=time.monotonic()), "pool", host.look)
        host.goes_on.set()
        first.result(10)
    assert host.looks == 1


def test_who_shares_a_look_is_told_what_it_found_and_nothing_is_kept() -> None:
    host, looks = Host(), Looks()

    def look() -> list[int]:
        host.look()
        return [host.looks]

    with ThreadPoolExecutor(MANY + 1) as threads:
        first = threads.submit(looks.share, Work(), "domains", look)
        assert host.begun.wait(10)
        others = [threads.submit(looks.share, Work(), "domains", look) for _ in range(MANY)]
        _waiting(looks, MANY)
        host.goes_on.set()
        assert first.result(10) == [1]
        assert [one.result(10) for one in others] == [[2]] * MANY
    assert looks._found == {}


def test_a_look_whose_call_was_left_behind_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandon, "PATIENCE_S", 0.1)
    looks, back = Looks(), threading.Event()

    def hang() -> None:
        with abandon.outside("libvirt's answer"):
            back.wait(10)

    work = Work(deadline=time.monotonic() + 0.1)
    with pytest.raises(Unreachable):
        abandon.run(work, lambda: looks.share(work, "domains", hang))
    assert looks.share(Work(), "domains", lambda: 2) == 2
    back.set()


def test_a_look_that_was_left_behind_and_comes_back_ends_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandon, "PATIENCE_S", 0.1)
    looks, host, back, gone = Looks(), Host(), threading.Event(), threading.Event()

    def hang() -> None:
        try:
            with abandon.outside("libvirt's answer"):
                back.wait(10)
        finally:
            gone.set()

    work = Work(deadline=time.monotonic() + 0.1)
    with pytest.raises(Unreachable):
        abandon.run(work, lambda: looks.share(work, "domains", hang))
    with ThreadPoolExecutor(2) as threads:
        second = threads.submit(looks.share, Work(), "domains", host.look)
        assert host.begun.wait(10)
        back.set()
        assert gone.wait(10)
        third = threads.submit(looks.share, Work(), "domains", host.look)
        _waiting(looks, 1)
        assert host.looks == 1
        host.goes_on.set()
        second.result(10)
        third.result(10)

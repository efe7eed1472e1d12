"""Verbs that hang are left behind, and nothing of them happens afterwards."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from jvp.core import abandon
from jvp.core.abandon import LeftBehind, leavable, outside, run, seat
from jvp.core.errors import Cancelled, Invalid, Unreachable
from jvp.core.work import Work, current


class Hanging:
    """A verb in a call that returns when `back` is set; `end` says how the verb ended."""

    def __init__(self) -> None:
        self.back, self.over, self.end = threading.Event(), threading.Event(), ""

    def __call__(self) -> None:
        try:
            with outside("libvirt's virStoragePool.create"):
                self.back.wait()
            self.end = "went on"
        except Exception:
            self.end = "swallowed"
        except LeftBehind:
            self.end = "left behind"
            raise
        finally:
            self.over.set()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Hanging:
    monkeypatch.setattr(abandon, "PATIENCE_S", 0.3)
    return Hanging()


def test_what_comes_back_is_as_if_called_directly() -> None:
    def verb(work: Work, number: int) -> tuple[int, bool]:
        return number, current() is work

    assert leavable(verb)(Work(), 3) == (3, True)
    assert leavable(verb)(work=Work(), number=4) == (4, True)

    def refused() -> None:
        raise Invalid("no", path=("size",))

    with pytest.raises(Invalid, match="size: no"):
        run(Work(), refused)


def test_one_verb_in_another_shares_its_thread_and_the_next_one_takes_it_again() -> None:
    def names() -> tuple[int, int]:
        return threading.get_ident(), run(Work(), threading.get_ident)

    first, inner = run(Work(), names)
    assert first == inner != threading.get_ident()
    assert run(Work(), names)[0] == first
    assert seat() is None


def test_the_deadline_ends_the_wait_for_a_call_that_hangs(hanging: Hanging) -> None:
    with pytest.raises(Unreachable, match=r"the time is up, and libvirt's virStoragePool\.create has not come back"):
        run(Work(time.monotonic() + 0.1), hanging)
    assert abandon.hangs()
    hanging.back.set()
    assert hanging.over.wait(30)
    assert hanging.end == "left behind"


def test_a_cancel_ends_the_wait_for_a_call_that_hangs(hanging: Hanging) -> None:
    work = Work()
    threading.Timer(0.1, work.cancelled.set).start()
    with pytest.raises(Cancelled, match="stopped on request, though libvirt's"):
        run(work, hanging)
    hanging.back.set()
    assert hanging.over.wait(30)
    assert hanging.end == "left behind"


def test_who_takes_back_what_it_made_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many short calls after the end are no call that hangs."""
    monkeypatch.setattr(abandon, "PATIENCE_S", 0.6)
    work = Work()
    work.cancelled.set()

    def undo() -> str:
        for _ in range(15):
            with outside("a short call"):
                time.sleep(0.1)
        return "clean"

    assert run(work, undo) == "clean"


def test_an_outer_wait_is_the_one_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandon, "PATIENCE_S", 0.3)
    stop = threading.Event()

    def poll() -> None:
        with outside("the conversion"):
            while not stop.is_set():
                with outside("a look"):
                    time.sleep(0.01)

    with pytest.raises(Unreachable, match="the conversion has not come back"):
        run(Work(time.monotonic()), poll)
    stop.set()


class Slow(list[abandon.Seat]):
    """Takes its time to be written."""

    def __setitem__(self, where: Any, what: Any) -> None:
        time.sleep(0.6)
        super().__setitem__(where, what)


def test_verbs_that_are_left_at_once_are_all_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandon, "PATIENCE_S", 0.3)
    monkeypatch.setattr(abandon, "_left", Slow())
    work, verbs = Work(), [Hanging(), Hanging()]
    work.cancelled.set()

    def leave(verb: Hanging) -> None:
        with pytest.raises(Cancelled):
            run(work, verb)

    doors = [threading.Thread(target=leave, args=(verb,)) for verb in verbs]
    for door in doors:
        door.start()
    for door in doors:
        door.join(30)
    assert len(abandon._left) == len(verbs)
    for verb in verbs:
        verb.back.set()
        assert verb.over.wait(30)

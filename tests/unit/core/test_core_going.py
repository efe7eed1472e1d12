"""A name that what has it is about to give up, in the same run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from jvp.core import going
from jvp.core.errors import Cancelled, NameTaken
from jvp.core.going import Going
from jvp.core.identity import Mark
from jvp.core.work import Work

OURS = Mark("k", 0, acknowledged=True)


class Holder:
    """What has the name until it is deleted."""

    def __init__(self, holder: Mark | None) -> None:
        self.gone, self.holder, self.asked = threading.Event(), holder, threading.Event()

    def step(self) -> str:
        self.asked.set()
        if not self.gone.is_set():
            raise NameTaken("there is one already", id="u", holder=self.holder)
        return "done"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(going, "BEGINS_S", 0.0)


def test_what_is_being_deleted_is_waited_for(at_once: None) -> None:
    names, holder = Going(), Holder(OURS)
    said: list[str] = []
    with ThreadPoolExecutor() as calls:
        with names.leaves("Car", "u"):
            found = calls.submit(names.wait, Work(status=said.append), "Car", holder.step)
            assert holder.asked.wait(10)
            holder.gone.set()
        assert found.result(10) == "done"
    assert set(said) <= {"waiting for the name, which another object has still"}


def test_also_when_the_delete_begins_a_moment_later() -> None:
    names, holder = Going(), Holder(OURS)
    with ThreadPoolExecutor() as calls:
        found = calls.submit(names.wait, Work(), "Car", holder.step)
        assert holder.asked.wait(10)
        with names.leaves("Car", "u"):
            holder.gone.set()
        assert found.result(10) == "done"


@pytest.mark.parametrize("holder", [None, Mark("k", 0), OURS])
def test_what_stays_is_refused(at_once: None, holder: Mark | None) -> None:
    names = Going()
    with names.leaves("Car", "another"), names.leaves("Van", "u"), pytest.raises(NameTaken):
        names.wait(Work(), "Car", Holder(holder).step)


def cancelled() -> Work:
    work = Work()
    work.cancelled.set()
    return work


@pytest.mark.parametrize(
    ("work", "error"), [(cancelled, Cancelled), (lambda: Work(deadline=time.monotonic()), NameTaken)]
)
def test_it_hears_a_cancel_and_the_deadline(work: Callable[[], Work], error: type[Exception]) -> None:
    names = Going()
    with names.leaves("Car", "u"), pytest.raises(error):
        names.wait(work(), "Car", Holder(OURS).step)

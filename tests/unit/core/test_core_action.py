"""Actions that may not be done twice, over a toy."""

from __future__ import annotations

from typing import Any

import pytest

from jvp.core import action
from jvp.core.action import KEPT, Action, Request, digest, forget, noted, perform, text_of
from jvp.core.errors import Rejected
from jvp.core.model import Spec
from jvp.core.work import Work


class Nothing(Spec):
    """Nothing."""


class Count(Spec):
    """How often."""

    times: int


class Bump(Action[Nothing, Count]):
    """Counts."""

    token, on, word, args, result, effect = "bumpCar", "Car", "bump", Nothing, Count, "counts"
    idempotent = False

    def __init__(self) -> None:
        self.times, self.notes, self.dies = 0, "", False

    def call(self, work: Work, object_id: str, args: Nothing) -> Count:
        if self.dies:
            raise KeyboardInterrupt
        self.times += 1
        return Count(times=self.times)

    def requests(self, work: Work, object_id: str) -> Any:
        return self

    def read(self) -> tuple[Request, ...]:
        return noted(self.notes)

    def write(self, requests: tuple[Request, ...]) -> None:
        self.notes = text_of(requests)

    def since(self, work: Work, object_id: str) -> str:
        return str(self.times)

    def told(self, work: Work, object_id: str, made: str = "") -> Count:
        return Count(times=self.times)


class GoesOn(Bump):
    def go_on(self, work: Work, object_id: str, args: Nothing, since: str) -> Count:
        return self.call(work, object_id, args) if since == str(self.times) else self.told(work, object_id)


def done(bump: Bump, request: str | None) -> int:
    times: int = perform(bump, Work(), "a", Nothing(), request).times
    return times


def test_a_request_is_done_once() -> None:
    bump = Bump()
    assert [done(bump, one) for one in ("a", "a", "b", "a", None, None)] == [1, 1, 2, 2, 3, 4]
    assert [one.id for one in noted(bump.notes)] == [digest("bumpCar", "a"), digest("bumpCar", "b")]


def test_only_the_last_requests_are_remembered() -> None:
    bump = Bump()
    for number in range(KEPT + 2):
        done(bump, str(number))
    assert len(noted(bump.notes)) == KEPT
    assert len(bump.notes) < 40 * KEPT
    assert done(bump, str(KEPT + 1)) == KEPT + 2
    assert done(bump, "0") == KEPT + 3


def test_what_a_request_made_is_told_again() -> None:
    class Makes(Bump):
        def made(self, result: Count) -> str:
            return f"car {result.times}"

        def told(self, work: Work, object_id: str, made: str = "") -> Count:
            return Count(times=int(made.removeprefix("car ")))

    bump = Makes()
    assert [done(bump, one) for one in ("a", "b", "a", "b")] == [1, 2, 1, 2]


def test_one_that_was_cut_off_is_reported_as_unknown_where_nothing_tells() -> None:
    bump = Bump()
    bump.dies = True
    with pytest.raises(KeyboardInterrupt):
        done(bump, "a")
    bump.dies = False
    with pytest.raises(Rejected, match="whether this request was done is not known"):
        done(bump, "a")
    assert done(bump, "b") == 1


def test_one_that_was_cut_off_goes_on_where_the_object_tells() -> None:
    bump = GoesOn()
    bump.dies = True
    with pytest.raises(KeyboardInterrupt):
        done(bump, "a")
    bump.dies = False
    assert [done(bump, "a"), done(bump, "a")] == [1, 1]


def test_a_request_that_is_forgotten_is_a_new_one() -> None:
    bump = Bump()
    done(bump, "a")
    forget(bump, Work(), "a", "a")
    assert bump.notes == ""
    assert done(bump, "a") == 2


def test_the_same_id_is_another_request_of_another_action() -> None:
    assert digest("one", "a") != digest("two", "a")
    assert len(digest("one", "a" * 1000)) == 16


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "1", '[["x"]]', "[[1, null]]", '[["x", 5]]', '[["x", null, 5]]', "[" * 100_000]
)
def test_what_a_stranger_wrote_is_no_request(text: str) -> None:
    assert action.noted(text) == ()

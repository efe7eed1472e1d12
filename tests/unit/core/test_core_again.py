"""What is asked anew: a question whose connection was lost, and nothing else."""

from __future__ import annotations

import pytest

from jvp.core.again import TIMES, asked_again
from jvp.core.errors import JvpError, Rejected, Unreachable


def unreachable(*, lost: bool) -> Unreachable:
    error = Unreachable("no answer")
    error.lost = lost
    return error


@pytest.mark.parametrize(
    ("error", "losses", "asked"),
    [
        (unreachable(lost=True), 0, 1),
        (unreachable(lost=True), TIMES, TIMES + 1),
        (unreachable(lost=True), 99, TIMES + 1),
        (unreachable(lost=False), 99, 1),
        (Rejected("no"), 99, 1),
    ],
)
def test_a_lost_connection_alone_is_no_answer(error: JvpError, losses: int, asked: int) -> None:
    times = []

    @asked_again
    def ask(word: str) -> str:
        times.append(word)
        if len(times) <= losses:
            raise error
        return word

    if losses < asked:
        assert ask("x") == "x"
    else:
        with pytest.raises(type(error)):
            ask("x")
    assert times == ["x"] * asked

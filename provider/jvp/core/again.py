"""Questions that are asked anew where their connection was lost: who asks hears nothing of a daemon that restarts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from jvp.core.errors import Unreachable

P = ParamSpec("P")
T = TypeVar("T")

TIMES = 3
"""A daemon that is ending takes new connections still, and loses them again."""


def asked_again(method: Callable[P, T]) -> Callable[P, T]:
    """A verb that only looks. What it says on the way it says each time."""

    @functools.wraps(method)
    def ask(*arguments: P.args, **named: P.kwargs) -> T:
        for _ in range(TIMES):
            try:
                return method(*arguments, **named)
            except Unreachable as error:
                if not error.lost:
                    raise
        return method(*arguments, **named)

    return ask

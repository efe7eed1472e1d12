"""References as a program spells them."""

from __future__ import annotations

from typing import Any

from jvp.core.errors import JvpError
from jvp.core.work import current


def same_or(prior: str, actual: str | None, meaning: Any) -> str | None:
    """`prior` when it means `actual`, else `actual`. A reference that cannot be resolved any more means nothing new;
    where `prior` only says how to spell, it means nothing at all.
    """
    otherwise = actual if current().looks else prior
    if actual is None or prior == actual:
        return otherwise
    try:
        return prior if meaning(prior) == actual else actual
    except JvpError:
        return otherwise

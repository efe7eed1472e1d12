"""How much of what is exhaustive a run tries: `make test` a sample, `make test-all` all of it.

The sample follows the provider's code: the same code gives the same sample, a change of it another one.
`JVP_SEED` repeats a sample, or draws a different one.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PROVIDER = Path(__file__).parents[1] / "provider"


def everything() -> bool:
    """Whether this run is exhaustive."""
    return os.environ.get("JVP_TESTS") == "all"


@cache
def seed() -> str:
    """What the samples of this run are drawn by."""
    given = os.environ.get("JVP_SEED")
    if given:
        return given
    total = hashlib.sha256()
    for path in sorted(PROVIDER.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:8]


def sample(places: Sequence[T], of: str, *, share: float, least: int = 3) -> list[T]:
    """This run's part of `places`, in their order: all of them, or `share` of them and no fewer than `least`."""
    count = max(least, round(len(places) * share))
    if everything() or count >= len(places):
        return list(places)
    chosen = random.Random(f"{seed()} {of}").sample(range(len(places)), count)
    return [places[number] for number in sorted(chosen)]


def rounds(few: int, many: int) -> int:
    """How often a race is run."""
    return many if everything() else few


def told() -> str:
    """One line for the head of the run."""
    if everything():
        return "everything is tried, also what `make test` takes a sample of"
    return f"of what is exhaustive a sample is tried; JVP_SEED={seed()} repeats it, `make test-all` tries all"

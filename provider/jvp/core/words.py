"""How lists of names are said in a sentence."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 12


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: sorted, not too many, "none" when there are none."""
    ordered = sorted(names)
    if not ordered:
        return "none"
    rest = len(ordered) - _SHOWN
    return ", ".join(ordered[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")

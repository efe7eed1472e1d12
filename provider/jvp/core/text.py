"""Text that a guest or a stranger wrote, made harmless before a person or an engine sees it.

A console, an agent, an object's name or an error that quotes them may hold anything: sequences that a terminal obeys,
marks that turn the order of reading, and what Pulumi's display takes for a colour and dies of. Such characters stand as
their escapes, `\\x1b`, so that nothing is hidden. What is harmless already stays as it is, so it may be done twice.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Set
from typing import Any

LINE_MAX = 4000
"""The longest sentence. gRPC carries an error's text in a header, and a display shows it in one line."""
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what is no letter: controls, formats (bidirectional marks), surrogates, ends of lines."""
_COLOUR, _NO_COLOUR = "<{%", r"<\x7b%"
"""Source: Pulumi, `sdk/go/common/diag/colors/colors.go`."""


def harmless(text: str) -> str:
    """`text` as one line without what acts on a display."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else _escaped(one) for one in text)
    return text.replace(_COLOUR, _NO_COLOUR)


def sentence(text: str) -> str:
    """`text` as one harmless line that is not too long. What is cut is its middle: the end says what to do."""
    shown = harmless(text)
    return shown if len(shown) <= LINE_MAX else f"{shown[: LINE_MAX // 2]} … {shown[-LINE_MAX // 2 + 3 :]}"


def shortened(text: str, limit: int = 40) -> str:
    """`text` for a place inside a sentence: one harmless line, at most `limit` characters."""
    shown = harmless(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def harmless_value(value: Any, own: Set[str] = frozenset()) -> Any:
    """A property's value without what acts on a display, but for the user's `own` strings. It may have many lines."""
    if isinstance(value, str):
        return value if value in own else _harmless_lines(value)
    if isinstance(value, dict):
        return {harmless_value(key, own): harmless_value(item, own) for key, item in value.items()}
    if isinstance(value, list):
        return [harmless_value(item, own) for item in value]
    return value


def is_harmless(value: Any) -> bool:
    """Whether nothing in a property's value acts on a display."""
    if isinstance(value, str):
        return value.isprintable() and _COLOUR not in value
    if isinstance(value, dict):
        return all(map(is_harmless, value)) and all(map(is_harmless, value.values()))
    return all(map(is_harmless, value)) if isinstance(value, list) else True


def texts_in(value: Any) -> set[str]:
    """Every string inside a value, the keys of its maps too."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set(value).union(*map(texts_in, value.values()))
    return set().union(*map(texts_in, value)) if isinstance(value, list) else set()


def _harmless_lines(text: str) -> str:
    if not text.isprintable():
        text = "".join(
            one if one in "\n\t" or unicodedata.category(one) not in _ACTING else _escaped(one) for one in text
        )
    return text.replace(_COLOUR, _NO_COLOUR)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

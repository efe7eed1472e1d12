"""How the commands describe themselves."""

from __future__ import annotations


def sentence(text: str) -> str:
    """A help text as a sentence. The names in it stay as they are written."""
    return f"{text[0].upper()}{text[1:]}."

"""Where a page of a list ends, as a text: a client gives it back to go on there."""

from __future__ import annotations

import base64
import json
from typing import Any

from jvp.core.errors import Invalid


def text_of(place: Any) -> str:
    """The cursor of a place, which JSON can hold."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def place_in(text: str) -> Any:
    """What a cursor holds, None for what is none: anybody may have written it, so its shape is yet to be looked at."""
    try:
        return json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, RecursionError):
        return None


def wrong() -> Invalid:
    """The error for what is no cursor."""
    return Invalid('must be what "next" of a page said', path=("after",))

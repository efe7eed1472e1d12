"""Tags: what people call objects, to find them again and to say who may do what with them. Each is a name with a value.

A word takes objects by a tag: `team` those that have it, `team=web` those that have it with this value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from jvp.core.errors import Path
from jvp.core.text import shortened

NAME_MAX, VALUE_MAX = 63, 255
KEPT_MAX = 4096
"""So long is the text of all of them at most: the mark of an object has room for more than them."""
_NAME = re.compile(r"[^\W_][\w.:/@+-]*")
_PLAIN = "/:@"
"""What stands in the text as it is, beside letters, digits and . _ -"""


def text_of(tags: Mapping[str, str]) -> str:
    """All of them in one line of ASCII, as an object keeps them; the same for the same tags."""
    return urlencode(sorted(tags.items()), quote_via=quote, safe=_PLAIN)


def read(text: str) -> dict[str, str]:
    """The tags in such a text. Anybody may have written it: what cannot be declared is left out."""
    found = parse_qsl(text, keep_blank_values=True) if len(text) <= KEPT_MAX else ()
    return dict(sorted((name, value) for name, value in found if _is_name(name) and _fault(value) is None))


def _is_name(text: str) -> bool:
    return len(text) <= NAME_MAX and _NAME.fullmatch(text) is not None


def _fault(value: str) -> str | None:
    """What is wrong with a value, in a sentence; None where nothing is."""
    if not value.isprintable():
        return f'"{shortened(value)}" has control characters'
    return f"is {len(value)} characters long; at most {VALUE_MAX} are allowed" if len(value) > VALUE_MAX else None


def takes(word: str, tags: Mapping[str, Any]) -> bool:
    """Whether a word takes an object with these tags."""
    name, equals, value = word.partition("=")
    return name in tags and (not equals or tags[name] == value)


def rules(tags: Any) -> Iterator[tuple[Path, str]]:
    """What is wrong with tags that are declared: where in them, and the sentence. What is not known yet passes."""
    given = tags if isinstance(tags, dict) else {}
    told = {name: value for name, value in given.items() if isinstance(value, str)}
    for name in given:
        if not _is_name(name):
            yield (
                (),
                f'"{shortened(name)}" is not the name of a tag: letters, digits and . _ - : / @ + are allowed, '
                f"beginning with a letter or digit, and at most {NAME_MAX} of them",
            )
            return
    for name, value in told.items():
        if (why := _fault(value)) is not None:
            yield (name,), why
    if (length := len(text_of(told))) > KEPT_MAX:
        yield (), f"take {length} bytes as the machine keeps them, more than the {KEPT_MAX} that there are for them"

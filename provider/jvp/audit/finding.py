"""What the audit tells: the lines of this machine, and the index where there is one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from jvp.audit import lines
from jvp.core import trail
from jvp.core.audit import BEGUN, NAME_MAX, Entry
from jvp.core.errors import Invalid, Rejected
from jvp.core.trail import LIMIT, OUTCOMES, Query
from jvp.core.types import duration_s

DOORS = ("pulumi", "terraform", "dynamic", "cli", "rest")
FILTERS = {
    "since": "Entries since then: how long ago, like 1h, or a time, like 2026-11-30T18:00:00Z.",
    "kind": "The type of resource.",
    "name": "The name or id of the object.",
    "who": "A part of who asked.",
    "outcome": f"One of {', '.join(OUTCOMES)}; unknown is what has begun and has no end.",
    "door": f"One of {', '.join(DOORS)}.",
}
"""What can be asked for, in words."""


def query_of(given: Mapping[str, str], limit: int = LIMIT, before: trail.Place | None = None) -> Query:
    """The query of these filters; the kind is a token. Raises Invalid."""
    for name, known in (("outcome", OUTCOMES), ("door", DOORS)):
        if given.get(name, known[0]) not in known:
            raise Invalid(f"must be one of {', '.join(known)}", path=(name,))
    for name, text in {**given, "after": before[1] if before is not None else ""}.items():
        if not text.isprintable() or len(text) > NAME_MAX:
            raise Invalid("is too long, or has characters that no entry has", path=(name,))
    since = _since(given["since"]) if given.get("since") else 0.0
    texts = {name: given.get(name, "") for name in ("kind", "name", "who", "outcome", "door")}
    return Query(since, **texts, limit=limit, before=before)


def _since(text: str) -> float:
    """Raises Invalid."""
    if re.fullmatch(r"[0-9hms]+", text, re.ASCII):
        try:
            return time.time() - duration_s(text)
        except ValueError as error:
            raise Invalid(str(error), path=("since",)) from None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Invalid("must be a duration, like 1h, or a time, like 2026-11-30T18:00:00Z", path=("since",)) from None


def find(query: Query, rows: Callable[[Query], list[Entry]] | None = None) -> list[Entry]:
    """The entries that are asked for, the newest first, and one more than the limit where there are more.

    `rows` are those of the index: of a call that has no end there, the end may stand in the lines. Raises JvpError.
    """
    noted = rows(query) if rows is not None else []
    try:
        there = lines.newest(query, {one.call for one in noted if one.outcome == BEGUN})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Rejected(f"the audit of this machine cannot be read: {reason}") from None
    return trail.newest((*noted, *there), query)

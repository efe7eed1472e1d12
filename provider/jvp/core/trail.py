"""The audit as it is read: of each call what is known last, the newest first, wherever its entries are."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from jvp.core.audit import BEGUN, CANCELLED, DONE, FAILED, PARTIAL, Caller, Entry
from jvp.core.text import sentence

UNKNOWN = "unknown"
"""What became of a call that has begun and has no end: it still runs, or its process died."""
OUTCOMES = (DONE, PARTIAL, FAILED, CANCELLED, UNKNOWN)
LIMIT = 100
Document = dict[str, Any]
Place = tuple[float, str]
"""Where an entry stands in the order: by time, and by its call's id at the same time."""


@dataclass(frozen=True)
class Query:
    """Which entries are asked for; what is empty takes all."""

    since: float = 0.0
    kind: str = ""
    """A token."""
    name: str = ""
    """The object's name or id."""
    who: str = ""
    """A part of who asked."""
    door: str = ""
    outcome: str = ""
    limit: int = LIMIT
    before: Place | None = None
    """Where the page before ended."""

    def takes(self, entry: Entry) -> bool:
        """Whether it is asked for. One that has begun is of the outcome UNKNOWN."""
        outcome = UNKNOWN if entry.outcome == BEGUN else entry.outcome
        return (
            entry.at >= self.since
            and (self.before is None or place(entry) < self.before)
            and self.kind in ("", entry.kind)
            and (self.name in ("", entry.name, entry.id) or entry.name.endswith(f"/{self.name}"))
            and self.who.casefold() in entry.caller.who.casefold()
            and self.door in ("", entry.caller.door)
            and self.outcome in ("", outcome)
        )


def place(entry: Entry) -> Place:
    """Where an entry stands in the order."""
    return entry.at, entry.call


def known(entries: Iterable[Entry]) -> dict[str, Entry]:
    """What is known last of each call, by its id."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.outcome != BEGUN or entry.call not in found:
            found[entry.call] = entry
    return found


def newest(entries: Iterable[Entry], query: Query) -> list[Entry]:
    """Those of all that are asked for, the newest first, and one more than the limit where there are more."""
    taken = sorted((one for one in known(entries).values() if query.takes(one)), key=place, reverse=True)
    return [replace(one, outcome=UNKNOWN) if one.outcome == BEGUN else one for one in taken[: query.limit + 1]]


def document(entry: Entry) -> Document:
    """An entry in JSON: a line of the file, an item of the API."""
    caller = entry.caller
    return {
        "at": _time(entry.at), "call": entry.call, "who": caller.who, "door": caller.door, "origin": caller.origin,
        "program": caller.program, "verb": entry.verb, "kind": entry.kind, "id": entry.id, "name": entry.name,
        "properties": [*entry.properties], "changed": [*entry.changed], "outcome": entry.outcome,
        "seconds": entry.seconds, "detail": entry.detail,
    }  # fmt: skip


def entry_of(found: object) -> Entry | None:
    """The entry of a document; None for what is none, since anybody may have written the file."""
    if not isinstance(found, dict):
        return None
    texts = ("call", "who", "door", "origin", "program", "verb", "kind", "id", "name", "outcome", "detail")
    text = {name: sentence(found[name]) if isinstance(found.get(name), str) else "" for name in texts}
    try:
        at = round(datetime.datetime.fromisoformat(found["at"]).timestamp(), 3)
        seconds = float(found.get("seconds") or 0.0)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not text["call"] or text["outcome"] not in (BEGUN, *OUTCOMES):
        return None
    properties, changed = (
        tuple(sentence(one) for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()
        for listed in (found.get("properties"), found.get("changed"))
    )
    caller = Caller(text["who"], text["door"], text["origin"], text["program"])
    return Entry(
        text["call"], at, caller, text["verb"], text["kind"], text["id"], text["name"], properties, text["outcome"],
        changed, text["detail"], seconds,
    )  # fmt: skip


def _time(at: float) -> str:
    """RFC 3339, to the millisecond and in UTC."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

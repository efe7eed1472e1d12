"""The audit: who asked for which change, through which door, and what became of it.

A door supplies where the entries go. Each call that may change something is told twice under one id, when it begins and
when it ends. So a change stands in the audit also where its process was killed: what has no end is not known to be
done. No entry holds a property's value, nor a key that a user made up: names of properties alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from jvp.core.errors import Cancelled, Path
from jvp.core.facts import Derived
from jvp.core.guard import said
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.stored import Result
from jvp.core.text import sentence, shortened
from jvp.core.tree import along

if TYPE_CHECKING:
    from jvp.core.work import Work

T = TypeVar("T")
NAME_MAX, DETAIL_MAX, NAMES_MAX = 300, 2000, 3000
"""No entry has longer texts, nor longer names of properties together: each is one line that is written at once."""
BEGUN, DONE, PARTIAL, FAILED, CANCELLED = "begun", "done", "partial", "failed", "cancelled"


@dataclass(frozen=True)
class Caller:
    """Who asks, as far as the door knows."""

    who: str
    """A user or a token: `uid 1000 (anna)`, `token ci`."""
    door: str
    """`pulumi`, `terraform`, `dynamic`, `cli` or `rest`."""
    origin: str = "local"
    """The address that the call came from; `local` where it began on the same machine."""
    program: str = ""
    """What declares it there: the stack with its project, the workspace."""


NOBODY = Caller("nobody", "", "")
"""Where a door told nothing."""


@dataclass(frozen=True)
class Entry:
    """What is known of one call, at its begin or its end."""

    call: str
    """The id of the call, the same at both ends."""
    at: float
    """When it began, in seconds since 1970."""
    caller: Caller
    verb: str
    """`create`, `update`, `delete`, `apply`, or the word of an action: `restart`."""
    kind: str
    """The token of the resource: `StoragePool`."""
    id: str
    """Of the object; empty as long as that is not known."""
    name: str
    """Of the object, or by what it was asked for."""
    properties: tuple[str, ...]
    """The names of what was given: `nics.network`."""
    outcome: str
    """`begun`; `done`, `partial`, `failed` or `cancelled` at the end."""
    changed: tuple[str, ...] = ()
    """The names of what differed in an object that was there."""
    detail: str = ""
    """The sentence of an error, or what was left undone."""
    seconds: float = 0.0


Sink = Callable[[Entry], None]
"""Where entries go. It is quick, and what it raises fails no call."""


@dataclass
class Call:
    """What is learnt of a call while it runs."""

    id: str = ""
    name: str = ""
    changed: tuple[str, ...] = ()


def learn(work: Work, *, id: str = "", name: str = "", changed: tuple[str, ...] = ()) -> None:
    """Tell the audit of a running call; nothing happens where there is none."""
    if (call := work.call) is not None:
        call.id, call.name, call.changed = id or call.id, name or call.name, changed or call.changed


@dataclass(frozen=True)
class About:
    """What a call is about, before it runs."""

    verb: str
    kind: str
    id: str = ""
    name: object = ""
    properties: tuple[str, ...] = ()
    secrets: set[str] = field(default_factory=set, repr=False)
    """What no text may show."""


class Audit:
    """The audit of one door's calls. Safe to use from many threads; never fails a call."""

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = sink
        self._warned = False

    def run(self, about: Callable[[], About], work: Work, call: Callable[[Work], T]) -> T:
        """What `call` returns. A part of a call that is told already is none of its own."""
        if self.sink is None or work.call is not None:
            return call(work)
        try:
            told = about()
            known = Call(told.id, str(told.name))
            begun = self._begun(told, known, work)
        except Exception as error:  # what cannot be told is done all the same
            self._warn(work, error)
            return call(work)
        self._tell(begun, told, known, work)
        since = time.monotonic()
        try:
            result = call(replace(work, call=known))
        except Exception as error:
            outcome = CANCELLED if isinstance(error, Cancelled) else FAILED
            self._tell(_ended(begun, outcome, str(error), since), told, known, work)
            raise
        outcome, detail = DONE, ""
        if isinstance(result, Result):
            learn(replace(work, call=known), id=result.stored.id, name=str(result.stored.state.get("name") or ""))
            outcome, detail = (PARTIAL, "; ".join(result.reasons)) if result.reasons else (DONE, "")
        self._tell(_ended(begun, outcome, detail, since), told, known, work)
        return result

    @staticmethod
    def _begun(told: About, known: Call, work: Work) -> Entry:
        caller = work.caller or NOBODY
        call, at = os.urandom(8).hex(), round(time.time(), 3)
        return Entry(call, at, caller, told.verb, told.kind, known.id, known.name, told.properties, BEGUN)

    def _tell(self, entry: Entry, told: About, known: Call, work: Work) -> None:
        assert self.sink is not None
        try:
            self.sink(_bounded(replace(entry, id=known.id, name=known.name, changed=known.changed), told.secrets))
        except Exception as error:
            self._warn(work, error)

    def _warn(self, work: Work, error: Exception) -> None:
        """Once: a disk that is full is so for every call."""
        if not self._warned:
            self._warned = True
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            work.warn(sentence(f"the audit cannot be written{place}: {reason}; what is changed is not noted there"))


def _bounded(entry: Entry, secrets: set[str]) -> Entry:
    """An entry as it may be shown: without secrets and what acts on a display, and not too long."""
    caller = entry.caller
    who, door, origin, program = (
        shortened(text, 200) for text in (caller.who, caller.door, caller.origin, caller.program)
    )
    return replace(
        entry,
        caller=Caller(who, door, origin, program),
        id=shortened(said(entry.id, secrets), NAME_MAX),
        name=shortened(said(entry.name, secrets), NAME_MAX),
        properties=_few(entry.properties),
        changed=_few(entry.changed),
        detail=shortened(said(entry.detail, secrets), DETAIL_MAX),
    )


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    """As many of the names as fit."""
    left = NAMES_MAX
    for number, name in enumerate(names):
        left -= len(name)
        if left < 0:
            return (*names[:number], "…")
    return names


def _ended(begun: Entry, outcome: str, detail: str, since: float) -> Entry:
    return replace(begun, outcome=outcome, detail=detail, seconds=round(time.monotonic() - since, 3))


def names(model: type[Spec], given: dict[str, Any]) -> tuple[str, ...]:
    """The names of the properties in a bag. Nothing is named inside of what is secret, write-only or a map."""
    return tuple(dict.fromkeys(_names(model, given, "")))


def _names(model: type[Spec], given: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, facts in fields(model).items():
        value = given.get(name)
        if value is None or facts.fact(Derived) is not None:
            continue
        inside = [
            one for item in _items(facts, value) if facts.item is not None
            for one in _names(facts.item, item, f"{prefix}{name}.")
        ]  # fmt: skip
        yield from inside or [f"{prefix}{name}"]


def _items(facts: FieldFacts, value: Any) -> Iterator[dict[str, Any]]:
    if not _is_closed(facts):
        held = (value if isinstance(value, list) else []) if facts.is_list else [value]
        yield from (one for one in held if isinstance(one, dict))  # what is in a Secret is not


def _is_closed(facts: FieldFacts) -> bool:
    return facts.sensitive or facts.write_only or facts.is_map


def name_of(model: type[Spec], path: Path) -> str:
    """The same of a path: `nics.network` of ("nics", 0, "network")."""
    found: list[str] = []
    for part, facts, _ in along(model, path):
        if facts is not None:
            found.append(str(part))
            if _is_closed(facts):
                break
    return ".".join(found)

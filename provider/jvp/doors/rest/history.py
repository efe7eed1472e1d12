"""Which operations a list is of, and a page of them: the newest first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from jvp.core.errors import Invalid
from jvp.core.text import shortened
from jvp.doors.rest import cursor
from jvp.resources import registry

if TYPE_CHECKING:
    from jvp.doors.rest.operations import Operation

STATES = ("running", "cancelling", "succeeded", "failed", "cancelled", "interrupted")
"""The first two are under way."""
Place = tuple[float, str]
"""Where an operation stands in the list: its start and its id."""
_LATEST = 1e15
"""No time is later; what is no number is not before it."""


@dataclass(frozen=True)
class Filter:
    """Which operations are meant; None of a part is any."""

    states: Collection[str] | None = None
    callers: Collection[str] | None = None
    kinds: Collection[str] | None = None

    @classmethod
    def of(cls, state: str | None, caller: str | None, kind: str | None) -> Self:
        """From a query, where each may be several with commas between. Raises Invalid for a word that is none."""
        return cls(
            _words("state", state, STATES), None if caller is None else {caller}, _words("kind", kind, registry.TYPES)
        )

    def within(self, *, caller: str | None = None, kinds: Collection[str] | None = None) -> Self:
        """Those of them that are of this caller, and of these kinds."""
        found = self
        if caller is not None:
            found = replace(found, callers={caller} & set(found.callers or {caller}))
        if kinds is not None:
            found = replace(found, kinds=set(kinds) & set(kinds if found.kinds is None else found.kinds))
        return found

    def takes(self, operation: Operation) -> bool:
        """Whether it is one of them."""
        return all(
            wanted is None or value in wanted
            for wanted, value in (
                (self.states, operation.state), (self.callers, operation.caller), (self.kinds, operation.asked.kind)
            )
        )  # fmt: skip


def _words(name: str, text: str | None, known: Collection[str]) -> set[str] | None:
    if text is None:
        return None
    words = {word.strip() for word in text.split(",")}
    for word in words - {*known}:
        raise Invalid(f'"{shortened(word)}" is none of {", ".join(known)}', path=(name,))
    return words


def place_of(operation: Operation) -> Place:
    """Where it stands in the list."""
    return operation.started, operation.id


def page(found: list[Operation], limit: int) -> dict[str, Any]:
    """A page of the first `limit`, and where to go on when there are more."""
    shown: dict[str, Any] = {"items": [one.document(whole=False) for one in found[:limit]]}
    if len(found) > limit:
        shown["next"] = cursor.text_of(place_of(found[limit - 1]))
    return shown


def after(text: str | None) -> Place | None:
    """Where a page begins. Raises Invalid."""
    if text is None:
        return None
    match cursor.place_in(text):
        case [int() | float() as started, str() as id_] if abs(started) < _LATEST:
            return float(started), id_
    raise cursor.wrong()

"""What a token is for: kinds, nodes and tags. What it does not name it does not limit.

A word that is not known here limits to nothing: a newer server may have meant more by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jvp.core import tags as words
from jvp.core.errors import Forbidden
from jvp.core.words import listed


@dataclass(frozen=True)
class Scope:
    """The scope of one caller. None of a part is all of it."""

    kinds: frozenset[str] | None = None
    nodes: frozenset[str] | None = None
    """Hosts' uuids."""
    tags: frozenset[str] | None = None
    """`team` takes any value of that tag, `team=web` this one."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Scope:
        """From what a token has."""
        parts = {name: frozenset(map(str, values)) for name, values in found.items() if name in cls.__annotations__}
        return cls(**parts) if len(parts) == len(found) else cls(kinds=frozenset())

    @property
    def is_whole(self) -> bool:
        return self.kinds is self.nodes is self.tags is None

    def has_kind(self, token: str | None) -> bool:
        """Whether objects of this kind are in it; None is what is of no kind."""
        return self.kinds is None or token in self.kinds

    def has_node(self, uuid: str) -> bool:
        return self.nodes is None or uuid.lower() in {one.lower() for one in self.nodes}

    def has(self, properties: Mapping[str, Any]) -> bool:
        """Whether an object with these properties is in it, by its tags: one that has none is not."""
        if self.tags is None:
            return True
        given = properties.get("tags")
        if isinstance(given, list):
            given = dict.fromkeys(map(str, given))
        return isinstance(given, Mapping) and any(words.takes(word, given) for word in self.tags)

    def refuse_outside(self, properties: Mapping[str, Any]) -> None:
        """Raise Forbidden for an object that is not in it."""
        if not self.has(properties):
            raise Forbidden(f"this token is for {self} alone")

    def __str__(self) -> str:
        said = ((name, sorted(part)) for name, part in vars(self).items() if part is not None)
        return " and ".join(f"the {name} {listed(part)}" for name, part in said)

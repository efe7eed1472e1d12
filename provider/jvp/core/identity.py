"""Who an object belongs to, and which uuid it gets: derived, never drawn, so that a retry finds it again.

A key is (owner, kind, address). `key.uuid(generation)` is used only while creating:

    absent                                  define it, marked unacknowledged
    present, this key, unacknowledged       an earlier try of ours: go on with it
    present, acknowledged                   an engine's state has it: take the next generation

The first read, update or delete by id acknowledges.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jvp.core.errors import Bug, NotFound

F = TypeVar("F")

_NAMESPACE = uuid.UUID("6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10")
MAX_GENERATIONS = 64
"""More live objects under one key than this mean that something else is wrong."""


@dataclass(frozen=True)
class Key:
    """The identity of a declared resource, the same on every run of the same program."""

    owner: str
    kind: str
    address: str
    label: str = ""
    """The resource's own name in the program, from which names are made up. Not part of the identity."""

    @property
    def digest(self) -> str:
        """The key as it is written on objects: equal for equal keys, and it tells nothing else."""
        return str(uuid.uuid5(_NAMESPACE, "\0".join((self.owner, self.kind, self.address))))

    def uuid(self, generation: int) -> str:
        """The uuid of this generation's object."""
        return str(uuid.uuid5(uuid.UUID(self.digest), str(generation)))

    def auto_name(self, object_uuid: str) -> str:
        """A name for who gave none: the label and seven digits of the uuid, so it follows the generation."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", self.label).strip("-.")[:60] or self.kind
        return f"{stem}-{object_uuid.replace('-', '')[:7]}"


@dataclass(frozen=True)
class Mark:
    """What is written on an object of ours."""

    key: str
    """`Key.digest`."""
    generation: int
    acknowledged: bool = False
    owner: str = ""

    def of(self, key: Key) -> bool:
        return self.key == key.digest

    def declared_by(self, key: Key) -> bool:
        """Whether a state of the key's own program has the object, as far as the owner tells programs apart."""
        return self.acknowledged and (self.of(key) or (bool(key.owner) and self.owner == key.owner))


def maker(holder: Mark | None) -> str:
    """Who made what has a name that this resource wants, by its mark, as the end of a clause after a comma."""
    return "which this resource did not make" if holder is None else "which another resource of jvp made"


def generation(
    key: Key, find: Callable[[str], F | None], mark_of: Callable[[F], Mark | None]
) -> tuple[int, str, F | None]:
    """The generation that a create is to make, its uuid, and what an earlier try of the same create left of it.

    `find` looks an object up by uuid, `mark_of` reads its mark (None: not ours; NotFound: removed since it was found).
    """
    for number in range(MAX_GENERATIONS):
        uuid_ = key.uuid(number)
        found = find(uuid_)
        try:
            mark = mark_of(found) if found is not None else None
        except NotFound:
            found, mark = None, None
        if found is None or (mark is not None and mark.of(key) and not mark.acknowledged):
            return number, uuid_, found
    raise Bug(f"{MAX_GENERATIONS} objects of kind {key.kind} exist under one address of the program")

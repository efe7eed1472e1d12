"""Who an object belongs to, and which uuid it gets: derived, never drawn, so that a retry finds it again.

A key is (owner, kind, address). `key.uuid(generation)` is used only while creating:

    absent                                  define it, marked unacknowledged
    present, this key, unacknowledged       an earlier try of ours: go on with it
    present, acknowledged                   an engine's state has it: take the next generation

The first read, update or delete by id acknowledges.
"""

from __future__ import annotations

import contextlib
import enum
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from jvp.core.errors import Bug, NotFound, Rejected
from jvp.core.text import harmless

if TYPE_CHECKING:
    from jvp.core.declaration import Declaration
    from jvp.core.work import Work


class Found(Protocol):
    """An object of the host that was looked up; None, which says that there is none, is no such thing."""

    def name(self) -> str: ...


F = TypeVar("F", bound=Found)

_NAMESPACE = uuid.UUID("6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10")
MAX_GENERATIONS = 64
"""More live objects under one key than this mean that something else is wrong."""


LABEL_BYTES, ADDRESS_BYTES = 200, 400
_DOORS = {
    "pulumi": "the Pulumi stack",
    "terraform": "the Terraform workspace",
    "cli": "the command line",
    "rest": "the REST API",
}


@dataclass(frozen=True)
class DeclaredBy:
    """Which program declares an object, noted on it for people and other doors. No engine's state depends on it."""

    door: str
    """The kind of program: `pulumi` (the dynamic form too), `terraform`."""
    label: str = ""
    """The stack with its project, `shop/dev`; the workspace."""
    address: str = ""
    """Where in it, as far as the engine tells: a URN; the type and the name."""

    @classmethod
    def of(cls, door: str, label: str, address: str) -> DeclaredBy:
        """From what an engine says, short and printable."""
        return cls(door, _clipped(label, LABEL_BYTES), _clipped(address, ADDRESS_BYTES))

    @classmethod
    def read(cls, found: object) -> DeclaredBy | None:
        """As it is noted on an object, which anybody may write to; None for what is no such note."""
        if not isinstance(found, Mapping) or not isinstance(found.get("door"), str) or not found["door"]:
            return None
        return cls(_clipped(found["door"], 20), *(
            _clipped(str(found.get(name) or ""), most)
            for name, most in (("label", LABEL_BYTES), ("address", ADDRESS_BYTES))
        ))  # fmt: skip

    def note(self) -> dict[str, str]:
        """As it is noted on an object."""
        return {name: text for name, text in self.__dict__.items() if text}

    def __str__(self) -> str:
        what = f'{_DOORS.get(self.door, self.door)} "{self.label}"' if self.label else _DOORS.get(self.door, self.door)
        return f"{what}, {self.address}" if self.address else what


def _stack(owner: str, by: DeclaredBy | None) -> str:
    """Which program declares an object, to be compared; empty where nothing tells.

    A workspace's name alone is that of many; there the owner tells.
    """
    return f"{owner} {by.door} {by.label}" if by is not None and by.door == "pulumi" and by.label else owner


def _clipped(text: str, most: int) -> str:
    """`text` on one printable line of at most so many bytes."""
    printable = "".join(one if one.isprintable() else "?" for one in harmless(text))
    return printable.encode(errors="replace")[:most].decode(errors="ignore")


@dataclass(frozen=True)
class Key:
    """The identity of a declared resource, the same on every run of the same program."""

    owner: str
    kind: str
    address: str
    label: str = ""
    """The resource's own name in the program, from which names are made up. Not part of the identity."""
    declared_by: DeclaredBy | None = field(default=None, compare=False)
    """What is noted on the object of who declares it. Not part of the identity either."""

    @property
    def stack(self) -> str:
        """See `_stack`."""
        return _stack(self.owner, self.declared_by)

    @cached_property
    def digest(self) -> str:
        """The key as it is written on objects: equal for equal keys, and it tells nothing else."""
        return str(uuid.uuid5(_NAMESPACE, "\0".join((self.owner, self.kind, self.address))))

    def uuid(self, generation: int) -> str:
        """The uuid of this generation's object."""
        return _derived(self.digest, generation)

    def generation_of(self, object_uuid: str) -> int | None:
        """Which generation has this uuid; None where it is none of this key's."""
        if not _is_derived(object_uuid):
            return None
        return next((number for number in range(MAX_GENERATIONS) if self.uuid(number) == object_uuid), None)

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
    declared_by: DeclaredBy | None = None
    """None in marks of older versions, which did not note it."""
    declared: str = ""
    """What was declared last, as the object bears it (`declaration.Noted` reads it); empty where none is noted."""

    @classmethod
    def new(cls, key: Key, generation: int, declaration: Declaration | None = None) -> Mark:
        """The mark of an object that is being made."""
        return cls(key.digest, generation, owner=key.owner, declared_by=key.declared_by).declaring(declaration)

    def updated(self, key: Key | None, declaration: Declaration | None = None) -> Mark:
        """The mark after an update by the program that the key tells: an engine's state has the object.

        Without a key some other door changed it: who declares it, and what by name, stays.
        """
        declared_by = (key.declared_by if key is not None else None) or self.declared_by
        new = replace(self, acknowledged=True, declared_by=declared_by)
        return new.declaring(declaration, names=key is not None)

    def declaring(self, declaration: Declaration | None, *, names: bool = True) -> Mark:
        """The mark that notes this declaration; without `names` those that are noted stay, and without a declaration
        all of it."""
        if declaration is None:
            return self
        return replace(self, declared=(declaration if names else declaration.named_as(self.declared)).text)

    @property
    def stack(self) -> str:
        """See `_stack`."""
        return _stack(self.owner, self.declared_by)

    def may_be_of(self, object_uuid: str) -> bool:
        """Whether an object with this uuid can be the one that was marked; a copy has another. Any may be that was
        imported."""
        with contextlib.suppress(ValueError):
            return not self.key or _derived(self.key, self.generation) == object_uuid
        return False

    def of(self, key: Key) -> bool:
        return self.key == key.digest

    def is_declared_by(self, key: Key) -> bool:
        """Whether a state of the key's own program has the object, as far as the owner tells programs apart."""
        return self.acknowledged and (self.of(key) or (bool(key.owner) and self.owner == key.owner))


def maker(holder: Mark | None) -> str:
    """Who made what has a name that this resource wants, by its mark, as the end of a clause after a comma."""
    if holder is None:
        return "which this resource did not make"
    return f"which another resource of jvp made ({holder.declared_by or 'an engine, name not recorded'})"


class Bearing(enum.Enum):
    """What an object is that has an id of ours, by the mark that it should bear."""

    OURS = "as it should be"
    UNMARKED = "it is as it was, and somebody took the mark out"
    REMADE = "somebody undefined it, and defined another one under its id"


def bearing(*, marked: bool, expected: Mark | None, same: bool) -> Bearing:
    """Whether an object that has an id of ours is ours.

    `expected` is the mark that a state knows it to bear: None of what was imported, and not updated since. An object
    without it is another one, whatever its id, unless what else is known of it is the `same`; and then too it is
    deleted only after an update has put the mark back.
    """
    if marked or expected is None:
        return Bearing.OURS
    return Bearing.UNMARKED if same else Bearing.REMADE


def borne(object_id: str, private: Mapping[str, Any], key: Key | None = None) -> Mark | None:
    """The mark that an object should bear, by what a state keeps; None where that is not known, as of an import.

    Older states do not tell: there an id is ours that was derived.
    """
    made, owner = private.get("made"), key.owner if key is not None else ""
    if isinstance(made, list | tuple) and len(made) == 2:
        return Mark(str(made[0]), int(made[1]), True, owner)
    if private.get("marked"):
        return Mark("", 0, True)
    if private.get("imported") or not _is_derived(object_id):
        return None
    number = key.generation_of(object_id) if key is not None else None
    return Mark(key.digest, number, True, owner) if key is not None and number is not None else Mark("", 0, True)


def noted(object_id: str, key: Key | None, mark: Mark | None) -> dict[str, Any]:
    """What a state keeps after an update of what was imported, which then bears a mark that owns nothing."""
    told = key is not None and key.declared_by is not None
    return {"marked": True} if "/" not in object_id and (told or mark is not None) else {}


def _derived(digest: str, generation: int) -> str:
    return str(uuid.uuid5(uuid.UUID(digest), str(generation)))


def _is_derived(object_id: str) -> bool:
    with contextlib.suppress(ValueError):
        return uuid.UUID(object_id).version == 5
    return False


def remade(what: str) -> str:
    """What a plan says of one that was made anew."""
    return f"{what} was removed, and another one has its id and bears no mark of jvp: that is left alone"


def unmarked(what: str) -> str:
    """Why an update is planned for one whose mark is gone."""
    return f"{what} bears no mark of jvp any more, and is marked again"


def refuse_unmarked(work: Work, found: Bearing, what: str) -> bool:
    """Before an object is deleted: whether it is there to be. Raises Rejected for one whose mark is gone."""
    if found is Bearing.UNMARKED:
        raise Rejected(
            f"{what} bears no mark of jvp any more, so it is not deleted; apply the program once, which marks it "
            "again, or delete it by hand"
        )
    if found is Bearing.REMADE:
        work.warn(remade(what))
    return found is Bearing.OURS


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

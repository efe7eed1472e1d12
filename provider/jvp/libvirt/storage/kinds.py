"""The kinds of storage pools, as data: what each is made of, how its volumes are told, and what it can do.

Whoever acts on a pool or a volume asks its row; no other module names a kind. Models know the table too, so nothing
here needs libvirt.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from jvp.core.errors import Path, Rejected

Ability = Literal["resize", "clone", "backing", "upload", "sparse", "snapshot"]
"""What can be done with volumes: grow them, have the daemon convert one into another, let one stand on another,
write into one by a stream, make one that takes no room yet, lay a snapshot over one."""


@dataclass(frozen=True)
class Beside:
    """Records of volumes are small volumes of the same pool, told by their names."""

    prefix: str
    suffix: str

    def name(self, volume: str) -> str:
        return f"{self.prefix}{volume}{self.suffix}"

    def is_record(self, name: str) -> bool:
        return name.startswith(self.prefix) and name.endswith(self.suffix)

    def volume(self, record: str) -> str:
        """The name of the volume that a record of this name speaks of."""
        return record[len(self.prefix) : -len(self.suffix)]


@dataclass(frozen=True)
class Volumes:
    """How volumes of one of libvirt's types are."""

    disk: str
    """libvirt's type of a domain's disk on one: see `domain/disk_source.py`."""
    records: Beside
    unit: int
    """Sizes are whole numbers of as many bytes."""
    least: int
    """A volume that is uploaded begins with as many bytes where its length shows only at the end. It grows by that."""
    blank_below: int
    """Holds nothing yet while it takes fewer bytes of its pool."""

    def rounded(self, length: int) -> int:
        """A length as a volume can have it, rounded up."""
        return -(-length // self.unit) * self.unit

    def is_blank(self, allocation: int) -> bool:
        """Whether nothing was written into a volume since it was made, by what it takes of its pool."""
        return allocation < self.blank_below


BESIDE = Beside(".jvp-", ".json")
FILES = Volumes(disk="file", records=BESIDE, unit=512, least=512, blank_below=1024 * 1024)
_VOLUMES: Mapping[str, Volumes] = {"file": FILES}
"""By libvirt's type of the volume, which its XML says."""
FOLDER = "dir"
"""What libvirt calls the format of a volume that is a folder."""


@dataclass(frozen=True)
class Kind:
    """One kind of pool."""

    type: str
    """libvirt's name for it."""
    volumes: Volumes
    cannot: Mapping[Ability, str] = field(default_factory=dict)
    """What it does not do, and the sentence that says so and what to do instead."""

    def path(self, folder: str, name: str) -> str:
        """The path of a volume of this name, which may be still to be made. `folder` is the pool's target."""
        return f"{folder}/{name}"

    def require(self, ability: Ability, path: Path = ()) -> None:
        """Raise Rejected, with the kind's own sentence, for what it cannot do."""
        if ability in self.cannot:
            raise Rejected(self.cannot[ability], path=path)


Type = Literal["dir"]
DIR = Kind("dir", FILES)
_KINDS: Mapping[str, Kind] = {kind.type: kind for kind in (DIR,)}


def kind_of(type: str | None) -> Kind:
    """The row of libvirt's type of a pool. A pool of another type, which somebody else made, is taken for a folder."""
    return _KINDS.get(type or "", DIR)


def volumes_of(type: str | None) -> Volumes:
    """How volumes of this type are, which a volume's XML says."""
    return _VOLUMES.get(type or "", FILES)


def folder_of(path: str) -> str:
    """The target of the pool that the volume at a path is in."""
    return posixpath.dirname(path)


def name_of(path: str) -> str:
    """The name of the volume at a path."""
    return posixpath.basename(path)

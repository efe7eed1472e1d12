"""The kinds of storage pools, as data: what each is made of, how its volumes are told, and what it can do.

Whoever acts on a pool or a volume asks its row; no other module names a kind. Models know the table too, so nothing
here needs libvirt.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Literal, NamedTuple

from jvp.core.errors import Path, Rejected
from jvp.core.types import shortened

Ability = Literal["resize", "clone", "backing", "upload", "sparse", "snapshot"]
"""What can be done with volumes: grow them, have the daemon convert one into another, let one stand on another,
write into one by a stream, make one that takes no room yet, lay a snapshot over one."""


class Beside(NamedTuple):
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


class Volumes(NamedTuple):
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


class Kind(NamedTuple):
    """One kind of pool."""

    type: str
    """libvirt's name for it."""
    volumes: Volumes
    source: tuple[str, ...] = ()
    """What `source` says of it; nothing for a kind that has none, else it is required."""
    mounts: bool = False
    """Its folder is where libvirt mounts the source while the pool runs: what is in the pool is not in the folder."""
    cannot: Mapping[Ability, str] = {}
    """What it does not do, and the sentence that says so and what to do instead."""

    def path(self, folder: str, name: str) -> str:
        """The path of a volume of this name, which may be still to be made. `folder` is the pool's target."""
        return f"{folder}/{name}"

    def require(self, ability: Ability, path: Path = ()) -> None:
        """Raise Rejected, with the kind's own sentence, for what it cannot do."""
        if ability in self.cannot:
            raise Rejected(self.cannot[ability], path=path)


DIR = Kind("dir", FILES)
MOUNT = Kind("fs", FILES, source=("device", "format"), mounts=True)
_KINDS: Mapping[str, Kind] = {kind.type: kind for kind in (DIR, MOUNT)}
_OTHERS = frozenset(
    "netfs logical disk iscsi iscsi-direct scsi mpath rbd sheepdog gluster zfs vstorage".split()  # noqa: SIM905 - shorter
)
"""libvirt's other types: a pool of these is not made here, and one that is there is taken for a folder."""
Format = Literal[
    "auto", "ext4", "xfs", "ext3", "ext2", "vfat", "iso9660", "udf", "ufs", "gfs", "gfs2", "hfs+", "ocfs2", "vmfs"
]  # fmt: skip
"""libvirt's types of file systems."""
ANY_FORMAT: Format = "auto"
"""Whatever file system there is; none is made."""


def type_of_pool(text: str) -> str:
    """A type of pool as libvirt spells it. Raises ValueError."""
    if text not in _KINDS and text not in _OTHERS:
        raise ValueError(f'"{shortened(text)}" is no type of pool: take {made()}')
    return text


def made() -> str:
    """The types that are made here, as a sentence names them."""
    return " or ".join(_KINDS)


def refuse_other(type: str | None) -> None:
    """Raise Rejected for a type of which no pool is made here."""
    if type is not None and type not in _KINDS:
        raise Rejected(
            f'pools of the type "{type}" are not made by jvp, only imported; take {made()}',
            path=("type",),
        )


def kind_of(type: str | None) -> Kind:
    """The row of libvirt's type of a pool. One of another type, which somebody else made, is taken for a folder."""
    return _KINDS.get(type or "", DIR)


def always(ability: Ability) -> bool:
    """Whether every kind can do it: then nobody has to ask of which one a pool is."""
    return not any(ability in kind.cannot for kind in _KINDS.values())


def with_source() -> list[str]:
    """The types that take a source."""
    return [kind.type for kind in _KINDS.values() if kind.source]


def volumes_of(type: str | None) -> Volumes:
    """How volumes of this type are, which a volume's XML says."""
    return _VOLUMES.get(type or "", FILES)


def folder_of(path: str) -> str:
    """The target of the pool that the volume at a path is in."""
    return posixpath.dirname(path)


def name_of(path: str) -> str:
    """The name of the volume at a path."""
    return posixpath.basename(path)

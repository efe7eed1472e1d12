"""The chain of a domain's disk: the files that it is made of, from the active one, which the guest writes to, down.

Whoever has to know what lies over a disk, or under it, asks the chain: what is read, written, grown, cloned or deleted
follows from whose the layers are.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, partial

import libvirt

from jvp.core.errors import Busy, NotFound
from jvp.core.words import listed
from jvp.core.work import current
from jvp.libvirt.domain import disk_source
from jvp.libvirt.domain.disks import DomainDisk
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import translated
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.node_view import SeenVolume, View
from jvp.libvirt.storage import kinds, layer_names, lookup, templates, volume_record

_LEFT_S = 60.0
"""After so long a copy that goes on has begun: until then its layer is not taken for one that was left."""
DECLARED = "volume"
"""The kind of the record of a volume that a program declares."""
_MADE = re.compile(r"jvp-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-(root|seed|nvram|disk[0-9]+)")
"""The names of the files that an instance is made with."""


class Whose(Enum):
    """Whose a layer is: ours, unless it is one of the last two."""

    ROOT = "a disk that an instance was made with"
    VOLUME = "a volume that a program declares"
    TEMPLATE = "the image of a template"
    LAYER = "a layer of ours over one of these"
    OTHER = "another tool's"
    UNKNOWN = "in no active pool"


@dataclass(frozen=True)
class Layer:
    """One file of a chain."""

    path: str
    format: str
    """As the domain's definition or the layer above tells it, never as its own bytes do."""
    view: View = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return kinds.name_of(self.path)

    @property
    def volume(self) -> SeenVolume | None:
        """The volume at its path, whether its file is there or not. Raises libvirtError."""
        return self.view.listed(self.path)

    @property
    def whose(self) -> Whose:
        """By our record, else by its name. Raises libvirtError, and Rejected for a record of a newer version."""
        volume = self.volume
        if volume is None:
            return Whose.UNKNOWN
        if layer_names.is_layer(volume.name):
            return Whose.LAYER
        if (record := volume.record) is not None:
            return Whose.VOLUME if record.kind == DECLARED else Whose.LAYER
        if (made := _MADE.fullmatch(volume.name)) and made[1] not in ("seed", "nvram"):
            return Whose.ROOT
        return Whose.TEMPLATE if templates.parsed_name(volume.name) else Whose.OTHER

    @property
    def size(self) -> int | None:
        """What a guest sees of a disk that ends with this layer; None where its file is gone, or in no pool."""
        volume = self.view.volume(self.path)
        return volume.size(self.format) if volume is not None else None


class Chain:
    """The layers of a domain's disk, as far as they are known. They are read when they are first asked for.

    A raw layer is the last one, whatever a guest wrote into it. What a qcow2 layer stands on the definition of a
    running guest tells; of a guest that is off the volumes do, and both say the same.
    """

    def __init__(self, view: View, disk: Element) -> None:
        self.view, self.disk = view, disk
        self.path = path_of(disk)
        """The active layer's file, None where the disk has none: a drive without a medium, or a disk over a network."""
        self.format = value(disk, "driver/@type") or "raw"

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """From the active one down. Raises libvirtError."""
        found: dict[str, Layer] = {}
        for path, format in self._read():
            if path in found:  # a circle
                break
            found[path] = Layer(path, format, self.view)
        return tuple(found.values())

    @property
    def active(self) -> Layer | None:
        """The layer that the guest writes to."""
        return Layer(self.path, self.format, self.view) if self.path is not None else None

    def over(self, path: str) -> tuple[Layer, ...]:
        """The layers that lie over the file at `path`, the active one first.

        None when the disk is that file, or is not made of it, or when one of them is a disk in its own right: then
        somebody gave the guest another disk. Raises libvirtError.
        """
        if self.path is None or self.path == path or self.format == "raw":
            return ()
        paths = [layer.path for layer in self.layers]
        above = self.layers[: paths.index(path)] if path in paths else ()
        own = (Whose.ROOT, Whose.VOLUME, Whose.TEMPLATE)
        return () if any(layer.whose in own for layer in above) else above

    def stands_for(self, path: str) -> bool:
        """Whether the active layer is where the disk at `path` goes on: that file itself, or layers of ours alone lie
        over it. Raises libvirtError."""
        if self.active is None or self.path == path:
            return self.path == path
        # The active one first: nothing below another tool's has to be read.
        above = self.over(path) if self.active.whose is Whose.LAYER else ()
        return bool(above) and all(layer.whose is Whose.LAYER for layer in above)

    def seen_size(self, domain: handles.Domain) -> int | None:
        """What the guest sees of the disk; None when that cannot be read: the active layer is gone, or damaged.

        Raises libvirtError when the daemon did not answer: then nothing is known of it.
        """
        assert self.path is not None
        try:
            return int(domain.blockInfo(self.path, 0)[0])
        except libvirt.libvirtError:
            if not domain.connect().isAlive():
                raise
            return None

    def _read(self) -> Iterator[tuple[str, str]]:
        """Paths and formats: what the definition tells, then what the volumes do."""
        told = list(_told(self.disk))
        yield from told
        last = told[-1] if told else None
        while last is not None and last[1] != "raw" and (last := self.view.base_of(last[0])) is not None:
            yield last


def standing(view: View, pool: handles.StoragePool, path: str) -> dict[str, str]:
    """The files of all volumes that stand on the one at `path`, at once or on others, and what each is called.

    Raises libvirtError.
    """
    _learn(pool, kinds.folder_of(path), view.users)
    found: dict[str, str] = {}
    going = [path]
    while going:
        for file, name in children(view, going.pop()).items():
            going += [] if file in found else [file]
            found[file] = name
    return found


def children(view: View, path: str, *, fresh: bool = False) -> dict[str, str]:
    """The files of the volumes that stand on the one at `path` themselves, and what each is called: `pool/name`.

    None that is raw: that it stands on something its guest wrote. `fresh` remembers nothing. Raises libvirtError.
    """
    found: dict[str, str] = {}
    connection = view.node.connection
    known = (
        lookup.backing_map(connection, fresh=True).get(path, []) if fresh else lookup.backing_users(connection, path)
    )
    for name in known:
        with contextlib.suppress(NotFound):  # gone meanwhile
            volume = view.meant(name)
            if not _is_raw(view, volume):
                found[volume.path] = name
    return found


def in_the_way(view: View, path: str) -> dict[str, str]:
    """As `children`, read anew, for who is to change the file at `path`: without what copies of it have left that were
    cut off (see `flat_copy`). That is removed, but not while the daemon reads it, or another run is about to have it
    do so: of that nothing but its age tells. Raises libvirtError."""
    found, old = children(view, path, fresh=True), time.time() - _LEFT_S
    for file in [one for one in found if layer_names.is_over_copied(kinds.name_of(one))]:
        volume = view.volume(file)
        made = float(value(volume.root, "target/timestamps/mtime") or "inf") if volume is not None else 0.0
        if volume is None or (made < old and _removed(volume)):
            del found[file]
    return found


def _removed(layer: SeenVolume) -> bool:
    """Remove the layer over a copied disk, and the copy where that was made to be exported. False where it is read."""
    try:
        lookup.delete_volume(layer.volume)
    except libvirt.libvirtError as error:
        if isinstance(translated(error, ""), Busy):
            return False
        raise
    for name in lookup.names(layer.pool):
        if layer_names.is_exporting(name) and layer_names.over_copied(name) == layer.name:
            lookup.delete_volume(layer.pool.storageVolLookupByName(name))
    return True


def covering(view: View, pool: handles.StoragePool, path: str) -> tuple[list[DomainDisk], bool]:
    """The domains' disks that have the volume at `path` below their active layer, and whether anything stands on it.

    Raises libvirtError.
    """
    tops, users = standing(view, pool, path), view.users
    found = [disk for disk in users.get(path, ()) if disk.backing]
    found += [disk for top in tops for disk in users.get(top, ())]
    once = {(disk.name, disk.target): disk for disk in reversed(found)}
    return [disk for _, disk in sorted(once.items())], bool(tops)


def under_ours(view: View, path: str) -> DomainDisk | None:
    """The disk of a domain in which layers of ours lie over the file at `path`; None where none do."""
    for top, disks in view.users.items():
        if _is_layers_name(kinds.name_of(top)):
            for disk in disks:
                chain = Chain(view, disk.element)
                if chain.path != path and chain.stands_for(path):
                    return disk
    return None


def may_hold_layers(files: Collection[str]) -> bool:
    """Whether a pool with these files may hold a layer: another tool's, which has no record, or one of ours.

    Ours are told by their names, which begin as those of all files that we make: nobody reads each record for it.
    """
    names = set(files)
    others = (name for name in names if not name.startswith("jvp-") and not volume_record.is_sidecar(name))
    return any(map(_is_layers_name, names)) or any(volume_record.volume_name(name) not in names for name in others)


def covered(chain: Chain, domain: handles.Domain, path: str | None) -> str:
    """What lies over the disk `path` of a domain, whose chain this is, and what to do about it. Raises libvirtError."""
    name = domain.name()
    if path is not None and chain.stands_for(path):
        return f"{under(chain.view, name, domain.UUIDString())}; delete that first, which merges it into the disk below"
    target = value(chain.disk, "target/@dev") or ""
    return (
        f'lies under an overlay of "{name}", as another tool\'s external snapshot makes one; merge that first: while '
        f'the guest runs, "virsh blockcommit {name} {target} --active --pivot", then delete the overlay\'s file'
    )


def under(view: View, domain: str, uuid: str) -> str:
    """That a disk lies under snapshots of ours, and under which. Raises libvirtError."""
    pools = lookup.active_pools(view.node.connection)
    names = (lookup.unless_lost(pool, partial(view.names, pool)) or () for pool in pools)
    found = [name for files in names for instance, name in layer_names.snapshots(files) if instance == uuid]
    return f'lies under a snapshot of "{domain}"' + (f" ({listed(found)})" if found else "")


def _is_layers_name(name: str) -> bool:
    """Whether a layer of ours may be called so: as no file that an instance is made with, and no template's."""
    return name.startswith("jvp-") and not _MADE.fullmatch(name) and templates.parsed_name(name) is None


def _is_raw(view: View, volume: SeenVolume) -> bool:
    """By our record, else by the domains that have it."""
    if (record := volume.record) is not None and record.format:
        return record.format == "raw"
    told = [disk.format for disk in view.users.get(volume.path, ()) if not disk.backing]
    return bool(told) and set(told) == {"raw"}


def _learn(pool: handles.StoragePool, folder: str, users: Collection[str]) -> None:
    """Have the pool look at its folder when a domain has a disk in it that the pool does not know."""
    inside = {kinds.name_of(path) for path in users if kinds.folder_of(path) == folder}
    if inside and inside - set(lookup.names(pool)):
        lookup.refresh(current(), pool)


def path_of(disk: Element) -> str | None:
    return disk_source.path_of(disk)


def _told(disk: Element) -> Iterator[tuple[str, str]]:
    """Paths and formats that a domain's definition tells of a disk, to the first that is raw."""
    path, store = path_of(disk), disk.find("backingStore")
    format = value(disk, "driver/@type") or "raw"
    while path is not None:
        yield path, format
        path = path_of(store) if store is not None and format != "raw" else None
        if store is not None:
            format, store = value(store, "format/@type") or "raw", store.find("backingStore")

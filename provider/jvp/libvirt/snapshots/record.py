"""The record of a snapshot: a small volume in the pool of its first disk, whose name says instance and snapshot.

libvirt keeps nothing of our snapshots. What one holds are the files that it froze, and what was written since lies in
layers over them. Its record says which files these are; how they stand on each other the files themselves tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import libvirt

from jvp.core.errors import Path, Rejected
from jvp.core.identity import Mark
from jvp.core.work import Work
from jvp.libvirt.domain import devices, disk_source
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, unless_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import parse, value
from jvp.libvirt.storage import kinds, layer_names, lookup, pool_kind, volume_record
from jvp.libvirt.storage.volume_record import Sidecar

KIND = "snapshot"
MOST = 16
"""So many files are a disk at most: with more libvirt gets slow, and some versions do not start the guest."""
ROLLBACK = "rollback"
"""A fact of the record while one is under way: the new layers' serial, whether the guest ran, the files to drop."""
Merging = tuple[tuple[int, str, str], ...]
"""The disks of a snapshot, by their place; the layer that is merged into what it froze of each, and what stands on that
layer. No names where nothing stands there."""


@dataclass(frozen=True)
class Held:
    """One disk of a snapshot."""

    name: str
    """What the program calls it; of the root disk `root`."""
    pool: str
    """The uuid of the pool that all of the disk is in."""
    file: str
    """The volume that the snapshot froze."""
    format: str
    size: int
    layer: str
    """The volume that was laid over it then. Others may stand there since."""


@dataclass(frozen=True)
class Snap:
    """A snapshot, as its record says."""

    pool: handles.StoragePool
    """Where the record is."""
    record: Sidecar
    instance: str
    """The domain's uuid."""
    name: str
    disks: tuple[Held, ...]

    @property
    def id(self) -> str:
        return f"{self.instance}/{self.name}"

    @property
    def record_name(self) -> str:
        return layer_names.record(self.instance, self.name)

    @property
    def mark(self) -> Mark:
        return self.record.mark

    @property
    def created(self) -> str:
        return str(self.record.facts.get("created") or "")

    @property
    def serial(self) -> str:
        """A uuid, by which its files are told from others'."""
        return str(self.record.facts.get("serial") or "")

    @property
    def memory(self) -> int | None:
        """How long the file is that has the guest's memory, 0 while it is written; None where that is not kept."""
        found = self.record.facts.get("memory")
        return found if isinstance(found, int) else None

    @property
    def ways(self) -> int:
        """How often its instance went back to it."""
        found = self.record.facts.get("ways")
        return found if isinstance(found, int) else 0

    @property
    def merging(self) -> Merging | None:
        """What its deletion does; None while it is not deleted. Empty while others stand on what it froze."""
        if self.record.phase != "deleting":
            return None
        return tuple(
            (int(place), str(layer), str(over)) for place, layer, over in self.record.facts.get("merging") or ()
        )

    def put(self, record: Sidecar) -> Snap:
        """Write the record anew. Raises libvirtError."""
        volume_record.put(self.pool, self.record_name, record)
        return Snap(self.pool, record, self.instance, self.name, _held(record))

    def moved(self, old: str, new: str, format: str) -> Snap:
        """Note that what it froze as the volume `old` is in `new` now. Raises libvirtError. Again: yes."""
        if all(disk.file != old for disk in self.disks):
            return self
        rows = [[one.name, one.pool, new if one.file == old else one.file, format if one.file == old else one.format,
                 one.size, one.layer] for one in self.disks]  # fmt: skip
        return self.put(self.record.having(facts={**self.record.facts, "disks": rows}))

    def drop(self) -> None:
        """Remove the record; missing is fine. Raises libvirtError."""
        volume_record.drop(self.pool, self.record_name, self.record.nonce)


def turn(work: Work, node: Node, uuid: str) -> contextlib.AbstractContextManager[None]:
    """One call of this process at a time changes which files the disks of an instance are."""
    return node.turn(work, f"the disks of {uuid}")


def path_of(node: Node, pool: str, name: str) -> str:
    """The path of a volume, which may be gone. Raises libvirtError."""
    return pool_kind.layout_of(node.connection.storagePoolLookupByUUIDString(pool)).path(name)


def facts_of(name: str, created: str, disks: list[Held]) -> dict[str, Any]:
    """What a record says of the snapshot itself."""
    rows = [[one.name, one.pool, one.file, one.format, one.size, one.layer] for one in disks]
    return {"created": created, "disks": rows, "size": sum(one.size for one in disks)}


def _held(record: Sidecar) -> tuple[Held, ...]:
    found = record.facts.get("disks")
    with contextlib.suppress(TypeError, ValueError):
        return tuple(
            Held(str(name), str(pool), str(file), str(format), int(size), str(layer))
            for name, pool, file, format, size, layer in found or ()
        )
    return ()


def read(pool: handles.StoragePool, instance: str, name: str) -> Snap | None:
    """The snapshot whose record is in this pool; None when there is none. Raises Rejected, libvirtError."""
    record = volume_record.get(pool, layer_names.record(instance, name))
    if record is None:
        return None
    disks = _held(record)
    if record.kind != KIND or not disks:
        raise Rejected(f'the record of the snapshot "{name}" is damaged; restore it, or delete it by hand')
    return Snap(pool, record, instance, name, disks)


def find(node: Node, instance: str, name: str) -> Snap | None:
    """The snapshot of an instance by its name, in whatever active pool its record is. Raises Rejected, libvirtError."""
    for pool in lookup.active_pools(node.connection):
        if (found := lookup.unless_lost(pool, partial(read, pool, instance, name))) is not None:
            return found
    return None


def whole(node: Node, instance: str, name: str, path: Path = ()) -> Snap | None:
    """The snapshot as `find` has it, once it is complete; None when it is surely gone.

    Raises Stopped where its record may be in a pool that is not active, Rejected while it is made or deleted;
    libvirtError.
    """
    found = find(node, instance, name)
    if found is None:
        refuse_stopped(node, instance, path)
    if found is None or found.merging == ():
        return None
    if found.record.phase == "filling":
        raise Rejected(f'the snapshot "{name}" is not complete; apply the program that declares it', path=path)
    if found.merging:
        raise Rejected(f'the snapshot "{name}" is being deleted, or its deletion was cut off', path=path)
    return found


def refuse_stopped(node: Node, instance: str, path: Path = ()) -> None:
    """Raise Stopped where a disk of the instance lies in a pool that is not active: a record may be there, too.

    Raises libvirtError.
    """
    domain = DomainApi(node).find(instance)
    disks = devices.inactive_xml(domain).iterfind("devices/disk") if domain is not None else ()
    folders = {kinds.folder_of(file) for disk in disks if (file := disk_source.path_of(disk)) is not None}
    for pool in node.connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE) if folders else ():
        with unless_gone(Gone.POOL):
            if value(parse(pool.XMLDesc(0)), "target/path") in folders:
                raise lookup.inactive(pool.name(), path)


def every(
    node: Node, takes: Callable[[str, str], bool] = lambda _instance, _name: True, *, readable: bool = False
) -> Iterator[Snap]:
    """The snapshots of active pools that `takes` takes, by instance and name. Raises libvirtError.

    Raises Rejected for a record that is damaged, or of a newer version; with `readable` it is passed over.
    """
    for pool in lookup.active_pools(node.connection):
        for instance, name in layer_names.snapshots(lookup.unless_lost(pool, partial(lookup.names, pool)) or ()):
            if takes(instance, name):
                with contextlib.suppress(*((Rejected,) if readable else ())):
                    found = lookup.unless_lost(pool, partial(read, pool, instance, name))
                    if found is not None:
                        yield found


def of(node: Node, instance: str) -> list[Snap]:
    """The snapshots of an instance, the oldest first, also those that are made or deleted now. Raises Rejected,
    libvirtError."""
    return sorted(every(node, lambda one, _: one == instance), key=lambda snap: (snap.created, snap.name))

"""Overlays: files that another tool lays over a disk, as an external snapshot does; the guest writes into the top one.

They are that tool's, and what was declared lies under them. libvirt tells what is under the disk of a running guest;
of one that is off only the volumes say it, and only after their pool has looked at its folder again.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterable, Iterator

import libvirt

from jvp.core.errors import NotFound, Path, Rejected
from jvp.core.work import current
from jvp.libvirt import pools, sidecar
from jvp.libvirt.disks import DomainDisk
from jvp.libvirt.node import Node
from jvp.libvirt.nodeview import View
from jvp.libvirt.xml import Element, value


def layers(view: View, disk: Element) -> list[str]:
    """The files of a domain's disk from the top down, as far as they are known. Raises libvirtError.

    A raw file is the last one, whatever a guest wrote into it; what a qcow2 file stands on, its own head says.
    """
    found = list(_told(disk))
    paths = [path for path, _ in found]
    while found and found[-1][1] != "raw" and (below := _base(view, paths[-1])) and below[0] not in paths:
        found.append(below)
        paths.append(below[0])
    return paths


def over(view: View, disk: Element, base: str) -> list[str]:
    """The overlays that other tools laid over `base`, top first, when a domain's disk is made of these.

    Empty when the disk is `base` itself, or does not stand on it, or is another volume that a program declares.
    Raises libvirtError.
    """
    top = path_of(disk)
    if top is None or top == base or (value(disk, "driver/@type") or "raw") == "raw":
        return []
    found = layers(view, disk)
    above = found[: found.index(base)] if base in found else []
    return [] if any(is_recorded(view, path) for path in above) else above


def is_recorded(view: View, path: str) -> bool:
    """Whether the file at a path is a volume that a program declares. Raises libvirtError."""
    volume = view.listed(path)
    return volume is not None and volume.record is not None


def path_of(disk: Element) -> str | None:
    return value(disk, "source/@file") or value(disk, "source/@dev")


def size(domain: libvirt.virDomain, path: str) -> int | None:
    """What the guest sees of its disk with this top file; None when that cannot be read: it is gone, or damaged.

    Raises libvirtError when the daemon did not answer: then nothing is known of it.
    """
    try:
        return int(domain.blockInfo(path, 0)[0])
    except libvirt.libvirtError:
        if not domain.connect().isAlive():
            raise
        return None


def refuse_covered(
    node: Node, pool: libvirt.virStoragePool, path: str, users: dict[str, list[DomainDisk]], where: Path = ()
) -> bool:
    """Raise Rejected when a domain's disk is an overlay over the volume at `path`. `users` are all domains' disks.

    Whether other volumes stand on it, which no domain has. Raises libvirtError.
    """
    tops = standing(node, pool, path, users)
    below = {(disk.name, disk.target) for disk in users.get(path, ()) if disk.backing}
    above = {(disk.name, disk.target) for top in tops for disk in users.get(top, ())}
    if found := sorted(below | above):
        raise Rejected(f'volume "{posixpath.basename(path)}" {covered(*found[0])}', path=where)
    return bool(tops)


def standing(node: Node, pool: libvirt.virStoragePool, path: str, users: dict[str, list[DomainDisk]]) -> set[str]:
    """The files of all volumes that stand on the one at `path`, at once or on others. Raises libvirtError."""
    _learn(pool, posixpath.dirname(path), users)
    found: set[str] = set()
    going = [path]
    while going:
        for name in pools.backing_users(node.connection, going.pop()):
            with contextlib.suppress(NotFound):  # gone meanwhile
                top = pools.volume_of(node, name).path()
                going += [] if top in found else [top]
                found.add(top)
    return found


def has_foreign(files: Iterable[str]) -> bool:
    """Whether a pool with these files holds a volume that is not ours, as every overlay is."""
    names = set(files)
    ours = {name for name in names if sidecar.is_sidecar(name) or name.startswith("jvp-")}
    return any(sidecar.volume_name(name) not in names for name in names - ours)


def covered(domain: str, target: str) -> str:
    """What lies over the disk of a domain, and what to do about it."""
    return (
        f'lies under an overlay of "{domain}", as another tool\'s external snapshot makes one; merge that first: while '
        f'the guest runs, "virsh blockcommit {domain} {target} --active --pivot", then delete the overlay\'s file'
    )


def _told(disk: Element) -> Iterator[tuple[str, str]]:
    """Paths and formats that a domain's definition tells of a disk."""
    path, store = path_of(disk), disk.find("backingStore")
    if path is not None:
        yield path, value(disk, "driver/@type") or "raw"
    while store is not None and (path := path_of(store)):
        yield path, value(store, "format/@type") or "raw"
        store = store.find("backingStore")


def _base(view: View, path: str) -> tuple[str, str] | None:
    """Path and format of what the volume at a path stands on."""
    volume = view.learned(path)
    if volume is None:
        return None
    base = value(volume.root, "backingStore/path")
    return (base, value(volume.root, "backingStore/format/@type") or "raw") if base else None


def _learn(pool: libvirt.virStoragePool, folder: str, users: dict[str, list[DomainDisk]]) -> None:
    """Have the pool look at its folder when a domain has a disk in it that the pool does not know."""
    inside = {posixpath.basename(path) for path in users if posixpath.dirname(path) == folder}
    if inside and inside - set(pools.names(pool)):
        pools.refresh(current(), pool)

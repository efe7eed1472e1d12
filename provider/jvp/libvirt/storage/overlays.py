"""Overlays: files that another tool lays over a disk, as an external snapshot does; the guest writes into the top one.

They are that tool's, and what was declared lies under them. libvirt tells what is under the disk of a running guest;
of one that is off only the volumes say it, and only after their pool has looked at its folder again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from jvp.core.errors import NotFound, Path, Rejected
from jvp.core.work import current
from jvp.libvirt.domain.disks import DomainDisk
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import kinds, lookup, volume_record


def refuse_covered(
    node: Node, pool: handles.StoragePool, path: str, users: dict[str, list[DomainDisk]], where: Path = ()
) -> bool:
    """Raise Rejected when a domain's disk is an overlay over the volume at `path`. `users` are all domains' disks.

    Whether other volumes stand on it, which no domain has. Raises libvirtError.
    """
    tops = standing(node, pool, path, users)
    below = {(disk.name, disk.target) for disk in users.get(path, ()) if disk.backing}
    above = {(disk.name, disk.target) for top in tops for disk in users.get(top, ())}
    if found := sorted(below | above):
        raise Rejected(f'volume "{kinds.name_of(path)}" {covered(*found[0])}', path=where)
    return bool(tops)


def standing(node: Node, pool: handles.StoragePool, path: str, users: dict[str, list[DomainDisk]]) -> set[str]:
    """The files of all volumes that stand on the one at `path`, at once or on others. Raises libvirtError."""
    _learn(pool, kinds.folder_of(path), users)
    found: set[str] = set()
    going = [path]
    while going:
        for name in lookup.backing_users(node.connection, going.pop()):
            with contextlib.suppress(NotFound):  # gone meanwhile
                top = lookup.volume_of(node, name).path()
                going += [] if top in found else [top]
                found.add(top)
    return found


def has_foreign(files: Iterable[str]) -> bool:
    """Whether a pool with these files holds a volume that is not ours, as every overlay is."""
    names = set(files)
    ours = {name for name in names if volume_record.is_sidecar(name) or name.startswith("jvp-")}
    return any(volume_record.volume_name(name) not in names for name in names - ours)


def covered(domain: str, target: str) -> str:
    """What lies over the disk of a domain, and what to do about it."""
    return (
        f'lies under an overlay of "{domain}", as another tool\'s external snapshot makes one; merge that first: while '
        f'the guest runs, "virsh blockcommit {domain} {target} --active --pivot", then delete the overlay\'s file'
    )


def _learn(pool: handles.StoragePool, folder: str, users: dict[str, list[DomainDisk]]) -> None:
    """Have the pool look at its folder when a domain has a disk in it that the pool does not know."""
    inside = {kinds.name_of(path) for path in users if kinds.folder_of(path) == folder}
    if inside and inside - set(lookup.names(pool)):
        lookup.refresh(current(), pool)

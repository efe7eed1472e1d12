"""The volumes that an instance is given: where they are, who has them still, and one that another waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from jvp.core.errors import Invalid, Path, Rejected
from jvp.core.work import Work
from jvp.libvirt import devices, overlays
from jvp.libvirt.node import Node
from jvp.libvirt.storage import DomainDisk, detach, disk_users, listed, volume_of
from jvp.resources.instance.definition import DiskSource
from jvp.resources.instance.storage import format_of, iso_template

RELEASE_S = devices.UNPLUG_S + 10.0
"""So long another instance of ours may take to let go of a volume."""


def disk_source(
    work: Work, node: Node, reference: str, path: Path, *, user: str, writes: bool,
    has: Collection[str] = (), give_up: Callable[[], None] | None = None,
) -> DiskSource:  # fmt: skip
    """The path and recorded format of a volume. Raises when it is missing, or another domain than `user` has it.

    What `user` has already is its own, whoever else has it: by these paths, or below an overlay. One that `writes`
    would break what stands on the volume: it is refused then too.

    Another instance of ours may be letting go of it at this moment: an engine moves a volume by two updates at once.
    It may wait for one of ours then, when they exchange volumes: `give_up` is called again and again meanwhile.
    """
    volume = volume_of(node, reference, path)
    where = volume.path()

    if where in has:
        return DiskSource(where, format_of(volume))
    end = time.monotonic() + work.left(RELEASE_S)
    while True:
        # Claimed before it is asked who has it: another thread may be about to write it down.
        claimed = node.claims.take(where)
        users = disk_users(node.connection)
        mine = [disk for disk in users.get(where, ()) if disk.domain.UUIDString() == user]
        others = [disk for disk in users.get(where, ()) if disk not in mine]
        if (claimed and not others) or any(disk.backing for disk in mine):
            if writes and not users.get(where):
                _refuse_base(node, volume, users, user, path)
            return DiskSource(where, format_of(volume))
        holder = f'"{others[0].name}"' if others else "another instance"
        if time.monotonic() >= end or not all(disk.ours for disk in others):
            raise _attached(reference, holder, path)
        if give_up is not None:
            give_up()
        work.status(f'waiting for {holder} to let go of the volume "{reference}"')
        work.wait(0.5)


def refuse_in_use(node: Node, reference: str, path: Path) -> None:
    """Raise for a volume that is missing, and for one that somebody's machine has: ours may let go of it until then."""
    users = disk_users(node.connection).get(volume_of(node, reference, path).path(), ())
    if foreign := [disk.name for disk in users if not disk.ours]:
        raise _attached(reference, f'"{foreign[0]}"', path)


def _attached(reference: str, holder: str, path: Path) -> Rejected:
    return Rejected(f'volume "{reference}" is attached to {holder} already', path=path)


def _refuse_base(node: Node, volume: Any, users: dict[str, list[DomainDisk]], user: str, path: Path) -> None:
    """Raise Rejected when others than `user` have, or could have again, an overlay that stands on the volume."""
    pool = volume.storagePoolLookupByVolume()
    tops = overlays.standing(node, pool, volume.path(), users) if overlays.has_foreign(pool) else set()
    if tops and not any(disk.domain.UUIDString() == user for top in tops for disk in users.get(top, ())):
        raise Rejected(
            f'volume "{volume.name()}" lies under {listed(tops)}, which writing to it would break; merge that into it '
            '("qemu-img commit"), or delete it',
            path=path,
        )


def give_up(work: Work, node: Node, domain: Any, paths: set[str]) -> None:
    """Take disks out of a domain, which runs or not. Raises Busy when the guest does not let go, libvirtError."""
    users = disk_users(node.connection)
    for path in sorted(paths):
        for disk in users.get(path, ()):
            if disk.domain.UUIDString() == domain.UUIDString() and not disk.backing:
                detach(work, disk, path)


def iso_source(node: Node, reference: str, path: Path) -> DiskSource:
    """The path of a CD image. Raises when it is missing, or is no plain image."""
    found = iso_template(node, reference, path)
    volume = found.volume if found is not None else volume_of(node, reference, path)
    format = found.format if found is not None else format_of(volume)
    if format != "raw":
        raise Invalid(f'"{reference}" has the format {format}; a CD image is raw', path=path)
    return DiskSource(volume.path(), format)

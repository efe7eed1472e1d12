"""The volumes that an instance is given: where they are, who has them still, and one that another waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jvp.core.errors import Invalid, Path, Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt import disk_chain
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.disks import DomainDisk, detach, disk_users
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import SeenVolume, View
from jvp.resources.instance.definition import DiskSource, disk_key, source_of
from jvp.resources.instance.disk_model import Disk
from jvp.resources.instance.disk_options import SHAREABLE, refuse_format
from jvp.resources.instance.model import Instance
from jvp.resources.instance.storage import format_of, iso_template, source_of_volume

RELEASE_S = devices.UNPLUG_S + 10.0
"""So long another instance of ours may take to let go of a volume."""


@dataclass(frozen=True)
class Wish:
    """A disk that is to be given a volume."""

    reference: str
    path: Path
    """Of the property that names the volume."""
    volume: SeenVolume
    writes: bool
    shares: bool = False
    """Whether others may have the volume that share it, too."""

    @property
    def where(self) -> str:
        """The volume's file."""
        return self.volume.path


def wish(view: View, disk: Disk, index: int) -> Wish:
    """What a disk of the program is to have. Raises NotFound, Rejected, libvirtError."""
    path = ("disks", index, "volume")
    return Wish(disk.volume, path, view.meant(disk.volume, path), not disk.read_only, bool(disk.shareable))


def taken(
    work: Work, view: View, wish: Wish, user: str, *, claimed: bool, give_up: Callable[[], None] | None = None
) -> tuple[DiskSource, View]:
    """The path and recorded format of a volume, and the view that told it. Raises when another domain than `user` has
    it, and one of the two does not share it.

    It was `claimed` before the view began, or could not be. What `user` has below an overlay is its own, whoever else
    has it. One that writes would break what stands on the volume: it is refused then too.

    Another instance of ours may be letting go of it at this moment: an engine moves a volume by two updates at once.
    It may wait for one of ours then, when they exchange volumes: `give_up` is called again and again meanwhile.
    """
    where, node = wish.where, view.node
    end = time.monotonic() + work.left(RELEASE_S)
    while True:
        users = view.users
        mine = [disk for disk in users.get(where, ()) if disk.domain.UUIDString() == user]
        others = [disk for disk in users.get(where, ()) if disk not in mine and not (wish.shares and disk.shares)]
        if (claimed and not others) or any(disk.backing for disk in mine):
            if wish.writes and not users.get(where):
                _refuse_base(view, wish, user)
            return source_of_volume(where, wish.volume), view
        holder = _names(others) or "another instance"
        if time.monotonic() >= end or not all(disk.ours for disk in others):
            raise _attached(wish, holder)
        if give_up is not None:
            give_up()
        work.status(f'waiting for {holder} to let go of the volume "{wish.reference}"')
        work.wait(0.5)
        # First the claim, then the look: another thread may be about to write it down.
        claimed, view = node.claims.take(where, share=wish.shares), view.fresh()


def refuse_in_use(view: View, disk: Disk, index: int) -> None:
    """Raise for a volume that is missing, and for one that somebody's machine has: ours may let go of it until then."""
    wanted = wish(view, disk, index)
    if wanted.shares:
        refuse_format(format_of(wanted.volume), wanted.path[:-1])
    users = [one for one in view.users.get(wanted.where, ()) if not (wanted.shares and one.shares)]
    if foreign := [one for one in users if not one.ours]:
        raise _attached(wanted, _names(foreign))


def _names(disks: Iterable[DomainDisk]) -> str:
    return listed({f'"{disk.name}"' for disk in disks})


def _attached(wish: Wish, holder: str) -> Rejected:
    also = ", which does not share it: that takes shareable there, too, and a power cycle" if wish.shares else ""
    return Rejected(f'volume "{wish.reference}" is attached to {holder} already{also}', path=wish.path)


def shared(root: Element) -> set[str]:
    """The volumes that a machine shares, by their paths."""
    found = (source_of(disk) for disk in root.iterfind("devices/disk") if disk.find(SHAREABLE) is not None)
    return {path for path in found if path}


def refuse_unshared(view: View, user: str, paths: set[str], root: Element, spec: Instance) -> None:
    """Raise Rejected where the `user` shares the volumes at these paths no longer, and others have them still."""
    for device in root.iterfind("devices/disk") if paths else ():
        where, key = source_of(device) or "", disk_key(device)
        others = [disk for disk in view.users.get(where, ()) if disk.domain.UUIDString() != user]
        if where in paths and others:
            index = next((index for index, disk in enumerate(spec.disks) if disk.name == key), 0)
            raise Rejected(
                f'the volume of the disk "{key}" is attached to {_names(others)}, too; detach it there first',
                path=("disks", index, SHAREABLE),
            )


def _refuse_base(view: View, wish: Wish, user: str) -> None:
    """Raise Rejected when others than `user` have, or could have again, an overlay that stands on the volume."""
    pool, name, users = wish.volume.pool, wish.volume.name, view.users
    if not disk_chain.may_hold_layers(view.names(pool)):
        return
    tops = disk_chain.standing(view, pool, wish.where)
    if tops and not any(disk.domain.UUIDString() == user for top in tops for disk in users.get(top, ())):
        if (disk := disk_chain.under_ours(view, wish.where)) is not None:
            why = disk_chain.under(view, disk.name, disk.domain.UUIDString())
            raise Rejected(f'volume "{name}" {why}, which writing to it would break; delete that first', path=wish.path)
        raise Rejected(
            f'volume "{name}" lies under {listed(tops)}, which writing to it would break; merge that into it '
            '("qemu-img commit"), or delete it',
            path=wish.path,
        )


def give_up(work: Work, node: Node, domain: handles.Domain, paths: set[str]) -> None:
    """Take disks out of a domain, which runs or not. Raises Busy when the guest does not let go, libvirtError."""
    if not paths:
        return
    now = node.connection.lookupByUUIDString(domain.UUIDString())  # it may have been started since
    users = disk_users(node.connection, devices.definitions([now]))
    for path in sorted(paths):
        for disk in users.get(path, ()):
            if disk.domain.UUIDString() == domain.UUIDString() and not disk.backing:
                detach(work, disk, path)


def iso_source(view: View, reference: str, path: Path) -> DiskSource:
    """The path of a CD image. Raises when it is missing, or is no plain image."""
    found = iso_template(view.node, reference, path)
    if found is None:
        volume = view.meant(reference, path)
        source = source_of_volume(volume.path, volume)
    else:
        source = DiskSource(found.path, found.format)
    if source.format != "raw":
        raise Invalid(f'"{reference}" has the format {source.format}; a CD image is raw', path=path)
    return source

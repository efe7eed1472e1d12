"""A volume that is in use: growing it where a guest runs from it, and deleting it once its users have let go."""

from __future__ import annotations

import dataclasses
import time

from jvp.core.errors import Invalid, Path, Rejected
from jvp.core.types import size_text
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt import disk_chain
from jvp.libvirt.disk_chain import Chain
from jvp.libvirt.domain import disks
from jvp.libvirt.domain.disks import DomainDisk
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import copy_volume, kinds, lookup, pool_kind, volume_claim, volume_record
from jvp.libvirt.storage.volumes import WAY_OUT, Found, VolumeApi


def grow(work: Work, api: VolumeApi, found: Found, size: int) -> Found:
    """Bring the volume to `size`, through the guest that runs from it when there is one; as it is then.

    Under layers of ours the active one grows: that is what the guest has. Raises Invalid for less than it has;
    Rejected when its bytes claim another format, or it is under another tool's layer; libvirtError. Again: yes.
    """
    _refuse_less(found, found.size, size)
    if size == found.size:
        return found
    copy_volume.refuse_other_format(found.root, found.format, found.name)
    pool_kind.require(found.pool, "resize", ("size",))
    work.check()
    view = View(api.node)
    users = view.users
    lookup.remember_base(found.pool, found.name, found.root)
    covering, _ = disk_chain.covering(view, found.pool, found.path)
    if covering:
        return _grown_above(view, found, covering, size)
    _resize(api.node, found.volume, users.get(found.path, []), size)
    return api.found(found.pool, found.volume, found.record)


def remove(work: Work, api: VolumeApi, object_id: str, *, nonce: str | None, detach: bool) -> None:
    """Delete the volume and our record of it, and what of its template nobody uses any more.

    Our own instances let go of it first (with `detach`); other users are an error that names them.
    `nonce` tells whether it is still the volume that was made: another one is left alone.
    Raises Rejected, Busy when a guest does not let go; libvirtError. Again: yes, missing is fine.
    """
    since, found = time.monotonic(), api.find(work, object_id)
    if found is None:
        since = float("-inf")
        pool, name = api.pool(object_id)
        record = volume_record.get(pool, name)
    else:
        pool, name, record = found.pool, found.name, found.record
        if (why := found.fault(nonce)) is not None:
            raise Rejected(f'volume "{name}" {why}; {WAY_OUT}')
    if record is not None and nonce and record.nonce != nonce:
        if found is not None:
            work.warn(f'volume "{name}" is left alone: it was made by another resource after ours was gone')
        return
    if found is not None:
        _release(work, api.node, found, detach=detach)
        volume_claim.remove_when_free(work, found.volume)
    if record is not None and record.phase == "filling":
        volume_claim.remove_layer(work, pool, name)
    if record is not None:
        api.drop_record(work, pool, name, record, since)


def _release(work: Work, node: Node, found: Found, *, detach: bool) -> None:
    """Have our own instances let go of the volume (with `detach`). Raises Rejected for other users, and for what stands
    on it; Busy when a guest does not let go; libvirtError. Again: yes."""
    connection, view = node.connection, View(node)
    seen = view.users
    lookup.remember_base(found.pool, found.name, found.root)
    covering, is_base = disk_chain.covering(view, found.pool, found.path)
    if covering:
        raise _covered(view, found, covering[0])
    users = disks.disk_users(connection).get(found.path, []) if found.path in seen else []
    foreign = sorted({disk.name for disk in users if not disk.ours})
    if foreign:
        raise Rejected(f'volume "{found.name}" is used by {listed(foreign)}; detach it there first')
    if is_base and (based := disk_chain.in_the_way(view, found.path).values()):
        raise Rejected(f'volume "{found.name}" is the base of {listed(based)}; delete those first')
    if users and not detach:
        names = listed({disk.name for disk in users})
        raise Rejected(f'volume "{found.name}" is attached to {names}, and detachOnDelete is false')
    disks.refuse_saved(connection, f'volume "{found.name}"', lambda root: disks.has_disk(connection, root, found.path))
    for disk in users:
        work.status(f'taking volume "{found.name}" out of "{disk.name}"')
        disks.detach(work, disk, found.path)


def _grown_above(view: View, found: Found, covering: list[DomainDisk], size: int) -> Found:
    """Grow the active layer, which is one of ours; what the volume has is then told by that."""
    chains = [Chain(view, disk.element) for disk in covering]
    active = chains[0].active
    alone = active is not None and {chain.path for chain in chains} == {active.path}
    volume = active.volume if active is not None else None
    if active is None or volume is None or not alone or not all(chain.stands_for(found.path) for chain in chains):
        raise _covered(view, found, covering[0], ("size",))
    now = active.size or 0
    _refuse_less(found, now, size)
    if size > now:
        _resize(view.node, volume.volume, view.users.get(active.path, []), size)
    return dataclasses.replace(found, seen=size)


def _resize(node: Node, volume: handles.StorageVol, users: list[DomainDisk], size: int) -> None:
    running = [disk for disk in users if disk.live is not None and not disk.backing]
    for disk in running:  # of one that is shared each guest is told
        disks.resize_live(node, disk, size)
    if not running:
        volume.resize(size, 0)


def _refuse_less(found: Found, now: int, size: int) -> None:
    if size < now:
        raise Invalid(
            f'volume "{found.name}" has {size_text(now)} and cannot shrink to {size_text(size)}: '
            f'that would cut off data; declare "{size_text(now)}"',
            path=("size",),
        )


def _covered(view: View, found: Found, disk: DomainDisk, where: Path = ()) -> Rejected:
    why = disk_chain.covered(Chain(view, disk.element), disk.domain, found.path)
    return Rejected(f'volume "{kinds.name_of(found.path)}" {why}', path=where)

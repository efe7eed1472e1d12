"""Removing a storage pool: what goes with it, what stays and is warned of, and who forbids it."""

from __future__ import annotations

import contextlib

from jvp.core.errors import JvpError, Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain.disks import disk_users
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, unless_gone
from jvp.libvirt.storage import kvm_probe, lookup, pool_mark, pool_start, pool_volumes, reclaim, volume_record
from jvp.libvirt.storage.pool import PoolApi
from jvp.libvirt.storage.pool_mark import PoolMark
from jvp.libvirt.storage.volume_claim import remove_when_free

_MARKER = volume_record.volume_name(pool_mark.MARKER)


def remove(work: Work, api: PoolApi, pool: handles.StoragePool, *, data: bool = False) -> None:
    """Stop and undefine; the folder goes when we made it and nothing but our marker is in it.

    Volumes of ours go with `data`. What stays keeps its folder, and `work.warn` names it. Raises Rejected when a
    domain uses a volume that would go; libvirtError. Again: yes, missing is fine.
    """
    with unless_gone(Gone.POOL):
        mark = api.mark(pool)
        if mark is not None:
            _remove_ours(work, api, pool, mark, data=data)
        else:
            if pool.isActive():
                pool_start.refuse_in_use(pool, api.xml(pool))
            if data and (pool.isActive() or pool_start.can_start(pool)) and not _is_shared(work, api, pool):
                _remove_data(work, pool)
            if pool.isActive():
                pool.destroy()
        api.undefine(pool)


def _remove_ours(work: Work, api: PoolApi, pool: handles.StoragePool, mark: PoolMark, *, data: bool) -> None:
    root = api.xml(pool)
    mounts = pool_start.kind_in(root).mounts
    if not pool.isActive() and not pool_start.can_start(pool):
        if mounts and mark.made:
            _remove_folder(work, api, pool)
        return
    pool_start.refuse_in_use(pool, root)
    with contextlib.suppress(JvpError):
        lookup.refresh(work, pool)
    # A refresh stops a pool whose folder cannot be read.
    if not pool.isActive():
        return
    if _is_shared(work, api, pool):
        pool.destroy()
        return
    kvm_probe.sweep(pool, older_s=0)
    reclaim.sweep(pool)
    if data and lookup.find_volume(pool, _MARKER) is not None:
        _remove_data(work, pool)
    inside = lookup.names(pool)
    # What is on a device stays there, and the folder that it was mounted at is empty.
    staying = [] if mounts else [one for one in inside if one != _MARKER]
    if staying:
        work.warn(f"{_folder(api, pool)} stays: it holds {listed(staying)}")
    elif mark.marked and _MARKER not in inside and not mounts:
        work.warn(f"{_folder(api, pool)} stays: it is not the one that it was")
        mark = mark.having(made=False)
    # First the note, so that a later try does not take the missing marker for an unmounted folder.
    api.note(pool, marked=False, going=True)
    pool_mark.drop_marker(pool)
    pool.destroy()
    if mark.made and not staying:
        _remove_folder(work, api, pool)


def _is_shared(work: Work, api: PoolApi, pool: handles.StoragePool) -> bool:
    """Whether another pool has the folder of a running one too; then all that is in it is left, with a warning."""
    other = api.shares(pool)
    if other is not None:
        is_too = f'it is the folder of the storage pool "{other}" too'
        work.warn(f"{_folder(api, pool)} stays with all that is in it: {is_too}")
    return other is not None


def _remove_data(work: Work, pool: handles.StoragePool) -> None:
    """Delete the volumes of ours. Raises Rejected, Busy, libvirtError. Again: yes, missing is fine."""
    volumes = pool_volumes.ours_in(pool)
    _refuse_used(pool, volumes)
    for volume in volumes:
        work.go_on("not all of its volumes are deleted; run again to go on")
        work.status(f'deleting volume "{volume.name()}"')
        remove_when_free(work, volume)


def _refuse_used(pool: handles.StoragePool, volumes: list[handles.StorageVol]) -> None:
    """Raise Rejected naming the volumes that a domain has, or that a volume which stays stands on."""
    connection, going = pool.connect(), {f"{pool.name()}/{volume.name()}" for volume in volumes}
    disks, bases = disk_users(connection), lookup.backing_map(connection, fresh=True)
    used = set()
    for volume in volumes:
        users = {f'domain "{disk.name}"' for disk in disks.get(volume.path(), ())}
        users |= {f'volume "{user}"' for user in bases.get(volume.path(), ()) if user not in going}
        used |= {f'"{volume.name()}" by {user}' for user in users}
    if used:
        raise Rejected(
            f'storage pool "{pool.name()}" is not deleted with its volumes, for some are used: {listed(used)}; '
            "release them first"
        )


def _remove_folder(work: Work, api: PoolApi, pool: handles.StoragePool) -> None:
    if (why := api.delete_folder(pool)) is not None:
        work.warn(f"{_folder(api, pool)} stays: {why}")


def _folder(api: PoolApi, pool: handles.StoragePool) -> str:
    return f'the folder {api.path(pool)} of the storage pool "{pool.name()}"'

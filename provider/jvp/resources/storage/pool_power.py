"""Starting, stopping and refreshing a storage pool, as actions do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jvp.core.errors import NotFound
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain.disks import running_on
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.handles import StoragePool
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import lookup, pool_mark
from jvp.libvirt.storage.pool import PoolApi
from jvp.resources.storage.actions import PoolTold


class Pool:
    """One storage pool. Each call looks at it anew, and raises NotFound when it is gone, Rejected, Busy. Again: yes."""

    def __init__(self, node: Node, uuid: str) -> None:
        self._api = PoolApi(node)
        self._uuid = uuid

    def start(self, work: Work) -> PoolTold:
        with self._found() as pool:
            started = not pool.isActive()
            self._api.switch(pool, autostart=bool(pool.autostart()), active=True)
            if started and pool_mark.has_lost_marker(pool, self._api.xml(pool)):
                pool.destroy()  # on a mount point without its file system every volume would look deleted
                raise pool_mark.other_folder(pool)
            return self._told(pool)

    def stop(self, work: Work) -> PoolTold:
        with self._found() as pool:
            path = self._api.path(pool)
            if pool.isActive() and path and (names := running_on(self._api.node.connection, path)):
                run = "runs" if len(names) == 1 else "run"
                work.warn(
                    f"{listed(names)} {run} on with disks in this pool, which can be neither read nor changed here "
                    "until it is active again"
                )
            self._api.switch(pool, autostart=bool(pool.autostart()), active=False)
            return self._told(pool)

    def refresh(self, work: Work) -> PoolTold:
        with self._found() as pool:
            if not pool.isActive():
                raise lookup.inactive(pool.name())
            lookup.refresh(work, pool)
            return self._told(pool)

    def _told(self, pool: StoragePool) -> PoolTold:
        state, room = self._api.state_of(pool)
        if room is None:
            return PoolTold(state=state)
        return PoolTold(
            state=state,
            capacity_bytes=room.capacity,
            allocation_bytes=room.allocation,
            available_bytes=room.available,
        )

    @contextmanager
    def _found(self) -> Iterator[StoragePool]:
        with libvirt_errors("storage pool"):
            pool = self._api.find(self._uuid)
            if pool is None:
                raise NotFound("the storage pool is gone")
            with libvirt_errors(f'storage pool "{pool.name()}"'):
                yield pool

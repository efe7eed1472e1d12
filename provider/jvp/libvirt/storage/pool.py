"""Storage pools through libvirt: defining, starting with or without a folder to make, and what removing one takes."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import libvirt

from jvp.core.errors import Busy
from jvp.core.identity import Mark
from jvp.core.taken import folder_taken
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone, reason, translated
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, text_of, value
from jvp.libvirt.storage import folders, lookup, pool_mark, pool_start, volume_record
from jvp.libvirt.storage.pool_mark import PoolMark

_STATES = {
    libvirt.VIR_STORAGE_POOL_INACTIVE: "inactive",
    libvirt.VIR_STORAGE_POOL_BUILDING: "building",
    libvirt.VIR_STORAGE_POOL_RUNNING: "running",
    libvirt.VIR_STORAGE_POOL_DEGRADED: "degraded",
    libvirt.VIR_STORAGE_POOL_INACCESSIBLE: "inaccessible",
}

_NOTES = 3
"""How often a mark is written before a rival's word is taken for the last one."""


@dataclass(frozen=True)
class Room:
    """The room of a running pool, in bytes; for a folder that of its filesystem."""

    capacity: int
    allocation: int
    available: int


class PoolApi:
    """The calls on pools of one node. Raise libvirtError unless they say otherwise."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def find(self, uuid: str) -> handles.StoragePool | None:
        """The pool with this uuid, None when there is none."""
        try:
            return self.node.connection.storagePoolLookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.POOL):
                return None
            raise

    def xml(self, pool: handles.StoragePool) -> Element:
        """The pool's definition."""
        return pool_mark.inactive_xml(pool)

    def mark(self, pool: handles.StoragePool) -> PoolMark | None:
        return pool_mark.mark_of(self.xml(pool))

    def is_going(self, root: Element) -> bool:
        """Whether the pool of this definition was being removed when something cut that off."""
        mark = pool_mark.mark_of(root)
        return mark is not None and mark.going

    def path(self, pool: handles.StoragePool) -> str | None:
        """The folder, None for a pool that is not one."""
        return value(self.xml(pool), "target/path")

    def define(self, root: Element) -> handles.StoragePool:
        """Define or redefine by the uuid in `root`; a running pool goes on."""
        return self.node.connection.storagePoolDefineXML(text_of(root), 0)

    def state_of(self, pool: handles.StoragePool) -> tuple[str, Room | None]:
        """The state in a word, and the room, which only a running pool knows."""
        number, capacity, allocation, available = pool.info()
        state = _STATES.get(number, "inaccessible")
        return state, Room(int(capacity), int(allocation), int(available)) if state != "inactive" else None

    def freshen(self, work: Work, pool: handles.StoragePool) -> None:
        """Have a pool look at its folder again, unless it is stopped or busy.

        A pool whose folder cannot be read any more is stopped by that, which is then its state. Raises libvirtError.
        """
        try:
            lookup.look(work, pool)
        except libvirt.libvirtError as error:
            if pool.isActive() and not isinstance(translated(error, ""), Busy):
                raise

    def begin(self, root: Element) -> handles.StoragePool:
        """Define a pool that was not there a moment ago.

        One that a rival of the same key has defined since is as good, and not defined again: its mark says already
        that the folder is ours, which is there by now and would be taken for somebody's.
        """
        uuid = value(root, "uuid") or ""
        with self.node.pool_lock(uuid):
            found = self.find(uuid)
            if found is not None and _place(self.xml(found)) == _place(root):
                return found
            return self.define(root)

    def open(self, work: Work, pool: handles.StoragePool) -> handles.StoragePool:
        """Start a pool of ours for the first time: make its folder when there is none, and lay our marker into it.

        Again: yes. That we make the folder is written down before it is made.
        """
        work.check()
        made: dict[str, bool] = {}
        if not pool.isActive():
            pool, is_made = pool_start.first(pool, lambda: self.note(pool, made=True))
            made = {"made": True} if is_made else {}
        mark = self.mark(pool)
        if mark is None or (mark.marked and mark.made >= bool(made)):
            return pool
        try:
            self._put_marker(pool, mark.mark)
        except libvirt.libvirtError:
            # A folder that was there may be read-only, which is no fault of a pool of CD images.
            if mark.made or not pool.isActive():
                raise
            return self.note(pool, going=False) if mark.going else pool
        return self.note(pool, marked=True, going=False, **made)

    def _put_marker(self, pool: handles.StoragePool, mark: Mark) -> None:
        """Raises NameTaken where the marker of another pool lies there: it is the same folder by another way."""
        there = pool_mark.put_marker(pool, mark)
        if pool_mark.are_one(there, mark):
            return
        other = self._by_marker(pool, there)
        if other is not None:
            how = f'"{self.path(pool)}" leads to the folder of'
            raise folder_taken("storage pool", other.name(), how, id=other.UUIDString(), holder=there)
        pool_mark.take_marker(pool, mark)

    def _by_marker(self, pool: handles.StoragePool, there: Mark) -> handles.StoragePool | None:
        """Another pool, whose marker this is; None when it is no more."""
        for other, root in self._others(pool):
            mark = pool_mark.mark_of(root)
            if mark is not None and pool_mark.are_one(mark.mark, there):
                return other
        return None

    def _others(self, pool: handles.StoragePool) -> Iterator[tuple[handles.StoragePool, Element]]:
        uuid = pool.UUIDString()
        for other in self.node.connection.listAllStoragePools(0):
            root = lookup.unless_lost(other, partial(self.xml, other))
            if root is not None and other.UUIDString() != uuid:
                yield other, root

    def shares(self, pool: handles.StoragePool) -> str | None:
        """The name of another pool over the folder of a running one, as far as that can be told."""
        path, marker = self.path(pool) or "", volume_record.get(pool, pool_mark.MARKER)
        for other, root in self._others(pool):
            if folders.is_same(self.node, value(root, "target/path") or "", path):
                return other.name()
        same = self._by_marker(pool, marker.mark) if marker is not None else None
        return same.name() if same is not None else None

    def switch(self, pool: handles.StoragePool, *, autostart: bool, active: bool) -> None:
        """Start or stop it, now and at the node's start. Again: yes."""
        if bool(pool.autostart()) != autostart:
            pool = self._autostart(pool, autostart)
        if bool(pool.isActive()) != active:
            if active:
                pool_start.again(pool)
            else:
                pool_start.refuse_in_use(pool, self.xml(pool), ("active",))
                pool.destroy()

    def _autostart(self, pool: handles.StoragePool, wanted: bool) -> handles.StoragePool:
        try:
            pool.setAutostart(int(wanted))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_SYSTEM_ERROR or error.get_int1() != errno.EEXIST:
                raise
            # libvirtd marks a pool that is undefined at the same moment, and the link stays. Only undefining a pool of
            # that name takes it away.
            root, active = self.xml(pool), pool.isActive()
            if active:
                pool.destroy()
            pool.undefine()
            pool = self.define(root)
            if active:
                pool.create(0)
            pool.setAutostart(int(wanted))
        return pool

    def acknowledge(self, root: Element) -> None:
        """Note that an engine's state has the pool of this definition. Best effort; nothing when noted or foreign."""
        mark = pool_mark.mark_of(root)
        if mark is not None and not mark.mark.acknowledged:
            pool_mark.write(root, mark.acknowledged())
            with contextlib.suppress(libvirt.libvirtError):
                self.define(root)

    def declare(self, work: Work, pool: handles.StoragePool) -> None:
        """Note who declares the pool and what, and that an engine's state has it. Best effort."""
        with self.node.pool_lock(pool.UUIDString()), contextlib.suppress(libvirt.libvirtError):
            root = self.xml(pool)
            marker = volume_record.volume_name(pool_mark.MARKER)
            has_marker = bool(pool.isActive()) and lookup.find_volume(pool, marker) is not None
            if pool_mark.declare(root, work, has_marker=has_marker):
                self.define(root)

    def redeclare(self, work: Work, pool: handles.StoragePool) -> None:
        """Note what is declared of the pool that an earlier try of the same create has defined."""
        mark = self.mark(pool)
        if mark is not None:
            self.note(pool, mark=mark.mark.declaring(work.declaration))

    def delete_folder(self, pool: handles.StoragePool) -> str | None:
        """Delete the folder of a stopped pool where nothing is in it; why it stays, None when it is gone."""
        try:
            pool.delete(0)  # rmdir, which refuses a folder that is not empty
        except libvirt.libvirtError as error:
            return reason(error)
        return None

    def undefine(self, pool: handles.StoragePool) -> None:
        """Undefine a stopped pool, unless it is gone with its stop."""
        if not pool.isPersistent():
            return
        try:
            pool.undefine()
        except libvirt.libvirtError:
            # A rival of the same key started it again, and may have noted a marker that we have taken away since.
            if pool.isActive():
                self.note(pool, marked=False, going=True)
            raise

    def note(self, pool: handles.StoragePool, **changes: Any) -> handles.StoragePool:
        """Change our mark. A rival of the same key that writes at the same moment, from what it read before, does not
        undo it: the mark is looked at again."""
        with self.node.pool_lock(pool.UUIDString()):
            for _ in range(_NOTES):
                root = self.xml(pool)
                mark = pool_mark.mark_of(root)
                if mark is None or mark == mark.having(**changes):
                    break
                pool_mark.write(root, mark.having(**changes))
                pool = self.define(root)
        return pool


def _place(root: Element) -> tuple[str | None, ...]:
    """What tells a definition from one that the program has changed since."""
    return (value(root, "name"), folders.normal(value(root, "target/path") or ""), *pool_start.source_in(root))

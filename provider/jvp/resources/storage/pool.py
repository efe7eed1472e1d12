"""StoragePool: a folder on the node that holds volumes."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from jvp.core.abandon import run
from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import Invalid, JvpError, NotFound, Rejected
from jvp.core.handler import Done, Handler, Outcome, Partial
from jvp.core.identity import (
    Bearing,
    Key,
    Mark,
    bearing,
    generation,
    refuse_unmarked,
    remade,
    unmarked,
)
from jvp.core.taken import device_taken, folder_taken, name_taken
from jvp.core.values import known
from jvp.core.words import listed
from jvp.core.work import Work, current
from jvp.libvirt.domain.disks import disks_in, running_on
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, libvirt_errors, seen_to_go
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, put, read_facts, value, write_facts
from jvp.libvirt.storage import folders, kinds, pool_mark, pool_start
from jvp.libvirt.storage.lookup import find_pool, pool_of, unless_lost
from jvp.libvirt.storage.pool import PoolApi, Room
from jvp.libvirt.storage.pool_mark import PoolMark, is_marked, write
from jvp.resources.foreseen import obstacles
from jvp.resources.storage import listing, pool_removal
from jvp.resources.storage.items import StoragePoolFilters, StoragePoolItem
from jvp.resources.storage.pool_model import StoragePool, StoragePoolSource, StoragePoolState, StoragePoolType

DEFAULT_FOLDER = "/var/lib/jvp"


class StoragePools(StoragePoolType, Handler[StoragePool, StoragePoolState]):
    """The verbs of storage pools. The mark in the pool's definition says what is ours to remove."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = PoolApi(node)

    def create(self, work: Work, key: Key, spec: StoragePool) -> Outcome[StoragePoolState]:
        with libvirt_errors(f'storage pool "{spec.name or key.label}"'):
            number, uuid, found = generation(key, self.api.find, self._mark)
        kinds.refuse_other(spec.type)
        name = spec.name or key.auto_name(uuid)
        spec = self._placed(spec, name)
        self._refuse_taken(spec, uuid)
        mark = PoolMark(Mark.new(key, number, work.declaration))
        with contextlib.ExitStack() as undo, libvirt_errors(f'storage pool "{name}"'):
            if found is not None:
                found = self._same_folder(work, found, spec)
            if found is not None:
                self.api.redeclare(work, found)
            if found is None:
                self._refuse_folder(spec)
                undo.callback(self._undo, uuid)
                found = self.api.begin(_root(spec, uuid, mark))
            pool = self._settle(work, found, spec)
            undo.pop_all()
            return Done(uuid, self.state_of(pool, spec))

    def read(
        self, work: Work, object_id: str, prior: StoragePoolState | None
    ) -> StoragePoolState | Partial[StoragePoolState] | None:
        with libvirt_errors(f'storage pool "{prior.name if prior else object_id}"'):
            pool = self.api.find(object_id)
            if pool is None:
                return None
            root = self.api.xml(pool)
            bears = self._bearing(work, pool, prior, root)
            if bears is Bearing.REMADE:
                work.warn(remade(f'storage pool "{prior.name if prior else object_id}"'))
                return None
            if prior is not None:
                if not work.looks:  # first: the folder may take long, and others write meanwhile
                    self.api.acknowledge(root)
                self.api.freshen(work, pool)
            state = self.state_of(pool, prior, root)
            if bears is Bearing.UNMARKED:
                return Partial(object_id, state, (unmarked(f'storage pool "{state.name}"'),))
            return state

    def update(
        self, work: Work, object_id: str, prior: StoragePoolState, spec: StoragePool, changes: Sequence[Change]
    ) -> Outcome[StoragePoolState]:
        what = f'storage pool "{prior.name}"'
        with libvirt_errors(what):
            pool = self.api.find(object_id)
            bears = self._bearing(work, pool, prior) if pool is not None else Bearing.REMADE
            if pool is None or bears is Bearing.REMADE:
                raise NotFound(f"{what} is gone; refresh the state and run again")
            if spec.active and self.api.is_going(self.api.xml(pool)):
                pool = self.api.open(work, pool)
            if bears is Bearing.OURS:  # first: of a run that is cut off later the next one sees what is left
                self.api.declare(work, pool)
            self.api.switch(pool, autostart=spec.autostart, active=spec.active)
            pool_mark.restore_marker(pool, self.api.xml(pool))
            if bears is Bearing.UNMARKED:  # last: its marker is seen in a pool that runs
                self.api.declare(work, pool)
            return Done(object_id, self.state_of(pool, spec))

    def delete(self, work: Work, object_id: str, prior: StoragePoolState | None) -> None:
        with libvirt_errors(f'storage pool "{prior.name if prior else object_id}"'):
            pool = self.api.find(object_id)
            what = f'storage pool "{prior.name if prior else object_id}"'
            if pool is not None and refuse_unmarked(work, self._bearing(work, pool, prior), what):
                pool_removal.remove(work, self.api, pool, data=bool(prior and prior.delete_data))

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'storage pool "{reference}"'):
            return str(pool_of(self.node, self.node.here(reference)).UUIDString())

    def noted(self, work: Work, object_id: str) -> Noted | None:
        with libvirt_errors(f'storage pool "{object_id}"'):
            pool = self.api.find(object_id)
            return None if pool is None else Noted.of(pool_mark.bearer(self.api.xml(pool)), self.spec)

    def users(self, work: Work, object_id: str) -> Sequence[str]:
        with libvirt_errors(f'storage pool "{object_id}"'):
            pool = self.api.find(object_id)
            folder = self.api.path(pool) if pool is not None else None
            return sorted({disk.name for disk in disks_in(self.node.connection, folder)}) if folder else ()

    def list(self, work: Work, filters: StoragePoolFilters | None = None) -> Iterator[StoragePoolItem]:
        with libvirt_errors("storage pools"):
            yield from listing.pools(self.node, work, filters or StoragePoolFilters())

    def predict(self, spec: StoragePool, prior: StoragePoolState | None) -> dict[str, Any]:
        bag: dict[str, Any] = {}
        if prior is None:
            if (why := self._system_folder(spec)) is not None:
                raise Rejected(why, path=("path",))
            kinds.refuse_other(spec.type if known(spec.type) else None)
            bag["type"] = kinds.kind_of(spec.type).type if known(spec.type) else spec.type
            if spec.path is None and known(spec.name) and spec.name and not self.node.is_session:
                bag["path"] = posixpath.join(DEFAULT_FOLDER, spec.name)
        if known(spec.active):
            bag["state"] = "running" if spec.active else "inactive"
        return bag

    def obstacles(self, work: Work, spec: StoragePool, key: Callable[[], Key]) -> Iterator[JvpError]:
        self.node.plans.make(self.kind, spec.name)
        source = spec.source
        whole = known(spec.name, spec.path, spec.type, source) and (source is None or known(source.device))
        if not whole or spec.name is None:
            return
        _, uuid, _ = generation(key(), self.api.find, self._mark)
        placed = self._placed(spec, spec.name)
        what = f'storage pool "{spec.name}"'
        yield from obstacles(what, lambda: self._refuse_taken(placed, uuid))
        # A system's folder is an error of the plan; a pool that is there may be adopted, wherever it is.
        if folders.systems(str(placed.path)) is None and find_pool(self.node, spec.name) is None:
            yield from obstacles(what, lambda: self._refuse_folder(placed))

    def warnings(self, work: Work, spec: StoragePool, prior: StoragePoolState | None) -> Iterator[str]:
        if prior is not None and spec.active is True and not prior.active:
            self.node.plans.make(self.kind, prior.name, prior.uuid)
        if prior is None or not prior.active or spec.active is not False or prior.path is None:
            return
        with libvirt_errors(f'storage pool "{prior.name}"'):
            if names := running_on(self.node.connection, prior.path):
                run = "runs" if len(names) == 1 else "run"
                if kinds.kind_of(prior.type).mounts:
                    yield f"active: {listed(names)} {run} with disks in this pool, so it cannot be unmounted"
                    return
                yield (
                    f"active: {listed(names)} {run} on with disks in this pool, which can be neither read nor changed "
                    "here until it is active again"
                )

    def _system_folder(self, spec: StoragePool) -> str | None:
        """Why the pool will not be made there. One that is there already may be adopted, wherever it is."""
        why = folders.systems(spec.path) if known(spec.path) and spec.path else None
        if why is None or spec.name is None:
            return why
        with contextlib.suppress(JvpError), libvirt_errors(f'storage pool "{spec.name}"'):
            there = not known(spec.name) or run(current(), lambda: find_pool(self.node, str(spec.name)))
            return None if there else why
        return None

    def _bearing(
        self, work: Work, pool: handles.StoragePool, prior: StoragePoolState | None, root: Element | None = None
    ) -> Bearing:  # fmt: skip
        """Whether it is ours: one without our mark may be ours only under the same name and over the same folder."""
        if work.mark is None:
            return Bearing.OURS
        root = self.api.xml(pool) if root is None else root
        same = prior is None or (
            pool.name() == prior.name and _place(value(root, "target/path")) == _place(prior.path)
        )  # fmt: skip
        return bearing(marked=is_marked(root), expected=work.mark, same=same)

    def _refuse_folder(self, spec: StoragePool) -> None:
        if (why := folders.refused(self.node, str(spec.path))) is not None:
            raise Rejected(why, path=("path",))
        source = spec.source
        if source is not None and (place := folders.mounted(self.node, source.device)) not in (None, spec.path):
            raise Rejected(
                f'"{source.device}" is mounted at {place} already: unmount it there, or make a pool of a folder in it',
                path=("source", "device"),
            )

    def _mark(self, pool: handles.StoragePool) -> Mark | None:
        with seen_to_go(Gone.POOL):
            found = self.api.mark(pool)
        return found.mark if found is not None else None

    def _placed(self, spec: StoragePool, name: str) -> StoragePool:
        return spec.model_copy(update={"name": name, "path": spec.path or self._default_path(name)})

    def _default_path(self, name: str) -> str:
        if not self.node.is_session:
            return posixpath.join(DEFAULT_FOLDER, name)
        if urlsplit(self.node.uri).hostname:
            raise Invalid(
                "is required on another host's session daemon: its user's folders are unknown", path=("path",)
            )
        # The daemon runs as this user on this machine.
        data = os.environ.get("XDG_DATA_HOME") or posixpath.join(os.path.expanduser("~"), ".local/share")  # noqa: PTH111
        return posixpath.join(data, "jvp", name)

    def _refuse_taken(self, spec: StoragePool, uuid: str) -> None:
        with libvirt_errors(f'storage pool "{spec.name}"'):
            for other in self.node.connection.listAllStoragePools(0):
                other_uuid = other.UUIDString()
                if other_uuid == uuid:
                    continue
                name = other.name()
                named = name == spec.name
                root = None if named else unless_lost(other, partial(self.api.xml, other))
                device = self._device_in(root, spec)
                if not named and not device and not self._same_path(_path_in(root), spec.path):
                    continue
                # Pools of others may go while ours are compared.
                with contextlib.suppress(NotFound):
                    holder = self._mark(other)
                    if named:
                        raise name_taken(self.kind, name, id=other_uuid, holder=holder)
                    if device:
                        raise device_taken(self.kind, name, device, id=other_uuid, holder=holder)
                    raise folder_taken(self.kind, name, f'"{spec.path}" is the folder of', id=other_uuid, holder=holder)

    def _device_in(self, root: Element | None, spec: StoragePool) -> str | None:
        """The declared device, when the pool of this definition has it too."""
        theirs, ours = pool_start.device_in(root) if root is not None else None, spec.source
        return ours.device if ours is not None and self._same_path(theirs, ours.device) else None

    def _same_path(self, one: str | None, other: str | None) -> bool:
        return one is not None and other is not None and folders.is_same(self.node, one, other)

    def _same_folder(self, work: Work, found: handles.StoragePool, spec: StoragePool) -> handles.StoragePool | None:
        """What an earlier try left, None when the program has changed since and it had to be taken away."""
        root = self.api.xml(found)
        wanted = pool_start.source_in(_root(spec, found.UUIDString(), None))
        if (
            found.name() == spec.name
            and self._same_path(value(root, "target/path"), spec.path)
            and pool_start.source_in(root) == wanted
        ):
            return found
        pool_removal.remove(work, self.api, found)
        return None

    def _settle(self, work: Work, pool: handles.StoragePool, spec: StoragePool) -> handles.StoragePool:
        with libvirt_errors(f'storage pool "{spec.name}"', ("path",)):
            pool = self.api.open(work, pool)
        self.api.switch(pool, autostart=spec.autostart, active=spec.active)
        return pool

    def _undo(self, uuid: str) -> None:
        with contextlib.suppress(Exception):
            pool = self.api.find(uuid)
            if pool is not None:
                pool_removal.remove(Work(), self.api, pool)

    def state_of(
        self, pool: handles.StoragePool, spelled: StoragePool | None, root: Element | None = None
    ) -> StoragePoolState:
        """The state, with what is a setting of our own taken from `spelled`: the spec, or the state before.

        `root` is the definition, where it was just read.
        """
        root = self.api.xml(pool) if root is None else root
        state, room = self.api.state_of(pool)
        if room is not None and isinstance(spelled, StoragePoolState):
            room = _quiet(room, spelled)
        # A removal that was cut off is drift: the next update opens the pool again. So is a marker that is gone.
        active = state != "inactive" and not self.api.is_going(root)
        active = active and not (state == "running" and pool_mark.has_lost_marker(pool, root))
        return StoragePoolState.model_construct(
            **read_facts(StoragePoolState, root),
            source=_source_of(root),
            autostart=bool(pool.autostart()),
            active=active,
            state=state,
            delete_data=bool(spelled and spelled.delete_data),
            capacity_bytes=room.capacity if room else None,
            allocation_bytes=room.allocation if room else None,
            available_bytes=room.available if room else None,
        )


def _place(path: str | None) -> str | None:
    return posixpath.normpath(path) if path else None


def _path_in(root: Element | None) -> str | None:
    return value(root, "target/path") if root is not None else None


def _root(spec: StoragePool, uuid: str, mark: PoolMark | None) -> Element:
    root = parse("<pool/>")
    root.set("type", kinds.kind_of(spec.type).type)
    put(root, "uuid", uuid)
    write_facts(StoragePool, root, spec)
    if spec.source is not None:
        write_facts(StoragePoolSource, root, spec.source)
    if mark is not None:
        write(root, mark)
    return root


def _source_of(root: Element) -> StoragePoolSource | None:
    """What the pool of this definition is made of; None for a kind that has no source."""
    return (
        StoragePoolSource.model_construct(**read_facts(StoragePoolSource, root)) if pool_start.device_in(root) else None
    )


def _quiet(room: Room, prior: StoragePoolState) -> Room:
    """The room as it was last told, while it has hardly moved: else every preview would show it as changed."""
    used, free = prior.allocation_bytes, prior.available_bytes
    if used is None or free is None or prior.capacity_bytes != room.capacity:
        return room
    moved = max(abs(room.allocation - used), abs(room.available - free))
    return room if moved * 100 > room.capacity else Room(room.capacity, used, free)

"""Pools and volumes: finding them, making and removing volumes, and who uses them.

References are ids or names: a pool by uuid or name; a volume by `<pool uuid>/<name>`, `<pool name>/<name>` or its
absolute path. Where a call says "Raises libvirtError", the caller has it translated by `libvirt_errors`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import libvirt

from jvp.core.errors import Busy, NotFound, Path, Stopped
from jvp.core.types import is_uuid, shortened
from jvp.core.words import listed
from jvp.core.work import Work, current
from jvp.libvirt.link import handles, told
from jvp.libvirt.link.errors import Gone, is_gone, is_no_file, reason, translated
from jvp.libvirt.link.looks import Looks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, put, text_of, value, volume_xml
from jvp.libvirt.storage import volume_record

T = TypeVar("T")
"""Names that a sentence lists before it says how many more there are."""
PERMISSION_MODE = "0600"
_REMEMBERED_S = 5.0
_bases: dict[str, dict[tuple[str, str], tuple[float, str | None]]] = {}
"""What volumes stand on, and when that was read, by uri and by pool and name.

libvirt tells it in each volume's own XML alone: without this the end of a stack would read each for each other one. So
for these seconds it is missed that another process has made an overlay anew, by the same name and on another base.
"""
_REFRESH_S = 30.0
_looks = Looks()
_ACTIVE = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE


@dataclass(frozen=True)
class BackingFile:
    """What a copy-on-write volume stands on."""

    path: str
    format: str


def pool_of(node: Node, reference: str, path: Path = ()) -> handles.StoragePool:
    """The pool of a uuid or name. Raises NotFound with the names that exist."""
    found = find_pool(node, reference)
    if found is None:
        names = (pool.name() for pool in node.connection.listAllStoragePools(0))
        raise NotFound(
            f'there is no storage pool "{shortened(reference)}" on the node; there are: {listed(names)}', path=path
        )
    return found


def find_pool(node: Node, reference: str) -> handles.StoragePool | None:
    """The pool of a uuid or name, None when there is none. Raises libvirtError."""
    connection = node.connection
    lookups: list[Callable[[str], handles.StoragePool]] = [connection.storagePoolLookupByName]
    if is_uuid(reference):
        lookups.insert(0, connection.storagePoolLookupByUUIDString)
    for lookup in lookups:
        try:
            return lookup(reference)
        except libvirt.libvirtError as error:
            if not is_gone(error, Gone.POOL):
                raise
    return None


def pool_at(node: Node, folder: str) -> handles.StoragePool | None:
    """The active pool over a folder, None when there is none. Raises libvirtError."""
    try:
        return node.connection.storagePoolLookupByTargetPath(folder)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.POOL):
            return None
        raise


def active_pool_of(node: Node, reference: str, path: Path = ()) -> handles.StoragePool:
    """The pool of a uuid or name, which runs. Raises NotFound, Rejected when it is stopped."""
    running = active_pools(node.connection)  # one question instead of a look-up and another whether it runs
    found = [pool for pool in running if pool.UUIDString() == reference.lower()]
    found += [pool for pool in running if pool.name() == reference]
    if found:
        return found[0]
    pool = pool_of(node, reference, path)
    if not pool.isActive():
        raise inactive(pool.name(), path)
    return pool


@contextlib.contextmanager
def running(pool: handles.StoragePool, path: Path = ()) -> Iterator[None]:
    """What is refused or not found, because the pool is stopped, is told as that: as Stopped. Raises libvirtError."""
    try:
        yield
    except (libvirt.libvirtError, NotFound) as error:
        refused = isinstance(error, NotFound) or error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID
        if not refused or pool.isActive():
            raise
        raise inactive(pool.name(), path) from None


def inactive(name: str, path: Path = ()) -> Stopped:
    """The error for a pool that is stopped: nothing can be said of its volumes."""
    return Stopped(f'storage pool "{name}" is not active; start it', path=path)


def unreadable(name: str, why: str) -> Stopped:
    """The error for a pool that has just stopped, because its folder cannot be read."""
    return Stopped(f'storage pool "{name}" is not active any more: {why}; start it')


def volume_of(
    node: Node, reference: str, path: Path = (), pool: handles.StoragePool | None = None
) -> handles.StorageVol:
    """The volume of an id, a pool and name, or an absolute path. Raises NotFound with what there is, Rejected.

    `pool` is the one of the reference, where it has been found already.
    """
    if reference.startswith("/"):
        return _volume_at(node, reference, path)
    pool_part, _, name = reference.partition("/")
    if not pool_part or not name:
        raise NotFound(f'"{shortened(reference)}" names no volume; write it as pool/name, or give its id', path=path)
    if pool is None:
        pool = active_pool_of(node, pool_part, path)
    found = find_volume(pool, name)
    if found is None:
        refresh(current(), pool)
        found = find_volume(pool, name)
    if found is None or volume_record.is_sidecar(name):
        raise NotFound(
            f'there is no volume "{shortened(name)}" in the storage pool "{pool.name()}"; '
            f"there are: {listed(volume_names(pool))}",
            path=path,
        )
    return found


def at_path(node: Node, path: str) -> handles.StorageVol | None:
    """The volume of an active pool whose file this is, None when there is none. Raises libvirtError."""
    try:
        return node.connection.storageVolLookupByPath(path)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None
        raise


def _volume_at(node: Node, reference: str, path: Path) -> handles.StorageVol:
    found = at_path(node, reference)
    if found is not None:
        return found
    pools = (pool.name() for pool in active_pools(node.connection))
    raise NotFound(
        f'"{shortened(reference)}" is not a volume of an active storage pool; active pools are: {listed(pools)}',
        path=path,
    )


def find_volume(pool: handles.StoragePool, name: str) -> handles.StorageVol | None:
    """The volume as the pool knows it, None when it knows none. Raises libvirtError: an inactive pool, above all."""
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None
        raise


def there(work: Work, pool: handles.StoragePool, name: str) -> handles.StorageVol | None:
    """The volume as `find_volume` gives it, and with its file; None when there is none. Raises Busy, libvirtError.

    One that the pool lists without a file was removed behind libvirt's back, or another run makes it at this moment:
    then the pool looks at its folder, which waits for who makes volumes.
    """
    found = find_volume(pool, name)
    if found is not None and not has_file(found):
        refresh(work, pool)
        found = find_volume(pool, name)
    return found


def has_file(volume: handles.StorageVol) -> bool:
    """Whether the file is there of a volume that its pool lists. Raises libvirtError: what is there is no file."""
    try:
        volume_xml(volume)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return False
        raise
    return True


def active_pools(connection: handles.Connection) -> list[handles.StoragePool]:
    """The pools that run. Raises libvirtError."""
    found: list[handles.StoragePool] = connection.listAllStoragePools(_ACTIVE)
    return found


def unless_lost(pool: handles.StoragePool, ask: Callable[[], T]) -> T | None:
    """What `ask` says of one of many pools; None when that was stopped or undefined meanwhile. Raises libvirtError.

    One that runs when it is looked at after the error may have been stopped and started: it is asked again.
    """
    try:
        return ask()
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.POOL):
            return None
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
    return ask() if _runs(pool) else None


def _runs(pool: handles.StoragePool) -> bool:
    try:
        return bool(pool.isActive())
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.POOL):
            return False
        raise


def names(pool: handles.StoragePool) -> list[str]:
    """The names of all files in an active pool. Raises libvirtError."""
    try:
        return list(pool.listVolumes())
    except UnicodeDecodeError:  # one of them is no text
        return [name_of(volume) for volume in pool.listAllVolumes(0)]


def name_of(volume: handles.StorageVol) -> str:
    """A volume's name; one that is no text as escapes, by which nothing is found. Raises libvirtError."""
    return told.readable(volume.name)


def volume_names(pool: handles.StoragePool) -> list[str]:
    """The pool's volumes without our sidecars."""
    return [name for name in names(pool) if not volume_record.is_sidecar(name)]


def look(work: Work, pool: handles.StoragePool) -> None:
    """Have the pool look at its folder again, once. Who asks for it while it does shares the next look.

    Raises libvirtError, Busy.
    """
    _looks.share(work, (pool.connect().getURI(), pool.UUIDString()), lambda: pool.refresh(0))


def refresh(work: Work, pool: handles.StoragePool) -> None:
    """Have the pool look at its folder again. Raises Busy when it is building volumes all the while, and Stopped.

    Source: virStoragePoolRefresh stops a pool whose folder cannot be read.
    """

    def done() -> bool:
        try:
            look(work, pool)
        except libvirt.libvirtError as error:
            problem = translated(error, f'storage pool "{pool.name()}"')
            if isinstance(problem, Busy):
                return False
            if not pool.isActive():
                raise unreadable(pool.name(), reason(error)) from None
            raise problem from None
        return True

    work.until(
        done, limit_s=_REFRESH_S, every_s=0.1, what=f'storage pool "{pool.name()}" is busy making a volume; run again'
    )


def create_volume(
    work: Work,
    node: Node,
    pool: handles.StoragePool,
    name: str,
    *,
    capacity: int,
    format: str,
    backing: BackingFile | None = None,
    mode: str = PERMISSION_MODE,
    allocated: bool = False,
) -> handles.StorageVol:
    """Make an empty volume that takes no room yet, unless it is to be `allocated`; qcow2 is of version 3.

    Raises libvirtError, with VIR_ERR_STORAGE_VOL_EXIST when the name is taken.
    Source: libvirt makes qcow2 of version 2 (compat 0.10) and fully allocated raw unless told otherwise.
    """
    work.check()
    root = parse("<volume/>")
    put(root, "name", name)
    put(root, "capacity", str(capacity))
    put(root, "allocation", str(capacity) if allocated else "0")
    put(root, "target/format/@type", format)
    put(root, "target/permissions/mode", mode)
    if format == "qcow2":
        put(root, "target/compat", "1.1")
    if backing is not None:
        put(root, "backingStore/path", backing.path)
        put(root, "backingStore/format/@type", backing.format)
    _bases.get(node.connection.getURI(), {}).pop((pool.UUIDString(), name), None)
    return pool.createXML(text_of(root), 0)


def free_bytes(pool: handles.StoragePool) -> int:
    """What is left in an active pool. Raises libvirtError."""
    return int(pool.info()[3])


def delete_volume(volume: handles.StorageVol) -> None:
    """Remove a volume; missing is fine. Raises libvirtError."""
    try:
        volume.delete(0)
    except libvirt.libvirtError as error:
        if not is_gone(error, Gone.VOLUME):
            raise


def backing_users(connection: handles.Connection, path: str) -> list[str]:
    """The volumes of active pools that stand on the file at `path`, as `pool/name`. Raises libvirtError.

    Which volumes there are is asked each time. What one stands on is remembered for a few seconds, so that the end
    of a whole stack does not read each volume's XML for each other volume; what would refuse it is read again.
    """
    users = _looks.share(current(), ("users", connection.getURI()), lambda: backing_map(connection))
    if not users.get(path):
        return []
    return backing_map(connection, fresh=True).get(path, [])


def backing_map(connection: handles.Connection, *, fresh: bool = False) -> dict[str, list[str]]:
    """Every file that a volume of an active pool stands on, with those volumes as `pool/name`. Raises libvirtError."""
    uri = connection.getURI()
    before = {} if fresh else _bases.get(uri, {})
    known: dict[tuple[str, str], tuple[float, str | None]] = {}
    users: dict[str, list[str]] = {}
    now = time.monotonic()
    for pool in active_pools(connection):
        uuid, pool_name = pool.UUIDString(), pool.name()
        for name, volume in unless_lost(pool, partial(_listed, pool, whole=fresh)) or ():
            seen = before.get((uuid, name))
            if seen is None or now - seen[0] > _REMEMBERED_S:
                seen = (now, _base_of(pool, name, volume))
            known[uuid, name] = seen
            if seen[1]:
                users.setdefault(seen[1], []).append(f"{pool_name}/{name}")
    _bases[uri] = known
    return users


def remember_base(pool: handles.StoragePool, name: str, root: Element) -> None:
    """What a volume of this XML stands on, for `backing_users`: it was read a moment ago."""
    base = value(root, "backingStore/path")
    _bases.setdefault(pool.connect().getURI(), {})[pool.UUIDString(), name] = (time.monotonic(), base)


def _listed(pool: handles.StoragePool, *, whole: bool) -> list[tuple[str, handles.StorageVol | None]]:
    """The volumes of an active pool without our sidecars by name, which is all that is asked for unless `whole`."""
    every: list[tuple[str, handles.StorageVol | None]] = []
    with contextlib.suppress(UnicodeDecodeError):  # one of them is no text, and is not found by it
        every = [] if whole else [(name, None) for name in pool.listVolumes()]
    every = every or [(name_of(volume), volume) for volume in pool.listAllVolumes(0)]
    return [(name, volume) for name, volume in every if not volume_record.is_sidecar(name)]


def _base_of(pool: handles.StoragePool, name: str, volume: handles.StorageVol | None) -> str | None:
    """The file that a volume stands on; None for one that does not, or is gone."""
    try:
        return value(volume_xml(volume or pool.storageVolLookupByName(name)), "backingStore/path")
    except libvirt.libvirtError as error:
        if error.get_error_code() in (Gone.VOLUME, Gone.POOL, libvirt.VIR_ERR_OPERATION_INVALID) or is_no_file(error):
            return None
        raise

"""All pools, volumes and templates at once, for lists."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial

import libvirt

from jvp.core.errors import Rejected
from jvp.core.listing import declarer
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone, is_no_file
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value, volume_xml
from jvp.libvirt.storage import layer_names, lookup, pool_mark, templates, volume_record
from jvp.libvirt.storage.pool import PoolApi, Room
from jvp.libvirt.storage.volume_record import Sidecar
from jvp.libvirt.storage.volumes import Found, seen_size


@dataclass(frozen=True)
class SeenPool:
    """A pool of anybody in a list."""

    id: str
    name: str
    state: str
    room: Room | None
    root: Element | None = None
    """Its definition, where that was asked for."""

    @property
    def declared_by(self) -> str | None:
        mark = None if self.root is None else pool_mark.bearer(self.root)
        return None if mark is None else declarer(mark.declared_by)


def pools(node: Node, takes: Callable[[str, str], bool], *, looks: bool) -> Iterator[SeenPool]:
    """The pools of which `takes` says so, by name and state; see `domain.bulk`. Raises libvirtError.

    libvirt tells the room of each by a call of its own.
    """
    api = PoolApi(node)
    for pool in node.connection.listAllStoragePools(0):
        name, found = pool.name(), lookup.unless_lost(pool, partial(api.state_of, pool))
        if found is None or not takes(name, found[0]):
            continue
        root = lookup.unless_lost(pool, partial(api.xml, pool)) if looks else None
        if root is not None or not looks:
            yield SeenPool(pool.UUIDString(), name, *found, root)


@dataclass(frozen=True)
class SeenFile:
    """A volume or a template of anybody in a list."""

    id: str
    name: str
    pool: str
    """The pool's name."""
    volume: Found | None = None
    """A volume with its record, where that was asked for, and libvirt can say what it is."""
    record: Sidecar | None = None
    """A template's record, where that was asked for, and can be read."""
    declared_by: str | None = None
    holder: handles.StoragePool | None = None
    """The pool of a template whose record is told."""


def _running(node: Node, reference: str | None) -> list[handles.StoragePool]:
    """The pool of a reference, or all that run. Raises NotFound, Stopped."""
    if reference is not None:
        return [lookup.active_pool_of(node, reference, ("pool",))]
    return lookup.active_pools(node.connection)


def volumes(node: Node, pool: str | None, takes: Callable[[str], bool], *, looks: bool) -> Iterator[SeenFile]:
    """The volumes of running pools, or of one `pool`, whose name is wanted, without those of templates.

    See `domain.bulk`. Raises NotFound, Stopped, libvirtError.
    """
    for holder in _running(node, pool):
        uuid, pool_name = holder.UUIDString(), holder.name()
        every = lookup.unless_lost(holder, partial(holder.listAllVolumes, 0)) or ()
        named = {lookup.name_of(volume): volume for volume in every}
        ours = set(templates.among(named))
        for name, volume in named.items():
            template = templates.parsed_name(name)
            hidden = volume_record.is_sidecar(name) or layer_names.is_hidden(name)
            if hidden or (template and template[0] in ours) or not takes(name):
                continue
            if not looks:
                yield SeenFile(f"{uuid}/{name}", name, pool_name)
            elif (found := lookup.unless_lost(holder, partial(_looked_at, holder, volume, name, named))) is not None:
                yield found


def _looked_at(
    pool: handles.StoragePool, volume: handles.StorageVol, name: str, names: Container[str]
) -> SeenFile | None:
    """A volume with what is known of it; None when it is gone. What is no file has its name alone."""
    seen = SeenFile(f"{pool.UUIDString()}/{name}", name, pool.name())
    try:
        root = volume_xml(volume)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None
        if is_no_file(error):
            return seen
        raise
    record, by = _recorded(pool, name) if volume_record.volume_name(name) in names else (None, None)
    known = Found(pool, volume, root, record, seen_size(pool, record))
    return SeenFile(seen.id, name, seen.pool, known, None, by)


@dataclass(frozen=True)
class Overlay:
    """A volume of anybody that stands on another file."""

    name: str
    """As pool/name."""
    path: str
    base: str


def overlays(node: Node) -> Iterator[Overlay]:
    """The volumes of running pools that stand on another file, hidden ones too. Raises libvirtError."""
    for holder in _running(node, None):
        pool_name = holder.name()
        for volume in lookup.unless_lost(holder, partial(holder.listAllVolumes, 0)) or ():
            name = lookup.name_of(volume)
            if not volume_record.is_sidecar(name):
                root = lookup.unless_lost(holder, partial(_xml, volume))
                base = None if root is None else value(root, "backingStore/path")
                if root is not None and base:
                    yield Overlay(f"{pool_name}/{name}", value(root, "target/path") or "", base)


def _xml(volume: handles.StorageVol) -> Element | None:
    """None for what is gone, or no file."""
    try:
        return volume_xml(volume)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME) or is_no_file(error):
            return None
        raise


def _recorded(pool: handles.StoragePool, name: str) -> tuple[Sidecar | None, str | None]:
    """The record of a volume, and who declares it. One of a newer version is somebody's of ours."""
    try:
        record = volume_record.get(pool, name)
    except Rejected:
        return None, declarer(None)
    return record, None if record is None else declarer(record.mark.declared_by)


def listed_templates(node: Node, pool: str | None, takes: Callable[[str], bool], *, looks: bool) -> Iterator[SeenFile]:
    """The templates of running pools, or of one `pool`, whose name is wanted. As `volumes`."""
    for holder in _running(node, pool):
        uuid, pool_name = holder.UUIDString(), holder.name()
        for name in lookup.unless_lost(holder, partial(templates.template_names, holder)) or ():
            if not takes(name):
                continue
            if not looks:
                yield SeenFile(f"{uuid}/{name}", name, pool_name)
                continue
            found = lookup.unless_lost(holder, partial(_recorded, holder, templates.record_name(name)))
            if found is not None and found != (None, None):
                yield SeenFile(f"{uuid}/{name}", name, pool_name, None, *found, holder)

"""All pools, volumes and templates of a node, or those that filters take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from jvp.core.errors import Path
from jvp.core.work import Work
from jvp.libvirt.domain.disks import DomainDisk, disk_users, seen_domains
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number, value
from jvp.libvirt.storage import bulk, lookup
from jvp.libvirt.storage.template_fill import TemplateApi
from jvp.libvirt.storage.templates import Record
from jvp.resources.storage.items import (
    StoragePoolFilters,
    StoragePoolItem,
    TemplateFilters,
    TemplateItem,
    VolumeFilters,
    VolumeItem,
)


def pools(node: Node, work: Work, filters: StoragePoolFilters) -> Iterator[StoragePoolItem]:
    """Raises libvirtError."""
    for one in bulk.pools(node, lambda name, state: filters.takes(name=name, state=state), looks=filters.looks):
        work.check()
        type_ = None if one.root is None else one.root.get("type")
        if one.root is not None and not (filters.takes_declarer(one.declared_by) and filters.takes(type=type_)):
            continue
        room = one.room
        yield StoragePoolItem.of(
            id=one.id,
            name=one.name,
            state=one.state,
            declared_by=one.declared_by,
            capacity_bytes=room.capacity if room else None,
            allocation_bytes=room.allocation if room else None,
            available_bytes=room.available if room else None,
            type=type_,
            path=None if one.root is None else value(one.root, "target/path"),
        )


def volumes(node: Node, work: Work, filters: VolumeFilters) -> Iterator[VolumeItem]:
    """Raises NotFound, Stopped, libvirtError."""
    wanted = filters.attached_to and instance_named(node, filters.attached_to, ("attachedTo",))
    users = disk_users(node.connection) if filters.details or filters.by_users else None
    for one in bulk.volumes(node, filters.pool, lambda name: filters.takes(name=name), looks=filters.looks):
        work.check()
        found = one.volume
        path = found.path if found is not None else None
        having = users.get(found.active, ()) if users is not None and found is not None else ()
        attached_to = sorted({disk.name for disk in having if not disk.backing})
        if filters.looks and not filters.takes_declarer(one.declared_by):
            continue
        if filters.attached not in (None, bool(attached_to)) or (wanted is not None and wanted not in attached_to):
            continue
        size, format = (found.size, found.format) if found is not None else (None, None)
        if not filters.takes_size(size) or not filters.takes(format=format):
            continue
        yield VolumeItem.of(
            id=one.id,
            name=one.name,
            pool=one.pool,
            declared_by=one.declared_by,
            format=format,
            size_bytes=size,
            allocation_bytes=number(found.root, "allocation") if found is not None else None,
            path=path,
            attached_to=attached_to if users is not None else None,
        )


class Uses:
    """Who stands on which files, by one look at all volumes and domains. Raises libvirtError."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @cached_property
    def _overlays(self) -> Mapping[str, Sequence[bulk.Overlay]]:
        """By what they stand on."""
        found: dict[str, list[bulk.Overlay]] = {}
        for one in bulk.overlays(self._node):
            found.setdefault(one.base, []).append(one)
        return found

    @cached_property
    def _disks(self) -> Mapping[str, Sequence[DomainDisk]]:
        return seen_domains(self._node).users

    def volumes(self, paths: Iterable[str]) -> list[str]:
        """The volumes that stand on any of the files, as pool/name."""
        return sorted({one.name for path in paths for one in self._overlays.get(path, ())})

    def instances(self, paths: Iterable[str]) -> list[str]:
        """The domains that have any of the files as a disk, or under one, by name."""
        above, files = list(paths), set[str]()
        while above:
            path = above.pop()
            if path not in files:
                files.add(path)
                above += [one.path for one in self._overlays.get(path, ())]
        return sorted({disk.name for path in files for disk in self._disks.get(path, ())})


def templates(node: Node, work: Work, filters: TemplateFilters) -> Iterator[TemplateItem]:
    """Raises NotFound, Stopped, libvirtError."""
    uses, api, wanted = Uses(node), TemplateApi(node), _user(node, filters.used_by)
    for one in bulk.listed_templates(node, filters.pool, lambda name: filters.takes(name=name), looks=filters.looks):
        work.check()
        if one.record is None or one.holder is None:
            if not filters.looks or (not filters.by_content and filters.takes_declarer(one.declared_by)):
                yield TemplateItem.of(id=one.id, name=one.name, pool=one.pool, declared_by=one.declared_by)
            continue
        record = Record.of(one.record)
        if not filters.takes_declarer(one.declared_by) or not filters.takes_os(record.system):
            continue
        if not filters.takes(kind=record.kind) or not filters.takes_size(record.size or None):
            continue
        paths = api.paths(one.holder, one.name, record) if filters.details or filters.by_users else []
        users, instances = (uses.volumes(paths), uses.instances(paths)) if paths else ([], [])
        if filters.used not in (None, bool(users or instances)) or (wanted and wanted not in (*users, *instances)):
            continue
        yield TemplateItem.of(
            id=one.id,
            name=one.name,
            pool=one.pool,
            declared_by=one.declared_by,
            os=record.system or None,
            architecture=record.architecture or None,
            format=one.record.format or None,
            size_bytes=record.size or None,
            kind=record.kind,
            type=record.type,
            created_at=record.created or None,
            users=users,
            instances=instances,
        )


def _user(node: Node, reference: str | None) -> str | None:
    """What is to stand on a template, as `Uses` calls it. Raises NotFound."""
    if reference is None or "/" not in reference:
        return reference and instance_named(node, reference, ("usedBy",))
    volume = lookup.volume_of(node, reference, ("usedBy",))
    return f"{volume.storagePoolLookupByVolume().name()}/{volume.name()}"


def instance_named(node: Node, reference: str, path: Path) -> str:
    """The name of an instance. Raises NotFound."""
    return DomainApi(node).by_reference(reference, path).name()

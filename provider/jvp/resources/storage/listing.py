"""All pools, volumes and templates of a node, or those that filters take."""

from __future__ import annotations

from collections.abc import Iterator

from jvp.core.work import Work
from jvp.libvirt.domain.disks import disk_users
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number, value
from jvp.libvirt.storage import bulk
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
    users = disk_users(node.connection) if filters.details or filters.attached is not None else None
    for one in bulk.volumes(node, filters.pool, lambda name: filters.takes(name=name), looks=filters.looks):
        work.check()
        found = one.volume
        path = found.path if found is not None else None
        having = users.get(found.active, ()) if users is not None and found is not None else ()
        attached_to = sorted({disk.name for disk in having if not disk.backing})
        if filters.looks and not filters.takes_declarer(one.declared_by):
            continue
        if filters.attached not in (None, bool(attached_to)):
            continue
        yield VolumeItem.of(
            id=one.id,
            name=one.name,
            pool=one.pool,
            declared_by=one.declared_by,
            format=found.format if found is not None else None,
            size_bytes=found.size if found is not None else None,
            allocation_bytes=number(found.root, "allocation") if found is not None else None,
            path=path,
            attached_to=attached_to if users is not None else None,
        )


def templates(node: Node, work: Work, filters: TemplateFilters) -> Iterator[TemplateItem]:
    """Raises NotFound, Stopped, libvirtError."""
    for one in bulk.listed_templates(node, filters.pool, lambda name: filters.takes(name=name), looks=filters.looks):
        work.check()
        if one.record is None:
            if not filters.looks or (filters.os is None and filters.takes_declarer(one.declared_by)):
                yield TemplateItem.of(id=one.id, name=one.name, pool=one.pool, declared_by=one.declared_by)
            continue
        record = Record.of(one.record)
        if not filters.takes_declarer(one.declared_by) or not filters.takes(os=record.os):
            continue
        yield TemplateItem.of(
            id=one.id,
            name=one.name,
            pool=one.pool,
            declared_by=one.declared_by,
            os=record.os or None,
            format=one.record.format or None,
            size_bytes=record.size or None,
            type=next((name for name in ("url", "path") if record.source.get(name)), None),
            created_at=record.created or None,
        )

"""Snapshots as they are: one by its record, and all of a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jvp.core.listing import declarer
from jvp.core.types import in_lower_case
from jvp.core.work import Work
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import foreign, memory, record
from jvp.libvirt.snapshots.record import Snap
from jvp.resources.snapshot.items import SnapshotFilters, SnapshotItem
from jvp.resources.snapshot.model import Snapshot, SnapshotState


def state_of(node: Node, snap: Snap, spelled: Snapshot | None) -> SnapshotState:
    """The state, with what the host does not know taken from `spelled`: the spec, or the state before.

    Raises libvirtError.
    """
    domain = DomainApi(node).find(snap.instance)
    name, facts, view = domain.name() if domain is not None else None, snap.record.facts, View(node)
    said = spelled.instance if spelled is not None else None
    return SnapshotState.model_construct(
        name=snap.name,
        instance=said if said is not None and in_lower_case(said) in (name, snap.instance) else name or snap.instance,
        quiesce=spelled.quiesce if spelled is not None else "auto",
        memory=snap.memory is not None,
        volumes=facts.get("volumes"),
        description=facts.get("description"),
        created_at=snap.created or None,
        instance_id=snap.instance,
        instance_name=name,
        parent=parent_of(view, snap, record.of(node, snap.instance)),
        disks=[disk.name for disk in snap.disks],
        size_bytes=sum(disk.size for disk in snap.disks),
        allocation_bytes=allocation_of(view, snap),
        quiesced=facts.get("quiesced"),
        pool_uuid=snap.pool.UUIDString(),
        nonce=snap.record.nonce,
    )


def parent_of(view: View, snap: Snap, others: list[Snap]) -> str | None:
    """The snapshot that froze the next file below; None where none did. Raises libvirtError."""
    first = snap.disks[0]
    frozen = {
        record.path_of(view.node, one.disks[0].pool, one.disks[0].file): one.name
        for one in others
        if one.name != snap.name and one.record.phase == "whole" and one.disks[0].pool == first.pool
    }
    path, seen = record.path_of(view.node, first.pool, first.file), set[str]()
    while frozen and path not in seen:
        seen.add(path)
        base = view.base_of(path)
        if base is None:
            return None
        path = base[0]
        if path in frozen:
            return frozen[path]
    return None


def allocation_of(view: View, snap: Snap) -> int | None:
    """What its frozen files take, and its memory; None where one is gone. Raises libvirtError."""
    volumes = [view.listed(record.path_of(view.node, disk.pool, disk.file)) for disk in snap.disks]
    found = [number(one.root, "allocation") or 0 for one in volumes if one is not None and one.has_file]
    if len(found) < len(volumes):
        return None
    return sum(found) + (memory.allocation_of(snap) if snap.memory is not None else 0)


def items(node: Node, work: Work, filters: SnapshotFilters) -> Iterator[SnapshotItem]:
    """Raises NotFound for an instance that is not there, Rejected, libvirtError."""
    api, of = DomainApi(node), None
    if filters.instance is not None:
        of = api.by_reference(filters.instance, ("instance",)).UUIDString()
    found = list(record.every(node, lambda uuid, name: of in (None, uuid) and filters.takes(name=name), readable=True))
    view, names = View(node), dict[str, str]()
    for snap in found:
        work.check()
        by = declarer(snap.mark.declared_by) if filters.looks else None
        if snap.merging is not None or (filters.looks and not filters.takes_declarer(by)):
            continue
        if snap.instance not in names:
            domain = api.find(snap.instance)
            names[snap.instance] = domain.name() if domain is not None else snap.instance
        known: dict[str, Any] = {"declared_by": by} if filters.looks else {}
        if filters.details:
            known |= {
                "parent": parent_of(view, snap, record.of(node, snap.instance)),
                "allocation_bytes": allocation_of(view, snap),
                "description": snap.record.facts.get("description"),
            }
        size = sum(disk.size for disk in snap.disks)
        yield SnapshotItem.of(
            id=snap.id, name=snap.name, instance=names[snap.instance], created_at=snap.created or None,
            size_bytes=size, **known,
        )  # fmt: skip
    yield from _foreign(node, of, filters)


def _foreign(node: Node, of: str | None, filters: SnapshotFilters) -> Iterator[SnapshotItem]:
    if filters.looks and not filters.takes_declarer(None):
        return
    for one in foreign.every(node, of):
        if filters.takes(name=one.name):
            known = {"parent": one.parent, "description": one.description} if filters.details else {}
            yield SnapshotItem.of(
                id=f"{one.uuid}/{one.name}", name=one.name, instance=one.domain, created_at=one.created, foreign=True,
                **known,
            )  # fmt: skip

"""Disks as snapshots hold them, for who makes something of one. Nothing of a snapshot is written here."""

from __future__ import annotations

import contextlib

from jvp.core.errors import Busy, NotFound, Path, Rejected
from jvp.core.types import is_uuid, shortened
from jvp.core.words import listed
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link.node import Node
from jvp.libvirt.snapshots import record
from jvp.libvirt.snapshots.record import Held, Snap


def snapshot_of(node: Node, reference: str, where: Path) -> Snap:
    """The snapshot of an id or of instance/name, whole. Raises NotFound with those that exist, Rejected for another
    tool's and for one that is not complete, Stopped; libvirtError."""
    holder, _, name = reference.rpartition("/")
    if not holder:
        raise NotFound(
            f'"{shortened(reference)}" names no snapshot; write it as instance/name, or give its id', path=where
        )
    domain = None
    with contextlib.suppress(NotFound):
        domain = DomainApi(node).by_reference(holder, ())
    uuid = domain.UUIDString() if domain is not None else holder.lower()
    snap = record.whole(node, uuid, name, where) if is_uuid(uuid) else None
    if snap is None:
        if domain is not None and name in [one.getName() for one in domain.listAllSnapshots(0)]:
            raise Rejected(
                f'the snapshot "{shortened(name)}" of "{domain.name()}" is another tool\'s, of which nothing is made '
                "here; take one of your own",
                path=where,
            )
        others = record.of(node, uuid) if is_uuid(uuid) else []
        names = [f"{holder}/{one.name}" for one in others if one.merging is None]
        what = f'"{shortened(holder)}" has no snapshot "{shortened(name)}"'
        if domain is None and not names:
            raise NotFound(f'there is no instance "{shortened(holder)}", so no snapshot of it', path=where)
        raise NotFound(f"{what}; there are: {listed(names)}", path=where)
    return snap


def held_by(snap: Snap, disk: str, where: Path) -> Held:
    """One of its disks, by name. Raises NotFound with those that it holds."""
    found = next((held for held in snap.disks if held.name == disk), None)
    if found is None:
        names = listed(held.name for held in snap.disks)
        raise NotFound(f'snapshot "{snap.name}" holds no disk "{shortened(disk)}"; it holds: {names}', path=where)
    return found


def refuse_changing(snap: Snap, held: Held) -> None:
    """Raise Busy where the snapshot is deleted, or merged with another one, since it was found. Raises libvirtError."""
    now = record.read(snap.pool, snap.instance, snap.name)
    if now is None or now.record.phase != "whole" or held not in now.disks or now.record.nonce != snap.record.nonce:
        raise Busy(f'snapshot "{snap.name}" is deleted, or merged with another one, while it is copied; run again')

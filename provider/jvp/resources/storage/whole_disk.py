"""Disks that something is made from whole: as a snapshot holds them, or as a volume is now.

The headers of all their files are read first: nothing may lie below but what jvp laid there, or another file of a pool.
"""

from __future__ import annotations

import dataclasses

from jvp import images
from jvp.core.errors import Busy, JvpError, Path, Rejected
from jvp.images import qcow2
from jvp.libvirt import disk_chain
from jvp.libvirt.disk_chain import Chain
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import origin, record
from jvp.libvirt.storage import layer_names, volume_record
from jvp.libvirt.storage.clone_source import FORMATS, Original
from jvp.libvirt.storage.flat_copy import Disk
from jvp.libvirt.storage.streams import read_small
from jvp.libvirt.storage.volumes import Found


def of_snapshot(node: Node, reference: str, disk: str | None, at: Path = ()) -> Disk:
    """A disk of a snapshot, the root disk unless another one is named. Properties are below the path `at`.

    Raises NotFound, Rejected.
    """
    where: Path = (*at, "snapshot")
    with libvirt_errors(f'snapshot "{reference}"', where):
        snap = origin.snapshot_of(node, reference, where)
        held = origin.held_by(snap, disk or layer_names.ROOT, (*at, "disk") if disk else where)
        path = record.path_of(node, held.pool, held.file)
        what = f'the disk "{held.name}" of the snapshot "{snap.name}"'
        domain = DomainApi(node).find(snap.instance)
        facts = {"snapshot_id": snap.id, "snapshot_disk": held.name}
        if domain is not None:
            facts["snapshot_instance"] = domain.name()
        taken = _taken(View(node), path, held.format, what, where)
        nonce = snap.record.nonce
        return Disk(what, path, held.format, held.size, taken, facts, lambda: origin.refuse_changing(snap, held), nonce)


def of_volume(node: Node, original: Original) -> Disk:
    """All that a guest sees of a volume, also what lies over it in layers of ours. Raises Rejected, libvirtError."""
    view = View(node)
    path, format = _active(view, original)
    volume = view.volume(path)
    size = volume.size(format) if volume is not None else original.capacity
    what = f'the volume "{original.name}"'

    def refuse_changing() -> None:
        now = View(node)
        original.refuse_unsteady(now.users, path)
        if _active(now, original) != (path, format):
            raise Busy(f"{what} was changed while it was copied; run again")

    facts = {"volume_id": original.id, "volume_pool": original.pool.name()}
    nonce = original.nonce
    return Disk(
        what, path, format, size, _taken(view, path, format, what, original.where), facts, refuse_changing, nonce
    )


def is_covered(node: Node, original: Original) -> bool:
    """Whether layers of ours lie over a volume. Raises libvirtError."""
    return _active(View(node), original)[0] != original.path


def _active(view: View, original: Original) -> tuple[str, str]:
    """The file in which a volume goes on, and its format: by the domain that has it, else by its record."""
    if (disk := disk_chain.under_ours(view, original.path)) is not None and (path := Chain(view, disk.element).path):
        return path, layer_names.FORMAT
    found = Found.of(original.pool, original.volume, volume_record.get(original.pool, original.name))
    return (found.active, layer_names.FORMAT) if found.active != original.path else (original.path, original.format)


def _taken(view: View, path: str, format: str, what: str, where: Path) -> int:
    """What the files of a disk take of their pools. Raises Rejected for one that stands on what is not known."""
    taken, seen = 0, set[str]()
    while True:
        volume = view.volume(path)
        if volume is None or path in seen:
            raise Rejected(f"{what} is made of {path}, which is in no active storage pool", path=where)
        seen.add(path)
        taken += number(volume.root, "allocation") or 0
        if format == "raw":
            return taken
        try:
            header = qcow2.parse(read_small(view.node.connection, volume.volume, images.HEAD_BYTES))
            qcow2.refuse_unusable(dataclasses.replace(header, backing_file=None), None)
        except JvpError as error:
            raise Rejected(f"{what} cannot be copied: of {path}, {error.message}", path=where) from None
        if header.backing_file is None:
            return taken
        if header.backing_format not in FORMATS:
            raise Rejected(f"{what} stands on {header.backing_file}, of which it does not say what it is", path=where)
        path, format = header.backing_file, header.backing_format

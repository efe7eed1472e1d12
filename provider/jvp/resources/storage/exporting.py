"""Taking a disk out of its storage pool, as one image: into a file of this machine, or piece by piece.

A raw disk, and a qcow2 one that stands on nothing, are read as they are. Nobody is kept from writing to one
meanwhile, so the end tells whether somebody did, before the image is taken for good. Else the daemon makes a copy of
all that the guest sees, in the same pool, which is read and goes at the end. What a run that was cut off has left of
that goes with the next one of the same disk, or with the pool.
"""

from __future__ import annotations

import contextlib
import uuid as uuids
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from jvp.core.errors import Busy, Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.images import outgoing
from jvp.libvirt import disk_chain
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, value, volume_xml
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import disks
from jvp.libvirt.storage import clone_source, content, flat_copy, layer_names, lookup, pool_kind, reading, volume_claim
from jvp.libvirt.storage.flat_copy import Disk
from jvp.resources.storage import whole_disk


@dataclass(frozen=True)
class Image:
    """A volume that holds all of the disk."""

    volume: handles.StorageVol
    length: int
    format: str
    refuse_changed: Callable[[], None] = lambda: None
    """Raises Rejected or Busy where somebody may have written to it since."""


def of_volume(node: Node, object_id: str) -> Disk:
    """The disk that a volume is. Raises NotFound, Rejected, libvirtError."""
    original = clone_source.original_of(node, object_id, ())
    disk = whole_disk.of_volume(node, original)
    _refuse_written(View(node), disk.path, disk.what)
    return disk


def of_instance(node: Node, domain: handles.Domain, wanted: str) -> Disk:
    """A disk of an instance, by name. Raises Rejected, libvirtError."""
    runs = guest.is_active(domain)
    root = devices.live_xml(domain) if runs else devices.inactive_xml(domain)
    named = {disks.name_of(disk): disk for disk in disks.written(root)}
    if wanted not in named:
        has = f"it has {listed(named)}" if named else "it has none"
        raise Rejected(f'instance "{domain.name()}" has no disk "{wanted}" that it can write to; {has}', path=("disk",))
    what, view = f'the disk "{wanted}" of "{domain.name()}"', View(node)
    if runs:
        raise _written(what, domain.name())
    chain = disk_chain.Chain(view, named[wanted])
    bottom = next((layer.path for layer in chain.layers if not layer_names.is_layer(layer.name)), None)
    if bottom is None or view.volume(bottom) is None:
        raise Rejected(f"{what} is in no active storage pool; start that", path=("disk",))
    return whole_disk.of_volume(node, clone_source.original_of(node, bottom, ()))


def of_snapshot(node: Node, object_id: str, name: str) -> Disk:
    """A disk as a snapshot holds it, by name. Raises NotFound, Rejected."""
    return whole_disk.of_snapshot(node, object_id, name)


def export(
    work: Work, node: Node, disk: Disk, format: str | None, path: str, *, overwrite: bool
) -> tuple[outgoing.Written, str]:
    """Write a disk into a file of this machine; what it holds, and its format.

    Raises Rejected, NoSpace, Busy, Cancelled, libvirtError. Again: yes: a file that holds just that is as good.
    """
    outgoing.refuse_taken(path, None, overwrite=overwrite)
    with opened(work, node, disk, format) as image:
        outgoing.refuse_taken(path, image.length, overwrite=overwrite)
        with contextlib.closing(pieces(work, node, disk, image)) as found:
            return outgoing.write(work, path, found, overwrite=overwrite), image.format


def pieces(work: Work, node: Node, disk: Disk, image: Image) -> Generator[bytes | int, None, None]:
    """The bytes of the image in order; a number is a hole. To be closed.

    It ends well only where all of it is there, as it was at the beginning. Raises Busy and Rejected else; Cancelled,
    Unreachable, also at the deadline.
    """
    done = 0
    source = reading.pieces(work, node, image.volume, total=image.length, verb="exporting", what=disk.what)
    with libvirt_errors(disk.what), contextlib.closing(source):
        for piece in source:
            yield piece
            done += piece if isinstance(piece, int) else len(piece)
    image.refuse_changed()
    if done != image.length:
        raise Busy(f"{disk.what} ended after {done} of {image.length} bytes; run again")


@contextlib.contextmanager
def opened(work: Work, node: Node, disk: Disk, format: str | None) -> Iterator[Image]:
    """A volume with the disk in this format, by default its own, while inside.

    Raises Rejected, NoSpace, Busy, Cancelled, libvirtError.
    """
    format = format or disk.format
    seen = View(node).volume(disk.path)
    if seen is None:
        raise Rejected(f"{disk.what} is in no active storage pool; start that")
    if disk.format == format and (format == "raw" or value(seen.root, "backingStore/path") is None):
        disk.refuse_changing()
        yield Image(seen.volume, _length(seen.root), format, lambda: _refuse_changed(node, disk, seen.root))
        return
    for ability in ("clone", "backing"):
        pool_kind.require(seen.pool, ability)
    name = layer_names.exporting(str(uuids.uuid5(uuids.UUID(seen.pool.UUIDString()), f"{disk.path} {format}")))
    with node.turn(work, f"the export of {disk.path}"):
        if (left := lookup.find_volume(seen.pool, name)) is not None:
            volume_claim.remove_when_free(work, left)
        content.refuse_space(seen.pool, disk.what, disk.allocation, ())
        try:
            made = flat_copy.copy(work, node, disk, seen.pool, name, format)
            yield Image(made, _length(volume_xml(made)), format)
        finally:
            with contextlib.suppress(Exception):
                _dropped(node, seen.pool.UUIDString(), name)


def _dropped(node: Node, pool: str, name: str) -> None:
    holder = node.connection.storagePoolLookupByUUIDString(pool)
    if (volume := lookup.find_volume(holder, name)) is not None:
        volume.delete(0)


def _length(root: Element) -> int:
    return number(root, "physical") or 0


def _refuse_changed(node: Node, disk: Disk, before: Element) -> None:
    """Raise Rejected while something may write to the disk, Busy where something has: a guest that started and stopped.

    Of a volume without a file nothing tells that.
    """
    disk.refuse_changing()
    now = View(node).volume(disk.path)
    if now is None or _stamp(now.root) != _stamp(before):
        raise Busy(f"{disk.what} was written to while it was read; run again")


def _stamp(root: Element) -> tuple[int, str | None]:
    return _length(root), value(root, "target/timestamps/mtime")


def _refuse_written(view: View, path: str, what: str) -> None:
    for one in view.users.get(path, ()):
        if one.live is not None and not one.backing and one.live.find("readonly") is None:
            raise _written(what, one.name)


def _written(what: str, name: str) -> Rejected:
    return Rejected(
        f'{what} is written to by "{name}", which runs; take a snapshot (jvp snapshot create {name}/NAME) and export '
        "that, or stop the guest"
    )

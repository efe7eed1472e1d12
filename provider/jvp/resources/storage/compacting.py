"""Giving back the room that disks take for nothing: by the guest that runs with them, else by `storage/reclaim`.

What a disk holds never changes by it, so there is nothing to go on with after a death: the next run does all of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from jvp.core.errors import Busy, Invalid, JvpError, Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.images import clusters, qcow2
from jvp.images.segments import HEAD_BYTES, size_text
from jvp.libvirt import disk_chain
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.disks import DomainDisk
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number
from jvp.libvirt.node_view import SeenVolume, View
from jvp.libvirt.snapshots import disks
from jvp.libvirt.snapshots.record import turn
from jvp.libvirt.storage import copy_volume, layer_names, pool_kind, reading, reclaim
from jvp.libvirt.storage.streams import read_small
from jvp.libvirt.storage.volumes import Found

TRIGGERS = "compactTriggers"
COMPACTED = "compacted"
"""A fact of a volume's record: a digest of the triggers for which it was done last."""
_SLACK = 1024 * 1024
"""So much more than its data a file takes at most, where nothing is taken for its holes."""


@dataclass(frozen=True)
class Image:
    """The file of a disk that a guest writes to, or would."""

    seen: SeenVolume
    format: str
    what: str
    """In a sentence: `volume "a"`."""

    @property
    def taken(self) -> int:
        """The bytes that it takes of its pool."""
        return int(self.seen.volume.info()[2])


def compact_volume(work: Work, node: Node, found: Found) -> tuple[int, int]:
    """Give back what a volume takes for nothing; the bytes that it took before and takes now.

    Raises Rejected where something stands on it, or its guest cannot; Busy, Cancelled, NoSpace, libvirtError.
    Again: yes.
    """
    what = f'volume "{found.name}"'
    if found.record is not None and found.record.phase != "whole":
        raise Busy(f"{what} is not whole: it is being made, or deleted")
    view, path = View(node), found.active
    seen = view.volume(path)
    if seen is None:
        raise Rejected(f"{what} has no file in an active storage pool")
    image = Image(seen, found.format if path == found.path else layer_names.FORMAT, what)
    before = image.taken
    users = view.users.get(path, ())
    live = [one for one in users if one.live is not None and not layer_names.is_compacting(one.name)]
    if live:
        _by_guest(work, node, what, live)
    else:
        _offline(work, view, image)
    return _told(work, what, before, image.taken)


def compact_instance(work: Work, node: Node, domain: handles.Domain, name: str | None) -> tuple[int, int]:
    """Give back what the disks of an instance take for nothing, or one of them, by its name. As `compact_volume`."""
    what, runs = f'instance "{domain.name()}"', guest.is_active(domain)
    root = devices.live_xml(domain) if runs else devices.inactive_xml(domain)
    named = {disks.name_of(disk): disk for disk in disks.written(root)}
    if name is not None and name not in named:
        raise Rejected(f'{what} has no disk "{name}" that it can write to; it has {listed(named)}', path=("disk",))
    chosen = {key: disk for key, disk in named.items() if name in (None, key)}
    with turn(work, node, domain.UUIDString()):
        view, images = View(node), []
        for key, disk in chosen.items():
            chain = disk_chain.Chain(view, disk)
            seen = view.volume(chain.path) if chain.path is not None else None
            if seen is None:
                raise Rejected(
                    f'the disk "{key}" of "{domain.name()}" is in no active storage pool; start that', path=("disk",)
                )
            images.append(Image(seen, chain.format, f'the disk "{key}" of "{domain.name()}"'))
        before = sum(image.taken for image in images)
        if runs:
            for disk in chosen.values():
                reclaim.refuse_untrimmable(domain, disk)
            _refuse_still(domain)
            reclaim.trim(work, node, domain)
        else:
            for image in images:
                _offline(work, view, image)
        return _told(work, what, before, sum(image.taken for image in images))


def triggered(work: Work, node: Node, found: Found) -> Found:
    """What a change of a volume's triggers asks for, once; the volume, whose record says so when it is next written.

    Where a death comes before that, it is done again, which changes nothing. Raises as `compact_volume` does.
    """
    wanted = work.declaration.digests.get(TRIGGERS) if work.declaration is not None else None
    record = found.record
    if wanted is not None and (record is None or record.facts.get(COMPACTED) != wanted):
        try:
            compact_volume(work, node, found)
        except JvpError as error:
            error.path = (TRIGGERS,)
            raise
    if record is None:
        return found
    facts = {name: fact for name, fact in record.facts.items() if name != COMPACTED}
    return dataclasses.replace(found, record=record.having(facts={**facts, COMPACTED: wanted} if wanted else facts))


def _by_guest(work: Work, node: Node, what: str, live: Sequence[DomainDisk]) -> None:
    if foreign := sorted({one.name for one in live if not one.ours}):
        raise Rejected(f"{what} is in use by {listed(foreign)}, which nothing of jvp made; stop that, and run again")
    if below := [one for one in live if one.backing]:
        raise Rejected(f'{what} lies under a disk of "{below[0].name}", which runs; stop that, and run again')
    for one in live:
        assert one.live is not None
        if one.live.find("readonly") is None:
            domain = node.connection.lookupByUUIDString(one.domain.UUIDString())
            reclaim.refuse_untrimmable(domain, one.live)
            _refuse_still(domain)
            reclaim.trim(work, node, domain)
            return
    raise Rejected(f'"{live[0].name}" runs with {what} and may only read it; stop it, and run again')


def _refuse_still(domain: handles.Domain) -> None:
    if (state := guest.state_of(domain)) != "running":
        raise Rejected(f'instance "{domain.name()}" is {state}, and its guest gives nothing back; resume or stop it')


def _offline(work: Work, view: View, image: Image) -> None:
    """Of an image that no guest runs with. Raises Rejected where something stands on it, or it is not understood."""
    seen, what, node = image.seen, image.what, view.node
    pool_kind.require(seen.pool, "sparse")
    if based := disk_chain.in_the_way(view, seen.path):
        raise Rejected(f"{what} is the base of {listed(based.values())}; compact that, or delete it first")
    if any(one.live is not None and not layer_names.is_compacting(one.name) for one in view.users.get(seen.path, ())):
        raise Rejected(f"{what} is in use; stop what runs with it first")
    if image.format == "qcow2":
        copy_volume.refuse_other_format(seen.root, image.format, seen.name)
    with reclaim.hold(work, node, seen.pool, seen.path, image.format, what) as held:
        size, idle = _looked(work, node, image)
        if idle.tables:
            length = clusters.length_of(clusters.layer(size, idle))
            held.give_back(work, clusters.layer(size, idle), length)


def _looked(work: Work, node: Node, image: Image) -> tuple[int, clusters.Idle]:
    """The size of the disk, and what of it takes room for nothing. Raises Rejected for what is not understood."""
    volume, header = image.seen.volume, None
    fresh = SeenVolume(volume, image.seen.pool).root
    length = number(fresh, "physical") or 0

    def read(at: int, count: int) -> bytes:
        work.go_on(f"{image.what} was not looked through in the time that the call has; allow more")
        return read_small(node.connection, volume, count, start=at)

    try:
        if image.format == "qcow2":
            header = qcow2.parse(read(0, HEAD_BYTES))
            qcow2.refuse_unusable(dataclasses.replace(header, backing_file=None), None)
        if header is not None and (header.version < 3 or header.extended_l2):
            why = "has subclusters" if header.extended_l2 else f"is qcow2 of version {header.version}"
            raise Rejected(f'{image.what} {why}; copy it with "qemu-img convert"')
        found = clusters.Contents(length, header.cluster_bytes if header is not None else clusters.RAW_CLUSTER)
        with contextlib.closing(
            reading.pieces(work, node, volume, total=length, verb="looking for zeros", what=image.what)
        ) as pieces:
            for piece in pieces:
                found.feed(piece)
        holes = image.taken > found.stored + _SLACK  # room may be taken for what was never written
        if header is None:
            size = length // 512 * 512
            return size, clusters.idle_of_raw(size, found, holes=holes)
        return header.virtual_bytes, clusters.idle_of_qcow2(header, read, found, holes=holes)
    except Invalid as error:
        raise Rejected(f"{image.what} cannot be compacted: {error.message}") from None


def _told(work: Work, what: str, before: int, after: int) -> tuple[int, int]:
    work.status(f"{what} takes {size_text(after)} now, and took {size_text(before)}")
    return before, after

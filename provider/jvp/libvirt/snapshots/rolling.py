"""Going back to a snapshot: its disks go on from what it froze, in new layers, and what was written since is dropped.

    intent     the record: the new layers, and the files that are dropped
    off        the guest is cut off: what it has in memory belongs to what is dropped
    layers     empty volumes over what the snapshot froze, as large as the disks are now
    firmware   UEFI's variables as they were
    define     all disks at once
    dropped    the files that the guest wrote to, where no snapshot holds them

Cut off at any point, the same request goes on. Where nobody repeats it, the next change of a snapshot of the instance
ends it: with the old disks before the define, with the new ones after it.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterator
from dataclasses import dataclass

from jvp.core.errors import Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.disk_chain import Chain
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, text_of, value
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import disks, making, merging, record, settling
from jvp.libvirt.snapshots.record import Held, Snap
from jvp.libvirt.storage import kinds, layer_names, lookup
from jvp.libvirt.storage.lookup import BackingFile
from jvp.libvirt.storage.streams import read_small, write_small


@dataclass(frozen=True)
class _Disk:
    """One disk that goes back."""

    element: Element
    """In the inactive definition."""
    held: Held
    frozen: str
    layer: str
    """Its new layer's path."""
    size: int


def back(work: Work, node: Node, domain: handles.Domain, snap: Snap, way: int) -> None:
    """Have the disks of a domain be as the snapshot holds them, and the guest run again where it did.

    `way` is `snap.ways` when that was asked for: where it is not any more, this was done. Raises Rejected, Busy,
    libvirtError. Again: yes.
    """
    if snap.ways != way:
        return
    serial = str(uuids.uuid5(uuids.UUID(snap.serial), f"back {way}"))
    if (begun := snap.record.facts.get(settling.INTENT)) is None or begun.get("serial") != serial:
        snap = _begin(work, node, domain, snap, serial)
    ran, root = bool(snap.record.facts[settling.INTENT].get("ran")), devices.inactive_xml(domain)
    if not settling.is_back(root, snap, serial):
        disks.refuse_held(domain)
        if guest.is_active(domain):
            guest.cut_off(domain)
        root = devices.inactive_xml(domain)
        found = _disks(node, domain, root, snap, serial)
        for one in found:
            _lay(work, node, one)
        _restore_firmware(work, node, root, snap)
        for one in found:
            making.point(one.element, one.layer, layer_names.FORMAT)
        node.connection.defineXML(text_of(root))
    if ran and not domain.isActive():
        guest.start(work, domain)
    settling.settle(node, domain, snap)


def lacks(domain: handles.Domain, snap: Snap) -> Iterator[str]:
    """What the domain has that the snapshot does not hold, and the other way round. Raises libvirtError."""
    now = {disks.name_of(disk) for disk in disks.written(devices.inactive_xml(domain))}
    held = {one.name for one in snap.disks}
    if later := sorted(now - held):
        yield f'snapshot "{snap.name}" does not hold the disks {listed(later)}: they stay as they are'
    if gone := sorted(held - now):
        yield f'snapshot "{snap.name}" holds the disks {listed(gone)}, which are not attached: this will fail'


def _begin(work: Work, node: Node, domain: handles.Domain, snap: Snap, serial: str) -> Snap:
    disks.refuse_foreign(domain)
    merging.end_others(work, node, domain, snap.instance, snap.name)
    snap = record.read(snap.pool, snap.instance, snap.name) or snap
    root, view = devices.inactive_xml(domain), View(node)
    found = _disks(node, domain, root, snap, serial)
    drop = []
    for one in found:
        now = Chain(view, one.element)
        assert now.path is not None
        if layer_names.is_layer(kinds.name_of(now.path)):
            drop.append(f"{one.held.pool}/{kinds.name_of(now.path)}")
    for line in lacks(domain, snap):
        work.warn(line)
    begun = {"serial": serial, "ran": bool(domain.isActive()), "drop": drop}
    return snap.put(snap.record.having(facts={**snap.record.facts, settling.INTENT: begun}))


def _disks(node: Node, domain: handles.Domain, root: Element, snap: Snap, serial: str) -> list[_Disk]:
    """The disks of the definition that go back. Raises Rejected where one is gone, or is another one."""
    view, found = View(node), []
    by_name = {disks.name_of(disk): disk for disk in disks.written(root)}
    for place, held in enumerate(snap.disks):
        disk, frozen = by_name.get(held.name), record.path_of(node, held.pool, held.file)
        chain = Chain(view, disk) if disk is not None else None
        if disk is None or chain is None or _bottom(chain) != _bottom_of(view, frozen, held.format):
            raise Rejected(
                f'the disk "{held.name}" that the snapshot "{snap.name}" holds is not attached to '
                f'"{domain.name()}" any more; attach it again, under that name'
            )
        if chain.path == frozen:
            raise Rejected(
                f'"{domain.name()}" writes to {frozen}, which snapshot "{snap.name}" holds: what was over it is merged '
                "by another tool, or its disk was pointed back, so the snapshot holds nothing any more"
            )
        active = view.volume(chain.path) if chain.path is not None else None
        now = active.size(chain.format) if active is not None else 0
        layer = record.path_of(node, held.pool, layer_names.layer(snap.instance, serial, place))
        found.append(_Disk(disk, held, frozen, layer, max(now, held.size)))
    return found


def _bottom(chain: Chain) -> str | None:
    """The disk below our layers."""
    return next((layer.path for layer in chain.layers if not layer_names.is_layer(layer.name)), None)


def _bottom_of(view: View, path: str, format: str) -> str | None:
    seen: set[str] = set()
    while layer_names.is_layer(kinds.name_of(path)) and path not in seen:
        seen.add(path)
        base = view.base_of(path)
        if base is None:
            return None
        path = base[0]
    return path


def _lay(work: Work, node: Node, one: _Disk) -> None:
    pool, name = node.connection.storagePoolLookupByUUIDString(one.held.pool), kinds.name_of(one.layer)
    making.remove_file(node, one.held.pool, name)  # of an earlier try, which nobody has written to
    backing = BackingFile(one.frozen, one.held.format)
    lookup.create_volume(work, node, pool, name, capacity=one.size, format=layer_names.FORMAT, backing=backing)


def _restore_firmware(work: Work, node: Node, root: Element, snap: Snap) -> None:
    """Write back UEFI's variables, where the snapshot has them and the domain still has a file for them."""
    path, copy = value(root, "os/nvram"), layer_names.firmware(snap.instance, snap.serial)
    kept, pool = lookup.find_volume(snap.pool, copy), lookup.pool_at(node, kinds.folder_of(path)) if path else None
    if path is None or kept is None:
        return
    if pool is not None and lookup.find_volume(pool, kinds.name_of(path)) is None:
        lookup.refresh(work, pool)
    target = lookup.find_volume(pool, kinds.name_of(path)) if pool is not None else None
    if target is None or int(target.info()[1]) != int(kept.info()[1]):
        work.warn(f"UEFI's variables stay as they are: {path} is in no active storage pool, or has another size")
        return
    write_small(node.connection, target, read_small(node.connection, kept, int(kept.info()[1])))

"""Going back to a snapshot: its disks go on from what it froze, in new layers, and what was written since is dropped.

    intent     the record: the new layers, and the files that are dropped
    off        the guest is cut off: what it has in memory belongs to what is dropped
    layers     empty volumes over what the snapshot froze, as large as the disks are now
    firmware   UEFI's variables as they were
    define     all disks at once
    memory     what the guest had then, where the snapshot holds that; else the guest is started where it ran
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
from jvp.libvirt import disk_chain
from jvp.libvirt.disk_chain import Chain
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, text_of, value
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import disks, making, memory, merging, record, settling
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
    begun, root = snap.record.facts[settling.INTENT], devices.inactive_xml(domain)
    if not settling.is_back(root, snap, serial):
        disks.refuse_held(domain)
        if guest.is_active(domain):
            guest.cut_off(domain)
        root = devices.inactive_xml(domain)
        found = _disks(node, domain, root, snap, serial)
        for one in found:
            _lay(work, node, one)
        _restore_firmware(work, node, root, snap)
        if begun.get("memory"):
            snap = _note_blank(node, snap, serial)
        for one in found:
            making.point(one.element, one.layer, layer_names.FORMAT)
        node.connection.defineXML(text_of(root))
    if snap.record.facts[settling.INTENT].get("memory"):
        _restore_memory(work, node, domain, snap, serial)
    if begun.get("ran") and not memory.await_start(work, domain):  # which libvirt went on with when we died
        guest.start(work, domain)
    settling.settle(node, domain, snap)


def lacks(node: Node, domain: handles.Domain, snap: Snap) -> Iterator[str]:
    """What the domain has that the snapshot does not hold, and the other way round. Raises libvirtError."""
    root = devices.inactive_xml(domain)
    now = {disks.name_of(disk) for disk in disks.written(root)}
    held = {one.name for one in snap.disks}
    if later := sorted(now - held):
        yield f'snapshot "{snap.name}" does not hold the disks {listed(later)}: they stay as they are'
    if gone := sorted(held - now):
        yield f'snapshot "{snap.name}" holds the disks {listed(gone)}, which are not attached: this will fail'
    if snap.memory is not None:
        yield from (f"{why}: this will fail" for why in memory.obstacles(node, domain, root, snap))
        if not domain.isActive():
            yield f'the guest is off, and runs afterwards as it did when snapshot "{snap.name}" was taken'


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
            drop.append((one.held.pool, now.path))
    if snap.memory is not None:
        for why in memory.obstacles(node, domain, root, snap):
            raise Rejected(why)
    for line in lacks(node, domain, snap):
        work.warn(line)
    _refuse_used(work, node, domain, [path for _, path in drop])
    names = [f"{pool}/{kinds.name_of(path)}" for pool, path in drop]
    begun = {"serial": serial, "ran": bool(domain.isActive()), "drop": names, "memory": snap.memory is not None}
    return snap.put(snap.record.having(facts={**snap.record.facts, settling.INTENT: begun}))


def _refuse_used(work: Work, node: Node, domain: handles.Domain, paths: list[str]) -> None:
    """Raise Rejected where others stand on the files that are dropped, or have them as disks. Raises Busy,
    libvirtError."""
    merging.learn(work, node, paths)
    view, known, uuid = View(node), lookup.backing_map(node.connection, fresh=True), domain.UUIDString()
    for path in paths:
        over = disk_chain.children(view, path, fresh=True) if known.get(path) else {}
        if theirs := [name for file, name in over.items() if layer_names.owner(kinds.name_of(file)) != uuid]:
            raise Rejected(f"{listed(theirs)} stands on {path}, which is dropped; delete that first")
        others = {disk.name for disk in view.users.get(path, ()) if disk.domain.UUIDString() != uuid}
        if others:
            raise Rejected(f"{path}, which is dropped, is a disk of {listed(others)} too; detach it there first")


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


def _restore_memory(work: Work, node: Node, domain: handles.Domain, snap: Snap, serial: str) -> None:
    """Have the guest go on from its memory, unless it has run since: that knows nothing of what it wrote then."""
    if memory.await_start(work, domain):
        return  # of a run that died meanwhile: libvirt went on
    if snap.record.facts[settling.INTENT].get("blank") != _taken(node, snap, serial):
        work.warn(f'"{domain.name()}" was started since its disks went back, so its memory stays as it is')
        return
    try:
        came = memory.restore(work, node, domain, snap)
    except BaseException:
        if not guest.is_active(domain):
            _note_blank(node, snap, serial)
        raise
    if not came:  # it may have written by then, so `blank` stays: with that the memory does not come back again
        raise memory.too_long(work)


def _note_blank(node: Node, snap: Snap, serial: str) -> Snap:
    begun = {**snap.record.facts[settling.INTENT], "blank": _taken(node, snap, serial)}
    return snap.put(snap.record.having(facts={**snap.record.facts, settling.INTENT: begun}))


def _taken(node: Node, snap: Snap, serial: str) -> int:
    """What the new layers take: more, once QEMU has had them."""
    total = 0
    for place, held in enumerate(snap.disks):
        pool = node.connection.storagePoolLookupByUUIDString(held.pool)
        layer = lookup.find_volume(pool, layer_names.layer(snap.instance, serial, place))
        total += int(layer.info()[2]) if layer is not None else 0
    return total


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

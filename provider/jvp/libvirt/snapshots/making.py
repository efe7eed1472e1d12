"""Taking a snapshot: layers of ours go over all disks of a domain at one moment, by one call of libvirt.

    claim      the record, "filling": says which files are frozen, and which layers go over them
    layers     empty volumes
    firmware   a copy of UEFI's variables
    memory     an empty volume, where it is kept
    snapshot   libvirt has the guest write to the layers, and keeps its memory; it does that also when we die meanwhile
    volumes    the records of declared volumes name the layers
    made       the record, "whole"

Cut off before the snapshot, the next try makes it; cut off after it, the rest follows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace

import libvirt

from jvp.core.errors import Busy, Rejected
from jvp.core.work import Work
from jvp.libvirt.domain import devices, disk_source, guest
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone, reason, unless_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, put, sub, text_of, value
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import disks, record
from jvp.libvirt.snapshots import memory as keeping
from jvp.libvirt.snapshots.record import Held, Snap
from jvp.libvirt.storage import kinds, layer_names, lookup, volume_record
from jvp.libvirt.storage.lookup import BackingFile
from jvp.libvirt.storage.streams import read_small, write_small
from jvp.libvirt.storage.volume_record import Sidecar

_FLAGS = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
)
_DISKS = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
_QUIESCE = _DISKS | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE
_AGENT = "org.qemu.guest_agent.0"


@dataclass(frozen=True)
class Wish:
    """A snapshot that is to be made."""

    name: str
    serial: str
    """A uuid, by which its files are told from others'."""
    quiesce: str
    created: str
    memory: bool = False
    volumes: tuple[str, ...] | None = None
    """The disks beside the root disk; all of them where it is None."""


def look(
    view: View, domain: handles.Domain, volumes: Collection[str] | None = None, *, memory: bool = False
) -> list[disks.Active]:
    """What a snapshot would hold. Raises Rejected for what stands in its way, NoSpace, libvirtError."""
    disks.refuse_foreign(domain)
    found = disks.active(view, domain, volumes)
    if memory:
        keeping.refuse(domain, found[0].volume.pool)
        if len(found) < len(disks.written_paths(domain)):
            raise Rejected(
                "leaves out a disk, and memory is kept with all of them: it tells what they hold", path=("volumes",)
            )
    return found


def make(work: Work, node: Node, domain: handles.Domain, wish: Wish, sidecar: Sidecar, left: Snap | None) -> Snap:
    """Take the snapshot, or go on with what an earlier try `left`. Raises Rejected, Busy, libvirtError. Again: yes."""
    uuid = domain.UUIDString()
    if left is not None:
        keeping.await_other(work, domain)
        thaw(domain, left)
        if is_taken(domain, left):
            return _finish(node, domain, left, quiesced=bool(left.record.facts.get("quiesced")))
        take_back(node, left)
    found = look(View(node), domain, wish.volumes, memory=wish.memory)
    _refuse_unfinished(record.of(node, uuid), wish.name)
    work.check()
    snap = _claimed(uuid, wish, sidecar, found)
    with contextlib.ExitStack() as undo:
        undo.callback(_take_back_quietly, node, snap)
        for one, disk in zip(found, snap.disks, strict=True):
            backing = BackingFile(one.path, one.format)
            lookup.create_volume(
                work, node, one.volume.pool, disk.layer, capacity=disk.size, format=layer_names.FORMAT, backing=backing
            )
        variables = _keep_firmware(work, node, domain, snap, wish.serial)
        if wish.memory:
            lookup.create_volume(work, node, snap.pool, keeping.name_of(snap), capacity=0, format="raw")
        _refuse_changed(work, node, domain, snap, found)
        try:
            quiesced = _snapshot(work, node, domain, snap, found, wish.quiesce)
        except libvirt.libvirtError:
            if not is_taken(domain, snap):
                raise
            quiesced = False  # the call was refused after it had acted
        undo.pop_all()
    if variables is not None and _variables(work, node, domain) != variables:
        _keep_firmware(work, node, domain, snap, wish.serial)
    return _finish(node, domain, snap, quiesced=quiesced)


def _claimed(uuid: str, wish: Wish, sidecar: Sidecar, found: list[disks.Active]) -> Snap:
    """Write the record, which from now on tells other runs of the layers. Raises Busy, libvirtError."""
    held = [
        Held(one.name, one.volume.pool.UUIDString(), one.volume.name, one.format, one.volume.size(one.format),
             layer_names.layer(uuid, wish.serial, place))
        for place, one in enumerate(found)
    ]  # fmt: skip
    pool, name = found[0].volume.pool, layer_names.record(uuid, wish.name)
    facts = {**sidecar.facts, **record.facts_of(wish.name, wish.created, held), "serial": wish.serial}
    facts |= ({"memory": 0} if wish.memory else {}) | ({"volumes": wish.volumes} if wish.volumes is not None else {})
    claimed = volume_record.claim(pool, name, sidecar.having(nonce=volume_record.new_nonce(), facts=facts))
    if claimed is None:
        raise Busy(f'snapshot "{wish.name}" is being made by another run; run again when that is done')
    return Snap(pool, claimed, uuid, wish.name, tuple(held))


def thaw(domain: handles.Domain, left: Snap) -> None:
    """Have the guest's file systems go on, which are frozen still where libvirtd died in the call of a try that was
    `left`. Best effort. Raises libvirtError for a domain that is gone."""
    if left.memory is None and guest.state_of(domain) == "running" and _has_agent(domain):
        with contextlib.suppress(libvirt.libvirtError):
            domain.fsThaw(None, 0)


def take_back(node: Node, snap: Snap) -> None:
    """Remove what was made for a snapshot that was not taken. Raises Rejected where a layer holds data all the same;
    libvirtError. Again: yes."""
    for held in snap.disks:
        pool = lookup.find_pool(node, held.pool)
        layer = lookup.find_volume(pool, held.layer) if pool is not None else None
        if layer is not None and not kinds.FILES.is_blank(int(layer.info()[2])):
            raise Rejected(f"{layer.path()} holds data, and nothing uses it; look at it, and delete it by hand")
    for held in snap.disks:
        remove_file(node, held.pool, held.layer)
    remove_kept(node, snap)
    snap.drop()


def remove_file(node: Node, pool: str, name: str) -> None:
    """Remove a file of ours; missing is fine. Raises libvirtError."""
    with unless_gone(Gone.POOL):
        holder = node.connection.storagePoolLookupByUUIDString(pool)
        if (volume := lookup.find_volume(holder, name)) is not None:
            lookup.delete_volume(volume)


def remove_kept(node: Node, snap: Snap) -> None:
    """Remove what is kept beside the disks: the firmware's variables, and memory. Raises libvirtError."""
    if snap.serial:
        remove_file(node, snap.pool.UUIDString(), layer_names.firmware(snap.instance, snap.serial))
    if snap.memory is not None:
        remove_file(node, snap.pool.UUIDString(), keeping.name_of(snap))


def _take_back_quietly(node: Node, snap: Snap) -> None:
    with contextlib.suppress(libvirt.libvirtError, Rejected):
        domain = DomainApi(node).find(snap.instance)
        if domain is None or not (is_taken(domain, snap) or (snap.memory is not None and keeping.is_saving(domain))):
            take_back(node, snap)


def _refuse_unfinished(known: list[Snap], name: str) -> None:
    for other in known:
        if other.name != name and other.record.phase == "filling":
            raise Busy(
                f'snapshot "{other.name}" of the same instance is not finished: another run makes it, or was cut off; '
                "run that again, or delete that snapshot"
            )


def _refuse_changed(work: Work, node: Node, domain: handles.Domain, snap: Snap, found: list[disks.Active]) -> None:
    """Raise Busy where another process changed the disks since they were looked at, or is about to: the layers would
    stand on what the guest has left. Our claim is written, so of two at once each sees the other's, or what it did."""
    work.check()
    known = record.of(node, snap.instance)
    _refuse_unfinished(known, snap.name)
    begun = any(one.merging or record.ROLLBACK in one.record.facts for one in known)
    if begun or not disks.is_as_found(domain, found, whole="volumes" not in snap.record.facts):
        raise Busy(f'the disks of "{domain.name()}" were changed by another run meanwhile; run again')


def is_taken(domain: handles.Domain, snap: Snap) -> bool:
    """Whether the guest writes to the layers of a snapshot: then it is taken."""
    layers, roots = {held.layer for held in snap.disks}, [devices.inactive_xml(domain)]
    if domain.isActive():
        roots.append(devices.live_xml(domain))
    sources = (disk_source.path_of(disk) for root in roots for disk in root.iterfind("devices/disk"))
    return any(kinds.name_of(path) in layers for path in sources if path)


def _snapshot(
    work: Work, node: Node, domain: handles.Domain, snap: Snap, found: list[disks.Active], quiesce: str
) -> bool:
    """The one call; whether the guest's file systems were frozen for it, by libvirt, which thaws them too."""
    text = _snapshot_xml(domain, snap, found)
    work.status("taking the snapshot")
    if snap.memory is not None:
        keeping.keep(work, node, domain, text, _FLAGS)
        return False  # what the file systems have not written yet is in memory
    runs = guest.state_of(domain) == "running"
    if runs and quiesce != "never" and (quiesce == "required" or _has_agent(domain)):
        try:
            domain.snapshotCreateXML(text, _FLAGS | _QUIESCE)
            return True
        except libvirt.libvirtError as error:
            if quiesce == "required":
                why = reason(error)
                raise Rejected(f"is required, and the guest cannot freeze: {why}", path=("quiesce",)) from None
            work.warn(f"the guest's file systems were not frozen: {reason(error)}")
    elif quiesce == "required" and domain.isActive() and not runs:
        raise Rejected("is required, and a guest that stands still cannot freeze its file systems", path=("quiesce",))
    domain.snapshotCreateXML(text, _FLAGS | _DISKS)
    return False


def _snapshot_xml(domain: handles.Domain, snap: Snap, found: list[disks.Active]) -> str:
    root = parse("<domainsnapshot><disks/></domainsnapshot>")
    if snap.memory is not None:
        sub(root, "memory", snapshot="external", file=keeping.path_of(snap))
    inside = root.find("disks")
    assert inside is not None
    taken = {
        one.target: f"{kinds.folder_of(one.path)}/{disk.layer}" for one, disk in zip(found, snap.disks, strict=True)
    }
    definition = devices.live_xml(domain) if domain.isActive() else devices.inactive_xml(domain)
    for device in definition.iterfind("devices/disk"):
        target = value(device, "target/@dev") or ""
        if target in taken:
            disk = sub(inside, "disk", name=target, snapshot="external", type=disk_source.FILE)
            sub(disk, "driver", type=layer_names.FORMAT)
            disk_source.point(disk, taken[target])
        else:
            sub(inside, "disk", name=target, snapshot="no")
    return text_of(root)


def _has_agent(domain: handles.Domain) -> bool:
    channels = devices.live_xml(domain).iterfind(f"devices/channel/target[@name='{_AGENT}']")
    return any(one.get("state") == "connected" for one in channels)


def _finish(node: Node, domain: handles.Domain, snap: Snap, *, quiesced: bool) -> Snap:
    """What follows when the guest writes to the layers. Raises libvirtError. Again: yes."""
    _settle(node, domain, snap)
    disks.sync(View(node), devices.inactive_xml(domain))
    facts = {"quiesced": quiesced} if snap.memory is None else {"quiesced": quiesced, "memory": keeping.size_of(snap)}
    done = volume_record.made(snap.pool, snap.record_name, snap.record, **facts)
    return replace(snap, record=done)


def _settle(node: Node, domain: handles.Domain, snap: Snap) -> None:
    """Have the inactive definition name the layers too: a daemon that dies in the call may leave that out."""
    root, changed = devices.inactive_xml(domain), False
    layers = {held.file: held.layer for held in snap.disks}
    for disk in disks.written(root):
        path = disk_source.path_of(disk) or ""
        if (layer := layers.get(kinds.name_of(path))) is not None:
            point(disk, f"{kinds.folder_of(path)}/{layer}", layer_names.FORMAT)
            changed = True
    if changed:
        node.connection.defineXML(text_of(root))
    forget_chains(node, domain)


def forget_chains(node: Node, domain: handles.Domain) -> None:
    """Take what disks stand on out of the inactive definition, where libvirt notes it: it goes by that, and not by the
    files, which say it too and are right when a merge was cut off. Raises libvirtError."""
    root, changed = devices.inactive_xml(domain), False
    for disk in disks.written(root):
        for store in disk.findall("backingStore"):
            disk.remove(store)
            changed = True
    if changed and domain.isPersistent():
        node.connection.defineXML(text_of(root))


def point(disk: Element, path: str, format: str) -> None:
    """Have a disk in an inactive definition be this file. What it stands on libvirt reads from the file itself."""
    for stale in disk.findall("backingStore"):
        disk.remove(stale)
    disk_source.point(disk, path)
    put(disk, "driver/@type", format)


def _keep_firmware(work: Work, node: Node, domain: handles.Domain, snap: Snap, serial: str) -> bytes | None:
    """Copy the variables of UEFI beside the record, in place of an older copy; what they are, None without any."""
    variables = _variables(work, node, domain)
    if variables is None:
        return None
    name = layer_names.firmware(snap.instance, serial)
    remove_file(node, snap.pool.UUIDString(), name)
    length = len(variables)
    volume = lookup.create_volume(work, node, snap.pool, name, capacity=length, format="raw", allocated=True)
    write_small(node.connection, volume, variables)
    return variables


def _variables(work: Work, node: Node, domain: handles.Domain) -> bytes | None:
    """UEFI's variables; None of a guest that has none, or was never started."""
    path = value(devices.inactive_xml(domain), "os/nvram")
    if path is None:
        return None
    pool = lookup.pool_at(node, kinds.folder_of(path))
    if pool is None:
        work.warn(f"UEFI's variables, {path}, are in no active storage pool: the snapshot does not hold them")
        return None
    name = kinds.name_of(path)
    if lookup.find_volume(pool, name) is None:
        lookup.refresh(work, pool)  # QEMU's own files no pool has seen
    try:
        volume = lookup.find_volume(pool, name)
        return read_small(node.connection, volume, int(volume.info()[1])) if volume is not None else None
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None
        raise

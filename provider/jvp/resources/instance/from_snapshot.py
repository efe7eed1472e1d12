"""An instance made from a snapshot: its root disk, the other disks that the snapshot holds, and UEFI's variables.

Each disk is copied whole, and the copies belong to the instance. A disk that the program declares under the same name
is taken in place of the copy.
"""

from __future__ import annotations

from dataclasses import dataclass

from jvp.core.errors import Invalid, Rejected
from jvp.core.types import in_lower_case
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import origin
from jvp.libvirt.snapshots.record import Snap
from jvp.libvirt.storage import flat_copy, layer_names, pool_kind
from jvp.libvirt.storage.content import refuse_space
from jvp.libvirt.storage.flat_copy import Disk
from jvp.libvirt.storage.layer_names import FORMAT, ROOT
from jvp.libvirt.storage.lookup import create_volume, delete_volume, find_volume
from jvp.libvirt.storage.streams import read_small, write_small
from jvp.libvirt.storage.volume_claim import remove_when_free
from jvp.resources.instance import hardware
from jvp.resources.instance.definition import DiskSource, own_name
from jvp.resources.instance.disk_model import RootDisk
from jvp.resources.instance.model import Instance
from jvp.resources.instance.storage import nvram_name
from jvp.resources.storage import whole_disk

SNAPSHOT, NAME, DISKS = "snapshot", "snapshotName", "snapshotDisks"
"""Facts of the mark: the snapshot's id, what it was called (instance/name), and which of its disks were copied."""
_SNAPSHOT = ("snapshot",)


@dataclass(frozen=True)
class Further:
    """A disk beside the root disk."""

    name: str
    disk: Disk
    pool: handles.StoragePool
    file: str
    """The copy's name in the pool."""


@dataclass(frozen=True)
class Origin:
    """What a new instance is made from."""

    snap: Snap
    root: Disk
    pool: handles.StoragePool
    """That of the snapshot's root disk."""
    further: tuple[Further, ...]
    hardware: dict[str, str]

    @property
    def allocation(self) -> int:
        """What all of it takes at most."""
        return self.root.allocation + sum(one.disk.allocation for one in self.further)


def facts(spec: Instance, made_from: Origin) -> dict[str, str]:
    """What the mark of the instance keeps of it."""
    snap, holder = made_from.snap, made_from.root.facts.get("snapshot_instance")
    name = f"{holder}/{snap.name}" if holder else ""
    return {SNAPSHOT: snap.id, NAME: name, DISKS: spec.snapshot_disks}


def told(facts: dict[str, str], prior: Instance | None) -> dict[str, str | None]:
    """What the facts say of it, spelled as in `prior` where that means the same."""
    recorded, said = facts.get(SNAPSHOT), prior.snapshot if prior is not None else None
    same = said is not None and in_lower_case(said) in (recorded, facts.get(NAME))
    return {"snapshot": said if same else recorded, "snapshot_disks": facts.get(DISKS) or "all"}


def origin_of(view: View, spec: Instance, uuid: str) -> Origin:
    """Raises NotFound, Rejected, Invalid for another firmware than the system was installed for; libvirtError."""
    node = view.node
    snap = origin.snapshot_of(node, spec.snapshot or "", _SNAPSHOT)
    names = [held.name for held in snap.disks]
    if ROOT not in names:
        raise Rejected(f'the snapshot "{snap.name}" holds no root disk to make an instance from', path=_SNAPSHOT)
    told = _hardware(node, snap)
    if (firmware := told.get("firmware")) not in (None, spec.firmware):
        raise Invalid(
            f'is "{spec.firmware}", and the system on the disk of the snapshot "{snap.name}" starts by {firmware}: '
            f'write "{firmware}"',
            path=("firmware",),
        )
    declared = {disk.name for disk in spec.disks}
    further = tuple(
        Further(
            held.name, whole_disk.of_snapshot(node, snap.id, held.name), view.pool(held.pool), own_name(uuid, place)
        )
        for place, held in enumerate(snap.disks)
        if spec.snapshot_disks == "all" and held.name != ROOT and held.name not in declared
    )
    pool = next(held.pool for held in snap.disks if held.name == ROOT)
    return Origin(snap, whole_disk.of_snapshot(node, snap.id, ROOT), view.pool(pool), further, told)


def format_of(spec: Instance, made_from: Origin) -> str:
    """What the root disk is to be."""
    said = spec.root_disk.format if spec.root_disk else None
    return said or made_from.hardware.get("format") or FORMAT


def refuse_full(made_from: Origin, pool: handles.StoragePool, bound: bool) -> None:
    """Raise NoSpace where a pool cannot take the copies, Rejected where one cannot make them. The root disk's pool is
    the program's own choice when `bound`."""
    where = ("rootDisk", "pool") if bound else _SNAPSHOT
    wanted = [(pool, made_from.root), *((one.pool, one.disk) for one in made_from.further)]
    for place in {one.UUIDString(): one for one, _ in wanted}.values():
        pool_kind.require(place, "clone", where)
        pool_kind.require(place, "backing", where)
        here = [disk for one, disk in wanted if one.UUIDString() == place.UUIDString()]
        refuse_space(place, f'the snapshot "{made_from.snap.name}"', sum(disk.allocation for disk in here), where)


def completed(spec: Instance, made_from: Origin) -> Instance:
    """The declaration, with what it leaves to the snapshot: machine type, and the bus of the root disk."""
    root = spec.root_disk or RootDisk()
    told = made_from.hardware
    bus = root.bus or (told.get("bus") if told.get("bus") in ("virtio", "sata", "scsi", "usb") else None)
    wanted = {"machine": spec.machine or told.get("machine"), "root_disk": root.model_copy(update={"bus": bus})}
    return spec.model_copy(update=wanted)


def sources(made_from: Origin) -> list[tuple[str, DiskSource]]:
    """The further disks by their names, as the definition has them."""
    found = []
    for one in made_from.further:
        layout = pool_kind.layout_of(one.pool)
        found.append((one.name, DiskSource(layout.path(one.file), FORMAT, layout.disk)))
    return found


def write(
    work: Work, node: Node, made_from: Origin, uuid: str, pool: handles.StoragePool, *, uefi: bool, keep: bool
) -> None:
    """Copy the further disks, and UEFI's variables beside the root disk; what an earlier try left is made anew.

    With `keep` what is there outlived a machine, and stays, if the copy was done. Raises Rejected, Busy, Cancelled,
    libvirtError.
    """
    for one in made_from.further:
        stale = find_volume(one.pool, one.file)
        if stale is not None and keep and not is_half(one.pool, one.file):
            continue
        if stale is not None:
            remove_when_free(work, stale)
        work.status(f'copying the disk "{one.name}"')
        flat_copy.copy(work, node, one.disk, one.pool, one.file, FORMAT)
    if uefi:
        _write_variables(work, node, made_from.snap, pool, nvram_name(uuid), keep=keep)


def is_half(pool: handles.StoragePool, name: str) -> bool:
    """Whether a copy was cut off: what lies over its origin meanwhile goes when it is whole. Raises libvirtError."""
    return find_volume(pool, layer_names.over_copied(name)) is not None


def _write_variables(
    work: Work, node: Node, snap: Snap, pool: handles.StoragePool, name: str, *, keep: bool
) -> None:  # fmt: skip
    kept = find_volume(snap.pool, layer_names.firmware(snap.instance, snap.serial)) if snap.serial else None
    there = find_volume(pool, name)
    if there is not None and keep:
        return
    if there is not None:
        delete_volume(there)
    if kept is None:
        work.warn(f'the snapshot "{snap.name}" holds no variables of UEFI: the guest begins with new ones')
        return
    length = int(kept.info()[1])
    volume = create_volume(work, node, pool, name, capacity=length, format="raw", allocated=True)
    write_small(node.connection, volume, read_small(node.connection, kept, length))


def _hardware(node: Node, snap: Snap) -> dict[str, str]:
    """By its record; of one that an older version made by its instance, as far as that is there."""
    found = snap.record.facts.get(hardware.HARDWARE)
    if isinstance(found, dict):
        return {str(name): str(text) for name, text in found.items()}
    domain = DomainApi(node).find(snap.instance)
    return hardware.of(devices.inactive_xml(domain)) if domain is not None else {}

"""The disks of an instance, as a program declares them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.errors import Path
from jvp.core.facts import At, Changes, Computed, Effect, Later, Same, Unit
from jvp.core.model import Rule, Spec
from jvp.core.types import DiskSize, Reference, shortened
from jvp.core.values import known
from jvp.resources.instance.disk_limits import DiskBandwidth, DiskIops, limit_rules

MAX_SERIAL, MAX_SCSI_SERIAL = 20, 36
"""So much of a serial number virtio and SATA show to the guest, and SCSI. Source: QEMU, VIRTIO_BLK_ID_BYTES and
scsi_disk_emulate_inquiry."""
Bus = Literal["virtio", "sata", "scsi", "usb"]


def _device_name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", text, re.ASCII) is None:
        raise ValueError(
            f'"{shortened(text)}" is not a device name: at most 32 letters, digits, _ and -, '
            "beginning with a letter or digit"
        )
    return text


def is_serial(text: str, bus: str | None) -> bool:
    """Whether a disk on this bus can be declared with this serial number. Source: libvirt takes no other characters."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", text, re.ASCII) is not None and len(text) <= _longest(bus)


def _longest(bus: str | None) -> int:
    return MAX_SCSI_SERIAL if bus == "scsi" else MAX_SERIAL


def _serial(text: str) -> str:
    if not is_serial(text, "scsi"):
        raise ValueError(
            f'"{shortened(text)}" is not a serial number: at most {MAX_SERIAL} letters, digits, _ . + and - '
            f"({MAX_SCSI_SERIAL} on scsi), beginning with a letter or digit"
        )
    return text


def is_wwn(text: str) -> bool:
    """Whether it is a world wide name as libvirt takes it."""
    return re.fullmatch(r"[0-9A-Fa-f]{16}", text, re.ASCII) is not None


def _wwn(text: str) -> str:
    if not is_wwn(text):
        raise ValueError(f'"{shortened(text)}" is not a world wide name: 16 hexadecimal digits, like 5000c50015ea71ac')
    return text


DeviceName = Annotated[str, AfterValidator(_device_name)]
Serial = Annotated[str, AfterValidator(_serial)]
Wwn = Annotated[str, AfterValidator(_wwn), Same(str.lower), Unit("world wide name like 5000c50015ea71ac")]
Cache = Annotated[
    Literal["none", "writeback", "writethrough", "directsync", "unsafe"] | None,
    Changes(Effect.NEXT_BOOT),
    At("driver/@cache"),
    Field(
        description="How the node caches it. none and directsync pass the node's memory by; unsafe loses what was "
        "written when the node fails. By default libvirt's choice, writeback."
    ),
]
Io = Annotated[
    Literal["native", "threads", "io_uring"] | None,
    Changes(Effect.NEXT_BOOT),
    At("driver/@io"),
    Field(description="How QEMU reads and writes it. native needs cache none or directsync. By default QEMU's choice."),
]
Discard = Annotated[
    Literal["ignore", "unmap"] | None,
    Changes(Effect.NEXT_BOOT),
    Computed(),
    At("driver/@discard"),
    Field(
        description="What becomes of room that the guest trims: unmap gives it back to the storage pool, ignore keeps "
        "it. By default unmap for a disk that is new and written to; then it stays."
    ),
]
DetectZeroes = Annotated[
    Literal["off", "on", "unmap"] | None,
    Changes(Effect.NEXT_BOOT),
    At("driver/@detect_zeroes"),
    Field(
        description="Whether zeroes that the guest writes take no room: on writes them as such, unmap gives the room "
        "back where discard is unmap. It costs CPU time. By default off."
    ),
]
WwnField = Annotated[
    Wwn | None,
    Changes(Effect.NEXT_BOOT),
    At("wwn"),
    Field(description="The world wide name by which the guest finds it, as /dev/disk/by-id/wwn-0xWWN; on scsi alone."),
]
Iops = Annotated[DiskIops | None, Field(description="Limits of its requests per second, changed live.")]
Bandwidth = Annotated[DiskBandwidth | None, Field(description="Limits of its bytes per second, changed live.")]


class RootDisk(Spec):
    """The disk that the instance boots from. It belongs to the instance and goes with it."""

    pool: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="The storage pool that holds it, by id or name; by default the template's."),
    ] = None
    size: Annotated[
        DiskSize | None,
        Computed(),
        Field(description="Its size; by default the template's. It can grow, also while the guest runs, never shrink."),
    ] = None
    format: Annotated[
        Literal["qcow2", "raw"] | None,
        Changes(Effect.REPLACE),
        Computed(),
        Field(
            description="qcow2, by default, stores only what differs from the template. raw is quickest, and a full "
            "copy of the template."
        ),
    ] = None
    bus: Annotated[
        Bus | None,
        Changes(Effect.NEXT_BOOT),
        Computed(),
        Field(
            description="How the guest sees it: virtio, by default, or sata, scsi (virtio-scsi) or usb for a system "
            "without virtio's driver. The cloud-init disk is a CD on the same bus then."
        ),
    ] = None
    cache: Cache = None
    io: Io = None
    discard: Discard = None
    detect_zeroes: DetectZeroes = None
    serial: Annotated[
        Serial | None,
        Changes(Effect.NEXT_BOOT),
        At("serial"),
        Field(description="The serial number that the guest sees; by default none."),
    ] = None
    wwn: WwnField = None
    iops: Iops = None
    bandwidth: Bandwidth = None
    delete_with_instance: Annotated[
        bool,
        Later(),
        Field(
            description="Whether the root disk of an instance that was imported is deleted with it. That of one that "
            "was made here always is."
        ),
    ] = False


class Disk(Spec):
    """A volume attached to the instance. Its order in the list never matters."""

    name: Annotated[DeviceName, Field(description="A short name that stays with the disk.")]
    volume: Annotated[Reference, Field(description="The volume, by id or as pool/name.")]
    read_only: Annotated[bool, Field(description="Whether the guest may only read it.")] = False
    bus: Annotated[
        Bus | None,
        Computed(),
        Field(
            description="How the guest sees it: virtio, sata, scsi (virtio-scsi) or usb. By default as the root disk "
            "when the disk is added; then it stays. A running guest takes and gives back no sata disk."
        ),
    ] = None
    serial: Annotated[
        Serial | None,
        Computed(),
        Field(
            description="The serial number by which the guest finds it, as /dev/disk/by-id/virtio-SERIAL; by default "
            "its name when the disk is added (of a long one 13 characters and a digest)."
        ),
    ] = None
    cache: Cache = None
    io: Io = None
    discard: Discard = None
    detect_zeroes: DetectZeroes = None
    wwn: WwnField = None
    shareable: Annotated[
        bool | None,
        Changes(Effect.NEXT_BOOT),
        Computed(),
        Field(
            description="Whether other instances may have the volume, too: each says so, and the volume is raw. Their "
            "systems must know how to share it, as a cluster file system does. The cache is none then, unless you say "
            "another; there are no snapshots. By default not when the disk is added; then it stays until you say false."
        ),
    ] = None
    iops: Iops = None
    bandwidth: Bandwidth = None


def serial_of(name: str) -> str:
    """The serial number of a disk for which none is declared. Every bus shows 20 characters."""
    if len(name) <= MAX_SERIAL:
        return name
    return f"{name[:13]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def disk_rules(root: Any, disks: Any) -> Iterator[Rule]:
    """What is wrong with the disks of an instance, each by itself and beside the others."""
    given: dict[str, str] = {}
    if isinstance(root, RootDisk):
        yield from _rules(root, ("rootDisk",))
    for index, disk in enumerate(disks if isinstance(disks, list) else ()):
        if not isinstance(disk, Disk):
            continue
        yield from _rules(disk, ("disks", index))
        if known(disk.name, disk.serial):
            serial = disk.serial or serial_of(disk.name)
            if serial in given:
                yield ("disks", index, "serial"), f'"{serial}" is the serial number of the disk "{given[serial]}" too'
            given.setdefault(serial, disk.name)


def _rules(disk: RootDisk | Disk, path: Path) -> Iterator[Rule]:
    if known(disk.io, disk.cache) and disk.io == "native" and disk.cache not in ("none", "directsync"):
        now = f'"{disk.cache}"' if disk.cache else "not set"
        yield (*path, "io"), f'"native" needs the cache "none" or "directsync", and it is {now}'
    if disk.serial is not None and known(disk.serial, disk.bus) and len(disk.serial) > _longest(disk.bus):
        yield (
            (*path, "serial"),
            f'"{disk.serial}" has {len(disk.serial)} characters, and a disk shows {MAX_SERIAL} to the guest; '
            f'with the bus "scsi" {MAX_SCSI_SERIAL}',
        )
    if disk.wwn is not None and known(disk.bus) and disk.bus not in (None, "scsi"):
        yield (*path, "wwn"), f'{NO_WWN}, and its bus is "{disk.bus}"'
    for name in ("iops", "bandwidth"):
        yield from limit_rules(getattr(disk, name), (*path, name))


NO_WWN = 'only a disk with the bus "scsi" has one'

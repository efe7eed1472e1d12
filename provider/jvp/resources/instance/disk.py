"""The disks of an instance, as a program declares them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import Changes, Computed, Effect, Later
from jvp.core.model import Rule, Spec
from jvp.core.types import DiskSize, Reference, shortened
from jvp.core.values import known

MAX_SERIAL = 20
"""So much of a serial number virtio and SATA show to the guest. Source: QEMU, VIRTIO_BLK_ID_BYTES."""
Bus = Literal["virtio", "sata", "scsi"]


def _device_name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", text, re.ASCII) is None:
        raise ValueError(
            f'"{shortened(text)}" is not a device name: at most 32 letters, digits, _ and -, '
            "beginning with a letter or digit"
        )
    return text


def is_serial(text: str) -> bool:
    """Whether a disk can be declared with this serial number. Source: libvirt takes no other characters."""
    return re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{MAX_SERIAL - 1}}}", text, re.ASCII) is not None


def _serial(text: str) -> str:
    if not is_serial(text):
        raise ValueError(
            f'"{shortened(text)}" is not a serial number: at most {MAX_SERIAL} letters, digits, _ . + and -, '
            "beginning with a letter or digit"
        )
    return text


DeviceName = Annotated[str, AfterValidator(_device_name)]
Serial = Annotated[str, AfterValidator(_serial)]


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
            description="How the guest sees it: virtio, by default, or sata or scsi (virtio-scsi) for a system without "
            "virtio's driver. The cloud-init disk is a CD on the same bus then."
        ),
    ] = None
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
            description="How the guest sees it: virtio, sata or scsi (virtio-scsi). By default as the root disk when "
            "the disk is added; then it stays. A running guest takes and gives back no sata disk."
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


def serial_of(name: str) -> str:
    """The serial number of a disk for which none is declared. Every bus shows 20 characters."""
    if len(name) <= MAX_SERIAL:
        return name
    return f"{name[:13]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def serial_rules(disks: Any) -> Iterator[Rule]:
    """No two disks may go by one serial number."""
    given: dict[str, str] = {}
    for index, disk in enumerate(disks if isinstance(disks, list) else ()):
        if isinstance(disk, Disk) and known(disk.name, disk.serial):
            serial = disk.serial or serial_of(disk.name)
            if serial in given:
                yield ("disks", index, "serial"), f'"{serial}" is the serial number of the disk "{given[serial]}" too'
            given.setdefault(serial, disk.name)

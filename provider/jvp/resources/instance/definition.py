"""What an instance's XML says: its devices, whose they are, and what can differ between two definitions.

The same functions read the inactive and the live definition, so that both compare with what the program declares.
Devices of ours carry an alias (`ua-jvp-disk-data`); imported ones are known by target or MAC.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from lxml import etree

from jvp.libvirt.domain import disk_source
from jvp.libvirt.domain.devices import DISK_ALIAS, NIC_ALIAS, alias_of
from jvp.libvirt.link.marks import facts_of, mark_of
from jvp.libvirt.link.xml import Element, ensure, number, value
from jvp.libvirt.storage import kinds
from jvp.resources.instance import parts
from jvp.resources.instance.machine import firmware_of, machine_of
from jvp.resources.instance.model import Instance

ROOT_ALIAS, SEED_ALIAS, ISO_ALIAS = "ua-jvp-root", "ua-jvp-seed", "ua-jvp-iso"
FORMAT = "format"
"""A fact of the mark: what the root disk was made as."""
PREFIXES = {"virtio": "vd", "sata": "sd", "scsi": "sd"}
"""How the targets on each bus begin."""


@dataclass(frozen=True)
class DiskSource:
    """Where a disk's data is: its path on the node and the format that we recorded, never a probed one."""

    path: str
    format: str
    type: str = disk_source.FILE
    """libvirt's type of the disk."""


@dataclass(frozen=True)
class Resolved:
    """What the references of a spec mean on this node."""

    disks: dict[str, DiskSource]
    """By the disks' names."""
    networks: dict[str, str | None]
    """Network names by the NICs' names; None is user mode."""
    root: DiskSource | None
    seed: DiskSource | None
    iso: DiskSource | None = None
    nvram: str | None = None
    """Where UEFI keeps its variables; None when there is no pool for them."""


@dataclass(frozen=True)
class Names:
    """The disks and cards that a program knows by name. An imported one has no alias of ours until it changes."""

    disks: frozenset[str] = frozenset()
    nics: frozenset[str] = frozenset()


NONE = Names()


def names_of(*models: Instance | None) -> Names:
    """The names in any of these."""
    given = [model for model in models if model is not None]
    disks = frozenset(disk.name for model in given for disk in model.disks)
    return Names(disks, frozenset(nic.name for model in given for nic in model.nics))


def is_declared(device: Element | None, known: Names) -> bool:
    """Whether a disk or card is the program's: by our alias, or by a name that the program knows."""
    if device is None:
        return False
    if device.tag == "disk":
        return (alias_of(device) or "").startswith(DISK_ALIAS) or disk_key(device) in known.disks
    return (alias_of(device) or "").startswith(NIC_ALIAS) or nic_key(device) in known.nics


def by_alias(devices: Element, alias: str) -> Element | None:
    return next((device for device in devices if alias_of(device) == alias), None)


def root_disk(root: Element) -> Element | None:
    """The disk that the instance boots from: ours by its alias, an imported one's first disk."""
    ours = next((one for one in root.iterfind("devices/disk") if alias_of(one) == ROOT_ALIAS), None)
    if ours is not None or mark_of(root) is not None:
        return ours
    return next((one for one in root.iterfind("devices/disk") if one.get("device", "disk") == "disk"), None)


def root_name(uuid: str) -> str:
    """The name of the root disk that we make."""
    return f"jvp-{uuid}-root"


def is_own_file(root: Element) -> bool:
    """Whether the root disk is the very file that we made for it, and no layer over that, whoever's that is."""
    device = root_disk(root)
    path = source_of(device) if device is not None else None
    return path is not None and kinds.name_of(path) == root_name(value(root, "uuid") or "")


def root_format(root: Element) -> str | None:
    """The format of the root disk: by our record, else what QEMU is told. Never a probed one; None without a disk."""
    device = root_disk(root)
    return facts_of(root).get(FORMAT) or told_format(device) if device is not None else None


def told_format(device: Element) -> str:
    """The format that QEMU is told of a disk."""
    return value(device, "driver/@type") or "raw"


def source_of(device: Element) -> str | None:
    """The path of a disk's data on the node."""
    return disk_source.path_of(device)


def iso_of(root: Element) -> str | None:
    """The path of the CD image in our drive."""
    drive = iso_drive(root)
    return source_of(drive) if drive is not None else None


def iso_drive(root: Element) -> Element | None:
    return next((one for one in root.iterfind("devices/disk") if alias_of(one) == ISO_ALIAS), None)


def disk_key(device: Element) -> str:
    """The name of a disk: from its alias, of an imported one its target."""
    alias = alias_of(device) or ""
    return alias.removeprefix(DISK_ALIAS) if alias.startswith(DISK_ALIAS) else value(device, "target/@dev") or ""


def nic_key(device: Element) -> str:
    """The name of a network card: from its alias, of an imported one its MAC."""
    alias = alias_of(device) or ""
    if alias.startswith(NIC_ALIAS):
        return alias.removeprefix(NIC_ALIAS)
    return (value(device, "mac/@address") or "").replace(":", "-")


def disk_facts(device: Element) -> tuple[Any, ...]:
    """File and whether it is read-only; bus and serial number where they are not what every disk once had."""
    bus, serial = value(device, "target/@bus"), value(device, "serial")
    more = [("bus", bus)] if bus != "virtio" else []
    # Digests of these stand in the marks of older guests.
    return (source_of(device), device.find("readonly") is not None, *more, *([("serial", serial)] if serial else []))


def mac_of(uuid: str, name: str) -> str:
    """A MAC that follows from the instance and the card's name, so that a retry gets the same."""
    digest = hashlib.sha256(f"{uuid}/{name}".encode()).hexdigest()
    return ":".join(("52:54:00", digest[:2], digest[2:4], digest[4:6]))


def kib(root: Element, path: str) -> int | None:
    """A memory size in KiB. libvirt always writes KiB; a missing unit means it too."""
    return number(root, path)


def comparable(root: Element) -> dict[str, Any]:
    """What can differ between the running and the inactive definition, by the property's path."""
    devices, boot = ensure(root, "devices"), root_disk(root)
    room, made_here = number(root, "vcpu") or 1, mark_of(root) is not None
    found: dict[str, Any] = {
        "memory": kib(root, "currentMemory") or kib(root, "memory") or 0,
        "maxMemory": kib(root, "memory") or 0,
        "cpus": number(root, "vcpu/@current") or room,
        "maxCpus": room,
        "virtType": root.get("type"),
        "firmware": firmware_of(root),
        "machine": machine_of(root),
        "rootDisk.bus": value(boot, "target/@bus") if boot is not None else None,
        "iso": iso_of(root),
        "directKernel": tuple(value(root, f"os/{tag}") for tag in ("kernel", "initrd", "cmdline")),
        # A CD drive that comes or goes is told by itself.
        "boot": tuple(one for one in boots(root) if one != "cdrom") if made_here else ("hd",),
        "devices": tuple(part.lost for part in parts.lost(root)) if made_here else (),
    }
    if boot is not None:
        found["rootDisk"] = (source_of(boot), boot.find("readonly") is not None, told_format(boot))
    for device in devices.iterfind("disk"):
        if alias_of(device) not in (ROOT_ALIAS, SEED_ALIAS, ISO_ALIAS):
            found[f"disks.{disk_key(device)}"] = disk_facts(device)
    for device in devices.iterfind("interface"):
        found[f"nics.{nic_key(device)}"] = nic_facts(device)
    return found


CARD_EXTRAS = {
    "link": "its link is down",
    "bandwidth": "somebody limits its bandwidth",
    "filterref": "somebody filters what goes through it",
}
"""What a card has that no property declares, by its element, and what a plan says of it."""


def card_extras(device: Element) -> list[str]:
    """Those of CARD_EXTRAS that a card has."""
    return [tag for tag in CARD_EXTRAS if device.find(tag) is not None and value(device, f"{tag}/@state") != "up"]


def boots(root: Element) -> tuple[str, ...]:
    """What a machine boots from, in order: kinds of devices, or where each has a number, the devices themselves."""
    numbered = {number(one, "@order") or 0: one.getparent() for one in root.iterfind("devices/*/boot")}
    if numbered:
        return tuple(alias_of(one) or str(one.tag) for _, one in sorted(numbered.items()) if one is not None)
    return tuple(one.get("dev", "") for one in root.iterfind("os/boot"))


def nic_facts(device: Element) -> tuple[Any, ...]:
    """Network, MAC and model of a card; and what it has beside these."""
    kind = device.get("type")
    network = value(device, "source/@network") or value(device, "source/@bridge")
    mac = (value(device, "mac/@address") or "").lower()
    # Digests of these stand in the marks of older guests.
    more = [etree.tostring(one, method="c14n") for tag in card_extras(device) for one in device.iterfind(tag)]
    return (None if kind == "user" else network, mac, value(device, "model/@type"), *more)


def device_at(root: Element, path: str) -> Element | None:
    """The device of a path as `comparable` gives it: `disks.data`, `nics.eth0`."""
    kind, _, key = path.partition(".")
    tag, key_of = ("disk", disk_key) if kind == "disks" else ("interface", nic_key)
    return next((device for device in root.iterfind(f"devices/{tag}") if key_of(device) == key), None)

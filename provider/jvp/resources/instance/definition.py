"""What an instance's XML says: its devices, whose they are, and what can differ between two definitions.

The same functions read the inactive and the live definition, so that both compare with what the program declares.
Devices of ours carry an alias (`ua-jvp-disk-data`); imported ones are known by target or MAC.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from jvp.libvirt.domain import disk_source
from jvp.libvirt.domain.devices import DISK_ALIAS, NIC_ALIAS, OWN_ALIAS, alias_of, disk_name
from jvp.libvirt.link.marks import facts_of, mark_of
from jvp.libvirt.link.xml import Element, drop, ensure, number, sub, value
from jvp.libvirt.storage import kinds
from jvp.resources.instance import disk_options, facets, nic_options, parts
from jvp.resources.instance.machine import firmware_of, machine_of
from jvp.resources.instance.model import Instance
from jvp.resources.instance.nic_model import Nic

ROOT_ALIAS, SEED_ALIAS, ISO_ALIAS = "ua-jvp-root", "ua-jvp-seed", "ua-jvp-iso"
FORMAT = "format"
"""A fact of the mark: what the root disk was made as."""
PREFIXES = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd"}
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
    firewalls: dict[str, str] = field(default_factory=dict)
    """The firewalls' names by those of the NICs that have one."""


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


def own_name(uuid: str, place: int) -> str:
    """The name of a further disk that we made: the copy of one that a snapshot holds at that place."""
    return f"jvp-{uuid}-disk{place}"


def own_disks(root: Element) -> list[Element]:
    """The further disks that belong to the instance, and that no program declares."""
    return [one for one in root.iterfind("devices/disk") if (alias_of(one) or "").startswith(OWN_ALIAS)]


def is_own_name(uuid: str, name: str) -> bool:
    """Whether a file of this name is a further disk of the instance."""
    place = name.removeprefix(own_name(uuid, 0)[:-1])
    return place != name and place.isdecimal()


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
    return disk_name(device) or value(device, "target/@dev") or ""


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
        **facets.told(root),
    }
    if boot is not None:
        found["rootDisk"] = (source_of(boot), boot.find("readonly") is not None, told_format(boot))
        found |= {f"rootDisk.{name}": one for name, one in disk_options.told(boot).items()}
    for device in devices.iterfind("disk"):
        if alias_of(device) not in (ROOT_ALIAS, SEED_ALIAS, ISO_ALIAS):
            path = f"disks.{disk_key(device)}"
            found[path] = disk_facts(device)
            # The serial number stands among the facts already.
            found |= {f"{path}.{name}": one for name, one in disk_options.told(device).items() if name != "serial"}
    for device in devices.iterfind("interface"):
        found[f"nics.{nic_key(device)}"] = nic_facts(device)
    return found


CARD_EXTRAS = {
    "link": "its link is down",
    "bandwidth": "somebody limits its bandwidth",
    "filterref": "somebody filters what goes through it",
}
"""What a card has that no property declares, by its element, and what a plan says of it."""


_DECLARED = "JVP"
"""A parameter that no filter reads: it tells a firewall that the program declares from what somebody put there. Its
value is what of the other parameters is ours too."""
_ALL, _ADDRESS, _NONE = "declared", "address", "imported"


def card_extras(device: Element) -> list[str]:
    """Those of CARD_EXTRAS that a card has."""
    found = [tag for tag in CARD_EXTRAS if device.find(tag) is not None and value(device, f"{tag}/@state") != "up"]
    return [tag for tag in found if tag != "filterref" or not _is_behind(device)]


def _is_behind(device: Element) -> bool:
    """Whether a card is behind a firewall that the program declares."""
    return _DECLARED in dict(_parameters(device))


def _parameters(device: Element) -> list[tuple[str, str]]:
    every = device.iterfind("filterref/parameter")
    return sorted((one.get("name") or "", one.get("value") or "") for one in every)


def put_firewall(device: Element, name: str | None, address: str | None) -> None:
    """Have a card be behind a firewall; None takes away what the program has declared. `address` is the guest's own.

    Parameters that an imported card had stay as long as the firewall does; of the addresses, until one is declared.
    """
    had = _parameters(device)
    ours = dict(had).get(_DECLARED)
    if name is None and ours is None:
        return
    theirs = had if ours != _ALL and value(device, "filterref/@filter") == name else []
    ours_too = {_DECLARED, *(["IP"] if address is not None or ours == _ADDRESS else [])}
    theirs = [one for one in theirs if one[0] not in ours_too]
    drop(device, "filterref")
    if name is not None:
        ref = sub(device, "filterref", filter=name)
        ours = _ALL if not theirs else _NONE if address is None else _ADDRESS
        for key, text in ((_DECLARED, ours), ("IP", address), *theirs):
            if text is not None:
                sub(ref, "parameter", name=key, value=text)


def boots(root: Element) -> tuple[str, ...]:
    """What a machine boots from, in order: kinds of devices, or where each has a number, the devices themselves."""
    numbered = {number(one, "@order") or 0: one.getparent() for one in root.iterfind("devices/*/boot")}
    if numbered:
        return tuple(alias_of(one) or str(one.tag) for _, one in sorted(numbered.items()) if one is not None)
    return tuple(one.get("dev", "") for one in root.iterfind("os/boot"))


_PLACES = {"network": "network", "bridge": "bridge", "direct": "dev"}
"""What a card can be on: libvirt's type of the card, and the attribute of its source that names it."""


def card_place(device: Element) -> tuple[str, str | None]:
    """What a card is on, and its name: `network`, `bridge` or `direct` (a device of the node); else its type, and none.

    While a card on a network runs it looks like one on that network's bridge, and names the network all the same.
    """
    kind = device.get("type") or ""
    for place, attribute in _PLACES.items():
        name = value(device, f"source/@{attribute}")
        if name is not None and place in ("network", kind):
            return place, name
    return kind, None


def is_plain_card(device: Element) -> bool:
    """Whether a program can declare a card: what it is on, and nothing that only its owner knows of the wire."""
    kind, name = card_place(device)
    port = value(device, "virtualport/@type")
    return kind in ("network", "user") or (name is not None and port in (None, "openvswitch"))


def put_place(device: Element, network: str | None, nic: Nic) -> None:
    """Have a card be on what is declared, where it is not; `network` is the name of its network."""
    kind, name = next(
        ((kind, name) for kind, name in (("network", network), ("bridge", nic.bridge), ("direct", nic.device)) if name),
        ("user", None),
    )
    if card_place(device) == (kind, name):
        return
    for tag in ("source", "virtualport", "vlan"):
        drop(device, tag)
    device.set("type", kind)
    if name is not None:
        sub(device, "source", **{_PLACES[kind]: name})


def nic_facts(device: Element) -> tuple[Any, ...]:
    """Network, MAC and model of a card; and what it has beside these."""
    kind, place = card_place(device)
    mac = (value(device, "mac/@address") or "").lower()
    # Digests of these stand in the marks of older guests.
    more: list[Any] = [("on", kind)] if kind in ("bridge", "direct") else []
    more += [etree.tostring(one, method="c14n") for tag in card_extras(device) for one in device.iterfind(tag)]
    behind = [("firewall", value(device, "filterref/@filter"), *_parameters(device))] if _is_behind(device) else []
    return (place, mac, value(device, "model/@type"), *more, *nic_options.facts(device), *behind)


def device_at(root: Element, path: str) -> Element | None:
    """The device of a path as `comparable` gives it: `disks.data`, `nics.eth0`."""
    kind, _, key = path.partition(".")
    tag, key_of = ("disk", disk_key) if kind == "disks" else ("interface", nic_key)
    return next((device for device in root.iterfind(f"devices/{tag}") if key_of(device) == key), None)

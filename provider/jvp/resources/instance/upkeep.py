"""What a machine that we made has, though no property says it: what became of it for the plan, and putting it right.

The same functions tell and mend: a plan has them mend a copy. Of an imported machine all this is its maker's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jvp.core.errors import Path
from jvp.libvirt.domain import disk_source
from jvp.libvirt.domain.devices import DISK_ALIAS, NIC_ALIAS, alias_of
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import Element, drop, ensure, put, sub, value
from jvp.resources.instance import parts
from jvp.resources.instance.definition import (
    CARD_EXTRAS,
    ISO_ALIAS,
    SEED_ALIAS,
    boots,
    card_extras,
    disk_key,
    iso_drive,
    nic_key,
    root_disk,
    source_of,
    told_format,
)
from jvp.resources.instance.patching import skeleton

BOOT: Path = ("boot",)
"""Where a fault of the boot order is: it belongs to whatever the program has the machine boot."""


@dataclass(frozen=True)
class Places:
    """Where the files of a machine of ours are; set only where its definition surely has another one."""

    root: str | None = None
    seed: str | None = None
    formats: tuple[tuple[str, str], ...] = ()
    """The recorded formats of its disks, by their names."""


@dataclass(frozen=True)
class Fault:
    """One thing that is not as we made it."""

    path: Path
    """The property that it belongs to; of a disk or card the list and its name."""
    what: str


def mend(root: Element, places: Places) -> list[Fault]:
    """Put right what is not as it was made; what that was. Nothing in a machine that we did not make."""
    if marks.mark_of(root) is None:
        return []
    return [*_root(root, places), *_disks(root, places), *_cards(root), *_boots(root), *_parts(root)]


def _root(root: Element, places: Places) -> Iterator[Fault]:
    boot = root_disk(root)
    if boot is None:
        return
    if places.root is not None:
        yield Fault(("rootDisk",), f"it is pointed at {source_of(boot)}, and goes back to {places.root}")
        _point(boot, places.root)
    if boot.find("readonly") is not None:
        drop(boot, "readonly")
        yield Fault(("rootDisk",), "the guest may only read it")


def _disks(root: Element, places: Places) -> Iterator[Fault]:
    formats = dict(places.formats)
    for device in root.findall("devices/disk"):
        alias, told = alias_of(device) or "", told_format(device)
        if alias == SEED_ALIAS:
            yield from _seed(device, places.seed)
        elif alias == ISO_ALIAS and device.find("readonly") is None:
            sub(device, "readonly")
            yield Fault(("iso",), "the guest may write to it")
        elif alias.startswith(DISK_ALIAS) and (wanted := formats.get(disk_key(device), told)) != told:
            put(device, "driver/@type", wanted)
            yield Fault(("disks", disk_key(device)), f"it is given to the guest as {told}, and is {wanted}")


def _seed(device: Element, place: str | None) -> Iterator[Fault]:
    if place is not None:
        yield Fault(("cloudInit",), f"its disk is pointed at {source_of(device)}, and goes back to {place}")
        _point(device, place)
    if device.find("readonly") is None:
        sub(device, "readonly")
        yield Fault(("cloudInit",), "the guest may write to its disk")
    if told_format(device) != "raw":
        yield Fault(("cloudInit",), f"its disk is given to the guest as {told_format(device)}, and is raw")
        put(device, "driver/@type", "raw")


def _point(device: Element, path: str) -> None:
    for tag in ("source", "backingStore"):
        drop(device, tag)
    disk_source.point(device, path)


def _cards(root: Element) -> Iterator[Fault]:
    for device in root.iterfind("devices/interface"):
        if (alias_of(device) or "").startswith(NIC_ALIAS):
            for tag in card_extras(device):
                drop(device, tag)
                yield Fault(("nics", nic_key(device)), CARD_EXTRAS[tag])


def _boots(root: Element) -> Iterator[Fault]:
    found, with_cd = boots(root), ("hd", "cdrom")
    wanted = with_cd if iso_drive(root) is not None else ("hd",)
    if found in (wanted, with_cd):  # a drive that is gone is told by itself
        return
    for boot in root.findall("devices/*/boot"):
        holder = boot.getparent()
        assert holder is not None
        holder.remove(boot)
    while root.find("os/boot") is not None:
        drop(root, "os/boot")
    for device in wanted:
        sub(ensure(root, "os"), "boot", dev=device)
    yield Fault(BOOT, f"the guest boots from {', '.join(found) or 'nothing'}")


def _parts(root: Element) -> Iterator[Fault]:
    lost = parts.lost(root)
    new = skeleton("", value(root, "os/type/@arch") or "x86_64", root.get("type") or "qemu") if lost else root
    for part in lost:
        parts.restore(root, part, new)
        yield Fault(("machine",), part.lost)

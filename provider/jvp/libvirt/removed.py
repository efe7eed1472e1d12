"""Running guests that still write to a volume's file which somebody removed, told when that volume is made again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import libvirt

from jvp.core.work import Work
from jvp.libvirt import devices
from jvp.libvirt.domains import DomainApi
from jvp.libvirt.node import Node
from jvp.libvirt.xml import Element, parse, value

REMOVED = (
    "its volume was removed and made again, and the guest still writes to the removed file; "
    "takes effect at the next power cycle"
)


def warn_of_writers(work: Work, node: Node, pool: libvirt.virStoragePool, name: str) -> None:
    """Before a volume is made: warn of the running guests that have one of this place, and note it in ours.

    QEMU holds the file open, so it has it for as long as it runs. Raises libvirtError.
    """
    found = list(devices.running(node.connection))
    if not found:
        return
    folder = value(parse(pool.XMLDesc(0)), "target/path")
    for domain, root, disk in _writers(found, f"{folder}/{name}", (pool.name(), name)):
        work.warn(
            f'"{domain.name()}" still writes to the removed file of volume "{name}": what it writes is lost at its '
            "next power cycle, which gives it the new volume"
        )
        alias = devices.alias_of(disk) or ""
        if devices.is_ours(root) and alias.startswith(devices.DISK_ALIAS):
            path = f"disks.{alias.removeprefix(devices.DISK_ALIAS)}"
            with contextlib.suppress(libvirt.libvirtError):  # it has ended meanwhile, say
                DomainApi(node).defer(domain, path, REMOVED)


def _writers(
    running: Iterable[tuple[libvirt.virDomain, Element]], path: str, place: tuple[str, str]
) -> Iterator[tuple[libvirt.virDomain, Element, Element]]:
    """Those of the running domains that have a disk there, with their definition and the disk."""
    for domain, root in running:
        for disk in root.iterfind("devices/disk"):
            source = disk.find("source")
            if source is not None and (
                source.get("file") == path or (source.get("pool"), source.get("volume")) == place
            ):
                yield domain, root, disk

"""Running guests that still write to a volume's file which somebody removed, told when that volume is made again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jvp.core.errors import JvpError
from jvp.core.work import Work
from jvp.libvirt.domain import devices, disk_source
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.storage import pool_kind

REMOVED = (
    "its volume was removed and made again, and the guest still writes to the removed file; "
    "takes effect at the next power cycle"
)


def warn_of_writers(work: Work, node: Node, pool: handles.StoragePool, name: str) -> None:
    """Before a volume is made: warn of the running guests that have one of this place, and note it in ours.

    QEMU holds the file open, so it has it for as long as it runs. Raises libvirtError.
    """
    seen, place = _running_disks(work, node), (pool.name(), name)
    path = pool_kind.layout_of(pool).path(name) if seen else ""
    if path not in seen and place not in seen:
        return
    for domain, root, disk in _writers(node.connection, path, place):
        work.warn(
            f'"{domain.name()}" still writes to the removed file of volume "{name}": what it writes is lost at its '
            "next power cycle, which gives it the new volume"
        )
        alias = devices.alias_of(disk) or ""
        if devices.is_ours(root) and alias.startswith(devices.DISK_ALIAS):
            path = f"disks.{alias.removeprefix(devices.DISK_ALIAS)}"
            with contextlib.suppress(JvpError), libvirt_errors("instance"):  # it has ended meanwhile, say
                DomainApi(node).defer(domain, path, REMOVED)


_Place = str | tuple[str | None, str | None]
"""A path, or a pool and a volume by name."""


def _running_disks(work: Work, node: Node) -> set[_Place]:
    """Where the disks of running domains are. Who asks while others look shares the next look with them."""

    def look() -> set[_Place]:
        running = devices.running(node.connection)
        return {place for _, root in running for disk in _disks(root) for place in _places(disk)}

    return node.looks.share(work, "running disks", look)


def _writers(
    connection: handles.Connection, path: str, place: tuple[str, str]
) -> Iterator[tuple[handles.Domain, Element, Element]]:
    """The running domains with their running definition and their disk there."""
    for domain, root in devices.running(connection):
        for disk in _disks(root):
            if not {path, place}.isdisjoint(_places(disk)):
                yield domain, root, disk


def _disks(root: Element) -> list[Element]:
    return root.findall("devices/disk[source]")


def _places(disk: Element) -> set[_Place]:
    source = disk.find("source")
    return (
        {disk_source.path_in(source) or "", (source.get("pool"), source.get("volume"))} if source is not None else set()
    )

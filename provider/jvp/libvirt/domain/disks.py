"""Which domains have which disks, and taking a disk away from those that are ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import libvirt

from jvp.core.errors import Busy, Rejected
from jvp.core.work import Work, current
from jvp.libvirt.domain import devices, disk_source
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, text_of, value


@dataclass(frozen=True)
class DomainDisk:
    """One domain that has a file as a disk, or below one of its disks."""

    domain: handles.Domain
    name: str
    """The domain's."""
    ours: bool
    """Whether the domain carries our mark."""
    target: str
    """The disk's target in the guest, like `vda`."""
    live: Element | None
    """The disk in the running definition, None when only the inactive one has it."""
    backing: bool
    """Whether the file is not the disk itself but one that the disk stands on."""
    element: Element
    """The disk in the definition that tells of it: in the running one, where that does."""

    @property
    def is_cd(self) -> bool:
        """Whether the disk is a CD drive."""
        return self.element.get("device") == "cdrom"

    @property
    def shares(self) -> bool:
        """Whether other domains may have the same disk."""
        return self.element.find("shareable") is not None

    @property
    def format(self) -> str:
        """The format that QEMU is told of the disk."""
        return value(self.element, "driver/@type") or "raw"


def disk_users(
    connection: handles.Connection, definitions: Iterable[tuple[handles.Domain, Element]] | None = None
) -> dict[str, list[DomainDisk]]:
    """Path of every file that is a disk, or stands under one, to the domains that have it. Raises libvirtError.

    The running and the inactive definition count; of those the inactive ones may be known already. Source:
    virConnectGetAllDomainStats gives paths too, but only those of the running definition, and opens each file for it:
    the storage of one domain that hangs would have all hang. So the XML of each domain is read.
    """
    users: dict[str, list[DomainDisk]] = defaultdict(list)
    paths: dict[tuple[str, str], str | None] = {}
    for domain, inactive in devices.plain_definitions(connection) if definitions is None else definitions:
        try:
            found = list(_disks_of(connection, domain, inactive, paths))
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.DOMAIN):
                continue
            raise
        for path, disk in found:
            if not any(one.name == disk.name and one.target == disk.target for one in users[path]):
                users[path].append(disk)
    return dict(users)


class Domains:
    """Every domain, as one look saw them. Several calls may share it, so nobody may change what is in it.

    The handles are of the connection of who looked: others ask them for a name or uuid alone. Raises libvirtError.
    """

    def __init__(self, connection: handles.Connection) -> None:
        self.definitions = list(devices.plain_definitions(connection))
        """With their inactive definitions."""
        self.users = disk_users(connection, self.definitions)
        """Which of them have which files as disks."""


def seen_domains(node: Node) -> Domains:
    """Every domain with its disks, as seen now. Raises libvirtError.

    Other calls of this process may share the look at them, and none began before this call asked.
    """
    return node.looks.share(current(), "domains", lambda: Domains(node.connection))


def running_on(connection: handles.Connection, folder: str) -> list[str]:
    """The names of the running guests with a disk in a folder. Raises libvirtError."""
    return sorted({disk.name for disk in disks_in(connection, folder) if disk.live is not None})


def disks_in(connection: handles.Connection, folder: str) -> Iterator[DomainDisk]:
    """The disks of domains, running or not, that lie in a folder or stand on a file in it. Raises libvirtError."""
    inside = f"{folder.rstrip('/')}/"
    for path, users in disk_users(connection).items():
        if path.startswith(inside):
            yield from users


def _disks_of(
    connection: handles.Connection,
    domain: handles.Domain,
    inactive: Element,
    paths: dict[tuple[str, str], str | None],
) -> Iterator[tuple[str, DomainDisk]]:
    """Paths and disks of one domain, those of the running definition first."""
    roots = [(inactive, False)]
    if domain.ID() != -1:
        roots.insert(0, (parse(domain.XMLDesc(0)), True))
    ours = any(devices.is_ours(root) for root, _ in roots)
    for root, live in roots:
        for element in root.iterfind("devices/disk"):
            target = value(element, "target/@dev") or ""
            for path, backing in _paths_of(connection, element, paths):
                running = element if live else None
                yield path, DomainDisk(domain, domain.name(), ours, target, running, backing, element)


def _paths_of(
    connection: handles.Connection, disk: Element, paths: dict[tuple[str, str], str | None]
) -> Iterator[tuple[str, bool]]:
    for source in disk.iter("source"):
        holder = source.getparent()
        if holder is None or holder.tag not in ("disk", "backingStore", "mirror"):
            continue
        path = disk_source.path_in(source) or _path_in_pool(connection, source, paths)
        if path:
            yield path, holder.tag == "backingStore"


def _path_in_pool(
    connection: handles.Connection, source: Element, paths: dict[tuple[str, str], str | None]
) -> str | None:
    """The path of a disk that is named by pool and volume; None when there is no such volume."""
    pool, volume = source.get("pool"), source.get("volume")
    if not pool or not volume:
        return None
    if (pool, volume) not in paths:
        paths[pool, volume] = devices.path_in_pool(connection, pool, volume)
    return paths[pool, volume]


def refuse_saved(connection: handles.Connection, what: str, has: Callable[[Element], bool]) -> None:
    """Raise Rejected when a guest was saved to disk with it: taken from there it would not go on."""
    names = [domain.name() for domain, root in _saved(connection) if has(root)]
    if names:
        raise Rejected(
            f'{what} belongs to "{names[0]}", which was saved to disk with it; start that guest, or drop what was '
            f"saved with `virsh managedsave-remove {names[0]}`, and run again"
        )


def _saved(connection: handles.Connection) -> Iterator[tuple[handles.Domain, Element]]:
    """Domains that were saved to disk, with the definition that comes back with their next start."""
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE):
        try:
            yield domain, parse(domain.managedSaveGetXMLDesc(0))
        except libvirt.libvirtError:
            if not connection.isAlive():
                raise
            # What cannot be read cannot go on either: libvirt passes over it, too.
            continue


def has_disk(connection: handles.Connection, root: Element, path: str) -> bool:
    """Whether a definition has a file as a disk, or below one."""
    disks = root.iterfind("devices/disk")
    return any(found == path for disk in disks for found, _ in _paths_of(connection, disk, {}))


def detach(work: Work, disk: DomainDisk, path: str) -> None:
    """Take a disk away from one domain: out of its inactive definition, then out of the running guest.

    Raises Busy when the guest does not let go, libvirtError. Again: yes.
    """
    root = devices.inactive_xml(disk.domain)
    stale = [one for one in root.iterfind("devices/disk") if _is_at(disk.domain.connect(), one, path)]
    for one in stale:
        holder = one.getparent()
        assert holder is not None
        holder.remove(one)
    if stale and disk.domain.isPersistent():
        disk.domain.connect().defineXML(text_of(root))
    if disk.live is not None and disk.domain.isActive() and _is_cold(disk.live):
        raise Busy(
            f'"{disk.name}" runs, and gives back no disk on {value(disk.live, "target/@bus")}, as {disk.target} is; '
            "stop the guest, and run again"
        )
    if disk.live is not None and disk.domain.isActive() and not _let_go(work, disk.domain, disk.live):
        raise Busy(
            f'"{disk.name}" does not let go of its disk {disk.target}; unmount it in the guest or stop the guest, '
            "and run again"
        )


def _is_cold(disk: Element) -> bool:
    return disk.get("device") != "cdrom" and value(disk, "target/@bus") in devices.COLD_BUSES


def _let_go(work: Work, domain: handles.Domain, live: Element) -> bool:
    """Have a running guest give a disk back. A CD drive stays, and is empty then."""
    if live.get("device") == "cdrom":
        return devices.refused(devices.change_medium, domain, live, None) is None
    return devices.unplug(work, domain, live)


def _is_at(connection: handles.Connection, disk: Element, path: str) -> bool:
    return any(found == path and not backing for found, backing in _paths_of(connection, disk, {}))


def resize_live(node: Node, disk: DomainDisk, size: int) -> None:
    """Grow the disk of a running guest, which another call may have seen. Raises libvirtError."""
    connection, domain = node.connection, disk.domain
    if domain.connect() is not connection:
        domain = connection.lookupByUUIDString(domain.UUIDString())
    domain.blockResize(disk.target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

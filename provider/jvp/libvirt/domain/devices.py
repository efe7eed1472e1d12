"""Devices of domains: plugging and unplugging, live and in the inactive definition, and waiting for the guest."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import libvirt

from jvp.core.work import Work
from jvp.libvirt.domain import disk_source
from jvp.libvirt.link import events, handles, marks
from jvp.libvirt.link.errors import Gone, is_gone, reason
from jvp.libvirt.link.xml import Element, drop, parse, text_of, value

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE
DISK_ALIAS, NIC_ALIAS, OWN_ALIAS = "ua-jvp-disk-", "ua-jvp-nic-", "ua-jvp-own-"
"""Disks and cards that a program declares, and further disks that belong to the domain. libvirt keeps an alias of ours
only when it begins with `ua-`."""
COLD_BUSES = ("sata", "ide")
"""Nothing is plugged into or out of these while the guest runs. Source: libvirt, qemuDomainDetachPrepDisk."""
RESEND_S = 2.0
"""An unplug request that the guest was not ready for is lost without a word: it is sent again this often."""
UNPLUG_S = 20.0
"""A guest that has not let go after this long is taken to refuse."""


def refused(call: Callable[..., Any], *arguments: Any) -> str | None:
    """Make a call that may be refused: the reason as libvirt gives it, None when it was done."""
    try:
        call(*arguments)
    except libvirt.libvirtError as error:
        return reason(error)
    return None


def live_xml(domain: handles.Domain) -> Element:
    """The running definition (the inactive one when it does not run), without the limits that a network gives a card.

    libvirt shows what its port group has as the card's own.
    """
    root = _definition(domain, 0)
    for card in root.findall("devices/interface[@type='network']") if root.get("id") is not None else ():
        limits = card.find("bandwidth")
        if limits is not None and _rates(limits) == _rates(_group_limits(domain.connect(), card)):
            drop(card, "bandwidth")
    return root


def live_xml_or(domain: handles.Domain, last: Element) -> Element:
    """The running definition; of a domain that somebody removed meanwhile the `last` one that was seen."""
    try:
        return live_xml(domain)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.DOMAIN):
            return last
        raise


def _group_limits(connection: handles.Connection, card: Element) -> Element | None:
    """Those of the port group of a card, or of its network's default one. Source: libvirt, virPortGroupFindByName."""
    network, name = value(card, "source/@network") or "", value(card, "source/@portgroup")
    try:
        groups = parse(connection.networkLookupByName(network).XMLDesc(0)).findall("portgroup")
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.NETWORK):
            return None
        raise
    mine = (one for one in groups if (one.get("name") == name if name else one.get("default") == "yes"))
    group = next(mine, None)
    return group.find("bandwidth") if group is not None else None


def _rates(limits: Element | None) -> dict[Any, dict[Any, Any]] | None:
    return {one.tag: dict(one.attrib) for one in limits} if limits is not None else None


def inactive_xml(domain: handles.Domain) -> Element:
    """What the domain will be at its next start, with secrets such as VNC passwords, so that it can be redefined."""
    return _definition(domain, INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)


def with_secrets(domain: handles.Domain) -> Element:
    """The running definition, or the inactive one of what does not run, with secrets: never to be told as it is."""
    return parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE))


def console_of(domain: handles.Domain) -> str | None:
    """The node's terminal that is the guest's first console; None while it does not run, or has none there."""
    return value(live_xml(domain), "devices/console/@tty") if domain.isActive() else None


def texts(domain: handles.Domain) -> tuple[str | None, str | None]:
    """The running and the persistent definition as libvirt writes them, for people: without secrets.

    None for what it has not: it does not run, or it is transient.
    """
    live = domain.XMLDesc(0) if domain.isActive() else None
    return live, domain.XMLDesc(INACTIVE) if domain.isPersistent() else None


def _definition(domain: handles.Domain, flags: int) -> Element:
    """A definition in which every disk says its path: one that names a pool and a volume is given it beside them.

    libvirt passes over the path when such a disk is written back, so the domain keeps what it names.
    """
    root = parse(domain.XMLDesc(flags))
    for source in root.iterfind("devices/disk/source"):
        pool, volume = source.get("pool"), source.get("volume")
        if pool and volume and (path := path_in_pool(domain.connect(), pool, volume)):
            source.set("file", path)
    return root


def path_in_pool(connection: handles.Connection, pool: str, volume: str) -> str | None:
    """The path of what a disk names by pool and volume; None when there is no such volume, or the pool is stopped."""
    try:
        path: str = connection.storagePoolLookupByName(pool).storageVolLookupByName(volume).path()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (Gone.POOL, Gone.VOLUME, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
        return None
    return path


def definitions(domains: Iterable[handles.Domain]) -> Iterator[tuple[handles.Domain, Element]]:
    """Listed domains with their inactive definition; one that somebody removed meanwhile is left out."""
    for domain in domains:
        try:
            root = inactive_xml(domain)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.DOMAIN):
                continue
            raise
        yield domain, root


def running_definitions(connection: handles.Connection) -> Iterator[tuple[handles.Domain, Element]]:
    """The running domains with their inactive definition."""
    return definitions(connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))


def plain_definitions(connection: handles.Connection) -> Iterator[tuple[handles.Domain, Element]]:
    """Every domain with its inactive definition as libvirt tells it: without secrets, and to be looked at alone.

    One that somebody removes meanwhile is left out. libvirt has no call for all of them at once.
    """
    for domain in connection.listAllDomains(0):
        try:
            root = parse(domain.XMLDesc(INACTIVE))
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.DOMAIN):
                continue
            raise
        yield domain, root


GIVEN_UP_FIRST = "where that one is to give it up, or to go, apply that first, alone"
"""The way out for what two instances of one program exchange: an engine changes both at once, and deletes last."""


def holder(connection: handles.Connection, mac: str) -> str | None:
    """The name of a domain whose definition has a card with this MAC, None when none has. Raises libvirtError."""
    for domain, root in definitions(connection.listAllDomains(0)):
        if any((value(card, "mac/@address") or "").lower() == mac for card in root.iterfind("devices/interface")):
            return str(domain.name())
    return None


def running(connection: handles.Connection) -> Iterator[tuple[handles.Domain, Element]]:
    """The running domains with their running definition; one that ends meanwhile is left out."""
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            root = parse(domain.XMLDesc(0))
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.DOMAIN):
                continue
            raise
        yield domain, root


def is_ours(root: Element) -> bool:
    """Whether a program has the domain, by its XML: what an engine's state holds is ours to plug in and out.

    A copy of such a domain bears its mark too, as virt-clone makes one, and is somebody else's.
    """
    return marks.bearer(root) is not None


def disk_name(disk: Element) -> str | None:
    """The name that our alias gives a disk beside the root disk; None without one."""
    alias = alias_of(disk) or ""
    return next((alias.removeprefix(one) for one in (DISK_ALIAS, OWN_ALIAS) if alias.startswith(one)), None)


def alias_of(device: Element) -> str | None:
    return value(device, "alias/@name")


def unplug(work: Work, domain: handles.Domain, device: Element) -> bool:
    """Take a device out of a running guest; False when the guest does not let go of it in time."""
    return not unplug_all(work, domain, [device])


def unplug_all(work: Work, domain: handles.Domain, devices: Iterable[Element]) -> list[Element]:
    """Take devices out of a running guest, all at the same time; those that it does not let go of.

    A device is its element in the live XML. Source: virDomainDetachDeviceAlias only asks and does not wait; the
    answer is the event DEVICE_REMOVED, and while a guest boots the request is lost (measured).
    """
    held = {alias_of(device): device for device in devices}
    with events.watch(domain.connect(), domain, "device removed", "lifecycle") as seen:
        end = time.monotonic() + work.left(UNPLUG_S)
        while held := _still(domain, held):
            if time.monotonic() >= end:
                break
            for alias in held:
                _ask(domain, alias)
            for alias in _removed(work, domain, seen, set(held), min(end, time.monotonic() + RESEND_S)):
                held.pop(alias, None)
    return list(held.values())


def _still(domain: handles.Domain, held: dict[str | None, Element]) -> dict[str | None, Element]:
    """Those of the devices that the guest has; none when it does not run."""
    if not held or not domain.isActive():
        return {}
    there = {one.get("name") for one in live_xml(domain).iterfind("devices/*/alias")}
    return {alias: device for alias, device in held.items() if alias in there}


def _removed(
    work: Work, domain: handles.Domain, seen: events.Watch, waited: set[str | None], until: float
) -> set[str | None]:
    """What the guest has let go of when all that is waited for is gone, the time is over or the guest has stopped."""
    gone: set[str | None] = set()
    while not waited <= gone and (left := until - time.monotonic()) > 0:
        event = seen.next(work, left)
        if event is None or (event.kind == "lifecycle" and not domain.isActive()):
            break
        if event.kind == "device removed":
            gone.add(event.detail)
    return gone


def _ask(domain: handles.Domain, alias: str | None) -> None:
    # "already in the process of unplug" and "not found" are both answered by what the XML says afterwards.
    with contextlib.suppress(libvirt.libvirtError):
        domain.detachDeviceAlias(alias or "", LIVE)


def plug(domain: handles.Domain, device: Element) -> None:
    """Put a device into a running guest. Raises libvirtError with QEMU's reason."""
    domain.attachDeviceFlags(text_of(device), LIVE)


def change_medium(domain: handles.Domain, drive: Element, path: str | None, type: str = disk_source.FILE) -> None:
    """Put another CD into a running guest's drive, or take it out (None). Raises libvirtError: a locked tray, say."""
    changed = copy.deepcopy(drive)
    for source in changed.findall("source") + changed.findall("backingStore"):
        changed.remove(source)
    if path is not None:
        disk_source.point(changed, path, type)
    domain.updateDeviceFlags(text_of(changed), LIVE)


def replug(work: Work, domain: handles.Domain, devices: Iterable[Element]) -> list[Element]:
    """Take devices out of a running guest and put them in again; those that it does not let go of."""
    every = list(devices)
    held = unplug_all(work, domain, every)
    for device in every:
        if device not in held and domain.isActive():
            plug(domain, plugged_again(device))
    return held


def plugged_again(device: Element) -> Element:
    """What to plug in for a device that was taken out of a running guest; `device` is its element in the live XML."""
    again = copy.deepcopy(device)
    for path in ("target", "address"):
        found = again.find(path)
        if found is not None and (path == "address" or again.tag == "interface"):
            again.remove(found)
    source = again.find("source")
    if source is not None and (network := source.get("network")) is not None:
        # A card on a network of mode bridge looks like one on the bridge itself while it runs.
        again.set("type", "network")
        source.attrib.clear()
        source.set("network", network)
    return again


RESIZE_BYTES = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES

"""Running guests: power, graceful stops, and addresses from the networks' leases."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import libvirt

from jvp.core.types import duration_s
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import events, handles, marks, told
from jvp.libvirt.link.errors import Gone, is_beyond_resume, is_gone, reason
from jvp.libvirt.link.ranges import ranges_of
from jvp.libvirt.link.xml import Element, parse, value

BALLOON_POLL_S = 0.1
BALLOON_STILL = 15
"""So many equal readings in a row mean that the balloon rests: QEMU tells of its moves once a second at most."""
IO_ERROR_S = 1.0
"""So long it may take until a guest that was resumed is paused by the same I/O error."""
STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "stopping",
    libvirt.VIR_DOMAIN_SHUTOFF: "stopped",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
}
STANDING = ("paused", "suspended")
"""States in which a guest does nothing, and answers no request."""
HALTS = {
    libvirt.VIR_DOMAIN_PAUSED_UNKNOWN: "QEMU",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "an I/O error",
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "its watchdog",
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: "its crash",
}


@dataclass(frozen=True)
class Lease:
    """One lease of a guest's card."""

    mac: str
    address: str
    expires: int


def state_of(domain: handles.Domain) -> str | None:
    """What the guest is doing, None when libvirt does not know."""
    return STATES.get(domain.state()[0])


EARLIER = "leases"
"""A fact of the mark: the leases that the guest's cards had when it was started. The guest that runs now has not asked
for them; once it does, they expire at another time."""


def leases(domain: handles.Domain, root: Element | None = None) -> list[Lease]:
    """The leases of a running guest's cards, from the networks that they are on: in the order of the cards.

    Of one card the one that was renewed last comes first: it is the one that the guest has. `root` is the running
    definition, where it is known.
    """
    if root is None:
        if not domain.isActive():
            return []
        root = devices.live_xml(domain)
    earlier = set_aside(root)
    return [lease for lease in _of_cards(domain.connect(), root) if lease not in earlier]


def set_aside(root: Element) -> list[Lease]:
    """The leases that a definition notes to be of an earlier life of the guest."""
    found = told.json_of(marks.facts_of(root).get(EARLIER) or "[]")
    with contextlib.suppress(ValueError, TypeError):
        return [Lease(str(mac), str(address), int(expires)) for mac, address, expires in found]
    return []


def set_leases_aside(connection: handles.Connection, root: Element) -> None:
    """Note in the definition of a guest that is off which leases its cards have. One without an end looks the same
    when it is renewed, so it counts. Raises libvirtError.
    """
    found = [[one.mac, one.address, one.expires] for one in _of_cards(connection, root) if one.expires]
    if found:
        marks.note_fact(root, EARLIER, json.dumps(found, separators=(",", ":")))
    else:
        marks.set_fact(root, EARLIER, "")


def _of_cards(connection: handles.Connection, root: Element) -> Iterator[Lease]:
    for card in root.iterfind("devices/interface"):
        network, mac = value(card, "source/@network"), value(card, "mac/@address")
        if network is not None and mac is not None:
            yield from sorted(leases_of(connection, network, mac.lower()), key=lambda lease: -lease.expires)


def leases_of(connection: handles.Connection, network: str, mac: str) -> list[Lease]:
    """What a network has leased to a MAC, also of an earlier life; nothing when the network is gone or stopped.

    Any other look-up that fails says nothing of the leases, and is an error. Raises libvirtError.
    A network whose addresses were changed still lists its old leases: those outside of its ranges do not count.
    """
    try:
        found = connection.networkLookupByName(network)
        rows = found.DHCPLeases(mac) if found.isActive() else []
        ranges = ranges_of(parse(found.XMLDesc(0))) if rows else []
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.NETWORK):
            return []
        raise
    found_leases = [(told.address(row["ipaddr"]), int(row["expirytime"])) for row in rows]
    return [
        Lease(mac, address, end)
        for address, end in found_leases
        if address is not None and any(ipaddress.ip_address(address) in one for one in ranges)
    ]


def current_leases(domain: handles.Domain, root: Element | None = None) -> list[Lease]:
    """The leases that hold now, IPv4 first, else in the order of `leases`."""
    now = time.time()
    found = [lease for lease in leases(domain, root) if lease.expires == 0 or lease.expires > now]
    return sorted(found, key=lambda one: ":" in one.address)


def settled_xml(work: Work, domain: handles.Domain, target: str | None) -> Element:
    """The running definition, once the balloon has come to rest or reached `target` KiB.

    A guest that was started with room gives memory back bit by bit while it boots (about a second, measured);
    taken for the guest's memory, a value on the way would be drift that nobody caused.
    """
    root = devices.live_xml(domain)
    last, still = value(root, "currentMemory"), 0
    while last != target and still < BALLOON_STILL:
        work.wait(BALLOON_POLL_S)
        if not domain.isActive():
            break
        root = devices.live_xml(domain)
        now = value(root, "currentMemory")
        still = still + 1 if now == last else 0
        last = now
    return root


def stands_still(domain: handles.Domain) -> bool:
    """Whether the guest is there and does nothing, so that it answers no request."""
    return state_of(domain) in STANDING


def revive(work: Work, domain: handles.Domain, wanted: str) -> None:
    """Have a guest that is to run go on where it stands still; cut off one that cannot.

    One that crashed and is kept for a look at it, and one that QEMU resumes no more, come back by being started.
    """
    now = state_of(domain)
    if now == "crashed" and wanted in ("running", "paused"):
        cut_off(domain)
    elif now == "suspended" and wanted == "running":
        _become(domain, "running", lambda: domain.pMWakeup(0))
    elif now == "paused" and wanted == "running":
        _resume(work, domain)


def _resume(work: Work, domain: handles.Domain) -> None:
    failed = has_io_error(domain)
    with events.watch(domain.connect(), domain, "lifecycle") as seen:
        try:
            _become(domain, "running", domain.resume)
        except libvirt.libvirtError as error:
            if not is_beyond_resume(error):
                raise
            work.warn(f'"{domain.name()}" cannot be resumed ({reason(error)}), so it is switched off and started again')
            cut_off(domain)
            return
        end = time.monotonic() + IO_ERROR_S
        # QEMU repeats at once what failed.
        while failed and not has_io_error(domain) and (left := end - time.monotonic()) > 0:
            seen.next(work, left)


def halted_by(domain: handles.Domain) -> str | None:
    """What has paused a guest that nobody paused; None of any other."""
    now, why, *_ = domain.state()
    return HALTS.get(why) if now == libvirt.VIR_DOMAIN_PAUSED else None


def has_io_error(domain: handles.Domain) -> bool:
    """Whether the guest is paused because its disk could not be read or written."""
    return bool(domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR])


def io_error(domain: handles.Domain) -> str | None:
    """What is to be said of a guest that is paused by an I/O error; None of one that is not."""
    if not has_io_error(domain):
        return None
    disks: dict[str, int] = {}
    with contextlib.suppress(libvirt.libvirtError):
        disks = domain.diskErrors(0)
    full = libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE
    told = [f"{disk} has no room left on the node" if kind == full else f"{disk} fails" for disk, kind in disks.items()]
    why = ", ".join(sorted(told)) or "a disk fails"
    return f"an I/O error has paused the guest ({why}); mend the storage, and an update of it goes on"


def shut_down(work: Work, domain: handles.Domain, timeout: str) -> None:
    """Ask the guest to shut down, and cut it off when it has not after `timeout`. Stopped already is fine."""
    if not is_active(domain):
        return
    if domain.state()[0] in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
        with events.watch(domain.connect(), domain, "lifecycle") as seen:
            for left in _countdown(work, duration_s(timeout)):
                with contextlib.suppress(libvirt.libvirtError):
                    domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
                work.status(f"waiting for the guest to shut down, {int(left)} s left")
                # The button is pressed again: a guest that is still booting does not hear it.
                seen.next(work, min(2.0, left))
                if not is_active(domain):
                    return
    cut_off(domain)


def start(work: Work, domain: handles.Domain) -> None:
    """Start a guest that is off; started already is fine."""
    work.status("starting the guest")
    _become(domain, "running", domain.create)


def pause(domain: handles.Domain) -> None:
    """Halt a running guest; halted already is fine."""
    _become(domain, "paused", domain.suspend)


def is_starting(domain: handles.Domain) -> bool:
    """Whether a call of somebody's is starting the guest at this moment."""
    return domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP]


def _countdown(work: Work, seconds: float) -> Iterator[float]:
    end = time.monotonic() + work.left(seconds)
    while (left := end - time.monotonic()) > 0:
        yield left


def cut_off(domain: handles.Domain) -> None:
    """Stop the guest at once; stopped already is fine."""
    with contextlib.suppress(libvirt.libvirtError):
        domain.destroy()
    if is_active(domain):
        domain.destroy()


def is_active(domain: handles.Domain) -> bool:
    """Whether the guest runs. A transient one (undefined while it ran) is gone with its stop."""
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.DOMAIN):
            return False
        raise


def set_power(work: Work, domain: handles.Domain, wanted: str, timeout: str) -> bool:
    """Bring the guest to `wanted`; whether it was started by this call. Unmanaged leaves it alone."""
    if wanted == "unmanaged":
        return False
    started = False
    revive(work, domain, wanted)
    if wanted == "stopped":
        shut_down(work, domain, timeout)
        # What a saved image holds would come back at the next start: stopped means off.
        if domain.hasManagedSaveImage(0):
            domain.managedSaveRemove(0)
    elif not domain.isActive():
        work.status("starting the guest")
        paused = libvirt.VIR_DOMAIN_START_PAUSED if wanted == "paused" else 0
        _become(domain, wanted, lambda: domain.createWithFlags(paused))
        started = wanted == "running"
    elif wanted == "paused" and state_of(domain) == "running":
        _become(domain, wanted, domain.suspend)
    return started


def _become(domain: handles.Domain, wanted: str, step: Callable[[], Any]) -> None:
    """Take a step that may be taken already: libvirtd goes on with a start whose caller was killed.

    A guest that is being started counts as paused, and the step waits until it runs. Raises libvirtError.
    """
    try:
        step()
    except libvirt.libvirtError:
        if state_of(domain) != wanted:
            raise

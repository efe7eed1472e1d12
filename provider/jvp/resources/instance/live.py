"""Bringing a running guest to what its inactive definition says, and finding out what it did not take.

The inactive definition is written first. Then every difference to the running one is tried live; what the guest
refuses waits for its next power cycle and is noted with the reason. Nothing here is an error of the update.
"""

from __future__ import annotations

import copy
import time
from typing import Any

from jvp.core.types import counted
from jvp.core.work import Work
from jvp.libvirt.domain import bridged, devices, disk_source, guest
from jvp.libvirt.link import events, handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, drop, ensure, parse, put, text_of, value
from jvp.resources.instance import disk_options, facets
from jvp.resources.instance.definition import (
    CARD_EXTRAS,
    Names,
    card_extras,
    comparable,
    device_at,
    is_declared,
    iso_drive,
    kib,
    nic_facts,
    nic_key,
    root_disk,
)
from jvp.resources.instance.patching import free_target
from jvp.resources.network.restart import REPLUG
from jvp.resources.storage.lost_file import REMOVED

BALLOON_S = 20.0
"""A balloon that has not moved to its target after this long has no driver in the guest, or no memory to give."""
NO_BALLOON = "the guest has its whole room still: nothing in it has given memory back since it started"
NEXT_BOOT = "takes effect at the next power cycle"
HOLDS = f"the guest does not let go of it; {NEXT_BOOT}"
STANDS_STILL = "the guest stands still and lets go of nothing; takes effect with the first update after it goes on"
RETRIED = (HOLDS, STANDS_STILL)
"""Reasons of the moment: the next update tries again, whatever it is about."""
COLD = f"a running guest takes and gives back no sata disk; {NEXT_BOOT}"
UNTOLD = ("cloudInit", "cpuMode", "cpu")
"""What no running definition tells: that of a CPU names what it came to. It waits until the guest was off."""
UNTIL_OFF = (REPLUG, REMOVED)
"""What no difference of the definitions tells: the guest has it until it was off, or until it gets another."""


def converge(
    work: Work, domain: handles.Domain, inactive: Element, known: Names, refused: dict[str, str]
) -> dict[str, str]:
    """Make the running guest like `inactive`; what waits for the next power cycle, with the reason, by path.

    Only devices that the program declares, or did (`known`), are plugged and unplugged. What was `refused` before is
    not tried again.
    """
    running_root = devices.live_xml(domain)
    wanted, running = comparable(inactive), comparable(running_root)
    differ = [path for path in sorted(wanted.keys() | running.keys()) if wanted.get(path) != running.get(path)]
    options = [path for path in differ if disk_options.option_of(path)]
    devices_ = [path for path in differ if path.startswith(("disks.", "nics.")) and path not in options]
    pluggable = [
        path
        for path in devices_
        if path not in refused and any(is_declared(device_at(root, path), known) for root in (running_root, inactive))
    ]
    pending = {path: why for path, why in refused.items() if path in devices_}
    pending |= {path: COLD for path in pluggable if _is_cold(path, running_root, inactive)}
    pluggable = [path for path in pluggable if path not in pending]
    for path in [one for one in differ if one not in devices_ and one not in options]:
        if path == "iso":
            why = _medium(work, domain, running_root, inactive, wanted[path])
        elif (carry := facets.carry_of(path)) is not None:
            why = carry(work, domain, running_root, inactive, path)
        else:
            why = _number(work, domain, path, wanted, running)
        if why is not None:
            pending[path] = why
    # All that goes out goes out first: two disks may have swapped their volumes.
    pending |= _out(work, domain, pluggable, running_root, inactive)
    for path in pluggable:
        work.go_on("the running guest does not have all of its devices; run again to go on")
        why = None if path in pending else _in(domain, path, running_root, inactive)
        if why is not None:
            pending[path] = why
    # A disk that differs itself has all of its options with the next plug.
    options = [path for path in options if path.rpartition(".")[0] not in devices_]
    return pending | _options(work, domain, options, known, inactive)


def _options(work: Work, domain: handles.Domain, paths: list[str], known: Names, inactive: Element) -> dict[str, str]:
    """What a disk is beside its data: limits change at once. What waits, and why."""
    pending: dict[str, str] = {}
    running, limited = devices.live_xml(domain) if paths else inactive, dict[str, str | None]()
    for path in paths:
        place, name = disk_options.option_of(path) or ("", "")
        wanted, there = (
            root_disk(root) if place == "rootDisk" else device_at(root, place) for root in (inactive, running)
        )
        if wanted is None or there is None or not (place == "rootDisk" or is_declared(wanted, known)):
            continue
        why: str | None = NEXT_BOOT
        if name in disk_options.LIMITS:
            if place not in limited:  # one call sets them all
                work.status(f"limiting {place} of the running guest")
                why = devices.refused(disk_options.limit, domain, there, wanted)
                limited[place] = None if why is None else f"{why}; {NEXT_BOOT}"
            why = limited[place]
        if why is not None:
            pending[path] = why
    return pending


def rejoin(node: Node, domain: handles.Domain, known: Names) -> dict[str, str | None]:
    """Put the program's cards that are on no bridge on that of their network again: by path, why one is not."""
    cut = [card for card in bridged.cut_off(node, devices.live_xml(domain)) if is_declared(card, known)]
    found = {f"nics.{nic_key(card)}": devices.refused(bridged.rejoin, domain, card) for card in cut}
    return {path: None if why is None else f"{why}; {NEXT_BOOT}" for path, why in found.items()}


def waits(path: str, why: str, wanted: dict[str, Any], running: dict[str, Any], *, still: bool) -> bool:
    """Whether a difference that was noted with this reason is still to be waited for; else an update can mend it.

    A guest may let go late: when it has booted, or goes on.
    """
    if why in UNTIL_OFF:
        return wanted.get(path) == running.get(path)
    if why == STANDS_STILL and not still:
        return False
    late = why in RETRIED and path in wanted and path not in running
    return wanted.get(path) != running.get(path) and not late


def _medium(work: Work, domain: handles.Domain, running: Element, inactive: Element, path: str | None) -> str | None:
    """Change the CD in the running guest's drive; a drive itself cannot be plugged in."""
    drive, wanted = iso_drive(running), iso_drive(inactive)
    if drive is None:
        return NEXT_BOOT
    work.status("changing the CD of the running guest")
    type = wanted.get("type") if wanted is not None else None
    why = devices.refused(devices.change_medium, domain, drive, path, type or disk_source.FILE)
    return None if why is None else f"{why}; {NEXT_BOOT}"


def _number(
    work: Work, domain: handles.Domain, path: str, wanted: dict[str, Any], running: dict[str, Any]
) -> str | None:
    if path == "memory":
        return _memory(work, domain, wanted[path], running["maxMemory"])
    if path == "cpus":
        return _cpus(work, domain, wanted[path], running[path], running["maxCpus"])
    return NEXT_BOOT


def _memory(work: Work, domain: handles.Domain, target: int, room: int) -> str | None:
    if target > room:
        return f"the guest was started with room for {room // 1024} MiB; {NEXT_BOOT}"
    work.status("changing memory of the running guest")
    if (why := devices.refused(domain.setMemoryFlags, target, devices.LIVE)) is not None:
        return why
    if guest.stands_still(domain):
        return "the guest stands still; takes effect when it goes on"
    # A balloon without a driver in the guest says yes and does nothing, so the outcome is read back.
    end = time.monotonic() + work.left(BALLOON_S)
    with events.watch(domain.connect(), domain, "balloon") as seen:
        while (now := kib(devices.live_xml(domain), "currentMemory")) != target:
            if time.monotonic() >= end or not domain.isActive():
                return f"the guest's balloon stays at {(now or 0) // 1024} MiB; {NEXT_BOOT}"
            seen.next(work, 0.5)
    return None


def _cpus(work: Work, domain: handles.Domain, target: int, now: int, room: int) -> str | None:
    if target > room:
        return f"the guest was started with room for {counted(room, 'CPU')}; {NEXT_BOOT}"
    if target < now:
        return f"a running guest seldom gives CPUs back; {NEXT_BOOT}"
    work.status("changing cpus of the running guest")
    return devices.refused(domain.setVcpusFlags, target, devices.LIVE)


def _out(work: Work, domain: handles.Domain, paths: list[str], running: Element, inactive: Element) -> dict[str, str]:
    """Take out what the guest has and the inactive definition has not, or has otherwise; what stays, and why."""
    going: dict[str, Element] = {}
    for path in paths:
        old, new = device_at(running, path), device_at(inactive, path)
        if old is not None and (new is None or not _moved(domain, old, new)):
            going[path] = old
    if not going:
        return {}
    if guest.stands_still(domain):
        # Asked now, it would let go when it goes on, whatever is wanted by then.
        return dict.fromkeys(going, STANDS_STILL)
    work.status(f"changing {', '.join(going)} of the running guest")
    held = devices.unplug_all(work, domain, going.values())
    return {path: HOLDS for path, device in going.items() if device in held}


def _is_cold(path: str, *roots: Element) -> bool:
    """Whether a device is on a bus that nothing is plugged into while the guest runs, or is to be."""
    found = (device_at(root, path) for root in roots)
    return any(device is not None and value(device, "target/@bus") in devices.COLD_BUSES for device in found)


def _in(domain: handles.Domain, path: str, before: Element, inactive: Element) -> str | None:
    """Plug in what the inactive definition has and the guest has not. `before` is how it ran."""
    new = device_at(inactive, path)
    if new is None or not domain.isActive():
        return None
    running = devices.live_xml(domain)
    if device_at(running, path) is not None:
        return None
    why = devices.refused(_plug, domain, new, running)
    if why is None:
        return None
    old = device_at(before, path)
    if old is not None and old.tag == "interface":
        # A guest keeps its card rather than have none. (A disk's old volume may be promised to another already.)
        devices.refused(devices.plug, domain, devices.plugged_again(old))
    return f"{why}; {NEXT_BOOT}"


def _plug(domain: handles.Domain, device: Element, running: Element) -> None:
    """Plug it in, and the controller first that its bus needs: libvirt's own choice would be an old one."""
    if value(device, "target/@bus") == "scsi" and running.find("devices/controller[@type='scsi']") is None:
        devices.plug(domain, parse("<controller type='scsi' index='0' model='virtio-scsi'/>"))
    devices.plug(domain, _pluggable(device, running))


def _pluggable(device: Element, running: Element) -> Element:
    """The device without the places that the inactive definition gave it: the running guest has its own."""
    plain = copy.deepcopy(device)
    drop(plain, "address")
    target = value(plain, "target/@dev")
    if target is not None and target in {value(disk, "target/@dev") for disk in running.iterfind("devices/disk")}:
        # One that the guest does not let go has it.
        put(plain, "target/@dev", free_target(ensure(running, "devices"), target[:2]))
    return plain


_OF_WIRE = ("vlan", "virtualport")


def _moved(domain: handles.Domain, old: Element, new: Element) -> bool:
    """Whether the card could be changed in place: its network, its link, its limits. Source: qemuDomainChangeNet."""
    moved = copy.deepcopy(old)
    source, wanted = moved.find("source"), new.find("source")
    types = {old.get("type", ""), new.get("type", "")}
    if (source is None) != (wanted is None) or not (len(types) == 1 or types == {"network", "bridge"}):
        return False
    moved.set("type", new.get("type", ""))
    if source is not None and wanted is not None:
        moved.replace(source, copy.deepcopy(wanted))
    for tag in ("target", *_OF_WIRE, *CARD_EXTRAS):
        drop(moved, tag)
    wanted_too = (*_OF_WIRE, *card_extras(new), "filterref")  # a firewall that is declared is none of the extras
    moved.extend(copy.deepcopy(one) for tag in dict.fromkeys(wanted_too) if (one := new.find(tag)) is not None)
    if old.tag != "interface" or nic_facts(moved) != nic_facts(new):
        return False
    return devices.refused(domain.updateDeviceFlags, text_of(moved), devices.LIVE) is None

"""The files that a domain's disk is made of, from the top down: what it stands on, and overlays of other tools."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt

from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.node_view import View


def layers(view: View, disk: Element) -> list[str]:
    """The files of a domain's disk from the top down, as far as they are known. Raises libvirtError.

    A raw file is the last one, whatever a guest wrote into it; what a qcow2 file stands on, its own head says.
    """
    found = list(_told(disk))
    paths = [path for path, _ in found]
    while found and found[-1][1] != "raw" and (below := _base(view, paths[-1])) and below[0] not in paths:
        found.append(below)
        paths.append(below[0])
    return paths


def over(view: View, disk: Element, base: str) -> list[str]:
    """The overlays that other tools laid over `base`, top first, when a domain's disk is made of these.

    Empty when the disk is `base` itself, or does not stand on it, or is another volume that a program declares.
    Raises libvirtError.
    """
    top = path_of(disk)
    if top is None or top == base or (value(disk, "driver/@type") or "raw") == "raw":
        return []
    found = layers(view, disk)
    above = found[: found.index(base)] if base in found else []
    return [] if any(is_recorded(view, path) for path in above) else above


def is_recorded(view: View, path: str) -> bool:
    """Whether the file at a path is a volume that a program declares. Raises libvirtError."""
    volume = view.listed(path)
    return volume is not None and volume.record is not None


def path_of(disk: Element) -> str | None:
    return value(disk, "source/@file") or value(disk, "source/@dev")


def size(domain: handles.Domain, path: str) -> int | None:
    """What the guest sees of its disk with this top file; None when that cannot be read: it is gone, or damaged.

    Raises libvirtError when the daemon did not answer: then nothing is known of it.
    """
    try:
        return int(domain.blockInfo(path, 0)[0])
    except libvirt.libvirtError:
        if not domain.connect().isAlive():
            raise
        return None


def _told(disk: Element) -> Iterator[tuple[str, str]]:
    """Paths and formats that a domain's definition tells of a disk."""
    path, store = path_of(disk), disk.find("backingStore")
    if path is not None:
        yield path, value(disk, "driver/@type") or "raw"
    while store is not None and (path := path_of(store)):
        yield path, value(store, "format/@type") or "raw"
        store = store.find("backingStore")


def _base(view: View, path: str) -> tuple[str, str] | None:
    """Path and format of what the volume at a path stands on."""
    volume = view.learned(path)
    if volume is None:
        return None
    base = value(volume.root, "backingStore/path")
    return (base, value(volume.root, "backingStore/format/@type") or "raw") if base else None

"""Which values count where the running definition and the inactive one differ, and which devices a program declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any

from jvp.libvirt.domain import devices
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.node_view import View
from jvp.resources.instance import filesystems
from jvp.resources.instance.definition import (
    ISO_ALIAS,
    SEED_ALIAS,
    disk_key,
    is_declared,
    is_plain_card,
    names_of,
    nic_key,
    root_disk,
    source_of,
)
from jvp.resources.instance.model import InstanceState


def effective(wanted: dict[str, Any], running: dict[str, Any], written: Set[str]) -> dict[str, Any]:
    """The values by path: the running ones, but the definition's where we deferred them or somebody edited it."""
    found = {path: item for path, item in running.items() if path not in written}
    return found | {path: item for path, item in wanted.items() if path in written}


class Declared:
    """Which devices the program declares: those with our alias, and of an import those that the state names."""

    def __init__(
        self,
        view: View,
        inactive: Element,
        live: Element,
        written: Set[str],
        seen: dict[str, Any],
        prior: InstanceState | None,
    ) -> None:
        known = names_of(prior)
        root = root_disk(inactive)
        target = value(root, "target/@dev") if root is not None else None
        everything = marks.mark_of(inactive) is None and prior is None
        self.disks: list[Element] = []
        self.nics: list[Element] = []
        self.others: list[str] = [*dict.fromkeys(one for root in (inactive, live) for one in _beside(root))]
        for key, device in _union(inactive, live, "disks", disk_key, written):
            alias = devices.alias_of(device)
            if alias in (SEED_ALIAS, ISO_ALIAS) or value(device, "target/@dev") == target:
                continue
            ours = is_declared(device, known) or (everything and _is_volume(view, device))
            if ours and f"disks.{key}" in seen:
                self.disks.append(device)
            elif not ours:
                self.others.append(f"disk {key}")
        for key, device in _union(inactive, live, "nics", nic_key, written):
            ours = is_declared(device, known) or (everything and is_plain_card(device))
            if ours and f"nics.{key}" in seen:
                self.nics.append(device)
            elif not ours:
                self.others.append(f"nic {key}")


def _beside(root: Element) -> Iterator[str]:
    """What lets others see the guest, or the guest see the node, in words, where no program declares it."""
    for one in root.iterfind("devices/graphics"):
        listens = [
            listen.get("address") or listen.get("network") or listen.get("socket") for listen in one.iterfind("listen")
        ]
        where = next(filter(None, listens), None)
        yield f"graphics {one.get('type')}" + (f" on {where}" if where else "")
    for one in root.iterfind("devices/filesystem"):
        if not filesystems.is_declared(one):
            yield f"filesystem {value(one, 'target/@dir')} of {value(one, 'source/@dir')}"
    for one in root.iterfind("devices/hostdev"):
        yield f"host device {one.get('type') or one.get('mode')} {devices.alias_of(one) or ''}".strip()


def _is_volume(view: View, device: Element) -> bool:
    """Whether an imported disk is one that a program can declare: no CD, and in a pool."""
    path = source_of(device)
    return device.get("device", "disk") == "disk" and path is not None and view.learned(path) is not None


def _union(
    inactive: Element, live: Element, field: str, key_of: Callable[[Element], str], written: Set[str]
) -> Iterable[tuple[str, Element]]:
    """The devices of both definitions by their names; where both have one, the one that counts."""
    path = f"devices/{'disk' if field == 'disks' else 'interface'}"
    found = {key_of(device): device for device in inactive.iterfind(path)}
    running = {key_of(device): device for device in live.iterfind(path)}
    found |= {key: device for key, device in running.items() if key not in found or f"{field}.{key}" not in written}
    return found.items()

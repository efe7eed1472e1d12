"""What only a look at the host tells of an instance: what is drift though no property says so.

A plan looks, and an update before it writes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.errors import JvpError, Path
from jvp.core.facts import Effect
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.domains import Defined, runs
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import origin
from jvp.libvirt.storage.templates import template_of
from jvp.resources.instance import nocloud, planning, storage, upkeep
from jvp.resources.instance.definition import (
    SEED_ALIAS,
    comparable,
    is_own_file,
    iso_of,
    root_disk,
    root_format,
    source_of,
    told_format,
)
from jvp.resources.instance.model import InstanceState

BOOTED_BY = ("rootDisk", "iso", "directKernel")
"""The properties that say what a machine boots."""


def looked(
    view: View, found: Defined | None, changes: Sequence[Change], state: InstanceState, new: dict[str, Any]
) -> Iterator[Change]:
    """`planning.effects`, and what is missing in the definition, as `found` on the host. Best effort."""
    paths = {change.path[:2] for change in changes}
    changes = [change for change in changes if not _is_same(view, change)]
    yield from planning.effects(changes, state, new, _seen(found, changes, state, new))
    yield from _taken_out(view, found, paths, state, new)


def _seen(found: Defined | None, changes: Sequence[Change], state: InstanceState, new: dict[str, Any]) -> planning.Seen:
    with contextlib.suppress(JvpError), libvirt_errors("instance"):
        if found is not None and state.state == "stopped" and not planning.ends_off(state, new):
            return planning.Seen(is_saved=bool(found.domain.hasManagedSaveImage(0)))
        if found is not None and state.state == "paused" and any(map(planning.is_revival, changes)):
            return planning.Seen(halted_by=guest.halted_by(found.domain))
    return planning.NOT_SEEN


def _taken_out(
    view: View, found: Defined | None, changed: set[Path], state: InstanceState, new: dict[str, Any]
) -> Iterator[Change]:
    """Devices that the state has and the definition has no longer.

    A volume or network that is replaced is taken out of its guests when it is deleted, and comes back under the
    same name and id, all between the read of the instance and its plan.
    """
    if found is None:
        return
    domain, inactive = found.domain, found.root
    with contextlib.suppress(JvpError), libvirt_errors("instance"):
        if runs(domain) and not domain.isPersistent() and ("name",) not in changed:
            # Undefined while it runs: nothing says so but that it would be gone with its next power-off.
            yield Change(("name",), Kind.ADD, Effect.LIVE, None, domain.name())
        yield from (one for one in _lost_parts(inactive, state, new) if one.path not in changed)
        faults = list(_faults(view, domain, inactive, state, new))
        yield from (one for one in faults if one.path[:2] not in changed)
        changed |= {one.path for one in faults}
        # A new name is another seed anyway.
        if not {path[0] for path in changed} & {"cloudInit", "name"} and _seed_is_other(view, inactive, state, new):
            yield Change(("cloudInit",), Kind.UPDATE, Effect.NEXT_BOOT, None, new["cloudInit"])
        there = comparable(inactive)
        for field in ("disks", "nics"):
            had = {item.name for item in getattr(state, field)}
            items = new.get(field)
            for index, item in enumerate(items if isinstance(items, list) else ()):
                name = item.get("name") if isinstance(item, dict) else None
                lost = isinstance(name, str) and name in had and f"{field}.{name}" not in there
                if lost and not changed & {(field,), (field, index)}:
                    yield Change((field, index), Kind.ADD, Effect.LIVE, None, item)


def _faults(
    view: View, domain: handles.Domain, inactive: Element, state: InstanceState, new: dict[str, Any]
) -> Iterator[Change]:
    """What is not as we made it, though no property says so. Raises JvpError, libvirtError."""
    found = upkeep.mend(copy.deepcopy(inactive), storage.places(view, inactive, state.root_disk_path))
    running: list[upkeep.Fault] = []
    if runs(domain):
        live = devices.live_xml(domain)
        # What is not of its cards matters only where the inactive definition has the same fault.
        places = storage.places(view, live, state.root_disk_path) if found else upkeep.Places()
        running = upkeep.mend(live, places)
        found += [fault for fault in running if fault.path[0] == "nics" and fault not in found]
    for fault in found:
        path = _path_of(fault, new)
        if path is not None:
            # A card is put right while the guest runs.
            effect = Effect.NEXT_BOOT if fault in running and path[0] != "nics" else Effect.LIVE
            yield Change(path, Kind.UPDATE, effect, None, new.get(str(path[0])), fault.what)


def _path_of(fault: upkeep.Fault, new: dict[str, Any]) -> Path | None:
    """The property in the program's own words; None where the program does not care."""
    first, given = str(fault.path[0]), new.get(str(fault.path[0]))
    if fault.path == upkeep.BOOT:
        return next(((name,) for name in BOOTED_BY if new.get(name)), ("machine",))
    if first == "cloudInit":
        return ("cloudInit",) if isinstance(given, dict) and given.get("onChange") != "ignore" else None
    if first not in ("disks", "nics"):
        return fault.path
    items = given if isinstance(given, list) else []
    names = (item.get("name") if isinstance(item, dict) else None for item in items)
    return next(((first, index) for index, name in enumerate(names) if name == fault.path[1]), None)


def _is_same(view: View, change: Change) -> bool:
    """Whether two spellings of a reference mean the same object; asked of the host, and no when it is silent."""
    if not isinstance(change.new, str) or not isinstance(change.old, str) or change.path[0] == "cloudInit":
        return False
    meanings: dict[str, Callable[[str], str]] = {
        "iso": lambda text: storage.iso_id(view, text),
        "template": lambda text: template_of(view.node, text, ()).id,
        "snapshot": lambda text: origin.snapshot_of(view.node, text, ()).id,
        "volume": lambda text: view.meant(text).path,
        "network": lambda text: str(view.network(text).name()),
        "firewall": lambda text: view.firewall(text).name(),
        "pool": lambda text: str(view.pool(text).name()),
    }
    meaning = meanings.get(str(change.path[-1]))
    if meaning is None:
        return False
    with contextlib.suppress(JvpError), libvirt_errors("reference"):
        return meaning(change.old) == meaning(change.new)
    return False


def _lost_parts(inactive: Element, state: InstanceState, new: dict[str, Any]) -> Iterator[Change]:
    """The root disk, CD or seed, taken out of the definition of an instance of ours while its file is still there.

    The CD is one whose template or volume is replaced between the read of the instance and its plan.
    """
    if marks.mark_of(inactive) is None:
        return
    if state.root_disk_path and root_disk(inactive) is None:
        yield Change(("rootDisk",), Kind.ADD, Effect.LIVE, None, new.get("rootDisk"))
    boot, format = root_disk(inactive), root_format(inactive)
    if boot is not None and is_own_file(inactive) and told_format(boot) != format:
        # QEMU is told wrong. What the disk was made as says the record, so that a slip of the pen replaces nothing.
        yield Change(("rootDisk", "format"), Kind.UPDATE, Effect.LIVE, told_format(boot), format)
    if state.iso is not None and isinstance(new.get("iso"), str) and iso_of(inactive) is None:
        yield Change(("iso",), Kind.ADD, Effect.LIVE, None, new["iso"])
    has_seed = any(devices.alias_of(one) == SEED_ALIAS for one in inactive.iterfind("devices/disk"))
    if state.cloud_init is not None and new.get("cloudInit") is not None and not has_seed:
        yield Change(("cloudInit",), Kind.ADD, Effect.NEXT_BOOT, None, new["cloudInit"])


def _seed_is_other(view: View, inactive: Element, state: InstanceState, new: dict[str, Any]) -> bool:
    """Whether the seed is not what was written last, or its file is gone. Raises JvpError, libvirtError."""
    device = next((one for one in inactive.iterfind("devices/disk") if devices.alias_of(one) == SEED_ALIAS), None)
    wanted = new.get("cloudInit")
    if device is None or state.cloud_init is None or not isinstance(wanted, dict) or wanted.get("onChange") == "ignore":
        return False
    return nocloud.STALE in marks.facts_of(inactive) or nocloud.is_other(view, source_of(device) or "")

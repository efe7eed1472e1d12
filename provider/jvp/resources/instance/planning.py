"""What a change means for one instance: how it reaches the guest, what is drift though no property says so."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.errors import JvpError, Path, Rejected
from jvp.core.facts import Effect
from jvp.core.types import disk_bytes, memory_bytes, size_text, whole_mib
from jvp.core.values import known
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.domains import DomainApi, runs
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.network.networks import NetworkApi
from jvp.libvirt.node_view import View
from jvp.libvirt.storage.lookup import active_pool_of
from jvp.libvirt.storage.templates import template_of
from jvp.resources.instance import machine, nocloud, storage, upkeep
from jvp.resources.instance.definition import (
    SEED_ALIAS,
    Names,
    comparable,
    disk_key,
    is_declared,
    is_ours,
    iso_of,
    nic_key,
    root_disk,
    root_format,
    source_of,
    told_format,
)
from jvp.resources.instance.disk import RootDisk
from jvp.resources.instance.model import Instance, InstanceState, Nic

ON_CHANGE = ("cloudInit", "onChange")
OTHER_NAME = (
    "choose another name, or have that one take another first: two that exchange theirs need a third name for one run"
)
"""What to do where a new name is taken: whether what has it is about to give it up, nothing tells."""

BOOTED_BY = ("rootDisk", "iso", "directKernel")
"""The properties that say what a machine boots."""
_ASKED = {"memory", "cpus", "disks", "nics"}
"""What a running guest has to take or to let go of: whether it does is known only after trying."""


def effects(node: Node, changes: Sequence[Change], state: InstanceState, new: dict[str, Any]) -> Iterable[Change]:
    """The changes as they reach this instance, and what is missing in its definition. `new` may hold UNKNOWN."""
    off = _is_off(node, state, new)
    for change in changes:
        effect = _effect(node, change, state, new)
        note = _note(change.path, effect, off=off, running=state.state == "running")
        if change.path == ("powerState",) and change.new == "running":
            note = _revival(node, state)
        if effect in (Effect.NEXT_BOOT, Effect.POWER_OFF) and off:
            effect = Effect.LIVE  # there is nothing to wait for, and nothing to shut down
        if effect is Effect.NEXT_BOOT and new.get("updatePolicy") == "restart" and state.state == "running":
            effect = Effect.POWER_OFF
        if effect is not None:
            yield change.having(effect, note)
    yield from _taken_out(node, {change.path[:2] for change in changes}, state, new)


def predict(spec: Instance, prior: InstanceState | None) -> dict[str, Any]:
    """The sizes in bytes that an apply gives."""
    size = spec.root_disk.size if spec.root_disk is not None and known(spec.root_disk) else None
    found = {"rootDiskBytes": disk_bytes(size)} if known(size) and size else {}
    for name, text, was in (
        ("memoryBytes", spec.memory, prior and prior.memory_bytes),
        ("maxMemoryBytes", spec.max_memory, prior and prior.max_memory_bytes),
    ):
        # What somebody else has given it need not be whole MiB, and stays while the program says the same.
        if known(text) and text and not (was and whole_mib(was) == memory_bytes(text)):
            found[name] = memory_bytes(text)
    return found


def warnings(spec: Instance, prior: InstanceState | None) -> Iterator[str]:
    """A plan never fails for what the disk has grown to: the engine makes one of each refresh."""
    size = spec.root_disk.size if isinstance(spec.root_disk, RootDisk) else None
    now = prior.root_disk_bytes if prior is not None else None
    if now and size is not None and known(size) and disk_bytes(size) < now:
        yield f"rootDisk.size: {less(size, now)}: this will fail"
    if prior is not None and prior.state == "running" and spec.update_policy == "restart":
        yield "updatePolicy: a change that the running guest does not take shuts it down and starts it again"


def cards_without_network(spec: Instance, prior: InstanceState | None) -> Iterator[str]:
    """Of each card that is to have none from now on: HCL drops a misspelled `netwrok` without a word."""
    before = {nic.name for nic in prior.nics if nic.network is None} if prior is not None else set()
    for index, nic in enumerate(spec.nics if isinstance(spec.nics, list) else ()):
        if isinstance(nic, Nic) and nic.network is None and not (known(nic.name) and nic.name in before):
            yield f"nics[{index}]: has no network, so it has user-mode networking: a way out, no way in"


def standing(state: InstanceState) -> Iterator[str]:
    """What a running guest has not got yet, in one line: once told it would be forgotten."""
    paths: dict[str, list[str]] = {}
    for path, _, why in (one.partition(": ") for one in state.pending or ()):
        paths.setdefault(why, []).append(path)
    if paths:
        waits = "; ".join(f"{', '.join(names)} ({why})" for why, names in paths.items())
        yield f'"{state.name}" runs without what is still pending: {waits}'


def _is_off(node: Node, state: InstanceState, new: dict[str, Any]) -> bool:
    """Whether no guest runs that would have the machine as it was, or the update ends with none.

    A guest that was saved to disk comes back as it was.
    """
    wanted = new.get("powerState", "running")
    if wanted == "stopped" or (state.state == "crashed" and wanted in ("running", "paused")):
        return True
    saved = False
    with contextlib.suppress(JvpError), libvirt_errors("instance"):
        domain = DomainApi(node).find(state.uuid) if state.state == "stopped" and state.uuid else None
        saved = domain is not None and bool(domain.hasManagedSaveImage(0))
    return state.state == "stopped" and not saved


def _note(path: Path, effect: Effect | None, *, off: bool, running: bool) -> str:
    if path[0] == "cloudInit" and effect is Effect.NEXT_BOOT:
        if off:  # it may never have been started
            return "cloud-init runs most of its modules at a guest's first boot only"
        return "most of cloud-init's modules ran at the first boot and do not run again"
    kept = path[0] == "nics" and path[-1] in ("address", "hostname")  # by the network: nobody asks the guest
    if path[0] in _ASKED and not kept and effect is Effect.LIVE and running and not off:
        return "live if the guest agrees, else at its next power cycle"
    return ""


def _revival(node: Node, state: InstanceState) -> str:
    """How a guest that does not run any more, and that nobody stopped, comes back."""
    if state.state == "crashed":
        return "the guest has crashed, and is switched off and started again"
    with contextlib.suppress(JvpError), libvirt_errors("instance"):
        domain = DomainApi(node).find(state.uuid) if state.state == "paused" and state.uuid else None
        if domain is not None and (cause := guest.halted_by(domain)) is not None:
            return f"{cause} has paused the guest, which goes on, or is switched off and started again where it cannot"
    return ""


def _effect(node: Node, change: Change, state: InstanceState, new: dict[str, Any]) -> Effect | None:
    """How this change reaches this instance; None when it is no change after all."""
    first, value_ = change.path[0], change.new
    if change.path == ON_CHANGE:
        # Says what later changes do; of itself it does nothing.
        return Effect.LIVE
    if first == "cloudInit":
        cloud_init = new.get("cloudInit")
        policy = cloud_init.get("onChange") if isinstance(cloud_init, dict) else None
        if policy == "ignore":
            return None
        return Effect.REPLACE if policy == "replace" else Effect.NEXT_BOOT
    if first == "updatePolicy" and value_ == "restart" and state.pending_restart:
        return Effect.NEXT_BOOT  # what waits already is no longer waited for
    if change.path == ("rootDisk",) and state.root_disk_path is None:
        # There is nothing to grow, and nothing of the guest's that a new root disk could hold.
        return Effect.REPLACE
    if isinstance(value_, str) and isinstance(change.old, str) and _same_object(node, change):
        return None
    if first == "machine" and isinstance(value_, str) and state.machine:
        if machine.means(value_, state.machine):
            return None
        # Devices keep their places between versions of a board; on another board there are no such places.
        same = machine.board(value_) == machine.board(state.machine)
        return Effect.NEXT_BOOT if same else Effect.REPLACE
    if first == "iso" and change.old is None:
        return Effect.NEXT_BOOT  # the drive comes with the CD, and is not plugged in live
    if first == "disks" and _on_sata(change, state, new):
        return Effect.NEXT_BOOT
    if first == "cpus" and known(value_):
        room, now = state.max_cpus or 0, state.cpus
        return Effect.LIVE if now <= value_ <= room else Effect.NEXT_BOOT
    if first == "memory" and known(value_) and known(state.max_memory):
        told = state.max_memory_bytes
        most = memory_bytes(state.max_memory or state.memory) if told is None else whole_mib(told)
        fits = memory_bytes(value_) <= most
        return Effect.LIVE if fits else Effect.NEXT_BOOT
    return change.effect


def _on_sata(change: Change, state: InstanceState, new: dict[str, Any]) -> bool:
    """Whether a change of a disk plugs it into SATA or out of it, which a running guest does not do."""
    if len(change.path) < 2:
        return False
    item: Any = change.old if change.kind is Kind.DELETE and len(change.path) == 2 else new["disks"][change.path[1]]
    given: dict[str, Any] = item if isinstance(item, dict) else {}
    had = next((disk for disk in state.disks if disk.name == given.get("name")), None)
    if had is not None:
        return "sata" in (had.bus, given.get("bus"))
    root: Any = new.get("rootDisk")
    told = (given.get("bus"), root.get("bus") if isinstance(root, dict) else None)
    now = state.root_disk.bus if isinstance(state.root_disk, RootDisk) else None
    return next((bus for bus in (*told, now) if bus is not None), None) == "sata"


def _taken_out(node: Node, changed: set[Path], state: InstanceState, new: dict[str, Any]) -> Iterator[Change]:
    """Devices that the state has and the definition has no longer.

    A volume or network that is replaced is taken out of its guests when it is deleted, and comes back under the
    same name and id, all between the read of the instance and its plan.
    """
    if state.uuid is None:
        return
    with contextlib.suppress(JvpError), libvirt_errors("instance"):
        domain, view = DomainApi(node).find(state.uuid), View(node)
        if domain is None:
            return
        inactive = devices.inactive_xml(domain)
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


def _same_object(node: Node, change: Change) -> bool:
    """Whether two spellings of a reference mean the same object; asked of the host, and no when it is silent."""
    view = View(node)
    meanings: dict[str, Callable[[str], str]] = {
        "iso": lambda text: storage.iso_id(view, text),
        "template": lambda text: template_of(node, text, ()).id,
        "volume": lambda text: view.meant(text).path,
        "network": lambda text: str(NetworkApi(node).by_reference(text, ()).name()),
        "pool": lambda text: str(active_pool_of(node, text, ()).name()),
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
    if boot is not None and is_ours(inactive) and told_format(boot) != format:
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


def less(wanted: str, now: int) -> str:
    return f'"{wanted}" is less than the {size_text(now)} that the disk has; a disk can only grow'


def rewrites_seed(changes: Sequence[Change]) -> bool:
    return any(change.path[0] == "cloudInit" and change.path != ON_CHANGE for change in changes)


def refuse_foreign_devices(inactive: Element, spec: Instance, known_names: Names) -> None:
    """A new disk or card cannot have the name by which one goes that the program does not declare."""
    for field, tag, key_of in (("disks", "disk", disk_key), ("nics", "interface", nic_key)):
        others = {key_of(one) for one in inactive.iterfind(f"devices/{tag}") if not is_declared(one, known_names)}
        for index, item in enumerate(getattr(spec, field)):
            if item.name in others:
                raise Rejected(
                    f'"{item.name}" is what a device is called that the program does not declare; take another name',
                    path=(field, index, "name"),
                )

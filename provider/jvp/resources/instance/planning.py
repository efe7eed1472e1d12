"""What a change means for one instance by its state: how it reaches the guest. Pure; `drift` asks the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.errors import Path, Rejected
from jvp.core.facts import Effect
from jvp.core.model import having
from jvp.core.types import disk_bytes, memory_bytes, size_text, whole_mib
from jvp.core.values import known
from jvp.libvirt.domain.guest import STANDING
from jvp.libvirt.link.xml import Element
from jvp.resources.instance import disk_options, machine
from jvp.resources.instance.definition import (
    Names,
    disk_key,
    is_declared,
    nic_key,
)
from jvp.resources.instance.disk_model import RootDisk
from jvp.resources.instance.instance_facts import OfTheGuest
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.nic_model import Nic, is_user_mode

ON_CHANGE = ("cloudInit", "onChange")
TRIGGERS = ("restartTriggers",)
OTHER_NAME = (
    "choose another name, or have that one take another first: two that exchange theirs need a third name for one run"
)
"""What to do where a new name is taken: whether what has it is about to give it up, nothing tells."""


@dataclass(frozen=True)
class Seen:
    """What a look at the host tells of an instance, though its state does not."""

    is_saved: bool = False
    """Whether it is off and was saved to disk: it comes back as it was."""
    halted_by: str | None = None
    """What has paused its guest, as a sentence begins; None where somebody wanted that."""


NOT_SEEN = Seen()


def effects(
    changes: Sequence[Change], state: InstanceState, new: dict[str, Any], seen: Seen = NOT_SEEN
) -> Iterator[Change]:
    """The changes as they reach this instance. Pure; `new` may hold UNKNOWN."""
    off = is_off(state, new) and not seen.is_saved
    for change in changes:
        effect = _effect(change, state, new)
        note = _note(change.path, effect, off=off, running=state.state == "running")
        if change.path == TRIGGERS and effect is Effect.LIVE and _stands_still(state, new):
            note = f"the guest is {state.state}, and is not restarted"
        if is_revival(change):
            note = _revival(state, seen)
        if effect in (Effect.NEXT_BOOT, Effect.POWER_OFF) and off:
            effect = Effect.LIVE  # there is nothing to wait for, and nothing to shut down
        if effect is Effect.NEXT_BOOT and new.get("updatePolicy") == "restart" and state.state == "running":
            effect = Effect.POWER_OFF
        if effect is not None:
            yield change.having(effect, note)


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
    before = {nic.name for nic in prior.nics if is_user_mode(nic)} if prior is not None else set()
    for index, nic in enumerate(spec.nics if isinstance(spec.nics, list) else ()):
        if isinstance(nic, Nic) and is_user_mode(nic) and not (known(nic.name) and nic.name in before):
            yield f"nics[{index}]: has no network, so it has user-mode networking: a way out, no way in"


def standing(state: InstanceState) -> Iterator[str]:
    """What a running guest has not got yet, in one line: once told it would be forgotten."""
    paths: dict[str, list[str]] = {}
    for path, _, why in (one.partition(": ") for one in state.pending or ()):
        paths.setdefault(why, []).append(path)
    if paths:
        waits = "; ".join(f"{', '.join(names)} ({why})" for why, names in paths.items())
        yield f'"{state.name}" runs without what is still pending: {waits}'


def is_off(state: InstanceState, new: dict[str, Any]) -> bool:
    """Whether no guest runs that would have the machine as it was, or the update ends with none."""
    return ends_off(state, new) or state.state == "stopped"


def _stands_still(state: InstanceState, new: dict[str, Any]) -> bool:
    """Whether the guest does nothing, and an update leaves it so."""
    return state.state in STANDING and new.get("powerState", "running") != "running"


def ends_off(state: InstanceState, new: dict[str, Any]) -> bool:
    """Whether the update ends without the guest that there is, whatever it was saved with."""
    wanted = new.get("powerState", "running")
    return wanted == "stopped" or (state.state == "crashed" and wanted in ("running", "paused"))


def is_revival(change: Change) -> bool:
    """Whether a guest that does not run any more, and that nobody stopped, is to come back."""
    return change.path == ("powerState",) and change.new == "running"


def _note(path: Path, effect: Effect | None, *, off: bool, running: bool) -> str:
    if path[0] == "cloudInit" and effect is Effect.NEXT_BOOT:
        if off:  # it may never have been started
            return "cloud-init runs most of its modules at a guest's first boot only"
        return "most of cloud-init's modules ran at the first boot and do not run again"
    kept = path[0] == "nics" and path[-1] in ("address", "hostname", "firewall")  # nobody asks the guest
    kept = kept or _is_limit(path)
    if path[0] in having(Instance, OfTheGuest) and not kept and effect is Effect.LIVE and running and not off:
        return "live if the guest agrees, else at its next power cycle"
    return ""


def _revival(state: InstanceState, seen: Seen) -> str:
    """How it comes back."""
    if state.state == "crashed":
        return "the guest has crashed, and is switched off and started again"
    if seen.halted_by is None:
        return ""
    return f"{seen.halted_by} has paused the guest, which goes on, or is switched off and started again where it cannot"


def _effect(change: Change, state: InstanceState, new: dict[str, Any]) -> Effect | None:
    """How this change reaches this instance; None when it is no change after all."""
    first, value_ = change.path[0], change.new
    if change.path == ON_CHANGE:
        # Says what later changes do; of itself it does nothing.
        return Effect.LIVE
    if change.path == TRIGGERS and (change.kind is Kind.DELETE or _stands_still(state, new)):
        return Effect.LIVE  # to take them out asks for nothing; who answers no request would lose what it holds
    if first == "cloudInit":
        cloud_init = new.get("cloudInit")
        policy = cloud_init.get("onChange") if isinstance(cloud_init, dict) else None
        if policy == "ignore":
            return None
        return Effect.REPLACE if policy == "replace" else Effect.NEXT_BOOT
    if first in ("snapshot", "snapshotDisks") and change.kind is Kind.DELETE:
        return None  # what it was made from is done with
    if first == "updatePolicy" and value_ == "restart" and state.pending_restart:
        return Effect.NEXT_BOOT  # what waits already is no longer waited for
    if change.path == ("rootDisk",) and state.root_disk_path is None:
        # There is nothing to grow, and nothing of the guest's that a new root disk could hold.
        return Effect.REPLACE
    if first == "machine" and isinstance(value_, str) and state.machine:
        if machine.means(value_, state.machine):
            return None
        # Devices keep their places between versions of a board; on another board there are no such places.
        same = machine.board(value_) == machine.board(state.machine)
        return Effect.NEXT_BOOT if same else Effect.REPLACE
    if first == "iso" and change.old is None:
        return Effect.NEXT_BOOT  # the drive comes with the CD, and is not plugged in live
    if first == "disks" and not _is_limit(change.path) and _on_sata(change, state, new):
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


def _is_limit(path: Path) -> bool:
    """Whether it is a limit of a disk, which QEMU sets and no guest is asked about."""
    return path[0] == "disks" and any(part in disk_options.LIMITS for part in path[2:3])


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

"""An instance as it is: the state from its definition, the running guest and our notes in its metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from jvp.core.errors import JvpError, NotFound, Rejected
from jvp.core.types import in_lower_case, size_text
from jvp.core.work import Work
from jvp.libvirt.disk_chain import Chain, Whose
from jvp.libvirt.domain import bridged, devices, guest
from jvp.libvirt.domain.domains import pending_of, runs
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.network import reservations
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import kinds, pool_mark
from jvp.libvirt.storage.lookup import pool_at, there
from jvp.libvirt.storage.templates import template_of
from jvp.resources.instance import card_reading, cards, disk_options, facets, from_snapshot, processor, storage
from jvp.resources.instance.declared import Declared, effective
from jvp.resources.instance.definition import (
    PREFIXES,
    comparable,
    disk_key,
    nic_key,
    root_disk,
    root_format,
    root_name,
    source_of,
)
from jvp.resources.instance.disk_model import Disk, RootDisk, is_serial
from jvp.resources.instance.live import UNTOLD, waits
from jvp.resources.instance.machine import cpu_of, means
from jvp.resources.instance.machine_model import DirectKernel
from jvp.resources.instance.model import InstanceState
from jvp.resources.instance.spelling import same_or

_LOST: dict[str, Any] = {"template": None, "snapshot": None, "root_disk": None}
"""What is said of an instance whose root disk is gone."""
CREATED = "created"
"""A fact of the mark: when the instance was made."""


def read(
    work: Work, view: View, domain: handles.Domain, inactive: Element, prior: InstanceState | None
) -> InstanceState:
    """The state of a domain, with references spelled as in `prior` where they mean the same. Raises libvirtError.

    The value of a property is that of the `inactive` definition. Where the running guest differs and we did not defer
    it, the running value is given instead: that is drift, and the next update mends it.
    """
    node, active = view.node, bool(domain.isActive())
    live = _running(work, domain, inactive) if active else inactive
    power, wanted = guest.state_of(domain), comparable(inactive)
    running = comparable(live) if active else wanted
    pending = _still_pending(domain, inactive, wanted, running, power) if active else {}
    written = marks.edited(inactive, wanted) | pending.keys()
    seen = effective(wanted, running, written)
    declared = Declared(view, inactive, live, written, seen, prior)
    cut = _cut_off(node, live, pending) if active and prior is not None else set()
    is_managed = prior is not None or marks.mark_of(inactive) is not None
    own = storage.root_path(view, inactive, prior.root_disk_path if prior is not None else None)
    lost = _root_is_lost(work, view, inactive, own)
    return InstanceState.model_construct(
        name=domain.name(),
        **facets.state_of(seen, prior),
        iso=_iso(view, seen["iso"], prior),
        **_room(seen),
        disks=[_disk(view, device, seen, prior) for device in declared.disks],
        nics=[card_reading.card(view, device, prior, reservations.kept_of(inactive), cut) for device in declared.nics],
        direct_kernel=_kernel(seen["directKernel"]),
        **_machine_facts(inactive, seen, prior),
        virt_type=_virt_type(inactive, live, pending, prior),
        autostart=bool(domain.autostart()),
        uuid=domain.UUIDString(),
        node=node.hostname,
        created_at=marks.facts_of(inactive).get(CREATED),
        acceleration=live.get("type"),
        undeclared=declared.others,
        **_power_facts(power, pending, prior),
        **(_LOST if lost else _root_facts(view, domain, inactive, own, seen, prior)),
        **cards.addresses_of(domain, live, active, prior, managed=is_managed),
    )


def _cut_off(node: Node, live: Element, pending: Collection[str]) -> set[str]:
    """The cards of a running guest that are on no bridge any more, but those that wait for the guest anyway."""
    return {nic_key(card) for card in bridged.cut_off(node, live)} - {path.removeprefix("nics.") for path in pending}


def _running(work: Work, domain: handles.Domain, inactive: Element) -> Element:
    """The running definition, once the memory that the guest gives back has come to rest."""
    if "memory" in pending_of(domain, inactive):
        return devices.live_xml(domain)
    return guest.settled_xml(work, domain, value(inactive, "currentMemory"))


def _power_facts(power: str | None, pending: dict[str, str], prior: InstanceState | None) -> dict[str, Any]:
    return {
        "state": power,
        "power_state": _power(power, prior),
        "pending_restart": bool(pending),
        "pending": [f"{path}: {why}" for path, why in sorted(pending.items())],
    }


def _machine_facts(inactive: Element, seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    return {
        "firmware": seen["firmware"],
        "machine": _machine(seen["machine"], prior),
        "cpu_mode": cpu_of(inactive),
        "cpu": processor.cpu_seen(inactive, prior),
    }


def _root_facts(
    view: View,
    domain: handles.Domain,
    inactive: Element,
    own: str | None,
    seen: dict[str, Any],
    prior: InstanceState | None,
) -> dict[str, Any]:
    """What the state says of a root disk that is there. Raises libvirtError."""
    return {
        "template": _template(view.node, marks.facts_of(inactive).get("template"), prior),
        **from_snapshot.told(marks.facts_of(inactive), prior),
        "root_disk": _root(view, domain, inactive, own, seen, prior),
        **_root_outputs(view, domain, inactive, own, prior),
    }


def _room(seen: dict[str, Any]) -> dict[str, Any]:
    """CPUs and memory, and how far both can grow."""
    now, most = seen["memory"] * 1024, seen["maxMemory"] * 1024
    return {
        "cpus": seen["cpus"], "max_cpus": seen["maxCpus"],
        "memory": size_text(now), "max_memory": size_text(most), "memory_bytes": now, "max_memory_bytes": most,
    }  # fmt: skip


def refuse_import(state: InstanceState) -> None:
    """Raise Rejected for a machine that no program could declare as it is."""
    if state.root_disk is None and state.root_disk_path:
        raise Rejected(
            f"its root disk {state.root_disk_path} is in no active storage pool; "
            "start that pool, or declare one over its folder, and import again"
        )
    if state.root_disk is None and state.iso is None and state.direct_kernel is None:
        raise Rejected(
            "it boots from no disk and no kernel, and of such a machine nothing can be declared to boot from; "
            "give it a disk in a storage pool, and import again"
        )


def warn_of_left(work: Work, node: Node, prior: InstanceState | None, *, remade: bool = False) -> None:
    """Say of an instance that is gone when its root disk is not: somebody undefined it by hand.

    `remade`: somebody's own machine has its id now, so that no later instance of the program takes the disk over.
    """
    if prior is None or not (path := prior.root_disk_path):
        return
    if kinds.name_of(path) == root_name(str(prior.uuid)) and _is_left(work, node, path):
        then = (
            "no program has it any more; delete it by hand once nothing uses it"
            if remade
            else "it is taken over when the instance is made again, and a destroy leaves it"
        )
        work.warn(f'"{prior.name}" was undefined, and its root disk {path} is still there: {then}')


def _is_left(work: Work, node: Node, path: str) -> bool:
    pool = pool_at(node, kinds.folder_of(path))
    return pool is not None and there(work, pool, kinds.name_of(path)) is not None


def warn_of_undefined(work: Work, domain: handles.Domain) -> None:
    """Say of a guest that somebody undefined while it runs: the next update defines it again. It was just looked up."""
    if runs(domain) and not domain.isPersistent():
        work.warn(
            f'"{domain.name()}" was undefined while it runs, and would be gone once it is off: the next update defines '
            "it again as it is"
        )


def still_pending(domain: handles.Domain, inactive: Element, live: Element) -> dict[str, str]:
    """What we deferred and the running guest still lacks."""
    return _still_pending(domain, inactive, comparable(inactive), comparable(live), guest.state_of(domain))


def _still_pending(
    domain: handles.Domain, inactive: Element, wanted: dict[str, Any], running: dict[str, Any], power: str | None
) -> dict[str, str]:
    noted, still = pending_of(domain, inactive), power in guest.STANDING
    left = {path: why for path, why in noted.items() if waits(path, why, wanted, running, still=still)}
    return left | {path: noted[path] for path in UNTOLD if path in noted}


def _template(node: Node, recorded: str | None, prior: InstanceState | None) -> str | None:
    if prior is None or prior.template is None:
        return recorded
    return same_or(prior.template, recorded, lambda text: template_of(node, text, ()).id)


def _root(
    view: View,
    domain: handles.Domain,
    inactive: Element,
    own: str | None,
    seen: dict[str, Any],
    prior: InstanceState | None,
) -> RootDisk | None:
    look = view.learned if prior is None else view.volume
    volume = look(own) if own else None
    size = storage.root_size(view, domain, inactive, own)
    if volume is None or size is None:
        return prior.root_disk if prior and prior.root_disk and own else None
    pool = volume.pool
    name = pool.name()
    before = prior.root_disk.pool if prior and isinstance(prior.root_disk, RootDisk) else None
    if before is not None and in_lower_case(before) in (pool.UUIDString(), name):
        name = before
    format, bus = _format(inactive, own, prior), seen["rootDisk.bus"]
    return RootDisk.model_construct(
        pool=name,
        size=size_text(size),
        format=format if format in ("qcow2", "raw") else None,
        bus=bus if bus in PREFIXES else None,
        delete_with_instance=goes_too(prior),
        **disk_options.seen_in(seen, "rootDisk", RootDisk),
    )


def _format(inactive: Element, own: str | None, prior: InstanceState | None) -> Any:
    """The format of the root disk itself: what QEMU is told is that of an overlay, where there is one."""
    device = root_disk(inactive)
    if device is not None and source_of(device) != own and marks.mark_of(inactive) is None:
        return prior.root_disk.format if prior is not None and isinstance(prior.root_disk, RootDisk) else None
    return root_format(inactive)


def goes_too(prior: InstanceState | None) -> bool:
    """Whether the program wants the root disk of an import to go with the instance."""
    return prior is not None and isinstance(prior.root_disk, RootDisk) and prior.root_disk.delete_with_instance


def _root_is_lost(work: Work, view: View, inactive: Element, path: str | None) -> bool:
    """Whether the root disk that we made is surely gone: removed by hand, or by a removal that was cut off.

    What the instance was made of is then given as missing, and the plan is to make it anew.
    """
    if path is None or marks.mark_of(inactive) is None or view.volume(path) is not None:
        return False
    with contextlib.suppress(JvpError):
        pool = pool_at(view.node, kinds.folder_of(path))
        return pool is not None and pool_mark.is_gone(work, pool, kinds.name_of(path))
    return False


def _root_outputs(
    view: View, domain: handles.Domain, inactive: Element, path: str | None, prior: InstanceState | None
) -> dict[str, Any]:
    if root_disk(inactive) is None and prior is not None and marks.mark_of(inactive) is not None:
        # Taken out of the definition by somebody: the disk is still the instance's.
        path = prior.root_disk_path
    size = storage.root_size(view, domain, inactive, path)
    return {"root_disk_path": path, "root_disk_bytes": size}


def _iso(view: View, path: str | None, prior: InstanceState | None) -> str | None:
    if path is None:
        return None
    volume = view.volume(path)
    actual = storage.iso_id_of(volume) if volume is not None else path
    if prior is None or prior.iso is None:
        return actual
    return same_or(prior.iso, actual, lambda text: storage.iso_id(view, text))


def _disk(view: View, device: Element, seen: dict[str, Any], prior: InstanceState | None) -> Disk:
    key, path = disk_key(device), source_of(device) or ""
    before = next((disk.volume for disk in prior.disks if disk.name == key), None) if prior else None
    volume = view.volume(path)
    actual = volume.id if volume is not None else path
    reference = actual
    if before is not None:
        reference = same_or(before, actual, lambda text: view.meant(text).id) or actual
    if reference != before and (below := _covered(view, device, before)) is not None:
        reference = below
    bus: Any = value(device, "target/@bus")
    serial = value(device, "serial")
    return Disk.model_construct(
        name=key,
        volume=reference,
        read_only=device.find("readonly") is not None,
        bus=bus if bus in PREFIXES else None,
        serial=serial if serial and is_serial(serial, bus) else None,
        shareable=seen.get(f"disks.{key}.shareable", False),
        **disk_options.seen_in(seen, f"disks.{key}", Disk),
    )


def _covered(view: View, device: Element, before: str | None) -> str | None:
    """The declared volume that a disk is, when layers lie over it; None when none do.

    It is the one that it was `before`; of an import the first that a program declares.
    """
    chain = Chain(view, device)
    with contextlib.suppress(NotFound):
        if before is not None:
            return before if chain.over(view.meant(before).path) else None
        for layer in chain.layers:
            if layer.whose is Whose.VOLUME:
                return view.meant(layer.path).id if layer.path != chain.path else None
    return None


def _kernel(texts: tuple[str | None, ...]) -> DirectKernel | None:
    kernel, initrd, cmdline = texts
    if kernel is None:
        return None
    return DirectKernel.model_construct(kernel=kernel, initrd=initrd, cmdline=cmdline)


def _machine(actual: str | None, prior: InstanceState | None) -> str | None:
    wanted = prior.machine if prior is not None else None
    return wanted if wanted is not None and means(wanted, actual) else actual


def _virt_type(inactive: Element, live: Element, pending: dict[str, str], prior: InstanceState | None) -> Any:
    actual = inactive.get("type") if "virtType" in pending else live.get("type")
    if prior is not None and prior.virt_type == "auto":
        return "auto"
    return actual


def _power(state: str | None, prior: InstanceState | None) -> Any:
    if prior is not None and prior.power_state == "unmanaged":
        return "unmanaged"
    # An import of a crashed or suspended guest leaves it as it is found.
    return state if prior is not None or state in ("running", "stopped", "paused") else "unmanaged"

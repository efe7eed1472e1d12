"""A new instance: what is checked before anything is written, its definition, and then all that belongs to it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass

from jvp.core.errors import JvpError, NotFound
from jvp.core.handler import Outcome
from jvp.core.identity import Key, Mark, generation
from jvp.core.taken import OTHER_NAME, name_taken
from jvp.core.types import utc_text
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import Gone, libvirt_errors, seen_to_go
from jvp.libvirt.link.xml import Element
from jvp.libvirt.network import reservations
from jvp.libvirt.node_view import View
from jvp.resources.instance import (
    acceleration,
    cards,
    finishing,
    machine,
    nocloud,
    reading,
    references,
    removal,
    rootplan,
    storage,
)
from jvp.resources.instance.definition import FORMAT, DiskSource, Resolved, comparable, root_name
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.patching import patch, skeleton
from jvp.resources.instance.rootplan import RootPlan
from jvp.resources.provider import Provider


def make(work: Work, api: DomainApi, provider: Provider, key: Key, spec: Instance) -> Outcome[InstanceState]:
    """Make the instance, or go on with what an earlier try of the same key left. Raises JvpError, libvirtError."""
    number, uuid, found = generation(key, api.find, mark_of)
    name = spec.name or key.auto_name(uuid)
    refuse_taken(api, name, uuid)
    if found is not None and found.isActive():
        if spec.cloud_init is not None:
            nocloud.disown_old(api, found, uuid, name, spec.cloud_init)
        api.redeclare(found, work)
        return finishing.finish(work, api, found, spec)
    inactive = devices.inactive_xml(found) if found is not None else None
    plan = _planned(work, api, key, spec, uuid, inactive)
    seed = nocloud.image_of(uuid, name, spec.cloud_init) if spec.cloud_init is not None else b""
    root = _definition(work, api, provider, name, spec, plan)
    facts = {**_facts(spec, plan, inactive), marks.WROTE: marks.wrote(comparable(root))}
    marks.put(root, marks.element_of(Mark.new(key, number, work.declaration), facts))
    kept = cards.wanted(root, spec)
    before = reservations.cards_of(inactive) if inactive is not None else set[reservations.Card]()
    cards.drop(work, api.node, before - kept.keys())
    reservations.note_cards(root, kept)
    finishing.set_leases_aside(api.node, None, root, spec)
    with contextlib.ExitStack() as undo:
        undo.callback(_remove_quietly, api, uuid, keep=plan.keep)
        domain = api.define(root)
        _write_disks(work, api, plan, seed)
        work.check()
        cards.keep(work, api.node, kept, plan.over, set())
        outcome = finishing.finish(work, api, domain, spec)
        undo.pop_all()
    if plan.keep:
        api.forget(domain, rootplan.OUTLIVED)
    return outcome


@dataclass(frozen=True)
class _Plan:
    """What was found out before the first write."""

    uuid: str
    disk: RootPlan | None
    keep: bool
    """Whether the root disk outlived a machine of this id, and stays as it is."""
    resolved: Resolved
    over: set[reservations.Card]
    """The cards of others whose addresses this one takes over."""


def _planned(work: Work, api: DomainApi, key: Key, spec: Instance, uuid: str, inactive: Element | None) -> _Plan:
    """Raises for whatever is missing or taken. `inactive` is the definition of an earlier try."""
    disk = rootplan.plan_root(api.node, spec)
    view = View(api.node)
    resolved = references.resolve(work, view, spec, uuid)
    if disk is not None:
        layout = disk.layout
        root, seed = root_name(uuid), storage.seed_name(uuid)
        resolved = dataclasses.replace(
            resolved,
            root=DiskSource(layout.path(root), disk.format, layout.disk),
            nvram=storage.nvram_path(uuid, disk.pool, spec),
            seed=DiskSource(layout.path(seed), "raw", layout.disk) if spec.cloud_init is not None else None,
        )
    over = cards.refuse(work, view, spec, uuid, inactive, key.stack)
    keep = disk is not None and rootplan.outlived(work, disk, uuid, inactive)
    # Another run of this key may have begun since, which makes the domain before the disk.
    keep = keep and (inactive is not None or api.find(uuid) is None)
    return _Plan(uuid, disk, keep, resolved, over)


def _definition(
    work: Work, api: DomainApi, provider: Provider, name: str, spec: Instance, plan: _Plan
) -> Element:  # fmt: skip
    """The definition without our mark. Raises for what the node cannot build."""
    pool = plan.disk.pool if plan.disk else None
    root = skeleton(plan.uuid, api.arch(), acceleration.chosen(work, api.node, provider, spec, pool))
    machine.refuse_without_disk(spec, root, plan.resolved.nvram)
    patch(root, name, spec, plan.resolved)
    machine.refuse_unsupported(api, root, spec, {"firmware", "machine", "cpuMode", "rootDisk", "disks"})
    machine.refuse_too_large(api, root, spec, {"memory"})
    machine.pin_machine(api, root)
    return root


def _facts(spec: Instance, plan: _Plan, inactive: Element | None) -> dict[str, str]:
    """What the mark is to tell of the instance."""
    made = marks.facts_of(inactive).get(reading.CREATED) if inactive is not None else None
    template = plan.disk.template if plan.disk else None
    return {
        **({"template": template.id} if template else {}),
        reading.CREATED: made or utc_text(time.time()),
        rootplan.OUTLIVED: "yes" if plan.keep else "",
        **({FORMAT: plan.disk.format} if plan.disk else {}),
        storage.NVRAM: "yes" if spec.firmware == "uefi" else "",
    }


def _write_disks(work: Work, api: DomainApi, plan: _Plan, seed: bytes) -> None:
    if plan.disk is None:
        return  # nor is there a seed, which the model allows beside a root disk alone
    rootplan.make_root(work, api.node, plan.disk, plan.uuid, keep=plan.keep)
    if seed:
        nocloud.write(work, api.node, plan.disk.pool, plan.uuid, seed)


def _remove_quietly(api: DomainApi, uuid: str, *, keep: bool) -> None:
    """On the way out of an error that matters more; what stays is unacknowledged, and the next create goes on."""
    with contextlib.suppress(JvpError), libvirt_errors("instance"):
        removal.remove(Work(), api, uuid, api.defined(uuid), None, keep=keep)


def refuse_taken(api: DomainApi, name: str, uuid: str, way: str = OTHER_NAME) -> None:
    """Raise NameTaken when another machine has the name; `way` says what to do. Raises libvirtError."""
    other = api.named(name)
    if other is not None and other.UUIDString() != uuid:
        with contextlib.suppress(NotFound):
            raise name_taken("instance", name, id=other.UUIDString(), holder=mark_of(other), way=way)


def mark_of(domain: handles.Domain) -> Mark | None:
    """The mark of a domain, None of a foreign one. Raises NotFound when it went meanwhile, libvirtError."""
    with seen_to_go(Gone.DOMAIN):
        return marks.mark_of(devices.inactive_xml(domain))

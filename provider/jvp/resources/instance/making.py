"""A new instance, step by step: `make` has them in their order.

The docstring of a step says what must be true before it, what is true after it, and what takes it back.
"""

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
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.network import reservations
from jvp.libvirt.node_view import View
from jvp.resources.instance import (
    acceleration,
    cards,
    finishing,
    from_snapshot,
    labels,
    machine,
    nocloud,
    reading,
    references,
    removal,
    rootplan,
    storage,
    xml_writing,
)
from jvp.resources.instance.definition import FORMAT, DiskSource, Resolved, comparable, root_name
from jvp.resources.instance.from_snapshot import Origin
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.patching import add_own, patch, skeleton
from jvp.resources.instance.rootplan import RootPlan
from jvp.resources.provider import Provider


def make(work: Work, api: DomainApi, provider: Provider, key: Key, spec: Instance) -> Outcome[InstanceState]:
    """Make the instance, or go on with what an earlier try of the same key left. Raises JvpError, libvirtError.

    Nothing is written before the machine is drafted. From its definition on an error takes all of it back. A death
    takes nothing back: the domain is the record by which the next create finds the rest, and the delete too.
    """
    new = _identified(work, api, provider, key, spec)
    if new.left is not None and new.runs:
        return _gone_on(new, new.left)
    xml_writing.refuse_namespace(provider, spec.xml)
    plan = _planned(new)
    draft = _drafted(new, plan)
    _leave_addresses(new, draft)
    with contextlib.ExitStack() as undo:
        undo.callback(_remove_quietly, api, new.uuid, keep=plan.keep)
        domain = _defined(new, draft)
        _write_disks(new, plan, draft)
        _keep_addresses(new, plan, draft)
        outcome = finishing.finish(work, api, domain, spec)
        undo.pop_all()
    _own_disk(new, plan, domain)
    return outcome


@dataclass(frozen=True)
class _New:
    """One create: what is declared, which machine it is, and what an earlier try left."""

    work: Work
    api: DomainApi
    provider: Provider
    spec: Instance
    mark: Mark
    stack: str
    uuid: str
    name: str
    left: handles.Domain | None
    """The domain of an earlier try."""
    runs: bool
    """Whether that runs."""
    inactive: Element | None
    """Its definition, where it does not."""

    @property
    def node(self) -> Node:
        return self.api.node


@dataclass(frozen=True)
class _Plan:
    """What was found out before the first write."""

    disk: RootPlan | None
    keep: bool
    """Whether the root disk outlived a machine of this id, and stays as it is."""
    resolved: Resolved
    over: set[reservations.Card]
    """The cards of others whose addresses this one takes over."""

    @property
    def made_from(self) -> Origin | None:
        """The snapshot whose disks are copied."""
        return self.disk.made_from if self.disk is not None else None


@dataclass(frozen=True)
class _Draft:
    """What is to be written."""

    root: Element
    """The definition, with our mark."""
    kept: dict[reservations.Card, reservations.Host]
    """What the networks are to keep for its cards."""
    seed: bytes
    """The image of the cloud-init disk; empty without one."""


def _identified(work: Work, api: DomainApi, provider: Provider, key: Key, spec: Instance) -> _New:
    """Which machine this is: its id follows from the key, so that a killed create finds its own work again.

    After: no other machine has the name. Raises NameTaken.
    """
    number, uuid, left = generation(key, api.find, mark_of)
    name = spec.name or key.auto_name(uuid)
    refuse_taken(api, name, uuid)
    runs = left is not None and bool(left.isActive())
    inactive = devices.inactive_xml(left) if left is not None and not runs else None
    mark = Mark.new(key, number, work.declaration)
    return _New(work, api, provider, spec, mark, key.stack, uuid, name, left, runs, inactive)


def _gone_on(new: _New, domain: handles.Domain) -> Outcome[InstanceState]:
    """Finish the machine of an earlier try that runs: all before the start was done by then.

    Undo: none. It is not acknowledged, so that another error leaves it to the next create.
    """
    if new.spec.cloud_init is not None:
        nocloud.disown_old(new.api, domain, new.uuid, new.name, new.spec.cloud_init)
    new.api.redeclare(domain, new.work)
    return finishing.finish(new.work, new.api, domain, new.spec)


def _planned(new: _New) -> _Plan:
    """What the declaration refers to. Raises for whatever is missing or taken.

    After: its volumes, MACs and addresses are claimed in this process, until the call ends.
    """
    work, spec, uuid, inactive = new.work, new.spec, new.uuid, new.inactive
    view = View(new.node)
    disk = rootplan.plan_root(view, spec, uuid)
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
    over = cards.refuse(work, view, spec, uuid, inactive, new.stack)
    keep = disk is not None and rootplan.outlived(work, disk, uuid, inactive)
    # Another run of this key may have begun since, which makes the domain before the disk.
    keep = keep and (inactive is not None or new.api.find(uuid) is None)
    return _Plan(disk, keep, resolved, over)


def _drafted(new: _New, plan: _Plan) -> _Draft:
    """The definition with our mark, and the seed. Raises for what the node cannot build.

    After: everything that can be refused was refused, and nothing is written yet.
    """
    spec = new.spec
    if (made_from := plan.made_from) is not None:
        new = dataclasses.replace(new, spec=from_snapshot.completed(spec, made_from))
    seed = nocloud.image_of(new.uuid, new.name, spec.cloud_init) if spec.cloud_init is not None else b""
    root = _definition(new, plan)
    facts = {**_facts(spec, plan, new.inactive), marks.WROTE: marks.wrote(comparable(root) | labels.wanted(spec))}
    marks.put(root, marks.element_of(new.mark, facts))
    kept = cards.wanted(root, spec)
    reservations.note_cards(root, kept)
    finishing.set_leases_aside(new.node, None, root, spec)
    return _Draft(root, kept, seed)


def _leave_addresses(new: _New, draft: _Draft) -> None:
    """Have networks keep nothing for cards of an earlier try that this one has no more.

    Before: the domain of that try still notes them. Undo: none, for nobody declares them any more.
    """
    before = reservations.cards_of(new.inactive) if new.inactive is not None else set[reservations.Card]()
    cards.drop(new.work, new.node, before - draft.kept.keys())


def _defined(new: _New, draft: _Draft) -> handles.Domain:
    """Define the domain, which does not run: the record of all that follows, with the addresses that it will have.

    Before: no network keeps what the definition does not note. Undo: the whole instance is removed, the domain last;
    a root disk that outlived an earlier machine stays.
    """
    return xml_writing.define(new.api, draft.root, new.spec.xml)


def _write_disks(new: _New, plan: _Plan, draft: _Draft) -> None:
    """Make the root disk and the seed anew, where they are named after the id.

    Before: the domain is defined, and does not run. Undo: with the domain.
    """
    if plan.disk is not None:  # else there is no seed, which the model allows beside a root disk alone
        rootplan.make_root(new.work, new.node, plan.disk, new.uuid, keep=plan.keep)
        if (made_from := plan.made_from) is not None:
            uefi = new.spec.firmware == "uefi"
            from_snapshot.write(new.work, new.node, made_from, new.uuid, plan.disk.pool, uefi=uefi, keep=plan.keep)
        if draft.seed:
            nocloud.write(new.work, new.node, plan.disk.pool, new.uuid, draft.seed)
    new.work.check()


def _keep_addresses(new: _New, plan: _Plan, draft: _Draft) -> None:
    """Have the networks keep the addresses of its cards, before it starts and asks for them.

    Before: the domain notes them. Undo: with the domain.
    """
    cards.keep(new.work, new.node, draft.kept, plan.over, set())


def _own_disk(new: _New, plan: _Plan, domain: handles.Domain) -> None:
    """Forget that the root disk outlived an earlier machine: it is this one's from now on.

    Before: nothing takes the instance back any more. Undo: none.
    """
    if plan.keep:
        new.api.forget(domain, rootplan.OUTLIVED)


def _definition(new: _New, plan: _Plan) -> Element:
    """The definition without our mark. Raises for what the node cannot build."""
    api, spec = new.api, new.spec
    pool = plan.disk.pool if plan.disk else None
    root = skeleton(new.uuid, api.arch(), acceleration.chosen(new.work, api.node, new.provider, spec, pool))
    machine.refuse_without_disk(spec, root, plan.resolved.nvram)
    patch(root, new.name, spec, plan.resolved)
    for name, source in from_snapshot.sources(plan.made_from) if plan.made_from is not None else ():
        add_own(root, name, source)
    machine.refuse_unsupported(api, root, spec, {"firmware", "machine", "cpuMode", "rootDisk", "disks", "tpm"})
    machine.refuse_too_large(api, root, spec, {"memory"})
    machine.pin_machine(api, root)
    return root


def _facts(spec: Instance, plan: _Plan, inactive: Element | None) -> dict[str, str]:
    """What the mark is to tell of the instance."""
    made = marks.facts_of(inactive).get(reading.CREATED) if inactive is not None else None
    template = plan.disk.template if plan.disk else None
    return {
        **({"template": template.id} if template else {}),
        **(from_snapshot.facts(spec, plan.made_from) if plan.made_from is not None else {}),
        reading.CREATED: made or utc_text(time.time()),
        rootplan.OUTLIVED: "yes" if plan.keep else "",
        **({FORMAT: plan.disk.format} if plan.disk else {}),
        **labels.fact(spec),
        storage.NVRAM: "yes" if spec.firmware == "uefi" else "",
    }


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

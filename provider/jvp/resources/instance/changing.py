"""The update of an instance, step by step: `change` has them in their order.

The docstring of a step says what must be true before it, and what is true after it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jvp.core.diff import Change
from jvp.core.errors import Busy, Invalid, NotFound
from jvp.core.handler import Outcome
from jvp.core.identity import Bearing
from jvp.core.model import having
from jvp.core.work import Work
from jvp.libvirt.domain import devices, disk_source, guest
from jvp.libvirt.domain.domains import Defined, DomainApi, runs
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import libvirt_errors, start_errors
from jvp.libvirt.link.xml import Element
from jvp.libvirt.network import reservations
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import record
from jvp.libvirt.storage.pool_kind import layout_of
from jvp.resources.instance import (
    acceleration,
    attaching,
    cards,
    catching_up,
    compact_triggers,
    covers,
    drift,
    facets,
    finishing,
    labels,
    machine,
    making,
    nocloud,
    planning,
    references,
    restarting,
    rootdisk,
    saved,
    storage,
    upkeep,
    xml_writing,
)
from jvp.resources.instance.bearing import bearing_of, put_back
from jvp.resources.instance.definition import DiskSource, Resolved, comparable, iso_of, names_of
from jvp.resources.instance.instance_facts import ByType
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.patching import add_root, patch, take_out
from jvp.resources.instance.update import Draft, Update
from jvp.resources.provider import Provider


@dataclass(frozen=True)
class _Checked:
    """What was found out before the first write."""

    name: str
    before: set[reservations.Card]
    """The cards for which networks keep addresses."""
    over: set[reservations.Card]
    """The cards of others whose addresses this one takes over."""
    given_up: set[str]
    """The host names that it has given to its cards so far."""
    type: str | None
    """kvm or qemu, where that changes."""


def change(
    work: Work,
    api: DomainApi,
    provider: Provider,
    object_id: str,
    prior: InstanceState,
    spec: Instance,
    changes: Sequence[Change],
) -> Outcome[InstanceState]:
    """Apply the changes, live where that is possible. Again: yes.

    Raises NotFound when the instance is gone; JvpError, libvirtError.

    An update takes nothing back: after an error or a death the next one looks again and goes on, for each step finds
    its own work done.
    """
    update = _opened(work, api, provider, object_id, prior, spec, changes)
    found = _checked(update)
    update = _defined_again(update, found)
    _go_on_from_saved(update)
    resolved = _resolved(update)
    was_running = _renamed(update, found)
    with record.turn(work, api.node, update.uuid):  # a snapshot must not change its disks in between
        draft = _drafted(update, found, resolved)
        _leave_addresses(update, found, draft)
        domain = _defined(update, draft)
    _keep_addresses(update, found, draft)
    catching_up.grow_root(update, domain, draft)
    waits = catching_up.converged(update, domain)
    catching_up.release_iso(update, draft)
    restarts = catching_up.switched_off(update, domain, draft, waits) or was_running
    catching_up.started(update, domain, restarts=restarts)
    restarting.close(update, domain, draft)
    outcome = finishing.finish(work, api, domain, spec, prior, restarted=restarts)
    compact_triggers.settle(update, draft)
    return outcome


def _opened(
    work: Work,
    api: DomainApi,
    provider: Provider,
    object_id: str,
    prior: InstanceState,
    spec: Instance,
    changes: Sequence[Change],
) -> Update:
    """Find the domain, and what is drift in it. Where our mark is gone from it, it is put back.

    After: it is ours, and bears our mark. Raises NotFound.
    """
    domain, view = api.find(object_id), View(api.node)
    inactive = devices.inactive_xml(domain) if domain is not None else None
    if domain is None or inactive is None or bearing_of(work, inactive, prior) is Bearing.REMADE:
        raise NotFound(f'instance "{prior.name}" is gone; refresh the state and run again')
    looked = [*drift.looked(view, Defined(domain, inactive), changes, prior, spec.bag())]
    put_back(work, api, inactive, prior)
    return Update(work, api, provider, prior, spec, looked, domain, _mended(view, inactive, prior), view)


def _mended(view: View, inactive: Element, prior: InstanceState) -> Element:
    """The definition that there is, with what somebody else has changed in it put right."""
    upkeep.mend(inactive, storage.places(view, inactive, prior.root_disk_path))
    return inactive


def _checked(update: Update) -> _Checked:
    """Raise for what cannot be.

    Before: nothing of what is declared is written. After: addresses are claimed in this process until the call ends.
    """
    work, view, spec, prior, inactive = update.work, update.view, update.spec, update.prior, update.inactive
    name = spec.name or update.domain.name()
    making.refuse_taken(update.api, name, update.uuid, planning.OTHER_NAME)
    over = cards.refuse(work, view, spec, update.uuid, inactive, marks.stack_of(inactive))
    given_up = cards.names_of(inactive, prior)
    rootdisk.refuse_size(view, update.domain, inactive, spec, prior)
    covers.refuse_moved(view, update.domain, inactive, spec, prior)
    xml_writing.refuse_namespace(update.provider, spec.xml)
    planning.refuse_foreign_devices(inactive, spec, names_of(prior))
    type = acceleration.changed(work, view, update.provider, spec, inactive, update.changes)
    _refuse_machine(update, type)
    return _Checked(name, reservations.cards_of(inactive), over, given_up, type)


def _refuse_machine(update: Update, type: str | None) -> None:
    """Try the changed definition against what the node offers."""
    tried, spec = copy.deepcopy(update.inactive), update.spec
    nvram = storage.nvram_path("", storage.pool_of_root(update.view, update.inactive), spec)
    machine.refuse_without_disk(spec, update.inactive, nvram)
    machine.patch_machine(tried, spec, nvram)
    for change in update.changes:
        facets.take_out(tried, change)
    asked = update.changed()
    if type is not None:
        tried.set("type", type)
        asked |= having(Instance, ByType)
    machine.refuse_unsupported(update.api, tried, spec, asked)
    machine.refuse_too_large(update.api, tried, spec, asked)


def _defined_again(update: Update, found: _Checked) -> Update:
    """Define a machine again that somebody undefined while it runs, as it was: it would be gone with its power-off.

    After: whatever happens to the guest, the domain stays.
    """
    domain = update.domain
    if not runs(domain) or domain.isPersistent():
        return update
    update.api.define(update.inactive)
    changes = [one for one in update.changes if one.path != ("name",) or found.name != domain.name()]
    return dataclasses.replace(update, changes=changes)


def _go_on_from_saved(update: Update) -> None:
    """Have a guest go on that was saved to disk, or drop what it was saved with.

    Before: its definition is still the one that it was saved with.
    """
    with start_errors(update.what, *machine.at_fault(update.spec)):
        saved.settle(update.work, update.node, update.domain, update.spec, update.changes)


def _resolved(update: Update) -> Resolved:
    """What the references mean. Volumes that another instance of ours has still are waited for.

    After: volumes and MACs are claimed in this process until the call ends; those that another one waits for are
    given up, where the program has taken them out.
    """
    known = names_of(update.prior)
    give_up = partial(references.give_up, update.work, update.node, update.domain, update.spec, known)
    resolved = references.resolve(update.work, update.view, update.spec, update.uuid, update.domain, give_up)
    return dataclasses.replace(resolved, disks=covers.kept(update.view, update.inactive, resolved.disks, known))


def _renamed(update: Update, found: _Checked) -> bool:
    """Rename, with the guest off, for libvirt renames nothing else; whether it ran and is to be started again.

    What has a declared power state comes back to that by itself. Before: nothing that is declared"""
    domain = update.domain
    if found.name == domain.name():
        return False
    ran = guest.state_of(domain) == "running"
    guest.shut_down(update.work, domain, update.spec.shutdown_timeout)
    update.work.status(f'renaming to "{found.name}"')
    with libvirt_errors(f'instance "{domain.name()}"', ("name",)):
        domain.rename(found.name, 0)
    return ran and update.spec.power_state == "unmanaged"


def _drafted(update: Update, found: _Checked, resolved: Resolved) -> Draft:
    """The definition as it is to be, made of the one that there is. Writes the seed anew where its content changes.

    Before: the domain has its name.
    """
    spec, prior, view = update.spec, update.prior, update.view
    root = devices.inactive_xml(update.domain)
    files, root = _files(root), _mended(view, root, prior)
    if _files(root) != _files(update.inactive):  # a snapshot was taken or deleted since
        known = names_of(prior)
        resolved = dataclasses.replace(resolved, disks=covers.kept(View(update.node), root, resolved.disks, known))
    if (lost := rootdisk.lost(view, root, prior)) is not None:
        add_root(root, lost)
    resolved = dataclasses.replace(
        resolved,
        seed=_seed(update, found.name, root),
        nvram=storage.nvram_path(update.uuid, storage.pool_of_root(view, root), spec),
        iso=_kept_iso(root, resolved, update.changes),
    )
    old_iso = iso_of(root)
    shared = attaching.shared(root)
    patch(root, found.name, spec, resolved, names_of(prior))
    take_out(root, spec, update.changes)
    attaching.refuse_unshared(view, update.uuid, shared - attaching.shared(root), root, spec)
    if found.type is not None:
        root.set("type", found.type)
    if spec.firmware == "uefi":
        marks.set_fact(root, storage.NVRAM, "yes")
    marks.update(root, update.work, comparable(root) | labels.wanted(spec))
    marks.hold(root)
    labels.note(root, spec)
    compact_triggers.note(update, root)
    return Draft(root, cards.wanted(root, spec), old_iso, restarting.note(update, root), files)


def _files(root: Element) -> list[str | None]:
    """The files of a definition's disks."""
    return [disk_source.path_of(disk) for disk in root.iterfind("devices/disk")]


def _seed(update: Update, name: str, inactive: Element) -> DiskSource | None:
    """Rewrite the seed when its content changes, and note it in the definition; where it is."""
    spec, changes = update.spec, update.changes
    if spec.cloud_init is None:
        # After an import nobody has declared it, and a machine that we made once has one all the same.
        return None if any(change.path[0] == "cloudInit" for change in changes) else nocloud.source_in(inactive)
    pool = storage.pool_of_root(update.view, inactive)
    if pool is None:
        raise Invalid("needs a root disk in a pool, which holds the cloud-init disk", path=("cloudInit",))
    layout = layout_of(pool)
    seed = DiskSource(layout.path(storage.seed_name(update.uuid)), "raw", layout.disk)
    missing = update.view.volume(seed.path) is None
    if missing or planning.rewrites_seed(changes) or any(change.path == ("name",) for change in changes):
        image = nocloud.image_of(update.uuid, name, spec.cloud_init)
        nocloud.write(update.work, update.node, pool, update.uuid, image)
        marks.set_fact(inactive, nocloud.STALE, "")
    return seed


def _kept_iso(inactive: Element, resolved: Resolved, changes: Sequence[Change]) -> DiskSource | None:
    """A template's new image changes no machine: the CD that is in the drive stays until the program says another."""
    now = iso_of(inactive)
    if now is None or resolved.iso is None or any(change.path == ("iso",) for change in changes):
        return resolved.iso
    return dataclasses.replace(resolved.iso, path=now)


def _leave_addresses(update: Update, found: _Checked, draft: Draft) -> None:
    """Have networks keep nothing for cards that are to have no address any more.

    Before: the definition notes them still, so that a death here leaves none that nobody knows of.
    """
    cards.drop(update.work, update.node, found.before - draft.kept.keys())


def _defined(update: Update, draft: Draft) -> handles.Domain:
    """Write the definition, which notes the addresses that its cards will have.

    Before: no network keeps what it does not note. After: what the running guest has not of all that is declared, the
    difference between the two tells.
    """
    domain = update.domain
    reservations.note_cards(draft.root, draft.kept)
    guest.revive(update.work, domain, update.spec.power_state)  # one that stands still lets go of nothing
    if not domain.isActive():
        finishing.set_leases_aside(update.node, domain, draft.root, update.spec)
    if _files(devices.inactive_xml(domain)) != draft.files:  # another process's snapshot: its layers hold data
        raise Busy(f"the disks of {update.what} were changed by another run; run again")
    return xml_writing.define(update.api, draft.root, update.spec.xml)


def _keep_addresses(update: Update, found: _Checked, draft: Draft) -> None:
    """Have the networks keep the addresses of its cards, before the guest asks for them.

    Before: the definition notes them.
    """
    cards.keep(update.work, update.node, draft.kept, found.over, found.given_up)

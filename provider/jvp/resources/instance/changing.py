"""The update of an instance: what is refused before anything is written, the new definition, then the guest."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jvp.core.diff import Change
from jvp.core.errors import Invalid, NotFound
from jvp.core.handler import Outcome
from jvp.core.identity import Bearing
from jvp.core.work import Work
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.domains import Defined, DomainApi, runs
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import libvirt_errors, start_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.network import reservations
from jvp.libvirt.node_view import View
from jvp.libvirt.storage.pool_kind import layout_of
from jvp.libvirt.storage.templates import release_template
from jvp.resources.instance import (
    acceleration,
    cards,
    covers,
    drift,
    finishing,
    live,
    machine,
    making,
    nocloud,
    planning,
    reading,
    references,
    rootdisk,
    saved,
    storage,
    upkeep,
)
from jvp.resources.instance.bearing import bearing_of, put_back
from jvp.resources.instance.definition import DiskSource, Names, Resolved, comparable, iso_of, names_of
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.patching import add_root, patch
from jvp.resources.provider import Provider

_BY_TYPE = {"firmware", "machine", "cpuMode", "rootDisk"}
"""What KVM and emulation can each do in their own way."""


@dataclass(frozen=True)
class Update:
    """One update: what there is, and what is to be."""

    work: Work
    api: DomainApi
    provider: Provider
    prior: InstanceState
    spec: Instance
    changes: Sequence[Change]
    view: View
    """What is seen of the node until the definition is written."""

    @property
    def node(self) -> Node:
        return self.api.node

    @property
    def what(self) -> str:
        return f'instance "{self.prior.name}"'

    def changed(self) -> set[str]:
        """The properties that change."""
        return {str(change.path[0]) for change in self.changes}

    def mended(self, inactive: Element) -> Element:
        """The definition that there is, with what somebody else has changed in it put right."""
        upkeep.mend(inactive, storage.places(self.view, inactive, self.prior.root_disk_path))
        return inactive


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


def change(update: Update, object_id: str) -> Outcome[InstanceState]:
    """Apply the changes, live where that is possible. Again: yes.

    Raises NotFound when the instance is gone; JvpError, libvirtError.
    """
    domain = update.api.find(object_id)
    inactive = devices.inactive_xml(domain) if domain is not None else None
    if domain is None or inactive is None or bearing_of(update.work, inactive, update.prior) is Bearing.REMADE:
        raise NotFound(f"{update.what} is gone; refresh the state and run again")
    looked = drift.looked(update.view, Defined(domain, inactive), update.changes, update.prior, update.spec.bag())
    update = dataclasses.replace(update, changes=[*looked])
    put_back(update.work, update.api, inactive, update.prior)
    inactive = update.mended(inactive)
    found = _checked(update, object_id, domain, inactive)
    if runs(domain) and not domain.isPersistent():
        update.api.define(inactive)
        changes = [one for one in update.changes if one.path != ("name",) or found.name != domain.name()]
        update = dataclasses.replace(update, changes=changes)
    with start_errors(update.what, *machine.at_fault(update.spec)):
        saved.settle(update.work, update.node, domain, update.spec, update.changes)
    resolved = _resolved(update, object_id, domain, inactive)
    cut_short = _rename(update, domain, found.name)
    inactive, old_iso = _patched(update, object_id, domain, found, resolved)
    domain = _defined(update, domain, inactive, found)
    restarted = _caught_up(update, domain, inactive, old_iso)
    if restarted or cut_short:
        with start_errors(update.what, *machine.at_fault(update.spec)):
            guest.start(update.work, domain)
    return finishing.finish(
        update.work, update.api, domain, update.spec, update.prior, restarted=restarted or cut_short
    )


def _checked(update: Update, object_id: str, domain: handles.Domain, inactive: Element) -> _Checked:
    """Raises for what cannot be, before anything is written."""
    work, view, spec, prior = update.work, update.view, update.spec, update.prior
    name = spec.name or domain.name()
    making.refuse_taken(update.api, name, object_id, planning.OTHER_NAME)
    over = cards.refuse(work, view, spec, object_id, inactive, marks.stack_of(inactive))
    given_up = cards.names_of(inactive, prior)
    rootdisk.refuse_size(view, domain, inactive, spec, prior)
    covers.refuse_moved(view, domain, inactive, spec, prior)
    planning.refuse_foreign_devices(inactive, spec, names_of(prior))
    type = acceleration.changed(work, view, update.provider, spec, inactive, update.changes)
    _refuse_machine(update, inactive, type)
    return _Checked(name, reservations.cards_of(inactive), over, given_up, type)


def _refuse_machine(update: Update, inactive: Element, type: str | None) -> None:
    """Try the changed definition against what the node offers, before anything is written."""
    tried, spec = copy.deepcopy(inactive), update.spec
    nvram = storage.nvram_path("", storage.pool_of_root(update.view, inactive), spec)
    machine.refuse_without_disk(spec, inactive, nvram)
    machine.patch_machine(tried, spec, nvram)
    asked = update.changed()
    if type is not None:
        tried.set("type", type)
        asked |= _BY_TYPE
    machine.refuse_unsupported(update.api, tried, spec, asked)
    machine.refuse_too_large(update.api, tried, spec, asked)


def _resolved(update: Update, object_id: str, domain: handles.Domain, inactive: Element) -> Resolved:
    """What the references mean. Volumes that another instance of ours has still are waited for."""
    known = names_of(update.prior)
    give_up = partial(references.give_up, update.work, update.node, domain, update.spec, known)
    resolved = references.resolve(update.work, update.view, update.spec, object_id, domain, give_up)
    return dataclasses.replace(resolved, disks=covers.kept(update.view, inactive, resolved.disks, known))


def _rename(update: Update, domain: handles.Domain, name: str) -> bool:
    """Rename, with the guest off, for libvirt renames nothing else; whether the caller is to start it again.

    What has a declared power state comes back to that by itself.
    """
    if name == domain.name():
        return False
    ran = guest.state_of(domain) == "running"
    guest.shut_down(update.work, domain, update.spec.shutdown_timeout)
    update.work.status(f'renaming to "{name}"')
    with libvirt_errors(f'instance "{domain.name()}"', ("name",)):
        domain.rename(name, 0)
    return ran and update.spec.power_state == "unmanaged"


def _patched(
    update: Update, object_id: str, domain: handles.Domain, found: _Checked, resolved: Resolved
) -> tuple[Element, str | None]:
    """The definition as it is to be, and the CD image of the one that there was. Rewrites the seed."""
    spec, prior, view = update.spec, update.prior, update.view
    inactive = update.mended(devices.inactive_xml(domain))
    if (lost := rootdisk.lost(view, inactive, prior)) is not None:
        add_root(inactive, lost)
    resolved = dataclasses.replace(
        resolved,
        seed=_seed(update, object_id, found.name, inactive),
        nvram=storage.nvram_path(object_id, storage.pool_of_root(view, inactive), spec),
        iso=_kept_iso(inactive, resolved, update.changes),
    )
    old_iso = iso_of(inactive)
    patch(inactive, found.name, spec, resolved, names_of(prior))
    if found.type is not None:
        inactive.set("type", found.type)
    if spec.firmware == "uefi":
        marks.set_fact(inactive, storage.NVRAM, "yes")
    marks.update(inactive, update.work, comparable(inactive))
    marks.hold(inactive)
    return inactive, old_iso


def _seed(update: Update, uuid: str, name: str, inactive: Element) -> DiskSource | None:
    """Rewrite the seed when its content changes, and note it in the definition; where it is."""
    spec, changes = update.spec, update.changes
    if spec.cloud_init is None:
        # After an import nobody has declared it, and a machine that we made once has one all the same.
        return None if any(change.path[0] == "cloudInit" for change in changes) else nocloud.source_in(inactive)
    pool = storage.pool_of_root(update.view, inactive)
    if pool is None:
        raise Invalid("needs a root disk in a pool, which holds the cloud-init disk", path=("cloudInit",))
    layout = layout_of(pool)
    seed = DiskSource(layout.path(storage.seed_name(uuid)), "raw", layout.disk)
    missing = update.view.volume(seed.path) is None
    if missing or planning.rewrites_seed(changes) or any(change.path == ("name",) for change in changes):
        nocloud.write(update.work, update.node, pool, uuid, nocloud.image_of(uuid, name, spec.cloud_init))
        marks.set_fact(inactive, nocloud.STALE, "")
    return seed


def _kept_iso(inactive: Element, resolved: Resolved, changes: Sequence[Change]) -> DiskSource | None:
    """A template's new image changes no machine: the CD that is in the drive stays until the program says another."""
    now = iso_of(inactive)
    if now is None or resolved.iso is None or any(change.path == ("iso",) for change in changes):
        return resolved.iso
    return dataclasses.replace(resolved.iso, path=now)


def _defined(update: Update, domain: handles.Domain, inactive: Element, found: _Checked) -> handles.Domain:
    """Write the definition, with the addresses of its cards; the domain."""
    kept = cards.wanted(inactive, update.spec)
    cards.drop(update.work, update.node, found.before - kept.keys())
    reservations.note_cards(inactive, kept)
    guest.revive(update.work, domain, update.spec.power_state)  # one that stands still lets go of nothing
    if not domain.isActive():
        finishing.set_leases_aside(update.node, domain, inactive, update.spec)
    domain = update.api.define(inactive)
    cards.keep(update.work, update.node, kept, found.over, found.given_up)
    return domain


def _caught_up(update: Update, domain: handles.Domain, inactive: Element, old_iso: str | None) -> bool:
    """Bring the running guest to its definition, or switch it off for that; whether it is to be started again."""
    work, api, spec = update.work, update.api, update.spec
    rootdisk.grow_root(update.view.fresh(), domain, inactive, spec, update.prior)
    pending = _pending(update, domain, names_of(update.prior, spec))
    api.note(domain, pending)
    if old_iso is not None and old_iso != iso_of(inactive):
        release_template(work, update.node, old_iso)
    if not pending or not _restarts(spec, domain):
        return False
    guest.shut_down(work, domain, spec.shutdown_timeout)
    # While it is off, so that a death on either side of this leaves the same definition.
    api.note(domain, {})
    off = devices.inactive_xml(domain)
    finishing.set_leases_aside(update.node, domain, off, spec)
    api.define(off)
    return True


def _restarts(spec: Instance, domain: handles.Domain) -> bool:
    """Whether what is pending is worth a restart. A paused guest could not save what it holds, so it stays."""
    wanted = spec.update_policy == "restart" and spec.power_state != "stopped"
    return wanted and guest.state_of(domain) == "running"


def _pending(update: Update, domain: handles.Domain, names: Names) -> dict[str, str]:
    """Give the running guest what it takes; what is left for its next power cycle, by path."""
    if not domain.isActive():
        return {}
    changed = update.changed()
    inactive = devices.inactive_xml(domain)
    # What no difference of the definitions tells: it waits until the guest was off, whatever changes meanwhile.
    noted = reading.still_pending(domain, inactive, devices.live_xml(domain))
    kept = {path: why for path, why in noted.items() if path in ("cloudInit", "cpuMode") or why in live.UNTIL_OFF}
    # Every try takes a card out of the guest and puts it in again.
    refused = {path: why for path, why in noted.items() if path.startswith("nics.") and why not in live.RETRIED}
    refused = {} if "nics" in changed else refused
    joined = live.rejoin(update.node, domain, names)
    kept = {path: why for path, why in kept.items() if path not in joined}
    pending = kept | live.converge(update.work, domain, inactive, names, refused)
    pending |= {path: why for path, why in joined.items() if why is not None}
    if planning.rewrites_seed(update.changes):
        pending["cloudInit"] = f"the guest reads it at its next boot; {live.NEXT_BOOT}"
    if "cpuMode" in changed:
        # Only of a named model the running definition tells whether the guest has it already.
        same = machine.cpu_of(inactive) == machine.cpu_of(devices.live_xml(domain))
        pending = {path: why for path, why in pending.items() if path != "cpuMode"}
        pending |= {} if same else {"cpuMode": live.NEXT_BOOT}
    return pending

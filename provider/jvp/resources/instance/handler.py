"""The verbs of instances. The domain is the record of what was made: defined first, undefined last."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from jvp.core.diff import Change
from jvp.core.errors import Invalid, JvpError, NameTaken, NotFound
from jvp.core.handler import Done, Handler, Listed, Outcome, Partial
from jvp.core.identity import Bearing, Key, Mark, generation, maker, refuse_unmarked, remade, unmarked
from jvp.core.types import memory_bytes, utc_text, whole_mib
from jvp.core.values import known
from jvp.core.work import Work
from jvp.libvirt import devices, guest, hosts, marks, waiting
from jvp.libvirt.domains import DomainApi, pending_of
from jvp.libvirt.errors import Gone, libvirt_errors, seen_to_go, start_errors
from jvp.libvirt.node import Node
from jvp.libvirt.storage import release_template, volume_of
from jvp.libvirt.xml import Element
from jvp.resources.foreseen import obstacles
from jvp.resources.instance import (
    acceleration,
    cards,
    covers,
    live,
    machine,
    nocloud,
    planning,
    prospects,
    reading,
    references,
    removal,
    rootdisk,
    saved,
    storage,
    upkeep,
)
from jvp.resources.instance.bearing import bearing_of, put_back
from jvp.resources.instance.definition import (
    FORMAT,
    DiskSource,
    Names,
    Resolved,
    comparable,
    is_declared,
    iso_of,
    names_of,
    root_name,
    source_of,
)
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.patching import add_root, patch, skeleton
from jvp.resources.provider import Provider

_BY_TYPE = {"firmware", "machine", "cpuMode", "rootDisk"}
"""What KVM and emulation can each do in their own way."""


class Instances(Handler[Instance, InstanceState]):
    """The verbs of instances."""

    kind, token, spec, state = "instance", "Instance", Instance, InstanceState

    def __init__(self, node: Node, provider: Provider) -> None:
        self.node, self.provider = node, provider
        self.api = DomainApi(node)

    def create(self, work: Work, key: Key, spec: Instance) -> Outcome[InstanceState]:
        with libvirt_errors(f'instance "{spec.name or key.label}"'), self.node.claims.held():
            number, uuid, found = generation(key, self.api.find, _mark)
            name = spec.name or key.auto_name(uuid)
            self._refuse_taken(name, uuid)
            if found is not None and found.isActive():
                if spec.cloud_init is not None:
                    nocloud.disown_old(self.api, found, uuid, name, spec.cloud_init)
                return self._finish(work, found, spec)
            root_plan = storage.plan_root(self.node, spec)
            resolved = self._resolve(work, spec, uuid, root_plan)
            before, over = self._refuse_addresses(work, spec, uuid, found, key.stack)
            pool = root_plan.pool if root_plan else None
            facts = {"template": root_plan.template.id} if root_plan and root_plan.template else {}
            keep = root_plan is not None and storage.outlived(work, root_plan, uuid, found)
            # Another run of this key may have begun since, which makes the domain before the disk.
            keep = keep and (found is not None or self.api.find(uuid) is None)
            made = marks.facts_of(devices.inactive_xml(found)).get(reading.CREATED) if found is not None else None
            facts[reading.CREATED] = made or utc_text(time.time())
            facts[storage.OUTLIVED] = "yes" if keep else ""
            if root_plan is not None:
                facts[FORMAT] = root_plan.format
            facts[storage.NVRAM] = "yes" if spec.firmware == "uefi" else ""
            seed = nocloud.image_of(uuid, name, spec.cloud_init) if spec.cloud_init is not None else b""
            root = skeleton(uuid, self.api.arch(), acceleration.chosen(work, self.node, self.provider, spec, pool))
            machine.refuse_without_disk(spec, root, resolved.nvram)
            patch(root, name, spec, resolved)
            machine.refuse_unsupported(self.api, root, spec, {"firmware", "machine", "cpuMode", "rootDisk", "disks"})
            machine.refuse_too_large(self.api, root, spec, {"memory"})
            machine.pin_machine(self.api, root)
            facts[marks.WROTE] = marks.wrote(comparable(root))
            marks.put(root, marks.element_of(Mark.new(key, number), facts))
            kept = cards.wanted(root, spec)
            cards.drop(work, self.node, before - kept.keys())
            hosts.note_cards(root, kept)
            self._set_leases_aside(None, root, spec)
            with contextlib.ExitStack() as undo:
                undo.callback(self._remove_quietly, uuid, keep)
                domain = self.api.define(root)
                if root_plan is not None:
                    storage.make_root(work, self.node, root_plan, uuid, keep=keep)
                if seed:
                    nocloud.write(work, self.node, pool, uuid, seed)
                work.check()
                cards.keep(work, self.node, kept, over, set())
                outcome = self._finish(work, domain, spec)
                undo.pop_all()
                if keep:
                    self.api.forget(domain, storage.OUTLIVED)
                return outcome

    def read(
        self, work: Work, object_id: str, prior: InstanceState | None
    ) -> InstanceState | Partial[InstanceState] | None:
        with libvirt_errors(f'instance "{prior.name if prior else object_id}"'):
            domain = self.api.find(object_id)
            if domain is None:
                reading.warn_of_left(work, self.node, prior)
                return None
            if (bears := bearing_of(work, domain, prior)) is Bearing.REMADE:
                work.warn(remade(f'instance "{prior.name if prior else object_id}"'))
                reading.warn_of_left(work, self.node, prior, remade=True)
                return None
            if prior is not None:
                self.api.acknowledge(domain)
                reading.warn_of_undefined(work, domain)
                if (why := rootdisk.damage(work, self.node, domain, prior)) is not None:
                    work.warn(why)
            state = reading.read(work, self.node, domain, prior)
            if prior is None:
                reading.refuse_import(state)
            if bears is Bearing.UNMARKED:
                return Partial(object_id, state, (unmarked(f'instance "{state.name}"'),))
            return state

    def update(
        self, work: Work, object_id: str, prior: InstanceState, spec: Instance, changes: Sequence[Change]
    ) -> Outcome[InstanceState]:
        what = f'instance "{prior.name}"'
        with libvirt_errors(what), self.node.claims.held():
            domain = self.api.find(object_id)
            if domain is None or bearing_of(work, domain, prior) is Bearing.REMADE:
                raise NotFound(f"{what} is gone; refresh the state and run again")
            put_back(work, self.api, domain, prior)
            name = spec.name or domain.name()
            self._refuse_taken(name, object_id, planning.OTHER_NAME)
            inactive, known_names = devices.inactive_xml(domain), names_of(prior)
            upkeep.mend(inactive, storage.places(self.node, inactive, prior.root_disk_path))
            before, over = self._refuse_addresses(work, spec, object_id, domain, marks.stack_of(inactive))
            given_up = cards.names_of(inactive, prior)
            rootdisk.refuse_size(self.node, domain, inactive, spec, prior)
            covers.refuse_moved(self.node, domain, inactive, spec, prior)
            planning.refuse_foreign_devices(inactive, spec, known_names)
            type = acceleration.changed(work, self.node, self.provider, spec, inactive, changes)
            self._refuse_machine(inactive, spec, changes, type)
            if not domain.isPersistent():
                self.api.define(inactive)
                changes = [change for change in changes if change.path != ("name",) or name != domain.name()]
            with start_errors(what, *machine.at_fault(spec)):
                saved.settle(work, self.node, domain, spec, changes)
            give_up = partial(self._give_up, work, domain, spec, known_names)
            resolved = self._resolve(work, spec, object_id, None, domain, give_up)
            resolved = dataclasses.replace(
                resolved, disks=covers.kept(self.node, inactive, resolved.disks, known_names)
            )
            cut_short = self._rename(work, domain, name, spec)
            inactive = devices.inactive_xml(domain)
            upkeep.mend(inactive, storage.places(self.node, inactive, prior.root_disk_path))
            if (lost := rootdisk.lost(self.node, inactive, prior)) is not None:
                add_root(inactive, lost)
            resolved = dataclasses.replace(
                resolved,
                seed=self._seed(work, object_id, name, inactive, spec, changes),
                nvram=self._nvram(object_id, storage.pool_of_root(self.node, inactive), spec),
                iso=_kept_iso(inactive, resolved, changes),
            )
            old_iso = iso_of(inactive)
            patch(inactive, name, spec, resolved, known_names)
            if type is not None:
                inactive.set("type", type)
            if spec.firmware == "uefi":
                marks.set_fact(inactive, storage.NVRAM, "yes")
            marks.update(inactive, work, comparable(inactive))
            marks.hold(inactive)
            kept = cards.wanted(inactive, spec)
            cards.drop(work, self.node, before - kept.keys())
            hosts.note_cards(inactive, kept)
            guest.revive(work, domain, spec.power_state)  # one that stands still lets go of nothing
            if not domain.isActive():
                self._set_leases_aside(domain, inactive, spec)
            domain = self.api.define(inactive)
            cards.keep(work, self.node, kept, over, given_up)
            rootdisk.grow_root(self.node, domain, inactive, spec, prior)
            pending = self._pending(work, domain, changes, names_of(prior, spec))
            self.api.note(domain, pending)
            if old_iso is not None and old_iso != iso_of(inactive):
                release_template(work, self.node, old_iso)
            restarted = bool(pending) and _restarts(spec, domain)
            if restarted:
                guest.shut_down(work, domain, spec.shutdown_timeout)
                # While it is off, so that a death on either side of this leaves the same definition.
                self.api.note(domain, {})
                off = devices.inactive_xml(domain)
                self._set_leases_aside(domain, off, spec)
                self.api.define(off)
            if restarted or cut_short:
                with start_errors(what, *machine.at_fault(spec)):
                    guest.start(work, domain)
            return self._finish(work, domain, spec, prior, restarted=restarted or cut_short)

    def delete(self, work: Work, object_id: str, prior: InstanceState | None) -> None:
        with libvirt_errors(f'instance "{prior.name if prior else object_id}"'):
            patience = prior.shutdown_timeout if prior is not None else None
            path = prior.root_disk_path if prior else None
            domain, what = self.api.find(object_id), f'instance "{prior.name if prior else object_id}"'
            if domain is not None and not refuse_unmarked(work, bearing_of(work, domain, prior), what):
                reading.warn_of_left(work, self.node, prior, remade=True)
                return
            removal.remove(work, self.api, object_id, path, patience, whole=reading.goes_too(prior))

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'instance "{reference}"'):
            return str(self.api.by_reference(self.node.here(reference), ()).UUIDString())

    def list(self, work: Work) -> Iterator[Listed]:
        with libvirt_errors("instances"):
            for domain in self.node.connection.listAllDomains(0):
                yield Listed(domain.UUIDString(), domain.name())

    def effects(self, changes: Sequence[Change], state: InstanceState, new: dict[str, Any]) -> Iterable[Change]:
        return planning.effects(self.node, changes, state, new)

    def obstacles(self, work: Work, spec: Instance, key: Callable[[], Key]) -> Iterator[JvpError]:
        name, wanted = spec.name, spec.virt_type or self.provider.virt_type
        if known(name) and name is not None:
            _, uuid, _ = generation(key(), self.api.find, _mark)
            yield from obstacles(f'instance "{name}"', lambda: self._refuse_taken(name, uuid))
        settled = known(wanted) and wanted != "auto"
        if settled:
            choose = partial(acceleration.chosen, work, self.node, self.provider, spec, None)
            yield from obstacles(f'instance "{name}"', choose)
        yield from prospects.of(self.node, work, spec, key, wanted if settled else None)

    def standing(self, state: InstanceState) -> Iterator[str]:
        return planning.standing(state)

    def predict(self, spec: Instance, prior: InstanceState | None) -> dict[str, Any]:
        return planning.predict(spec, prior)

    def warnings(self, work: Work, spec: Instance, prior: InstanceState | None) -> Iterator[str]:
        yield from planning.warnings(spec, prior)
        if not self.node.is_session:
            yield from planning.cards_without_network(spec, prior)
        with libvirt_errors("instance"):
            domain = self.api.find(prior.uuid) if prior is not None else None
            if prior is None or domain is None:
                return
            odd = machine.misfit(devices.inactive_xml(domain), spec, prior)
            lost, damage = saved.dropped(domain, spec), rootdisk.damage(work, self.node, domain, prior)
        yield from filter(None, (lost, *(f"{why}: this will fail" for why in (odd, damage) if why)))
        yield from map(str, prospects.of_change(self.node, spec, prior))

    def _refuse_taken(self, name: str, uuid: str, way: str = "choose another name") -> None:
        other = self.api.named(name)
        if other is not None and other.UUIDString() != uuid:
            with contextlib.suppress(NotFound):
                holder = _mark(other)
                raise NameTaken(
                    f'there is an instance "{name}" already, with the id {other.UUIDString()}, {maker(holder)}; {way}',
                    path=("name",),
                    id=other.UUIDString(),
                    holder=holder,
                )

    def _resolve(
        self, work: Work, spec: Instance, uuid: str, plan: storage.RootPlan | None,
        domain: Any = None, give_up: Callable[[], None] | None = None,
    ) -> Resolved:  # fmt: skip
        """What the spec's references mean. Raises for whatever is missing, before anything is written.

        But for a volume that another instance of ours has still: then `give_up` is called.
        """
        there = references.There.of(domain)
        networks = references.networks(self.node, spec, there)
        references.refuse_macs(self.node, spec, uuid, there)
        iso = storage.iso_source(self.node, spec.iso, ("iso",)) if spec.iso is not None else None
        disks = references.disks(work, self.node, spec, uuid, there, give_up)
        root = seed = nvram = None
        if plan is not None:
            root = DiskSource(storage.path_in(plan.pool, root_name(uuid)), plan.format)
            nvram = self._nvram(uuid, plan.pool, spec)
            if spec.cloud_init is not None:
                seed = DiskSource(storage.path_in(plan.pool, storage.seed_name(uuid)), "raw")
        return Resolved(disks, networks, root, seed, iso, nvram)

    def _give_up(self, work: Work, domain: Any, spec: Instance, known_names: Names) -> None:
        """Let go of the volumes that the program has taken out of the instance, and another one waits for.

        The others stay: the wait may come to nothing, and then nothing is to have been touched.
        """
        wanted = {volume_of(self.node, disk.volume, ("disks", index, "volume")).path()
                  for index, disk in enumerate(spec.disks)}  # fmt: skip
        every = devices.inactive_xml(domain).iterfind("devices/disk")
        had = {path for disk in every if is_declared(disk, known_names) and (path := source_of(disk))}
        asked = {path for path in had - wanted if self.node.claims.wanted(path)}
        storage.give_up(work, self.node, domain, asked)

    def _nvram(self, uuid: str, pool: Any, spec: Instance) -> str | None:
        """A file beside the root disk: libvirt fills it at the first start and removes it with the domain."""
        if pool is None or spec.firmware != "uefi":
            return None
        return storage.path_in(pool, storage.nvram_name(uuid))

    def _refuse_machine(self, inactive: Element, spec: Instance, changes: Sequence[Change], type: str | None) -> None:
        """Try the changed definition against what the node offers, before anything is written."""
        tried = copy.deepcopy(inactive)
        nvram = self._nvram("", storage.pool_of_root(self.node, inactive), spec)
        machine.refuse_without_disk(spec, inactive, nvram)
        machine.patch_machine(tried, spec, nvram)
        asked = {str(change.path[0]) for change in changes}
        if type is not None:
            tried.set("type", type)
            asked |= _BY_TYPE
        machine.refuse_unsupported(self.api, tried, spec, asked)
        machine.refuse_too_large(self.api, tried, spec, asked)

    def _refuse_addresses(
        self, work: Work, spec: Instance, uuid: str, domain: Any, stack: str
    ) -> tuple[set[hosts.Card], set[hosts.Card]]:
        """Raise for addresses that cannot be kept; for which cards some are, and which ones are to give theirs up."""
        inactive = devices.inactive_xml(domain) if domain is not None else None
        over = cards.refuse(work, self.node, spec, uuid, inactive, stack)
        return hosts.cards_of(inactive) if inactive is not None else set(), over

    def _seed(
        self, work: Work, uuid: str, name: str, inactive: Element, spec: Instance, changes: Sequence[Change]
    ) -> DiskSource | None:
        """Rewrite the seed when its content changes, and note it in the definition; where it is."""
        if spec.cloud_init is None:
            # After an import nobody has declared it, and a machine that we made once has one all the same.
            return None if any(change.path[0] == "cloudInit" for change in changes) else nocloud.source_in(inactive)
        pool = storage.pool_of_root(self.node, inactive)
        if pool is None:
            raise Invalid("needs a root disk in a pool, which holds the cloud-init disk", path=("cloudInit",))
        path = storage.path_in(pool, storage.seed_name(uuid))
        missing = storage.volume_at(self.node, path) is None
        if missing or planning.rewrites_seed(changes) or any(change.path == ("name",) for change in changes):
            nocloud.write(work, self.node, pool, uuid, nocloud.image_of(uuid, name, spec.cloud_init))
            marks.set_fact(inactive, nocloud.STALE, "")
        return DiskSource(path, "raw")

    def _rename(self, work: Work, domain: Any, name: str, spec: Instance) -> bool:
        """Rename, with the guest off, for libvirt renames nothing else; whether the caller is to start it again.

        What has a declared power state comes back to that by itself.
        """
        if name == domain.name():
            return False
        ran = guest.state_of(domain) == "running"
        guest.shut_down(work, domain, spec.shutdown_timeout)
        work.status(f'renaming to "{name}"')
        with libvirt_errors(f'instance "{domain.name()}"', ("name",)):
            domain.rename(name, 0)
        return ran and spec.power_state == "unmanaged"

    def _pending(self, work: Work, domain: Any, changes: Sequence[Change], names: Names) -> dict[str, str]:
        if not domain.isActive():
            return {}
        inactive = devices.inactive_xml(domain)
        # What no difference of the definitions tells: it waits until the guest was off, whatever changes meanwhile.
        noted = reading.still_pending(domain, inactive, devices.live_xml(domain))
        kept = {path: why for path, why in noted.items() if path in ("cloudInit", "cpuMode") or why in live.UNTIL_OFF}
        changed = {change.path[0] for change in changes}
        # Every try takes a card out of the guest and puts it in again.
        refused = {path: why for path, why in noted.items() if path.startswith("nics.") and why not in live.RETRIED}
        refused = {} if "nics" in changed else refused
        joined = live.rejoin(self.node, domain, names)
        kept = {path: why for path, why in kept.items() if path not in joined}
        pending = kept | live.converge(work, domain, inactive, names, refused)
        pending |= {path: why for path, why in joined.items() if why is not None}
        if planning.rewrites_seed(changes):
            pending["cloudInit"] = f"the guest reads it at its next boot; {live.NEXT_BOOT}"
        if "cpuMode" in changed:
            # Only of a named model the running definition tells whether the guest has it already.
            same = machine.cpu_of(inactive) == machine.cpu_of(devices.live_xml(domain))
            pending = {path: why for path, why in pending.items() if path != "cpuMode"}
            pending |= {} if same else {"cpuMode": live.NEXT_BOOT}
        return pending

    def _finish(
        self,
        work: Work,
        domain: Any,
        spec: Instance,
        prior: InstanceState | None = None,
        *,
        restarted: bool = False,
    ) -> Outcome[InstanceState]:
        """Power and autostart, then the wait. A wait that runs out leaves the instance, as `Partial`."""
        if bool(domain.autostart()) != spec.autostart:
            domain.setAutostart(int(spec.autostart))
        fresh = prior is None or restarted or not domain.isActive()
        with start_errors(f'instance "{domain.name()}"', *machine.at_fault(spec)):
            started = guest.set_power(work, domain, spec.power_state, spec.shutdown_timeout) or restarted
        why = guest.io_error(domain) if spec.power_state == "running" else None
        # A guest that had its address already is not waited for because its memory changed.
        if (
            why is None
            and spec.wait_for == "ip"
            and domain.isActive()
            and (started or prior is None or prior.ip_address is None)
        ):
            kept = cards.wanted(devices.inactive_xml(domain), spec)
            why = waiting.wait_for_address(
                work, domain, {mac: host.address for (_, mac), host in kept.items()}, spec.wait_timeout
            )
        elif why is None and spec.wait_for == "agent" and domain.isActive():
            why = waiting.wait_for_agent(work, domain, spec.wait_timeout)
        basis = prior or InstanceState.model_construct(**{name: getattr(spec, name) for name in Instance.model_fields})
        declared = basis.model_copy(update={name: getattr(spec, name) for name in Instance.model_fields})
        state = reading.read(work, self.node, domain, declared)
        if fresh and domain.isActive() and whole_mib(state.memory_bytes or 0) != memory_bytes(spec.memory):
            self._note_memory(domain, acknowledge=prior is not None)
            state = reading.read(work, self.node, domain, declared)
        uuid = str(domain.UUIDString())
        return Done(uuid, state) if why is None else Partial(uuid, state, (why,))

    def _note_memory(self, domain: Any, *, acknowledge: bool) -> None:
        """A guest starts with all of its room and gives the rest back when its balloon's driver is there, if ever."""
        pending = pending_of(domain, devices.inactive_xml(domain))
        self.api.note(domain, {**pending, "memory": live.NO_BALLOON}, acknowledge=acknowledge)

    def _set_leases_aside(self, domain: Any, root: Element, spec: Instance) -> None:
        """Note which leases do not answer the wait after the next start: those from before it.

        A guest that goes on from a saved image has its leases still.
        """
        if spec.wait_for != "ip":
            marks.set_fact(root, guest.EARLIER, "")
        elif domain is None or not domain.hasManagedSaveImage(0):
            guest.set_leases_aside(self.node.connection, root)

    def _remove_quietly(self, uuid: str, keep: bool) -> None:
        """On the way out of an error that matters more; what stays is unacknowledged, and the next create goes on."""
        with contextlib.suppress(JvpError), libvirt_errors("instance"):
            removal.remove(Work(), self.api, uuid, None, keep=keep)


def _kept_iso(inactive: Element, resolved: Resolved, changes: Sequence[Change]) -> DiskSource | None:
    """A template's new image changes no machine: the CD that is in the drive stays until the program says another."""
    now = iso_of(inactive)
    if now is None or resolved.iso is None or any(change.path == ("iso",) for change in changes):
        return resolved.iso
    return DiskSource(now, resolved.iso.format)


def _restarts(spec: Instance, domain: Any) -> bool:
    """Whether what is pending is worth a restart. A paused guest could not save what it holds, so it stays."""
    wanted = spec.update_policy == "restart" and spec.power_state != "stopped"
    return wanted and guest.state_of(domain) == "running"


def _mark(domain: Any) -> Mark | None:
    with seen_to_go(Gone.DOMAIN):
        return marks.mark_of(devices.inactive_xml(domain))

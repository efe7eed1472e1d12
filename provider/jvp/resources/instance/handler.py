"""The verbs of instances. The domain is the record of what was made: defined first, undefined last."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.errors import Invalid, JvpError, NameTaken, NotFound, Path, Rejected
from jvp.core.facts import Effect
from jvp.core.handler import Done, Handler, Listed, Outcome, Partial
from jvp.core.identity import Key, Mark, generation
from jvp.core.types import disk_bytes, memory_bytes, size_text
from jvp.core.values import known
from jvp.core.work import Work
from jvp.libvirt import devices, guest, hosts, marks, probe
from jvp.libvirt.domains import DomainApi
from jvp.libvirt.errors import libvirt_errors
from jvp.libvirt.networks import NetworkApi
from jvp.libvirt.node import Node
from jvp.libvirt.storage import active_pool_of, template_of, volume_of
from jvp.libvirt.xml import Element, value
from jvp.resources.instance import cards, live, reading, storage
from jvp.resources.instance.definition import (
    DiskSource,
    Resolved,
    comparable,
    patch,
    root_disk,
    skeleton,
    source_of,
)
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.provider import Provider


class Instances(Handler[Instance, InstanceState]):
    """The verbs of instances."""

    kind, token, spec, state = "instance", "Instance", Instance, InstanceState

    def __init__(self, node: Node, provider: Provider) -> None:
        self.node, self.provider = node, provider
        self.api = DomainApi(node)

    def create(self, work: Work, key: Key, spec: Instance) -> Outcome[InstanceState]:
        with libvirt_errors(f'instance "{spec.name or key.label}"'):
            number, uuid, found = generation(key, self.api.find, _mark)
            name = spec.name or key.auto_name(uuid)
            self._refuse_taken(name, uuid)
            if found is not None and found.isActive():
                return self._finish(work, found, spec, set())
            root_plan = storage.plan_root(self.node, spec)
            resolved = self._resolve(spec, uuid, root_plan)
            before = self._refuse_addresses(spec, uuid, found)
            pool = root_plan.pool if root_plan else None
            facts = {"template": root_plan.template.id} if root_plan and root_plan.template else {}
            root = skeleton(uuid, self.api.arch(), self._acceleration(work, spec, pool))
            patch(root, name, spec, resolved)
            facts[marks.WROTE] = marks.wrote(comparable(root))
            marks.put(root, marks.element_of(Mark(key.digest, number, owner=key.owner), facts))
            kept = cards.wanted(root, spec)
            cards.drop(self.node, before - kept.keys())
            hosts.note_cards(root, set(kept))
            with contextlib.ExitStack() as undo:
                undo.callback(self._remove, Work(), uuid, None)
                domain = self.api.define(root)
                if root_plan is not None:
                    storage.make_root(work, self.node, root_plan, uuid)
                if spec.cloud_init is not None:
                    storage.make_seed(work, self.node, pool, uuid, name, spec.cloud_init)
                work.check()
                cards.keep(self.node, kept)
                leases = set(self._old_leases(root))
                outcome = self._finish(work, domain, spec, leases)
                undo.pop_all()
                return outcome

    def read(self, work: Work, object_id: str, prior: InstanceState | None) -> InstanceState | None:
        with libvirt_errors(f'instance "{prior.name if prior else object_id}"'):
            domain = self.api.find(object_id)
            if domain is None:
                return None
            if prior is not None:
                self.api.acknowledge(domain)
            return reading.read(work, self.node, domain, prior)

    def update(
        self, work: Work, object_id: str, prior: InstanceState, spec: Instance, changes: Sequence[Change]
    ) -> Outcome[InstanceState]:
        what = f'instance "{prior.name}"'
        with libvirt_errors(what):
            domain = self.api.find(object_id)
            if domain is None:
                raise NotFound(f"{what} is gone; refresh the stack")
            name = spec.name or domain.name()
            self._refuse_taken(name, object_id)
            inactive = devices.inactive_xml(domain)
            resolved = self._resolve(spec, object_id, None)
            before = self._refuse_addresses(spec, object_id, domain)
            self._refuse_shrink(inactive, spec)
            if name != domain.name():
                self._rename(work, domain, name, spec)
                inactive = devices.inactive_xml(domain)
            resolved = dataclasses.replace(resolved, seed=self._seed(work, object_id, name, inactive, spec, changes))
            patch(inactive, name, spec, resolved)
            if any(change.path[0] == "virtType" for change in changes):
                inactive.set("type", self._acceleration(work, spec, self._pool_of_root(inactive)))
            marks.set_fact(inactive, marks.WROTE, marks.wrote(comparable(inactive)))
            kept = cards.wanted(inactive, spec)
            cards.drop(self.node, before - kept.keys())
            hosts.note_cards(inactive, set(kept))
            domain = self.api.define(inactive)
            cards.keep(self.node, kept)
            self._grow_root(domain, inactive, spec)
            pending = self._pending(work, domain, changes)
            self.api.note(domain, pending)
            leases = set(self._old_leases(inactive))
            return self._finish(work, domain, spec, leases, prior)

    def delete(self, work: Work, object_id: str, prior: InstanceState | None) -> None:
        with libvirt_errors(f'instance "{prior.name if prior else object_id}"'):
            domain = self.api.find(object_id)
            if domain is not None and prior is not None and prior.disks:
                # Volumes outlive the instance: the guest gets the chance to write out what it holds.
                guest.shut_down(work, domain, prior.shutdown_timeout)
            self._remove(work, object_id, prior.root_disk_path if prior else None)

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'instance "{reference}"'):
            return str(self.api.by_reference(reference.rpartition("/")[2], ()).UUIDString())

    def list(self, work: Work) -> Iterator[Listed]:
        with libvirt_errors("instances"):
            for domain in self.node.connection.listAllDomains(0):
                yield Listed(domain.UUIDString(), domain.name())

    def effects(self, changes: Sequence[Change], state: InstanceState, new: dict[str, Any]) -> Iterable[Change]:
        for change in changes:
            effect = self._effect(change, state, new)
            if effect is not None:
                yield change.having(effect, "if the guest agrees" if effect is Effect.LIVE else "")
        yield from self._taken_out({change.path[:2] for change in changes}, state, new)

    def predict(self, spec: Instance, prior: InstanceState | None) -> dict[str, Any]:
        size = spec.root_disk.size if spec.root_disk is not None and known(spec.root_disk) else None
        return {"rootDiskBytes": disk_bytes(size)} if known(size) and size else {}

    def _effect(self, change: Change, state: InstanceState, new: dict[str, Any]) -> Effect | None:
        """How this change reaches this instance; None when it is no change after all."""
        first, value_ = change.path[0], change.new
        if first == "cloudInit":
            cloud_init = new.get("cloudInit")
            policy = cloud_init.get("onChange") if isinstance(cloud_init, dict) else None
            if policy == "ignore":
                return None
            return Effect.REPLACE if policy == "replace" else Effect.NEXT_BOOT
        if change.path == ("rootDisk",) and state.root_disk_path is None:
            # There is nothing to grow, and nothing of the guest's that a new root disk could hold.
            return Effect.REPLACE
        if isinstance(value_, str) and isinstance(change.old, str) and self._same_object(change):
            return None
        if change.path == ("rootDisk", "size") and known(value_) and value_ and state.root_disk_bytes:
            _refuse_less(value_, state.root_disk_bytes)
        if first == "cpus" and known(value_):
            room, now = state.max_cpus or 0, state.cpus
            return Effect.LIVE if now <= value_ <= room else Effect.NEXT_BOOT
        if first == "memory" and known(value_) and known(state.max_memory):
            fits = memory_bytes(value_) <= memory_bytes(state.max_memory or state.memory)
            return Effect.LIVE if fits else Effect.NEXT_BOOT
        return change.effect

    def _taken_out(self, changed: set[Path], state: InstanceState, new: dict[str, Any]) -> Iterator[Change]:
        """Devices that the state has and the definition has no longer.

        A volume or network that is replaced is taken out of its guests when it is deleted, and comes back under the
        same name and id, all between the read of the instance and its plan.
        """
        if state.uuid is None:
            return
        with contextlib.suppress(JvpError), libvirt_errors("instance"):
            domain = self.api.find(state.uuid)
            there = comparable(devices.inactive_xml(domain)) if domain is not None else {}
            for field in ("disks", "nics") if domain is not None else ():
                had = {item.name for item in getattr(state, field)}
                items = new.get(field)
                for index, item in enumerate(items if isinstance(items, list) else ()):
                    name = item.get("name") if isinstance(item, dict) else None
                    lost = isinstance(name, str) and name in had and f"{field}.{name}" not in there
                    if lost and not changed & {(field,), (field, index)}:
                        yield Change((field, index), Kind.ADD, Effect.LIVE, None, item)

    def _same_object(self, change: Change) -> bool:
        """Whether two spellings of a reference mean the same object; asked of the host, and no when it is silent."""
        meanings: dict[str, Callable[[str], str]] = {
            "template": lambda text: template_of(self.node, text, ()).id,
            "volume": lambda text: str(volume_of(self.node, text, ()).path()),
            "network": lambda text: str(NetworkApi(self.node).by_reference(text, ()).name()),
            "pool": lambda text: str(active_pool_of(self.node, text, ()).name()),
        }
        meaning = meanings.get(str(change.path[-1]))
        if meaning is None:
            return False
        with contextlib.suppress(JvpError), libvirt_errors("reference"):
            return meaning(change.old) == meaning(change.new)
        return False

    def _refuse_taken(self, name: str, uuid: str) -> None:
        other = self.api.named(name)
        if other is not None and other.UUIDString() != uuid:
            raise NameTaken(
                f'there is an instance "{name}" already, with the id {other.UUIDString()}, which this resource did '
                "not make; import it by that id, or choose another name",
                path=("name",),
            )

    def _resolve(self, spec: Instance, uuid: str, plan: storage.RootPlan | None) -> Resolved:
        """What the spec's references mean. Raises for whatever is missing, before anything is written."""
        disks = {
            disk.name: storage.disk_source(self.node, disk.volume, ("disks", index, "volume"), user=uuid)
            for index, disk in enumerate(spec.disks)
        }
        networks = {nic.name: self._network(index, nic.network) for index, nic in enumerate(spec.nics)}
        self._refuse_macs(spec, uuid)
        root = seed = None
        if plan is not None:
            root = DiskSource(storage.path_in(plan.pool, storage.root_name(uuid)), "qcow2")
            if spec.cloud_init is not None:
                seed = DiskSource(storage.path_in(plan.pool, storage.seed_name(uuid)), "raw")
        elif spec.cloud_init is not None and spec.template is None and spec.root_disk is None:
            raise Invalid("needs a root disk, whose pool holds the cloud-init disk", path=("cloudInit",))
        return Resolved(disks, networks, root, seed)

    def _network(self, index: int, reference: str | None) -> str | None:
        if reference is None:
            return None
        path = ("nics", index, "network")
        if self.node.is_session:
            raise Rejected("a qemu:///session daemon has no networks; leave it out for user-mode networking", path=path)
        network = NetworkApi(self.node).by_reference(reference, path)
        if not network.isActive():
            raise Rejected(f'network "{network.name()}" is not active; start it', path=path)
        return str(network.name())

    def _refuse_macs(self, spec: Instance, uuid: str) -> None:
        wanted = {nic.mac.lower(): index for index, nic in enumerate(spec.nics) if nic.mac}
        if not wanted:
            return
        for other, root in devices.definitions(self.node.connection.listAllDomains(0)):
            if other.UUIDString() == uuid:
                continue
            for card in root.iterfind("devices/interface"):
                index = wanted.get((value(card, "mac/@address") or "").lower())
                if index is not None:
                    raise Rejected(
                        f'"{spec.nics[index].mac}" is the MAC of a card of "{other.name()}"',
                        path=("nics", index, "mac"),
                    )

    def _refuse_addresses(self, spec: Instance, uuid: str, domain: Any) -> set[hosts.Card]:
        """Raise for addresses that cannot be kept; for which cards some are, as the domain that there is notes."""
        inactive = devices.inactive_xml(domain) if domain is not None else None
        cards.refuse(self.node, spec, uuid, inactive)
        return hosts.cards_of(inactive) if inactive is not None else set()

    def _acceleration(self, work: Work, spec: Instance, pool: Any) -> str:
        wanted = spec.virt_type or self.provider.virt_type
        if wanted == "auto":
            return probe.acceleration(work, self.node, pool)
        if wanted == "kvm" and not probe.lists_kvm(self.node):
            raise Rejected('the node offers no KVM; use "qemu", or "auto"', path=("virtType",))
        return wanted

    def _pool_of_root(self, root: Element) -> Any:
        device = root_disk(root)
        volume = storage.volume_at(self.node, source_of(device) or "") if device is not None else None
        return volume.storagePoolLookupByVolume() if volume is not None else None

    def _seed(
        self, work: Work, uuid: str, name: str, inactive: Element, spec: Instance, changes: Sequence[Change]
    ) -> DiskSource | None:
        """Rewrite the seed when its content changes; where it is."""
        if spec.cloud_init is None:
            return None
        pool = self._pool_of_root(inactive)
        if pool is None:
            raise Invalid("needs a root disk in a pool, which holds the cloud-init disk", path=("cloudInit",))
        path = storage.path_in(pool, storage.seed_name(uuid))
        missing = storage.volume_at(self.node, path) is None
        if missing or any(change.path[0] in ("cloudInit", "name") for change in changes):
            storage.make_seed(work, self.node, pool, uuid, name, spec.cloud_init)
        return DiskSource(path, "raw")

    def _rename(self, work: Work, domain: Any, name: str, spec: Instance) -> None:
        """libvirt renames only what is off; `finish` starts it again."""
        guest.shut_down(work, domain, spec.shutdown_timeout)
        work.status(f'renaming to "{name}"')
        domain.rename(name, 0)

    def _refuse_shrink(self, inactive: Element, spec: Instance) -> None:
        wanted = spec.root_disk.size if spec.root_disk else None
        device = root_disk(inactive)
        now = storage.size_at(self.node, source_of(device) or "") if device is not None else None
        if wanted and now is not None:
            _refuse_less(wanted, now)

    def _grow_root(self, domain: Any, inactive: Element, spec: Instance) -> None:
        wanted = spec.root_disk.size if spec.root_disk else None
        device = root_disk(inactive)
        if not wanted or device is None:
            return
        path = source_of(device) or ""
        now = storage.size_at(self.node, path)
        if now is None or disk_bytes(wanted) <= now:
            return
        if domain.isActive():
            domain.blockResize(value(device, "target/@dev"), disk_bytes(wanted), devices.RESIZE_BYTES)
        else:
            storage.volume_at(self.node, path).resize(disk_bytes(wanted), 0)

    def _pending(self, work: Work, domain: Any, changes: Sequence[Change]) -> dict[str, str]:
        if not domain.isActive():
            return {}
        pending = live.converge(work, domain, devices.inactive_xml(domain))
        if any(change.path[0] == "cloudInit" for change in changes):
            pending["cloudInit"] = f"the guest reads it at its next boot; {live.NEXT_BOOT}"
        return pending

    def _finish(
        self, work: Work, domain: Any, spec: Instance, before: set[Any], prior: InstanceState | None = None
    ) -> Outcome[InstanceState]:
        """Power and autostart, then the wait. A wait that runs out leaves the instance, as `Partial`."""
        if bool(domain.autostart()) != spec.autostart:
            domain.setAutostart(int(spec.autostart))
        started = guest.set_power(work, domain, spec.power_state, spec.shutdown_timeout)
        why = None
        # A guest that had its address already is not waited for because its memory changed.
        if spec.wait_for == "ip" and domain.isActive() and (started or prior is None or prior.ip_address is None):
            why = guest.wait_for_address(work, domain, before if started else set(), spec.wait_timeout)
        basis = prior or InstanceState.model_construct(**{name: getattr(spec, name) for name in Instance.model_fields})
        declared = basis.model_copy(update={name: getattr(spec, name) for name in Instance.model_fields})
        state = reading.read(work, self.node, domain, declared)
        uuid = str(domain.UUIDString())
        return Done(uuid, state) if why is None else Partial(uuid, state, (why,))

    def _old_leases(self, root: Element) -> Iterator[Any]:
        """Leases that the cards of this definition still have from an earlier life."""
        for card in root.iterfind("devices/interface"):
            network, mac = value(card, "source/@network"), value(card, "mac/@address")
            if network and mac:
                yield from guest.leases_of(self.node.connection, network, mac)

    def _remove(self, work: Work, uuid: str, path: str | None) -> None:
        """Everything that belongs to the instance; the domain goes last, so that a crash finds it again."""
        domain = self.api.find(uuid)
        ours = True
        if domain is not None:
            ours = marks.mark_of(devices.inactive_xml(domain)) is not None
            if domain.isActive():
                guest.cut_off(domain)
        if ours:
            storage.remove(work, self.node, uuid, path)
        if domain is not None:
            cards.drop(self.node, hosts.cards_of(devices.inactive_xml(domain)))
            self.api.undefine(domain)


def _refuse_less(wanted: str, now: int) -> None:
    if disk_bytes(wanted) < now:
        raise Invalid(
            f'"{wanted}" is less than the {size_text(now)} that the disk has; a disk can only grow',
            path=("rootDisk", "size"),
        )


def _mark(domain: Any) -> Mark | None:
    return marks.mark_of(devices.inactive_xml(domain))

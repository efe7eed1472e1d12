"""The verbs of networks. `Restart` holds what a restart does to the guests on one."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jvp.core.declaration import Noted
from jvp.core.diff import Change, Kind
from jvp.core.errors import JvpError, NotFound, Rejected
from jvp.core.facts import Effect
from jvp.core.handler import Done, Handler, Outcome, Partial
from jvp.core.identity import Bearing, Key, Mark, bearing, generation, refuse_unmarked, remade, unmarked
from jvp.core.types import network_of
from jvp.core.values import known
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, value
from jvp.libvirt.network import reservations
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.foreseen import obstacles
from jvp.resources.network import collisions, listing
from jvp.resources.network.definition import (
    SETTLING,
    Ours,
    comparable,
    free_way_out,
    hosts_in,
    kept,
    own_bridge,
    patch,
    read,
    record,
    skeleton,
    way_out,
    with_way_out,
    without_way_out,
)
from jvp.resources.network.items import NetworkFilters, NetworkItem
from jvp.resources.network.model import Ipv6, Network, NetworkState, NetworkType
from jvp.resources.network.restart import Restart


class Networks(NetworkType, Handler[Network, NetworkState]):
    """The verbs of networks."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = NetworkApi(node)

    def create(self, work: Work, key: Key, spec: Network) -> Outcome[NetworkState]:
        self._refuse_session()
        with libvirt_errors(f'network "{spec.name or key.label}"'):
            number, uuid, found = generation(key, self.api.find, self.api.mark_of)
        name = spec.name or key.auto_name(uuid)
        what = f'network "{name}"'
        own = self.api.inactive(found) if found else None
        with libvirt_errors(what):
            seen = collisions.refuse_name(self.api, self.api.seen(), name, uuid)
            seen = collisions.wait(work, self.api, seen, spec, uuid, own, key.stack)
            collisions.settle(work, self.api, seen, spec, uuid, own, key.stack)
            collisions.refuse_interface(self.api, spec, uuid, own)
        mark = Mark.new(key, number, work.declaration)
        with contextlib.ExitStack() as undo, libvirt_errors(what):
            root = own if own is not None else skeleton(uuid)
            new = Ours.of(hosts_in(spec.reservations))
            ours = Ours.recorded(root) or Ours()
            both = ours | new
            stopped = found is None or not found.isActive() or Restart.is_noted(root)
            patch(root, spec.model_copy(update={"name": name}), both)
            marks.put(root, marks.element_of(mark, {marks.WROTE: marks.wrote(comparable(read(root, both)))}))
            record(root, ours, new, live=found is not None and bool(found.isActive()))
            if spec.active and stopped and self.api.runs_under(name):
                # Somebody removed it under guests that run: this makes a new bridge, on which their cards are not.
                Restart.note(root)
            network = self.api.define(root)
            if found is None:
                undo.callback(self.api.remove, uuid)
            self._settle(work, network, spec, root, both, is_new=found is None)
            self._forget(network, root, new)
            undo.pop_all()
            return Done(uuid, self.state_of(network, None))

    def read(
        self, work: Work, object_id: str, prior: NetworkState | None
    ) -> NetworkState | Partial[NetworkState] | None:
        what = f'network "{prior.name if prior else object_id}"'
        with libvirt_errors(what):
            found = self.api.found(object_id)
            if found is None:
                return None
            network, root = found
            bears = _bearing(work, network, root, prior)
            if bears is Bearing.REMADE:
                work.warn(remade(what))
                return None
            if prior is not None and not work.looks:
                self.api.acknowledge(root)
            state = self.state_of(network, prior, root)
            if bears is Bearing.UNMARKED:
                return Partial(object_id, state, (unmarked(f'network "{state.name}"'),))
            return state

    def update(
        self, work: Work, object_id: str, prior: NetworkState, spec: Network, changes: Sequence[Change]
    ) -> Outcome[NetworkState]:
        what = f'network "{prior.name}"'
        with libvirt_errors(what):
            found = self.api.found(object_id)
            if found is None or _bearing(work, *found, prior) is Bearing.REMADE:
                raise NotFound(f"{what} is gone; refresh the state and run again")
            network, root = found
            stack = marks.stack_of(root)
            collisions.wait(work, self.api, self.api.seen(), spec, object_id, root, stack)
            with self.node.turn(work, collisions.TURN):
                collisions.settle(work, self.api, self.api.seen(), spec, object_id, root, stack)
                collisions.refuse_interface(self.api, spec, object_id, root)
                ours, new = self._ours(root, prior), Ours.of(hosts_in(spec.reservations))
                collisions.refuse_reserved(self.api, root, spec, ours)
                before, both = copy.deepcopy(root), ours | new
                marks.acknowledge(before)
                network, stopped = self._redefine(work, network, root, prior, spec, changes)
            try:
                self._settle(work, network, spec, root, both)
            except JvpError:
                if stopped and not network.isActive():
                    self._go_back(work, before)
                raise
            self._forget(network, root, new)
            return Done(object_id, self.state_of(network, NetworkState.model_construct(**dict(spec), uuid=object_id)))

    def _redefine(
        self,
        work: Work,
        network: handles.Network,
        root: Element,
        prior: NetworkState,
        spec: Network,
        changes: Sequence[Change],
    ) -> tuple[handles.Network, bool]:
        """Write what is declared into the definition `root`; the network, and whether it was stopped for a restart."""
        ours, new = self._ours(root, prior), Ours.of(hosts_in(spec.reservations))
        marks.acknowledge(root)
        removed = {str(change.path[0]) for change in changes if change.kind is Kind.DELETE}
        both = ours | new
        free_way_out(root)
        patch(root, kept(spec, read(root, both), removed), both)
        needs_restart = any(
            change.effect is Effect.NETWORK_RESTART and not (_drops_way_out(change, prior) and _has_no_way_out(network))
            for change in changes
        )
        # Started by somebody since it was read: it runs as it was.
        needs_restart = needs_restart or (prior.state == "inactive" and bool(network.isActive()))
        needs_restart = needs_restart or self._restart_is_quicker(network, root, both)
        marks.update(root, work, comparable(read(root, both)))
        record(root, ours, new, live=bool(network.isActive()) and not needs_restart)
        if spec.active and (needs_restart or not network.isActive()):
            # Last: of a network that was imported this note is all that is kept, until the restart is over.
            Restart.note(root)
        network = self.api.define(root)
        stopped = needs_restart and bool(network.isActive())
        if stopped:
            network.destroy()
        return network, stopped

    def delete(self, work: Work, object_id: str, prior: NetworkState | None) -> None:
        what = f'network "{prior.name if prior else object_id}"'
        with libvirt_errors(what):
            found = self.api.found(object_id)
            if found is not None and refuse_unmarked(work, _bearing(work, *found, prior), what):
                Restart(self.node, found[0]).release(work, self.api.users(found[0].name()))
                self.api.remove(object_id)

    def effects(self, changes: Sequence[Change], state: NetworkState, new: dict[str, Any]) -> Iterable[Change]:
        stands = state.state == "inactive" or new.get("active") is False
        for change in changes:
            live = change.path[:2] == ("ipv6", "dhcp")
            live = live or (stands and change.effect is Effect.NETWORK_RESTART)  # there is nothing to restart
            yield change.having(Effect.LIVE) if live else change

    def looked(
        self, work: Work, changes: Sequence[Change], state: NetworkState, new: dict[str, Any]
    ) -> Iterable[Change]:  # fmt: skip
        for change in self.effects(changes, state, new):
            runs_right = False
            if _drops_way_out(change, state) and state.uuid:
                with contextlib.suppress(JvpError), libvirt_errors("network"):
                    network = self.api.find(state.uuid)
                    runs_right = network is not None and _has_no_way_out(network)
            yield change.having(Effect.LIVE) if runs_right else change

    def predict(self, spec: Network, prior: NetworkState | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if known(spec.active):
            found["state"] = _word(spec.active)
        if prior is not None and prior.mode == "bridge" != spec.mode and spec.bridge is None:
            found["bridge"] = own_bridge(prior.uuid)
        return found

    def obstacles(self, work: Work, spec: Network, key: Callable[[], Key]) -> Iterator[JvpError]:
        self.node.plans.make(self.kind, spec.name)
        what = f'network "{spec.name}"'
        yield from obstacles(what, self._refuse_session)
        if self.node.is_session or not known(spec.name, spec.mode, spec.active):
            return
        cidr, six = spec.cidr if known(spec.cidr) else None, spec.ipv6 if isinstance(spec.ipv6, Ipv6) else None
        bridge = spec.bridge if known(spec.bridge) else None
        six = six if six is not None and known(six.cidr) else None
        sure = spec.model_copy(update={"cidr": cidr, "ipv6": six, "bridge": bridge})
        with libvirt_errors(what):
            _, uuid, _ = generation(key(), self.api.find, self.api.mark_of)
            seen = self.api.seen()
        yield from obstacles(
            what,
            lambda: collisions.refuse_name(self.api, seen, spec.name or key().auto_name(uuid), uuid),
            lambda: collisions.refuse(self.api, seen, sure, uuid, key().stack),
            lambda: collisions.refuse_interface(self.api, sure, uuid, None, planned_by=key().stack),
        )

    def _refuse_session(self) -> None:
        if self.node.is_session:
            raise Rejected("a qemu:///session daemon has no virtual networks; use user-mode NICs there")

    def warnings(self, work: Work, spec: Network, prior: NetworkState | None) -> Iterator[str]:
        """Addresses that instances have in this network are theirs to change: the program may do that as well."""
        if prior is not None and spec.active is True and not prior.active:
            self.node.plans.make(self.kind, prior.name, prior.uuid)
        if prior is not None and prior.active and spec.active is False:
            with libvirt_errors(f'network "{prior.name}"'):
                network = self.api.find(prior.uuid)
                if network is not None and (names := self.api.connected(network)):
                    yield f"active: what runs on this network is cut off until it is active again: {listed(names)}"
        if prior is None or not known(spec.cidr) or spec.cidr is None or spec.cidr == prior.cidr:
            return
        with libvirt_errors(f'network "{prior.name}"'):
            found = self.api.found(prior.uuid)
            root = found[1] if found is not None else None
            if root is not None and known(spec.ipv6):
                yield from collisions.told(self.api, spec, prior.uuid, root)
            left = reservations.outside(self.node.connection, root, network_of(spec.cidr)) if root is not None else ()
            for instance, card, address in left:
                yield (
                    f'cidr: {address}, which instance "{instance}" declares for its card "{card}", is outside of '
                    f"{spec.cidr}: the guest gets another address until nics[].address there is one of these"
                )

    def replacement_warnings(self, work: Work, prior: NetworkState) -> Iterator[str]:
        with libvirt_errors(f'network "{prior.name}"'):
            network = self.api.find(prior.uuid)
            if network is not None and (names := self.api.connected(network)):
                yield f'network "{prior.name}" is cut off from what runs on it before it is deleted: {listed(names)}'

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'network "{reference}"'):
            return str(self.api.by_reference(self.node.here(reference), ()).UUIDString())

    def noted(self, work: Work, object_id: str) -> Noted | None:
        with libvirt_errors(f'network "{object_id}"'):
            found = self.api.found(object_id)
            return None if found is None else Noted.of(marks.bearer(found[1]), self.spec)

    def users(self, work: Work, object_id: str) -> Sequence[str]:
        with libvirt_errors(f'network "{object_id}"'):
            found = self.api.found(object_id)
            users = self.api.users(found[0].name()) if found is not None else ()
            domains = self.node.connection.listAllDomains(0) if users else ()
            return sorted(domain.name() for domain in domains if domain.UUIDString() in users)

    def list(self, work: Work, filters: NetworkFilters | None = None) -> Iterator[NetworkItem]:
        with libvirt_errors("networks"):
            yield from listing.items(self.node, work, filters or NetworkFilters())

    def _settle(
        self, work: Work, network: handles.Network, spec: Network, root: Element, ours: Ours, *, is_new: bool = False
    ) -> None:
        """Bring the running network to what its definition says, which is `root`. Nothing is asked of a new one."""
        if (not is_new and bool(network.autostart())) != spec.autostart:
            network.setAutostart(int(spec.autostart))
        runs = not is_new and bool(network.isActive())
        if not spec.active:
            if runs:
                network.destroy()
            return
        if runs:
            self.api.update_ranges(network)
            reservations.converge(work, network, ours)
        else:
            self._start(network, spec)
        if Restart.is_noted(root):
            Restart(self.node, network).finish(work)

    def _restart_is_quicker(self, network: handles.Network, root: Element, ours: Ours) -> bool:
        """Whether many reservations change, and nobody is on the running network who would notice its restart."""
        if not network.isActive() or network.listAllPorts():
            return False
        return reservations.steps_to(network, root, ours) >= reservations.RESTART_FROM

    def _go_back(self, work: Work, before: Element) -> None:
        """Have the network as it was, when it does not start as it should be now. Best effort: the error is another."""
        with contextlib.suppress(JvpError), libvirt_errors("network"):
            restart = Restart(self.node, self.api.define(before))
            restart.note(before)
            network = self.api.define(before)
            self.api.start(network)
            restart.finish(work)

    def _start(self, network: handles.Network, spec: Network) -> None:
        with libvirt_errors(f'network "{network.name()}"', ("cidr",) if spec.cidr else ()):
            self.api.start(network)

    def _forget(self, network: handles.Network, root: Element, ours: Ours) -> None:
        """Once they are gone from the running network too, hosts that were taken out are nobody's any more.

        `root` is what its definition was before the restart, if there was one.
        """
        if SETTLING in marks.facts_of(root):
            root = self.api.inactive(network)
            record(root, ours, ours, live=False)
            self.api.define(root)

    def _ours(self, root: Element, prior: NetworkState | None) -> Ours:
        """The hosts of the network's own (`root` is its inactive definition).

        Of a network that we did not make those that the state has; of an import all but those of instances.
        """
        recorded = Ours.recorded(root)
        if recorded is not None:
            return recorded
        if prior is not None:
            return Ours.of(hosts_in(prior.reservations))
        cards = reservations.of_instances(self.node.connection)
        name = value(root, "name") or ""
        return Ours.of(host for host in reservations.hosts_of(root) if (name, host.mac) not in cards)

    def state_of(
        self, network: handles.Network, prior: NetworkState | None, root: Element | None = None
    ) -> NetworkState:
        """A network as it is, of anybody; `prior` is what an engine has of it. Raises libvirtError.

        `root` is its inactive definition, where that was just read.
        """
        if root is None:
            root = self.api.inactive(network)
        ours = self._ours(root, prior)
        values, device = read(root, ours), way_out(root)
        active = bool(network.isActive())
        if active:
            # What runs unlike its definition is drift: nothing of a network waits for a next boot. Where somebody
            # edited the definition, that is the drift.
            running = parse(network.XMLDesc(0))
            live, edited = read(running, ours), marks.edited(root, comparable(values))
            values = {name: was if name in edited else live[name] for name, was in values.items()}
            device = device or way_out(running)
        if prior is not None and marks.mark_of(root) is not None:
            values["mode"] = with_way_out(values["mode"], device)
        unfinished = Restart.is_noted(root) or SETTLING in marks.facts_of(root)
        return NetworkState.model_construct(
            **values,
            autostart=bool(network.autostart()),
            active=active and not unfinished,
            state=_word(active),
        )


def _bearing(work: Work, network: handles.Network, root: Element, prior: NetworkState | None) -> Bearing:
    """Whether it is ours (`root` is its inactive definition). Its bridge is named after its id, where its owner names
    none."""
    if work.mark is None:
        return Bearing.OURS
    if marks.find(root) is not None:
        return bearing(marked=True, expected=work.mark, same=True)
    now = read(root, Ours())
    same = prior is None or all(now[name] == getattr(prior, name) for name in ("name", "mode", "bridge"))
    # libvirt keeps no metadata of one that was undefined while it runs.
    return bearing(marked=same and not network.isPersistent(), expected=work.mark, same=same)


def _drops_way_out(change: Change, state: NetworkState) -> bool:
    """Whether all that is to change of the mode is the way out of it, which somebody may have put into the definition
    alone."""
    return change.path == ("mode",) and without_way_out(state.mode) == change.new


def _has_no_way_out(network: handles.Network) -> bool:
    """Whether a network runs without one. Raises libvirtError."""
    return way_out(parse(network.XMLDesc(0))) is None


def _word(active: bool) -> str:
    return "active" if active else "inactive"

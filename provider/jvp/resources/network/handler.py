"""The verbs of networks. `making` has the steps of a create and an update, `Restart` what one does to the guests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import JvpError, Rejected
from jvp.core.facts import Effect
from jvp.core.handler import Handler, Outcome, Partial
from jvp.core.identity import Bearing, Key, generation, refuse_unmarked, remade, unmarked
from jvp.core.types import network_of
from jvp.core.values import known, surely
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.network import reservations
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.foreseen import obstacles
from jvp.resources.network import collisions, dns_definition, forwards, listing, making, reading
from jvp.resources.network.definition import OPEN, own_bridge
from jvp.resources.network.forms import HOSTDEV, MACVTAP, OF_THE_NODE
from jvp.resources.network.forward_model import PortForward
from jvp.resources.network.forward_record import has_table
from jvp.resources.network.ipv6_model import Ipv6
from jvp.resources.network.items import NetworkFilters, NetworkItem
from jvp.resources.network.model import Network, NetworkState, NetworkType
from jvp.resources.network.restart import Restart
from jvp.resources.network.rivals import rivals


def _is_live(change: Change, state: NetworkState, new: dict[str, Any]) -> bool:
    """Whether a running network takes this change of its IPv6; all else restarts it.

    Addresses that it keeps only while it hands out a range: else its dnsmasq goes on as it was started. Source:
    libvirt, networkUpdate, which asks for ranges of IPv4 alone.
    """
    if change.path[:2] == ("ipv6", "reservations"):
        had = state.ipv6.dhcp if state.ipv6 is not None else None
        six = new.get("ipv6")
        dhcp = six.get("dhcp") if isinstance(six, dict) else None
        serves = isinstance(dhcp, dict) and dhcp.get("enabled", True) is True
        return had is not None and had.enabled is True and serves
    return change.path[:2] == ("ipv6", "dhcp")


class Networks(NetworkType, Handler[Network, NetworkState]):
    """The verbs of networks."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = NetworkApi(node)

    def create(self, work: Work, key: Key, spec: Network) -> Outcome[NetworkState]:
        self._refuse_session()
        return making.make(work, self.api, key, spec)

    def read(
        self, work: Work, object_id: str, prior: NetworkState | None
    ) -> NetworkState | Partial[NetworkState] | None:
        what = f'network "{prior.name if prior else object_id}"'
        with libvirt_errors(what):
            found = self.api.found(object_id)
            if found is None:
                return None
            network, root = found
            bears = reading.bearing_of(work, network, root, prior)
            if bears is Bearing.REMADE:
                work.warn(remade(what))
                return None
            if prior is not None and not work.looks:
                self.api.acknowledge(root)
            state = reading.state_of(self.api, network, prior, root)
            if bears is Bearing.UNMARKED:
                return Partial(object_id, state, (unmarked(f'network "{state.name}"'),))
            return state

    def update(
        self, work: Work, object_id: str, prior: NetworkState, spec: Network, changes: Sequence[Change]
    ) -> Outcome[NetworkState]:
        with libvirt_errors(f'network "{prior.name}"'):
            return making.change(work, self.api, object_id, prior, spec, changes)

    def delete(self, work: Work, object_id: str, prior: NetworkState | None) -> None:
        what = f'network "{prior.name if prior else object_id}"'
        with libvirt_errors(what):
            found = self.api.found(object_id)
            if found is not None and refuse_unmarked(work, reading.bearing_of(work, *found, prior), what):
                Restart(self.node, found[0]).release(work, self.api.users(found[0].name()))
                if has_table(found[1]):
                    forwards.remove(work, self.node, object_id)
                self.api.remove(object_id)
            elif found is None and prior is not None and prior.port_forwards:
                forwards.remove(work, self.node, object_id)

    def effects(self, changes: Sequence[Change], state: NetworkState, new: dict[str, Any]) -> Iterable[Change]:
        stands = state.state == "inactive" or new.get("active") is False
        forwards_still = bool(state.port_forwards) and bool(surely(new.get("portForwards")))
        for change in changes:
            of_dns = change.path[0] == "dns"
            found = dns_definition.having(change, state.dns, new.get("dns")) if of_dns else change
            if found is None:
                continue
            live = _is_live(change, state, new) or (reading.is_of_forwards(change) and forwards_still)
            live = live or (stands and found.effect is Effect.NETWORK_RESTART)  # there is nothing to restart
            yield found.having(Effect.LIVE) if live else found

    def looked(
        self, work: Work, changes: Sequence[Change], state: NetworkState, new: dict[str, Any]
    ) -> Iterable[Change]:  # fmt: skip
        for change in self.effects(changes, state, new):
            runs_right, forwards_on = False, reading.is_of_forwards(change) and surely(new.get("portForwards"))
            if (reading.drops_way_out(change, state) or forwards_on) and state.uuid:
                with contextlib.suppress(JvpError), libvirt_errors("network"):
                    network = self.api.find(state.uuid)
                    runs_right = network is not None and (
                        reading.runs_in(network, OPEN) if forwards_on else reading.has_no_way_out(network)
                    )
            yield change.having(Effect.LIVE) if runs_right else change

    def predict(self, spec: Network, prior: NetworkState | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if known(spec.active):
            found["state"] = reading.word(spec.active)
        if prior is not None and prior.mode in OF_THE_NODE and spec.mode not in OF_THE_NODE and spec.bridge is None:
            found["bridge"] = own_bridge(prior.uuid)
        if spec.mode in (MACVTAP, HOSTDEV):
            found["bridge"] = None
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
        device = spec.device if known(spec.device) else None
        sure = spec.model_copy(update={"cidr": cidr, "ipv6": six, "bridge": bridge, "device": device})
        with libvirt_errors(what):
            _, uuid, _ = generation(key(), self.api.find, self.api.mark_of)
            seen = self.api.seen()
        yield from obstacles(
            what,
            lambda: collisions.refuse_name(self.api, seen, spec.name or key().auto_name(uuid), uuid),
            lambda: collisions.refuse(self.api, seen, sure, uuid, key().stack),
            lambda: collisions.refuse_interface(self.api, sure, uuid, None, planned_by=key().stack),
            lambda: forwards.refuse(work, self.api, _known(spec), uuid),
        )
        yield from map(Rejected, self._rivals(work, spec, bridge or own_bridge(uuid)))

    def _refuse_forwards(self, work: Work, spec: Network, prior: NetworkState) -> None:
        with libvirt_errors(f'network "{prior.name}"'):
            forwards.refuse(work, self.api, _known(spec), prior.uuid, prior.aimed)

    def _rivals(self, work: Work, spec: Network, bridge: str) -> list[str]:
        """What a plan says of what drops the packets of the network. Best effort."""
        with contextlib.suppress(JvpError), libvirt_errors("network"):
            if spec.mode == "nat" and spec.active is True:
                return list(rivals(work, self.node, bridge, forwards=bool(surely(spec.port_forwards))))
        return []

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
        if prior is not None:
            for error in obstacles("", lambda: self._refuse_forwards(work, spec, prior)):
                yield str(error)
            yield from self._rivals(work, spec, prior.bridge or "")
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


def _known(spec: Network) -> list[PortForward]:
    """The forwards of a declaration, each to an address, where all of them are known."""
    items = spec.port_forwards if isinstance(spec.port_forwards, list) else []
    return spec.aimed if all(isinstance(one, PortForward) and one.is_known for one in items) else []

"""Network: a virtual network on one node, with DHCP and a way out through NAT, or isolated."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.diff import Change
from jvp.core.errors import Invalid, NameTaken, NotFound, Path, Rejected
from jvp.core.facts import At, Changes, Computed, Effect, Output
from jvp.core.handler import Done, Handler, Listed, Outcome
from jvp.core.identity import Key, Mark, generation
from jvp.core.model import Rule, Spec
from jvp.core.types import Address, Cidr, Duration, Name, address_of, duration_s, network_of, shortened
from jvp.core.values import known
from jvp.core.work import Work
from jvp.libvirt import marks
from jvp.libvirt.errors import libvirt_errors
from jvp.libvirt.networks import NetworkApi, Restart, ranges_of
from jvp.libvirt.node import Node
from jvp.libvirt.xml import Element, drop, ensure, parse, put, read_facts, sub, value, write_facts

MAX_RANGE = 65_535
"""libvirt refuses longer DHCP ranges."""


def _interface(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not an interface name: at most 15 letters, digits, . _ and -')
    return text


class Dhcp(Spec):
    """Which addresses the network hands out."""

    enabled: Annotated[bool, Field(description="Whether guests get addresses from the network.")] = True
    start: Annotated[Address | None, Field(description="First address; by default the first free one of the CIDR.")] = (
        None
    )
    end: Annotated[Address | None, Field(description="Last address; by default the last one of the CIDR.")] = None
    lease_time: Annotated[Duration, Field(description="How long a guest may keep an address unasked.")] = "1h"


class Network(Spec):
    """A virtual network on one node: a bridge with DHCP and DNS, and a way out through NAT, or isolated."""

    name: Annotated[
        Name | None,
        At("name"),
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique on the node; made up from the resource's name when left out."),
    ] = None
    mode: Annotated[
        Literal["nat", "isolated"],
        Changes(Effect.NETWORK_RESTART),
        Field(description="nat: guests reach what the node reaches, behind its address. isolated: only each other."),
    ] = "nat"
    cidr: Annotated[
        Cidr | None,
        Changes(Effect.NETWORK_RESTART),
        Field(description="The IPv4 range of the network. Required for nat; without it the node has no address."),
    ] = None
    gateway: Annotated[
        Address | None,
        Changes(Effect.NETWORK_RESTART),
        Field(description="The node's address in the network; by default the first of the CIDR."),
    ] = None
    dhcp: Annotated[Dhcp | None, Field(description="Address assignment; by default on, over the whole CIDR.")] = None
    bridge: Annotated[
        Annotated[str, AfterValidator(_interface)] | None,
        At("bridge/@name"),
        Changes(Effect.NETWORK_RESTART),
        Computed(),
        Field(description="The bridge interface on the node; chosen when left out."),
    ] = None
    autostart: Annotated[bool, Field(description="Whether the network starts with the node.")] = True
    active: Annotated[bool, Field(description="Whether the network runs.")] = True

    def rules(self) -> Iterator[Rule]:
        if self.mode == "nat" and self.cidr is None:
            yield ("cidr",), 'is required for a network in mode "nat"'
        if self.cidr is None:
            for name in ("gateway", "dhcp"):
                if getattr(self, name) is not None:
                    yield (name,), "needs a cidr"
            return
        if not known(self.cidr):
            return
        net = network_of(self.cidr)
        if net.version != 4:
            yield ("cidr",), f'"{self.cidr}" is not an IPv4 network'
        elif net.prefixlen > 30:
            yield ("cidr",), f'"{self.cidr}" has no room for a gateway and a guest; use /30 or larger'
        elif net.is_multicast or net.is_loopback or net.is_unspecified or int(net.network_address) == 0:
            yield ("cidr",), f'"{self.cidr}" is not a range that guests can use'
        else:
            yield from self._address_rules(net)

    def _address_rules(self, net: Any) -> Iterator[Rule]:
        dhcp = self.dhcp if isinstance(self.dhcp, Dhcp) else None
        inside: dict[Path, str | None] = {("gateway",): self.gateway}
        if dhcp is not None:
            inside |= {("dhcp", "start"): dhcp.start, ("dhcp", "end"): dhcp.end}
            lease = dhcp.lease_time if known(dhcp.lease_time) else Dhcp().lease_time
            said = dhcp.start is not None or dhcp.end is not None or duration_s(lease) != duration_s(Dhcp().lease_time)
            if dhcp.enabled is False and said:
                yield ("dhcp",), "start, end and leaseTime mean nothing while dhcp.enabled is false"
        good = True
        for path, text in inside.items():
            if text is None or not known(text):
                continue
            address = address_of(text)
            if address.version != 4 or address not in net:
                yield path, f'"{text}" is outside of {net}'
                good = False
            elif address in (net.network_address, net.broadcast_address):
                yield path, f'"{text}" is the network or broadcast address of {net}'
                good = False
        if not good or dhcp is None or not known(dhcp.enabled, dhcp.start, dhcp.end, self.gateway) or not dhcp.enabled:
            return
        yield from self._range_rules(net)

    def _range_rules(self, net: Any) -> Iterator[Rule]:
        start, end = self._range(net)
        gateway = address_of(self._gateway(net))
        if int(start) > int(end):
            yield ("dhcp", "end"), f'"{end}" is before the start "{start}"'
        elif int(start) <= int(gateway) <= int(end):
            yield ("dhcp",), f"the range {start} - {end} holds the gateway {gateway}"
        elif int(end) - int(start) >= MAX_RANGE:
            yield ("dhcp",), f"the range {start} - {end} has more than {MAX_RANGE} addresses"

    def derived(self) -> dict[str, Any]:
        if self.cidr is None or not known(self.cidr, self.gateway):
            return {}
        net = network_of(self.cidr)
        found: dict[str, Any] = {}
        if self.gateway is None:
            found["gateway"] = self._gateway(net)
        dhcp = Dhcp() if self.dhcp is None else self.dhcp
        if not known(dhcp):
            return found
        if known(dhcp.enabled, dhcp.start, dhcp.end) and dhcp.enabled:
            start, end = self._range(net)
            dhcp = dhcp.model_copy(update={"start": str(start), "end": str(end)})
        found["dhcp"] = dhcp.bag()
        return found

    def _gateway(self, net: Any) -> str:
        return self.gateway or str(net.network_address + 1)

    def _range(self, net: Any) -> tuple[Any, Any]:
        """The addresses to hand out: what was given, else the larger side of the gateway."""
        dhcp = self.dhcp if isinstance(self.dhcp, Dhcp) else Dhcp()
        gateway = ipaddress.ip_address(self._gateway(net))
        first, last = net.network_address + 1, net.broadcast_address - 1
        above = int(last) - int(gateway) >= int(gateway) - int(first)
        low, high = (gateway + 1, last) if above else (first, gateway - 1)
        start = ipaddress.ip_address(dhcp.start) if dhcp.start else low
        end = ipaddress.ip_address(dhcp.end) if dhcp.end else high
        if not dhcp.end and int(end) - int(start) >= MAX_RANGE:
            end = start + (MAX_RANGE - 1)
        return start, end


class NetworkState(Network):
    """A network as it is."""

    uuid: Annotated[str, At("uuid"), Output(), Field(description="libvirt's uuid.")]


class Networks(Handler[Network, NetworkState]):
    """The verbs of networks. `Restart` holds what a restart does to the guests on it."""

    kind, token, spec, state = "network", "Network", Network, NetworkState

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = NetworkApi(node)

    def create(self, work: Work, key: Key, spec: Network) -> Outcome[NetworkState]:
        if self.node.is_session:
            raise Rejected("a qemu:///session daemon has no virtual networks; use user-mode NICs there")
        with libvirt_errors(f'network "{spec.name or key.label}"'):
            number, uuid, found = generation(key, self.api.find, self._mark)
        name = spec.name or key.auto_name(uuid)
        what = f'network "{name}"'
        self._refuse_taken(name, uuid, spec)
        mark = Mark(key.digest, number, owner=key.owner)
        with contextlib.ExitStack() as undo, libvirt_errors(what):
            root = parse(found.XMLDesc(self.api.INACTIVE)) if found else _new_root(uuid)
            _patch(root, spec.model_copy(update={"name": name}), uuid)
            marks.put(root, marks.element_of(mark, {marks.WROTE: marks.wrote(_comparable(_read(root)))}))
            network = self.api.define(root)
            if found is None:
                undo.callback(self.api.remove, uuid)
            self._settle(work, network, spec, Restart(self.node, network))
            undo.pop_all()
            return Done(uuid, self._state(network))

    def read(self, work: Work, object_id: str, prior: NetworkState | None) -> NetworkState | None:
        with libvirt_errors(f'network "{prior.name if prior else object_id}"'):
            network = self.api.find(object_id)
            if network is None:
                return None
            if prior is not None:
                self.api.acknowledge(network)
            return self._state(network)

    def update(
        self, work: Work, object_id: str, prior: NetworkState, spec: Network, changes: Sequence[Change]
    ) -> Outcome[NetworkState]:
        what = f'network "{prior.name}"'
        with libvirt_errors(what):
            network = self.api.find(object_id)
            if network is None:
                raise NotFound(f"{what} is gone; refresh the stack")
            self._refuse_overlap(spec, object_id)
            restart = Restart(self.node, network)
            root = parse(network.XMLDesc(self.api.INACTIVE))
            _patch(root, spec, object_id)
            needs_restart = any(change.effect is Effect.NETWORK_RESTART for change in changes)
            if spec.active and (needs_restart or not network.isActive()):
                restart.note(root)
            marks.set_fact(root, marks.WROTE, marks.wrote(_comparable(_read(root))))
            network = self.api.define(root)
            if needs_restart and network.isActive():
                network.destroy()
            self._settle(work, network, spec, restart)
            return Done(object_id, self._state(network))

    def delete(self, work: Work, object_id: str, prior: NetworkState | None) -> None:
        with libvirt_errors(f'network "{prior.name if prior else object_id}"'):
            network = self.api.find(object_id)
            if network is not None:
                Restart(self.node, network).release(work)
                self.api.remove(object_id)

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'network "{reference}"'):
            return str(self.api.by_reference(reference.rpartition("/")[2], ()).UUIDString())

    def list(self, work: Work) -> Iterator[Listed]:
        with libvirt_errors("networks"):
            for network in self.node.connection.listAllNetworks(0):
                yield Listed(network.UUIDString(), network.name())

    def _mark(self, network: Any) -> Mark | None:
        return marks.mark_of(parse(network.XMLDesc(self.api.INACTIVE)))

    def _refuse_taken(self, name: str, uuid: str, spec: Network) -> None:
        with libvirt_errors(f'network "{name}"'):
            for other in self.node.connection.listAllNetworks(0):
                other_uuid = other.UUIDString()
                if other.name() == name and other_uuid != uuid:
                    raise NameTaken(
                        f'there is a network "{name}" already, with the id {other_uuid}, which this resource did not '
                        f"make; import it by that id, or choose another name",
                        path=("name",),
                    )
        self._refuse_overlap(spec, uuid)

    def _refuse_overlap(self, spec: Network, uuid: str) -> None:
        """Two networks cannot share addresses or a bridge, even while one of them is stopped."""
        for other, root in self.api.definitions():
            if other.UUIDString() == uuid:
                continue
            cidr, bridge = _cidr(root), value(root, "bridge/@name")
            if spec.cidr and cidr and network_of(spec.cidr).overlaps(ipaddress.ip_network(cidr)):
                raise Invalid(f'{spec.cidr} overlaps {cidr} of the network "{other.name()}"', path=("cidr",))
            if spec.bridge and bridge == spec.bridge:
                raise Invalid(f'"{bridge}" is the bridge of the network "{other.name()}"', path=("bridge",))

    def _settle(self, work: Work, network: Any, spec: Network, restart: Restart) -> None:
        """Bring the running network to what its definition says."""
        if bool(network.autostart()) != spec.autostart:
            network.setAutostart(int(spec.autostart))
        if not spec.active:
            if network.isActive():
                network.destroy()
            return
        if network.isActive():
            self.api.update_ranges(network)
        else:
            self._start(network, spec)
        restart.finish(work)

    def _start(self, network: Any, spec: Network) -> None:
        with libvirt_errors(f'network "{network.name()}"', ("cidr",) if spec.cidr else ()):
            self.api.start(network)

    def _state(self, network: Any) -> NetworkState:
        root = parse(network.XMLDesc(self.api.INACTIVE))
        values = _read(root)
        active = bool(network.isActive())
        if active:
            # What runs unlike its definition is drift: nothing of a network waits for a next boot. Where somebody
            # edited the definition, that is the drift.
            live, edited = _read(parse(network.XMLDesc(0))), marks.edited(root, _comparable(values))
            values = {name: was if name in edited else live[name] for name, was in values.items()}
        return NetworkState.model_construct(
            **values, autostart=bool(network.autostart()), active=active and not Restart.is_noted(root)
        )


def _new_root(uuid: str) -> Element:
    root = parse("<network/>")
    put(root, "uuid", uuid)
    # libvirt 9.0 chooses a bridge name in a race when several networks start at once; ours follows from the uuid.
    put(root, "bridge/@name", f"jvp{uuid.replace('-', '')[:10]}")
    return root


def _patch(root: Element, spec: Network, uuid: str) -> None:
    """Write what the program declares into a network's XML; everything else stays."""
    write_facts(Network, root, spec)
    if spec.mode == "isolated":
        drop(root, "forward")
    elif value(root, "forward/@mode") != spec.mode:
        drop(root, "forward")
        put(root, "forward/@mode", spec.mode)
    if spec.cidr is None:
        for element in _ip4(root):
            root.remove(element)
        return
    net = network_of(spec.cidr)
    found = _ip4(root)
    element = found[0] if found else sub(root, "ip")
    element.attrib.pop("netmask", "")
    element.set("address", spec.gateway or str(net.network_address + 1))
    element.set("prefix", str(net.prefixlen))
    _patch_dhcp(element, spec.dhcp)


def _patch_dhcp(element: Element, dhcp: Dhcp | None) -> None:
    for old in element.findall("dhcp/range"):
        holder = old.getparent()
        assert holder is not None
        holder.remove(old)
    if dhcp is not None and dhcp.enabled and dhcp.start and dhcp.end:
        one = sub(ensure(element, "dhcp"), "range", start=dhcp.start, end=dhcp.end)
        sub(one, "lease", expiry=str(duration_s(dhcp.lease_time)), unit="seconds")
    holder = element.find("dhcp")
    if holder is not None and not len(holder):
        element.remove(holder)


def _ip4(root: Element) -> list[Element]:
    return [one for one in root.findall("ip") if one.get("family", "ipv4") == "ipv4"]


def _cidr(root: Element) -> str | None:
    return next((str(one) for one in ranges_of(root) if one.version == 4), None)


def _read(root: Element) -> dict[str, Any]:
    """A network's properties from its XML."""
    mode = value(root, "forward/@mode")
    if mode is None and root.find("forward") is not None:
        mode = "nat"
    addresses = _ip4(root)
    return {
        **read_facts(NetworkState, root),
        "mode": mode or "isolated",
        "cidr": _cidr(root),
        "gateway": addresses[0].get("address") if addresses else None,
        "dhcp": _read_dhcp(addresses[0]) if addresses else None,
    }


def _comparable(values: dict[str, Any]) -> dict[str, Any]:
    """The values that a definition may be edited in, in a form that is the same however they were read."""
    return {name: values[name] for name in ("mode", "cidr", "gateway", "dhcp", "bridge")}


def _read_dhcp(element: Element) -> Dhcp:
    one = element.find("dhcp/range")
    if one is None:
        return Dhcp(enabled=False)
    unit = {"seconds": 1, "minutes": 60, "hours": 3600}[value(one, "lease/@unit") or "minutes"]
    expiry = value(one, "lease/@expiry")
    # dnsmasq's own default is one hour.
    seconds = int(expiry) * unit if expiry else 3600
    return Dhcp.model_construct(enabled=True, start=one.get("start"), end=one.get("end"), lease_time=_duration(seconds))


def _duration(seconds: int) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"

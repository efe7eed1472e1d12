"""What a network is declared with, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from jvp.core.facts import At, Changes, Computed, Effect, ForAdmins, Output
from jvp.core.handler import ResourceType
from jvp.core.interface_name import InterfaceName
from jvp.core.model import Rule, Spec, attributes
from jvp.core.types import Address, Cidr, DomainName, Mac, Name, address_of, dashed
from jvp.core.values import known, surely
from jvp.core.wires import DeviceMode, Vlan
from jvp.resources.network.addresses import Dhcp, Subnet, undecided
from jvp.resources.network.dns_model import Dns, dns_rules
from jvp.resources.network.forms import OF_THE_NODE, Mode, Needs, OfModes, OwnBridge, PciAddress, form_rules
from jvp.resources.network.forward_model import PortForward, aimed, forward_rules
from jvp.resources.network.ipv6_model import Ipv6, Ipv6Reservation, ipv6_rules
from jvp.resources.network.items import NetworkFilters, NetworkItem
from jvp.resources.network.service_model import Boot, DhcpValue, DnsmasqOption, Route, option_rules, route_rules

IPV6_MTU = 1280
"""Smaller packets than this are no IPv6. Source: RFC 8200."""


class Reservation(Spec):
    """An address that is kept for one card. Its order in the list never matters."""

    name: Annotated[
        DomainName, Field(description="The guest's host name, which the network's DNS knows; it stays with the item.")
    ]
    mac: Annotated[Mac, Field(description="The MAC address of the card.")]
    address: Annotated[Address, Field(description="The IPv4 address, inside of the CIDR.")]


class Network(Spec):
    """A virtual network on one node: a bridge with DHCP and DNS, and a way out by NAT or routing, or none."""

    name: Annotated[
        Name | None,
        At("name"),
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique on the node; made up from the resource's name when left out."),
    ] = None
    mode: Annotated[
        Mode,
        Changes(Effect.NETWORK_RESTART),
        Field(
            description="nat: guests reach what the node reaches, behind its address. route: with their own addresses, "
            "which the world around must route to the node. open: the same without any rules of libvirt's, for who has "
            "a packet filter of his own. isolated: only each other and the node. bridge: they are "
            "on a bridge that the node has already, which `bridge` names. macvtap: on the wire of an interface of the "
            "node, `device`. hostdev: each card is a virtual function of a network adapter (SR-IOV)."
        ),
    ] = "nat"
    cidr: Annotated[
        Cidr | None,
        OwnBridge(),
        Changes(Effect.NETWORK_RESTART),
        Field(description="The IPv4 range of the network. Required for nat, route and open without IPv6."),
    ] = None
    gateway: Annotated[
        Address | None,
        OwnBridge(),
        Needs("cidr"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="The node's address in the network; by default the first of the CIDR."),
    ] = None
    dhcp: Annotated[
        Dhcp | None,
        OwnBridge(),
        Needs("cidr"),
        Field(description="Address assignment; by default on, over the whole CIDR."),
    ] = None
    reservations: Annotated[
        list[Reservation],
        OwnBridge(),
        Needs("cidr"),
        Field(description="Addresses kept for cards that the program knows by their MAC."),
    ] = []
    ipv6: Annotated[
        Ipv6 | None,
        OwnBridge(),
        Changes(Effect.NETWORK_RESTART),
        Field(description="IPv6 beside or instead of IPv4; nat hides guests behind the node's address here too."),
    ] = None
    domain: Annotated[
        DomainName | None,
        At("domain/@name"),
        OwnBridge(),
        Needs("cidr", "ipv6"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="The DNS domain of the guests; names in it are answered by the network and never asked for "
              "elsewhere."),
    ] = None  # fmt: skip
    dns: Annotated[
        Dns | None,
        OwnBridge(),
        Needs("cidr", "ipv6"),
        Field(
            description="What its DNS answers beside the names of guests that have addresses from it, and whom it asks."
        ),
    ] = None
    mtu: Annotated[
        int | None,
        At("mtu/@size"),
        OwnBridge(),
        Changes(Effect.NETWORK_RESTART),
        Field(ge=68, le=65535, description="The largest packet of the network, in bytes; by default the kernel's."),
    ] = None
    bridge: Annotated[
        InterfaceName | None,
        OfModes("nat", "route", "open", "isolated", "bridge"),
        At("bridge/@name"),
        Changes(Effect.NETWORK_RESTART),
        Computed(),
        Field(description="The bridge interface on the node; chosen when left out, required in mode bridge."),
    ] = None
    device: Annotated[
        InterfaceName | None,
        OfModes("macvtap", "hostdev"),
        ForAdmins("puts guests on an interface of the node"),
        Changes(Effect.NETWORK_RESTART),
        Field(
            description="The interface of the node whose wire guests are on (macvtap), or the physical function whose "
            "virtual functions they are given (hostdev)."
        ),
    ] = None
    device_mode: Annotated[
        DeviceMode | None,
        OfModes("macvtap"),
        Changes(Effect.NETWORK_RESTART),
        Field(
            description="How guests on the interface reach each other: bridge (by default), directly; vepa, by the "
            "switch outside; private, not at all; passthrough, one guest has the interface for itself."
        ),
    ] = None
    host_devices: Annotated[
        list[PciAddress],
        OfModes("hostdev"),
        ForAdmins("gives guests devices of the node"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="The virtual functions by their PCI addresses, in place of all those of `device`."),
    ] = []
    virtual_port: Annotated[
        Literal["openvswitch"] | None,
        OfModes("bridge"),
        At("virtualport/@type"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="What kind of bridge it is in mode bridge, where that is no bridge of the kernel's."),
    ] = None
    vlan: Annotated[
        Vlan | None,
        OfModes("bridge", "macvtap", "hostdev"),
        ForAdmins("puts guests in a VLAN of the node's wire"),
        Changes(Effect.NETWORK_RESTART),
        Field(
            description="The guests' VLAN: on a bridge of Open vSwitch, with libvirt 11.0 also on one of the kernel's, "
            "on a macvtap in passthrough, and of virtual functions. Beside `trunk`, the one of frames without a tag.",
        ),
    ] = None
    trunk: Annotated[
        list[Vlan],
        OfModes("bridge"),
        ForAdmins("puts guests in VLANs of the node's wire"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="VLANs that guests have with their tags, on a bridge of Open vSwitch."),
    ] = []
    port_forwards: Annotated[
        list[PortForward],
        OwnBridge(),
        Needs("cidr", "ipv6"),
        ForAdmins("opens ports of the node"),
        Changes(Effect.NETWORK_RESTART),
        Field(
            description="Ports of the node that lead to guests, in mode nat. To have the first one, or none any more, "
            "restarts the network: with forwards its rules are ours instead of libvirt's. They need commands on the "
            "node: as root or with sudo, on this machine or by a uri with ssh."
        ),
    ] = []
    routes: Annotated[
        list[Route] | None,
        OwnBridge(),
        Needs("cidr", "ipv6"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="Ranges behind guests of the network, to which the node sends what is meant for them."),
    ] = None
    boot: Annotated[
        Boot | None,
        OwnBridge(),
        Needs("cidr"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="What guests load that start from the network (PXE)."),
    ] = None
    dhcp_options: Annotated[
        dict[str, DhcpValue] | None,
        OwnBridge(),
        Needs("cidr"),
        Changes(Effect.NETWORK_RESTART),
        Field(
            description="What DHCP tells guests beside their address, by dnsmasq's name of the option or its number: "
            '`{"ntp-server": "10.0.0.5", "domain-search": "lab.example,example"}`.'
        ),
    ] = None
    dnsmasq_options: Annotated[
        list[DnsmasqOption] | None,
        OwnBridge(),
        Needs("cidr", "ipv6"),
        Changes(Effect.NETWORK_RESTART),
        ForAdmins("sets options of a service that reads and runs files of the node"),
        Field(
            description="Options of the network's dnsmasq, for what no other property says. They are added to those of "
            "libvirt as they are, and one that dnsmasq does not know keeps the network from starting."
        ),
    ] = None
    autostart: Annotated[bool, Field(description="Whether the network starts with the node.")] = True
    active: Annotated[bool, Field(description="Whether the network runs.")] = True

    def rules(self) -> Iterator[Rule]:
        yield from form_rules(self, attributes(type(self)))
        if self.mode in OF_THE_NODE:
            return
        if self.cidr is None:
            yield from self._no_ipv4_rules()
        if isinstance(self.ipv6, Ipv6) and known(self.mtu) and self.mtu is not None and self.mtu < IPV6_MTU:
            yield ("mtu",), f"IPv6 needs at least {IPV6_MTU}"
        yield from dns_rules(self.dns)
        yield from ipv6_rules(self.ipv6)
        broken = [rule for subnet in self._subnets() for rule in subnet.rules()]
        yield from broken
        if not broken:
            yield from self._reservation_rules()
            yield from self._forward_rules()
            sure, all_known = self._sure_ranges()
            yield from route_rules(self.routes, sure, all_known=all_known)
        yield from option_rules(self.dhcp_options)
        off = isinstance(self.dhcp, Dhcp) and self.dhcp.enabled is False
        if off and surely(self.boot) and self.reservations == []:
            yield ("boot",), "means nothing while dhcp.enabled is false"

    def _no_ipv4_rules(self) -> Iterator[Rule]:
        if self.mode in ("nat", "route", "open") and self.ipv6 is None:
            yield ("cidr",), f'is required for a network in mode "{self.mode}"'
        for name, field in attributes(type(self)).items():
            needs = field.fact(Needs)
            if (
                needs is not None
                and surely(getattr(self, name))
                and all(getattr(self, one) is None for one in needs.names)
            ):
                yield (field.name,), "needs a cidr"

    def _subnets(self) -> Iterator[Subnet]:
        if self.cidr is not None and known(self.cidr):
            yield Subnet(4, self.cidr, self.gateway, self.dhcp)
        six = self.ipv6
        if isinstance(six, Ipv6) and known(six.cidr):
            yield Subnet(6, six.cidr, six.gateway, six.dhcp)

    def _reservation_rules(self) -> Iterator[Rule]:
        items = self.reservations if isinstance(self.reservations, list) else []
        four = next((subnet for subnet in self._subnets() if subnet.version == 4), None)
        seen: set[tuple[str, str]] = set()
        for index, item in enumerate(items):
            if not isinstance(item, Reservation):
                continue
            for name, same in (("name", str.lower), ("mac", str.lower), ("address", str)):
                text = getattr(item, name)
                if not known(text):
                    continue
                if (name, same(text)) in seen:
                    yield ("reservations", index, name), f'"{text}" is given twice'
                seen.add((name, same(text)))
            if known(item.name, item.mac) and not item.name[0].isalpha() and item.name != dashed(item.mac):
                yield ("reservations", index, "name"), f'"{item.name}" must begin with a letter'
            if four is not None and known(item.address):
                yield from self._place_rules(index, item.address, four)

    def _forward_rules(self) -> Iterator[Rule]:
        if surely(self.port_forwards) and known(self.mode) and self.mode != "nat":
            yield ("portForwards",), 'are for mode "nat": only there the node stands before the guests'
            return
        sure, all_known = self._sure_ranges()
        yield from forward_rules(self.port_forwards, sure, self.kept_names, all_known=all_known)

    @property
    def kept_names(self) -> dict[str, list[str]] | None:
        """The addresses of its reservations by their names, in lower case; None where not all are known."""
        six = self.ipv6.reservations if isinstance(self.ipv6, Ipv6) else []
        if not known(self.ipv6, self.reservations, six):
            return None
        found: dict[str, list[str]] = {}
        every: list[Reservation | Ipv6Reservation] = [*self.reservations, *six]
        for one in every:
            if not (known(one) and known(one.name, one.address)):
                return None
            found.setdefault(one.name.lower(), []).append(one.address)
        return found

    @property
    def aimed(self) -> list[PortForward]:
        """The port forwards that are known, each to an address."""
        names, items = self.kept_names or {}, self.port_forwards if isinstance(self.port_forwards, list) else []
        every = (aimed(one, names) for one in items if isinstance(one, PortForward) and one.is_known)
        return [one for one in every if one is not None]

    def _sure_ranges(self) -> tuple[list[tuple[str, str | None]], bool]:
        """The CIDRs that are known, each with the network's own address where that is; and whether that is all."""
        sure = [(one.cidr, one.own_gateway if known(one.gateway) else None) for one in self._subnets()]
        six = self.ipv6.cidr if isinstance(self.ipv6, Ipv6) else self.ipv6
        return sure, known(self.cidr, six)

    def _place_rules(self, index: int, address: str, four: Subnet) -> Iterator[Rule]:
        why = four.outside(address)
        if why is None and known(self.gateway) and address_of(address) == address_of(four.own_gateway):
            why = f'"{address}" is the gateway'
        if why is not None:
            yield ("reservations", index, "address"), why

    def derived(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if not known(self.cidr):
            found |= undecided(self.gateway, self.dhcp)
        if isinstance(self.ipv6, Ipv6) and not known(self.ipv6.cidr):
            found["ipv6"] = {**self.ipv6.bag(), **undecided(self.ipv6.gateway, self.ipv6.dhcp)}
        for subnet in self._subnets():
            if subnet.version == 4:
                found |= subnet.derived()
            elif self.ipv6 is not None:
                found["ipv6"] = {**self.ipv6.bag(), **subnet.derived()}
        return found


class NetworkState(Network):
    """A network as it is."""

    uuid: Annotated[str, At("uuid"), Output(), Field(description="libvirt's uuid.")]
    state: Annotated[
        str | None, Output(follows=("active",)), Field(description="Whether the network runs: active or inactive.")
    ] = None


class NetworkType(ResourceType[Network, NetworkState]):
    """Networks."""

    kind, token, spec, state = "network", "Network", Network, NetworkState
    filters, item = NetworkFilters, NetworkItem

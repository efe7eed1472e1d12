"""What a network is declared with, and what is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import At, Changes, Computed, Effect, Output
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec, attributes
from jvp.core.types import Address, Cidr, DomainName, Mac, Name, address_of, dashed, shortened
from jvp.core.values import known, surely
from jvp.resources.network.addresses import Dhcp, Subnet, undecided
from jvp.resources.network.items import NetworkFilters, NetworkItem

IPV6_MTU = 1280
"""Smaller packets than this are no IPv6. Source: RFC 8200."""
Mode = Literal["nat", "route", "isolated", "bridge"]
_KERNELS = ("all", "default")
"""Source: /proc/sys/net/ipv4/conf, where each interface has a folder of its name beside these."""


class OwnBridge:
    """A fact of a property that a network has only where libvirt makes its bridge, and not on a bridge of the node."""


class Needs:
    """A fact of a property that is of use only beside one of these."""

    def __init__(self, *names: str) -> None:
        self.names = names


def _interface(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not an interface name: at most 15 letters, digits, . _ and -')
    if text in _KERNELS:
        raise ValueError(f'"{text}" is what the kernel calls all interfaces; take another name')
    return text


class Ipv6(Spec):
    """The network's IPv6 range. The node announces it, and guests make their addresses in it."""

    cidr: Annotated[Cidr, Field(description="The IPv6 range: a /64, so that guests can make their own addresses.")]
    gateway: Annotated[
        Address | None, Field(description="The node's address in it; by default the first of the CIDR.")
    ] = None
    dhcp: Annotated[Dhcp | None, Field(description="Address assignment by DHCPv6; by default off.")] = None


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
            "which the world around must route to the node. isolated: only each other and the node. bridge: they are "
            "on a bridge that the node has already, which `bridge` names."
        ),
    ] = "nat"
    cidr: Annotated[
        Cidr | None,
        OwnBridge(),
        Changes(Effect.NETWORK_RESTART),
        Field(description="The IPv4 range of the network. Required for nat and route without IPv6."),
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
    mtu: Annotated[
        int | None,
        At("mtu/@size"),
        OwnBridge(),
        Changes(Effect.NETWORK_RESTART),
        Field(ge=68, le=65535, description="The largest packet of the network, in bytes; by default the kernel's."),
    ] = None
    bridge: Annotated[
        Annotated[str, AfterValidator(_interface)] | None,
        At("bridge/@name"),
        Changes(Effect.NETWORK_RESTART),
        Computed(),
        Field(description="The bridge interface on the node; chosen when left out, required in mode bridge."),
    ] = None
    autostart: Annotated[bool, Field(description="Whether the network starts with the node.")] = True
    active: Annotated[bool, Field(description="Whether the network runs.")] = True

    def rules(self) -> Iterator[Rule]:
        if self.mode == "bridge":
            yield from self._bridge_rules()
            return
        if self.cidr is None:
            yield from self._no_ipv4_rules()
        if isinstance(self.ipv6, Ipv6) and known(self.mtu) and self.mtu is not None and self.mtu < IPV6_MTU:
            yield ("mtu",), f"IPv6 needs at least {IPV6_MTU}"
        broken = [rule for subnet in self._subnets() for rule in subnet.rules()]
        yield from broken
        if not broken:
            yield from self._reservation_rules()

    def _bridge_rules(self) -> Iterator[Rule]:
        if self.bridge is None:
            yield ("bridge",), 'is required for a network in mode "bridge": a bridge that the node has already'
        for name, field in attributes(type(self)).items():
            if field.fact(OwnBridge) is not None and surely(getattr(self, name)):
                yield (field.name,), 'is the business of the node\'s bridge; leave it out in mode "bridge"'

    def _no_ipv4_rules(self) -> Iterator[Rule]:
        if self.mode in ("nat", "route") and self.ipv6 is None:
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

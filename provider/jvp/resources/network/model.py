"""What a network is declared with, and what is known of it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.errors import Path
from jvp.core.facts import At, Changes, Computed, Effect, Output
from jvp.core.model import Rule, Spec
from jvp.core.types import Address, Cidr, DomainName, Duration, Name, address_of, duration_s, network_of, shortened
from jvp.core.values import known

MAX_RANGE = 65_535
"""libvirt refuses longer DHCP ranges."""
Mode = Literal["nat", "route", "isolated", "bridge"]
OWN_BRIDGE = ("cidr", "gateway", "dhcp", "domain", "mtu")
"""What a network has only where libvirt makes its bridge: none of it on a bridge of the node."""


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
        Changes(Effect.NETWORK_RESTART),
        Field(description="The IPv4 range of the network. Required for nat and route."),
    ] = None
    gateway: Annotated[
        Address | None,
        Changes(Effect.NETWORK_RESTART),
        Field(description="The node's address in the network; by default the first of the CIDR."),
    ] = None
    dhcp: Annotated[Dhcp | None, Field(description="Address assignment; by default on, over the whole CIDR.")] = None
    domain: Annotated[
        DomainName | None,
        At("domain/@name"),
        Changes(Effect.NETWORK_RESTART),
        Field(description="The DNS domain of the guests; names in it are answered by the network and never asked for "
              "elsewhere."),
    ] = None  # fmt: skip
    mtu: Annotated[
        int | None,
        At("mtu/@size"),
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
        if self.mode in ("nat", "route") and self.cidr is None:
            yield ("cidr",), f'is required for a network in mode "{self.mode}"'
        if self.cidr is None:
            for name in ("gateway", "dhcp", "domain"):
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

    def _bridge_rules(self) -> Iterator[Rule]:
        if self.bridge is None:
            yield ("bridge",), 'is required for a network in mode "bridge": a bridge that the node has already'
        for name in OWN_BRIDGE:
            if getattr(self, name) not in (None, []):
                yield (name,), 'is the business of the node\'s bridge; leave it out in mode "bridge"'

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

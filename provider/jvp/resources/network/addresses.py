"""One address family of a network: what may be declared of it, and what follows from what."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from jvp.core.errors import Path
from jvp.core.model import Rule, Spec
from jvp.core.types import Address, Duration, IPNetwork, address_of, duration_s, network_of
from jvp.core.values import known, surely

MAX_RANGE = 65_535
"""libvirt refuses longer DHCP ranges."""


class Dhcp(Spec):
    """Which addresses the network hands out."""

    enabled: Annotated[bool, Field(description="Whether guests get addresses from the network.")] = True
    start: Annotated[Address | None, Field(description="First address; by default the first free one of the CIDR.")] = (
        None
    )
    end: Annotated[Address | None, Field(description="Last address; by default the last one of the CIDR.")] = None
    lease_time: Annotated[Duration, Field(description="How long a guest may keep an address unasked.")] = "1h"


@dataclass(frozen=True)
class Subnet:
    """The declared range of one family, its gateway and its DHCP. Any of them may be UNKNOWN but the CIDR."""

    version: int
    cidr: str
    gateway: str | None
    dhcp: Dhcp | None

    @property
    def net(self) -> IPNetwork:
        return network_of(self.cidr)

    @property
    def path(self) -> Path:
        """Where the properties are: IPv6 has its own object."""
        return () if self.version == 4 else ("ipv6",)

    def rules(self) -> Iterator[Rule]:
        why = self._unusable()
        if why is not None:
            yield (*self.path, "cidr"), f'"{self.cidr}" {why}'
        else:
            yield from self._address_rules()

    def _unusable(self) -> str | None:
        net = self.net
        if net.version != self.version:
            return f"is not an IPv{self.version} network"
        if self.version == 4 and net.prefixlen > 30:
            return "has no room for a gateway and a guest; use /30 or larger"
        if self.version == 6 and not 64 <= net.prefixlen <= 126:
            return "must be a /64, or smaller (up to /126) for guests that do not make their own addresses"
        if net.is_multicast or net.is_loopback or net.is_unspecified or int(net.network_address) == 0:
            return "is not a range that guests can use"
        if self.version == 6 and net.is_link_local:
            return "is link-local: every interface has that range already"
        return None

    def outside(self, text: str) -> str | None:
        """Why an address is none of a guest or gateway here; None when it is one."""
        address, net = address_of(text), self.net
        if address.version != self.version or address not in net:
            return f'"{text}" is outside of {net}'
        if self.version == 4 and address in (net.network_address, net.broadcast_address):
            return f'"{text}" is the network or broadcast address of {net}'
        return f'"{text}" is the address of {net} itself' if address == net.network_address else None

    def _address_rules(self) -> Iterator[Rule]:
        dhcp = self.dhcp if isinstance(self.dhcp, Dhcp) else None
        inside: dict[Path, str | None] = {("gateway",): self.gateway}
        if dhcp is not None:
            inside |= {("dhcp", "start"): dhcp.start, ("dhcp", "end"): dhcp.end}
            lease = dhcp.lease_time if known(dhcp.lease_time) else Dhcp().lease_time
            said = surely(dhcp.start) or surely(dhcp.end) or duration_s(lease) != duration_s(Dhcp().lease_time)
            if dhcp.enabled is False and said:
                yield (*self.path, "dhcp"), "start, end and leaseTime mean nothing while dhcp.enabled is false"
        broken = [
            ((*self.path, *path), why)
            for path, text in inside.items()
            if text is not None and known(text) and (why := self.outside(text)) is not None
        ]
        yield from broken
        if broken or dhcp is None or not known(dhcp.enabled, dhcp.start, dhcp.end, self.gateway) or not dhcp.enabled:
            return
        yield from self._range_rules(dhcp)

    def _range_rules(self, dhcp: Dhcp) -> Iterator[Rule]:
        start, end = self._range(dhcp)
        gateway = address_of(self.own_gateway)
        if int(start) > int(end):
            yield (*self.path, "dhcp", "end"), f'"{end}" is before the start "{start}"'
        elif int(start) <= int(gateway) <= int(end):
            yield (*self.path, "dhcp"), f"the range {start} - {end} holds the gateway {gateway}"
        elif int(end) - int(start) >= MAX_RANGE:
            yield (*self.path, "dhcp"), f"the range {start} - {end} has more than {MAX_RANGE} addresses"

    def derived(self) -> dict[str, Any]:
        """Gateway and DHCP, where they follow. IPv4 has DHCP unless said; in IPv6 guests make their own addresses."""
        found: dict[str, Any] = {}
        if not known(self.gateway):
            return found
        if self.gateway is None:
            found["gateway"] = self.own_gateway
        dhcp = Dhcp(enabled=self.version == 4) if self.dhcp is None else self.dhcp
        if not known(dhcp):
            return found
        if known(dhcp.enabled, dhcp.start, dhcp.end) and dhcp.enabled:
            start, end = self._range(dhcp)
            dhcp = dhcp.model_copy(update={"start": str(start), "end": str(end)})
        found["dhcp"] = dhcp.bag()
        return found

    @property
    def own_gateway(self) -> str:
        return self.gateway or str(self.net.network_address + 1)

    def _range(self, dhcp: Dhcp) -> tuple[Any, Any]:
        """The addresses to hand out: what was given, else the larger side of the gateway."""
        net: Any = self.net
        gateway: Any = ipaddress.ip_address(self.own_gateway)
        first, last = net.network_address + 1, net.broadcast_address - (1 if self.version == 4 else 0)
        above = int(last) - int(gateway) >= int(gateway) - int(first)
        low, high = (gateway + 1, last) if above else (first, gateway - 1)
        start: Any = ipaddress.ip_address(dhcp.start) if dhcp.start else low
        end = ipaddress.ip_address(dhcp.end) if dhcp.end else high
        if not dhcp.end and int(end) - int(start) >= MAX_RANGE:
            end = start + (MAX_RANGE - 1)
        return start, end

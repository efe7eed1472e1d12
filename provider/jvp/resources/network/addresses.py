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
from jvp.core.values import UNKNOWN, known, surely

RANGE_BITS = 16
"""The first and the last address of a DHCP range differ in no more than these. Source: virSocketAddrGetRange."""
MIN_LEASE_S = 120
"""dnsmasq hands out nothing shorter, and libvirt refuses it."""


class Dhcp(Spec):
    """Which addresses the network hands out."""

    enabled: Annotated[bool, Field(description="Whether guests get addresses from the network.")] = True
    start: Annotated[Address | None, Field(description="First address; by default the first free one of the CIDR.")] = (
        None
    )
    end: Annotated[Address | None, Field(description="Last address; by default the last one of the CIDR.")] = None
    lease_time: Annotated[
        Duration, Field(description="How long a guest may keep an address unasked: 2m or more, or 0s for ever.")
    ] = "1h"


def undecided(gateway: str | None, dhcp: Dhcp | None) -> dict[str, Any]:
    """What follows from something that is not known yet, and so is not known either."""
    found: dict[str, Any] = {"gateway": UNKNOWN} if gateway is None else {}
    if dhcp is None:
        return found | {"dhcp": UNKNOWN}
    if isinstance(dhcp, Dhcp) and dhcp.enabled is not False:
        found["dhcp"] = {"start": UNKNOWN, "end": UNKNOWN, **dhcp.bag()}
    return found


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
        no_guests = net.is_multicast or net.is_loopback or net.is_unspecified or net.is_reserved
        if no_guests or int(net.network_address) == 0:
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
            if 0 < duration_s(lease) < MIN_LEASE_S:
                yield (*self.path, "dhcp", "leaseTime"), f'"{lease}" is too short; it must be at least 2m'
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
        elif end > _farthest(start):
            why = (
                f"the range {start} - {end} is too long: one that begins at {start} ends at {_farthest(start)} at most"
            )
            yield (*self.path, "dhcp"), why

    def derived(self) -> dict[str, Any]:
        """Gateway and DHCP, where they follow. IPv4 has DHCP unless said; in IPv6 guests make their own addresses."""
        if not known(self.gateway):
            return undecided(self.gateway, self.dhcp)
        found: dict[str, Any] = {"gateway": self.own_gateway} if self.gateway is None else {}
        dhcp = Dhcp(enabled=self.version == 4) if self.dhcp is None else self.dhcp
        if not known(dhcp):
            return found
        if not known(dhcp.enabled, dhcp.start, dhcp.end):
            return found | undecided(self.own_gateway, dhcp)
        if dhcp.enabled:
            start, end = self._range(dhcp)
            dhcp = dhcp.model_copy(update={"start": str(start), "end": str(end)})
        return found | {"dhcp": dhcp.bag()}

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
        if dhcp.end and not dhcp.start:
            end: Any = ipaddress.ip_address(dhcp.end)
            return max(low, _nearest(end)), end
        start: Any = ipaddress.ip_address(dhcp.start) if dhcp.start else low
        return start, ipaddress.ip_address(dhcp.end) if dhcp.end else min(high, _farthest(start))


def _farthest(start: Any) -> Any:
    """The last address that a range can have that begins at `start`."""
    return start + (2**RANGE_BITS - 1 - int(start) % 2**RANGE_BITS)


def _nearest(end: Any) -> Any:
    """The first address that a range can have that ends at `end`."""
    return end - int(end) % 2**RANGE_BITS

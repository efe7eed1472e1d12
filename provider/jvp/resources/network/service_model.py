"""What a network tells its guests by DHCP beside addresses, its routes, and options of its dnsmasq."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from jvp.core.facts import Unit
from jvp.core.model import Rule, Spec
from jvp.core.types import Address, Cidr, NodePath, Text, address_of, network_of, shortened
from jvp.core.values import known

_OPTION = re.compile(r"dhcp-option=(?:option:(?P<name>[a-z][a-z0-9-]*)|(?P<number>[1-9][0-9]{0,2})),(?P<value>.*)")
_LAST_OPTION = 254


class Route(Spec):
    """A way from the node to a range that a guest leads to. Its order in the list never matters."""

    key = "cidr"

    cidr: Annotated[Cidr, Field(description="The range that is reached, which stands in the list once.")]
    gateway: Annotated[Address, Field(description="The address of the guest that leads there, inside of the network.")]
    metric: Annotated[
        int | None, Field(ge=1, le=2**31 - 1, description="The way with the lowest one is taken; by default 1.")
    ] = None


class Boot(Spec):
    """What guests are told that start from the network (PXE)."""

    file: Annotated[Text, Field(description="What they load first, as the TFTP server knows it.")]
    server: Annotated[
        Address | None, Field(description="The TFTP server; by default the node, which serves `tftpRoot`.")
    ] = None
    tftp_root: Annotated[
        NodePath | None, Field(description="A folder of the node, whose files the network hands out by TFTP.")
    ] = None


def dhcp_option(text: str) -> tuple[str, str] | None:
    """The name or number of a DHCP option, and what it says, by dnsmasq's own option; None of any other option."""
    match = _OPTION.fullmatch(text)
    return (match["name"] or match["number"], match["value"]) if match else None


def _raw(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError("must not be empty, and not begin or end with a space")
    if dhcp_option(text) is not None:
        raise ValueError(f'"{shortened(text)}" belongs into dhcpOptions')
    return text


def _one_line(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


DnsmasqOption = Annotated[Text, AfterValidator(_raw), Unit("option like log-queries or dhcp-ignore=tag:!known")]
DhcpValue = Annotated[Text, AfterValidator(_one_line)]


def option_rules(options: Any) -> Iterator[Rule]:
    """What holds of the names of DHCP options."""
    for name in options if isinstance(options, dict) else ():
        is_number = name.isdecimal() and name.isascii()
        if is_number and (name.startswith("0") or int(name) > _LAST_OPTION):
            yield ("dhcpOptions", name), f"is no DHCP option: they go from 1 to {_LAST_OPTION}"
        elif not is_number and re.fullmatch(r"[a-z][a-z0-9-]*", name, re.ASCII) is None:
            why = 'is no DHCP option; write its name as dnsmasq has it ("ntp-server"), or its number'
            yield ("dhcpOptions", name), why


def route_rules(routes: Any, ranges: Sequence[tuple[str, str | None]], *, all_known: bool) -> Iterator[Rule]:
    """What holds of routes in a network of these CIDRs, each with the network's own address where that is known."""
    seen: set[str] = set()
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if not isinstance(route, Route) or not known(route.cidr):
            continue
        net, path = network_of(route.cidr), ("routes", index)
        if str(net) != route.cidr:
            # It tells the route from the others of the list, so it has one spelling.
            yield (*path, "cidr"), f'"{route.cidr}" is written "{net}" here'
        elif net.prefixlen == 0:
            yield (*path, "cidr"), "is every address: the node itself would get out by a guest"
        elif route.cidr in seen:
            yield (*path, "cidr"), f'"{route.cidr}" is given twice'
        seen.add(route.cidr)
        if known(route.gateway) and (why := _unreachable(route.gateway, net.version, ranges, all_known=all_known)):
            yield (*path, "gateway"), why


def _unreachable(text: str, version: int, ranges: Sequence[tuple[str, str | None]], *, all_known: bool) -> str | None:
    gateway = address_of(text)
    if gateway.version != version:
        return f'"{text}" is not an IPv{version} address, as the range is'
    own = {network_of(cidr): address for cidr, address in ranges if network_of(cidr).version == version}
    for net, address in own.items():
        if address is not None and gateway == address_of(address):
            return f'"{text}" is the node itself; a route leads to a guest'
        return None if gateway in net else f'"{text}" is outside of {net}'
    return f'"{text}" is outside of the network: it has no IPv{version}' if all_known else None

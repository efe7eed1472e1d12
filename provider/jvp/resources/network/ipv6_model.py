"""The IPv6 range of a network, and the addresses that its DHCPv6 keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from jvp.core.model import Rule, Spec
from jvp.core.text import shortened
from jvp.core.types import Address, Cidr, DomainName, address_of
from jvp.core.values import known
from jvp.resources.network.addresses import Dhcp, Subnet

_DUID = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){2,129}", re.ASCII)
"""Source: RFC 8415, 11.1: a type of two bytes, and at most 128 more."""


def _duid(text: str) -> str:
    if _DUID.fullmatch(text) is None:
        raise ValueError(f'"{shortened(text)}" is not a DUID; it looks like "00:03:00:01:52:54:00:ab:cd:ef"')
    return text


class Ipv6Reservation(Spec):
    """An IPv6 address that is kept for one guest. Its order in the list never matters."""

    name: Annotated[
        DomainName, Field(description="The guest's host name, which the network's DNS knows; it stays with the item.")
    ]
    duid: Annotated[
        Annotated[str, AfterValidator(_duid)] | None,
        Field(
            description="What the guest's DHCPv6 client calls itself; by default it is known by the host name that it "
            "gives. DHCPv6 knows no MAC addresses."
        ),
    ] = None
    address: Annotated[Address, Field(description="The IPv6 address, inside of the CIDR.")]


class Ipv6(Spec):
    """The network's IPv6 range. The node announces it, and guests make their addresses in it."""

    cidr: Annotated[Cidr, Field(description="The IPv6 range: a /64, so that guests can make their own addresses.")]
    gateway: Annotated[
        Address | None, Field(description="The node's address in it; by default the first of the CIDR.")
    ] = None
    dhcp: Annotated[Dhcp | None, Field(description="Address assignment by DHCPv6; by default off.")] = None
    reservations: Annotated[
        list[Ipv6Reservation], Field(description="Addresses that DHCPv6 keeps for guests that ask it.")
    ] = []


def ipv6_rules(six: Any) -> Iterator[Rule]:
    """What is wrong with the reservations of a range."""
    items = six.reservations if isinstance(six, Ipv6) and isinstance(six.reservations, list) else []
    seen: set[tuple[str, str]] = set()
    for index, item in enumerate(items):
        if not isinstance(item, Ipv6Reservation):
            continue
        place = ("ipv6", "reservations", index)
        for name in ("name", "duid", "address"):
            text = getattr(item, name)
            if text is None or not known(text):
                continue
            same = str(address_of(text)) if name == "address" else text.lower()
            if (name, same) in seen:
                yield (*place, name), f'"{text}" is given twice'
            seen.add((name, same))
        if known(item.name) and not item.name[0].isalpha():
            yield (*place, "name"), f'"{item.name}" must begin with a letter'
        if known(item.address, six.cidr) and (why := _misplaced(item.address, six)) is not None:
            yield (*place, "address"), why


def _misplaced(address: str, six: Ipv6) -> str | None:
    subnet = Subnet(6, six.cidr, six.gateway, six.dhcp)
    if subnet.net.version != 6:
        return None  # said of the CIDR already
    if (why := subnet.outside(address)) is not None:
        return why
    gateway = known(six.gateway) and address_of(subnet.own_gateway)
    return f'"{address}" is the gateway' if address_of(address) == gateway else None

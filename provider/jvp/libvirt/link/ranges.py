"""The address ranges that a network's definition gives."""

from __future__ import annotations

import ipaddress

from jvp.core.types import IPNetwork
from jvp.libvirt.link import told
from jvp.libvirt.link.xml import Element


def ranges_of(root: Element) -> list[IPNetwork]:
    """The address ranges in a network's XML, in their order."""
    return [found for one in root.iterfind("ip") if (found := range_of(one)) is not None]


def range_of(element: Element) -> IPNetwork | None:
    """The range of one `<ip>`; None where that names none.

    Source: virNetworkIPDefPrefix, which goes by the address's class where no length is given.
    """
    told_address = told.address(element.get("address"))
    if told_address is None:
        return None
    address = ipaddress.ip_address(told_address)
    first = address.packed[0]
    usual = 64 if address.version == 6 else 8 if first < 128 else 16 if first < 192 else 24
    length = element.get("prefix") or element.get("netmask") or usual
    try:
        return ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        return None

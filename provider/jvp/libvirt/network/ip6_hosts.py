"""The addresses that a network's DHCPv6 keeps, in its XML and in a running network.

A host there has a name, a DUID or both, and no MAC. Source: libvirt, virNetworkDHCPHostDefParseXML.
"""

from __future__ import annotations

from dataclasses import dataclass

import libvirt

from jvp.core.types import address_of
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element, drop, ensure, parse, sub, text_of

_SECTION = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
_ADD, _DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
_LIVE = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE


@dataclass(frozen=True, order=True)
class Host6:
    """An address that is kept."""

    name: str
    address: str
    duid: str | None = None


def holder_of(root: Element) -> tuple[int, Element] | None:
    """The element of a definition's IPv6 range, and which of its `ip` elements it is; None without one."""
    every = enumerate(root.findall("ip"))
    return next(((at, one) for at, one in every if one.get("family") == "ipv6" and one.get("address")), None)


def hosts_of(root: Element) -> list[Host6]:
    """The hosts of a definition that have a name."""
    found = holder_of(root)
    every = found[1].iterfind("dhcp/host") if found is not None else ()
    return [
        Host6(name, _plain(one.get("ip") or ""), (one.get("id") or "").lower() or None)
        for one in every
        if (name := one.get("name"))
    ]


def _plain(text: str) -> str:
    try:
        return str(address_of(text))
    except ValueError:
        return text


def write(root: Element, hosts: list[Host6]) -> None:
    """Have a definition keep these, and no others that have a name."""
    found = holder_of(root)
    if found is None or sorted(hosts_of(root)) == sorted(hosts):
        return
    _, holder = found
    for one in holder.findall("dhcp/host"):
        if one.get("name"):
            ensure(holder, "dhcp").remove(one)
    for host in hosts:
        sub(ensure(holder, "dhcp"), "host", id=host.duid, name=host.name, ip=host.address)
    dhcp = holder.find("dhcp")
    if dhcp is not None and not len(dhcp):
        drop(holder, "dhcp")


def converge(network: handles.Network, running: Element, wanted: Element) -> None:
    """Bring a running network to the hosts of its definition. Again: yes. Raises libvirtError.

    None can be changed: it is taken out and put in.
    """
    place = holder_of(running)
    if place is None:
        return
    now, then = hosts_of(running), hosts_of(wanted)
    out, new = ([one for one in mine if one not in theirs] for mine, theirs in ((now, then), (then, now)))
    for command, hosts in ((_DELETE, out), (_ADD, new)):
        for host in hosts:
            network.update(command, _SECTION, place[0], _text(host), _LIVE)


def _text(host: Host6) -> str:
    root = parse("<x/>")
    return text_of(sub(root, "host", id=host.duid, name=host.name, ip=host.address))

"""The addresses of a running guest, from whoever knows them: the networks' leases, its agent, the node's ARP table.

The agent is asked only where its channel is open, and for a few seconds: one that hangs must not hang us.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import libvirt

from jvp.libvirt.domain import guest
from jvp.libvirt.link import handles, told
from jvp.libvirt.link.xml import Element, value

AGENT_CHANNEL = "org.qemu.guest_agent.0"
MOST = 100
"""So many addresses of one guest count: its agent may tell a million."""
AGENT_S = 3
"""libvirt itself would wait for an answer without an end."""
_AGENT = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
_ARP = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP


class Address(NamedTuple):
    """One address of one of the guest's cards."""

    mac: str
    address: str
    source: str
    """`lease`, `agent` or `arp`."""


def addresses(domain: handles.Domain, root: Element, *, ask_agent: bool) -> list[Address]:
    """Every address of a guest with the running definition `root`, IPv4 first; a lease before what the agent says."""
    found = [Address(one.mac, one.address, "lease") for one in guest.current_leases(domain, root)]
    leased = {(one.mac.lower(), one.address) for one in found}
    if ask_agent and channel_state(root) == "connected":
        found += [one for one in agent_addresses(domain, root) or () if (one.mac.lower(), one.address) not in leased]
    return sorted(found, key=lambda one: ":" in one.address)


def channel_state(root: Element) -> str | None:
    """The state of the agent's channel: `connected`, `disconnected`; None when there is no such channel."""
    for target in root.iterfind("devices/channel/target"):
        if target.get("name") == AGENT_CHANNEL:
            return target.get("state") or "disconnected"
    return None


def agent_addresses(domain: handles.Domain, root: Element) -> list[Address] | None:
    """What the agent says of the guest's cards; None when it does not answer.

    Source: virDomainAgentSetResponseTimeout; it holds until the guest stops and stands in no definition.
    """
    try:
        domain.agentSetResponseTimeout(AGENT_S, 0)
        found = _of_cards(domain.interfaceAddresses(_AGENT, 0), root, "agent")
        return list(dict.fromkeys(itertools.islice(found, MOST)))
    except libvirt.libvirtError:
        return None


def arp_addresses(domain: handles.Domain, root: Element) -> list[Address] | None:
    """What the node's ARP table says: addresses of whoever has talked to the node lately. None when it says nothing."""
    try:
        return list(_of_cards(domain.interfaceAddresses(_ARP, 0), root, "arp"))
    except libvirt.libvirtError:
        return None


def _of_cards(found: dict[str, handles.GuestInterface], root: Element, source: str) -> Iterator[Address]:
    """The addresses of the definition's cards that others can use: not those of inner bridges, not link-local."""
    cards = {(value(card, "mac/@address") or "").lower() for card in root.iterfind("devices/interface")}
    for interface in found.values():
        mac = (interface.get("hwaddr") or "").lower()
        for one in interface.get("addrs") or () if mac in cards else ():
            address = told.address(one.get("addr"))
            if address is not None and _is_reachable(address):
                yield Address(mac, address, source)


def _is_reachable(text: str) -> bool:
    one = ipaddress.ip_address(text)
    return not (one.is_loopback or one.is_link_local or one.is_unspecified or one.is_multicast)

"""Addresses that networks keep for an instance's cards: there before it starts, and gone with it.

The domain notes for which cards it keeps addresses before any network is touched, and forgets a card only after its
network did: whatever is cut off in between, a later run or the delete finds what is left.
"""

from __future__ import annotations

import ipaddress

from jvp.core.errors import Invalid, Path, Rejected
from jvp.libvirt import hosts
from jvp.libvirt.hosts import Card, Host
from jvp.libvirt.networks import NetworkApi, range_of
from jvp.libvirt.node import Node
from jvp.libvirt.xml import Element, parse, value
from jvp.resources.instance.definition import device_at, mac_of
from jvp.resources.instance.model import Instance, Nic
from jvp.resources.network.definition import Ours


def wanted(root: Element, spec: Instance) -> dict[Card, Host]:
    """What the networks are to keep for the cards of `root`, the patched definition."""
    found: dict[Card, Host] = {}
    for nic in spec.nics:
        device = device_at(root, f"nics.{nic.name}")
        if nic.address is not None and device is not None:
            network, mac = value(device, "source/@network"), value(device, "mac/@address")
            if network and mac:
                found[network, mac.lower()] = Host(mac.lower(), nic.address)
    return found


def note(root: Element, before: set[Card], spec: Instance) -> None:
    """Write into `root`, which is then defined, what is kept and what is still to be taken out."""
    hosts.note_cards(root, before | wanted(root, spec).keys())


def converge(node: Node, before: set[Card], now: dict[Card, Host]) -> None:
    """Have every network keep what is wanted `now` and nothing else for the cards of `before`."""
    api, cards = NetworkApi(node), before | now.keys()
    for name in sorted({network for network, _ in cards}):
        network = api.named(name)
        if network is not None:
            here = {host for (where, _), host in now.items() if where == name}
            hosts.of_cards(network, {mac for where, mac in cards if where == name}, here)


def address(node: Node, card: Card, declared: str | None) -> str | None:
    """The address that a card's network keeps for it.

    Where the running network and its definition differ, the one that is not as `declared`: that is the drift.
    """
    network = NetworkApi(node).named(card[0])
    if network is None:
        return None
    found = declared
    for flags in (hosts.INACTIVE, 0) if network.isActive() else (hosts.INACTIVE,):
        root = parse(network.XMLDesc(flags))
        found = next((host.address for host in hosts.hosts_of(root) if host.mac == card[1]), None)
        if found != declared:
            break
    return found


def refuse(node: Node, spec: Instance, uuid: str, inactive: Element | None) -> None:
    """Raise for an address that its network cannot keep. `inactive` is the definition that there is."""
    api = NetworkApi(node)
    before = hosts.cards_of(inactive) if inactive is not None else set()
    for index, nic in enumerate(spec.nics):
        if nic.address is None or nic.network is None:
            continue
        path = ("nics", index, "address")
        network = api.by_reference(nic.network, ("nics", index, "network"))
        root, name = parse(network.XMLDesc(hosts.INACTIVE)), network.name()
        _refuse_place(root, name, nic.address, path)
        macs = {mac for where, mac in before if where == name} | {_mac(one, uuid, inactive) for one in spec.nics}
        _refuse_taken(root, name, nic.address, _mac(nic, uuid, inactive), macs, path)


def _mac(nic: Nic, uuid: str, inactive: Element | None) -> str:
    device = device_at(inactive, f"nics.{nic.name}") if inactive is not None else None
    there = value(device, "mac/@address") if device is not None else None
    return (nic.mac or there or mac_of(uuid, nic.name)).lower()


def _refuse_place(root: Element, name: str, address: str, path: Path) -> None:
    element = next((one for one in root.iterfind("ip") if one.get("family", "ipv4") == "ipv4"), None)
    if element is None or element.find("dhcp") is None:
        raise Rejected(f'network "{name}" hands out no IPv4 addresses; give it a cidr and dhcp', path=path)
    net, found = range_of(element), ipaddress.ip_address(address)
    if found not in net or found in (net.network_address, net.broadcast_address):
        raise Invalid(f'"{address}" is no address for a guest in {net} of the network "{name}"', path=path)
    if address == element.get("address"):
        raise Invalid(f'"{address}" is the gateway of the network "{name}"', path=path)


def _refuse_taken(root: Element, name: str, address: str, mac: str, own: set[str], path: Path) -> None:
    declared = Ours.recorded(root)
    for host in hosts.hosts_of(root):
        if host.mac == mac and declared is not None and host in declared:
            raise Invalid(f'the network "{name}" keeps {host.address} for this card in its reservations', path=path)
        if host.address == address and host.mac not in own:
            raise Invalid(f'the network "{name}" keeps "{address}" for {host.key} already', path=path)

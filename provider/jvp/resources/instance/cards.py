"""Addresses that networks keep for an instance's cards: there before it starts, and gone with it.

The domain notes for which cards it keeps addresses. What goes is taken out of the networks before the domain forgets
it, what comes is noted before it is put in: whatever is cut off in between, a later run or the delete finds it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from jvp.core.errors import Invalid, Path, Rejected
from jvp.libvirt import devices, hosts
from jvp.libvirt.devices import GIVEN_UP_FIRST
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


def drop(node: Node, cards: set[Card]) -> None:
    """Have the networks keep nothing for these cards; a network that is gone keeps nothing anyway."""
    for name, macs in _by_network(cards).items():
        network = NetworkApi(node).named(name)
        if network is not None:
            hosts.of_cards(network, macs, set())


def keep(node: Node, wanted: dict[Card, Host]) -> None:
    """Have the networks keep just that for these cards."""
    for name, macs in _by_network(wanted).items():
        network = NetworkApi(node).by_reference(name, ("nics",))
        hosts.of_cards(network, macs, {host for (where, _), host in wanted.items() if where == name})


def _by_network(cards: Iterable[Card]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, mac in sorted(cards):
        found.setdefault(name, set()).add(mac)
    return found


NOTHING = "0.0.0.0"
"""The address of a card for which one is declared and none is kept. (None would mean that none is declared, and a
program that gave one up in the middle of a crash would have nothing left to change.)"""


def address(node: Node, card: Card) -> str:
    """The address that a card's network keeps for it. NOTHING also where it runs unlike its definition: drift."""
    network = NetworkApi(node).named(card[0])
    if network is None:
        return NOTHING
    found = {_kept(parse(network.XMLDesc(hosts.INACTIVE)), card[1])}
    if network.isActive():
        found.add(_kept(parse(network.XMLDesc(0)), card[1]))
    return found.pop() if len(found) == 1 else NOTHING


def _kept(root: Element, mac: str) -> str:
    return next((host.address for host in hosts.hosts_of(root) if host.mac == mac), NOTHING)


def refuse(node: Node, spec: Instance, uuid: str, inactive: Element | None) -> None:
    """Raise for an address that its network cannot keep. `inactive` is the definition that there is."""
    api = NetworkApi(node)
    before = hosts.cards_of(inactive) if inactive is not None else set()
    for index, nic in enumerate(spec.nics):
        if nic.address is None or nic.network is None:
            continue
        path = ("nics", index, "address")
        network = api.by_reference(nic.network, ("nics", index, "network"))
        name = network.name()
        if not node.claims.take(f"{name}/{nic.address}"):
            raise Rejected(f'"{nic.address}" is given to another instance now', path=path)
        root = parse(network.XMLDesc(hosts.INACTIVE))
        _refuse_place(root, name, nic.address, path)
        macs = {mac for where, mac in before if where == name} | {_mac(one, uuid, inactive) for one in spec.nics}
        _refuse_taken(node, root, name, nic.address, _mac(nic, uuid, inactive), macs, path)


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


def _refuse_taken(node: Node, root: Element, name: str, address: str, mac: str, own: set[str], path: Path) -> None:
    declared = Ours.recorded(root)
    for host in hosts.hosts_of(root):
        if host.mac == mac and declared is not None and host in declared:
            raise Invalid(f'the network "{name}" keeps {host.address} for this card in its reservations', path=path)
        if host.address == address and host.mac not in own:
            who = devices.holder(node.connection, host.mac)
            whom = f'{host.key}, a card of "{who}"; {GIVEN_UP_FIRST}' if who else f"{host.key} already"
            raise Invalid(f'the network "{name}" keeps "{address}" for {whom}', path=path)

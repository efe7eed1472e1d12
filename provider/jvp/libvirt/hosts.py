"""DHCP hosts of networks: which address is kept for which card.

A network owns the hosts that it declared, an instance those of its cards; neither touches the other's, nor those of
anybody else.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

import libvirt

from jvp.core.identity import Mark
from jvp.core.types import IPNetwork, address_of, dashed
from jvp.libvirt import devices, marks
from jvp.libvirt.xml import Element, parse, text_of, value

_SECTION = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
_ADD, _DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
LIVE, CONFIG = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE, libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
INACTIVE = libvirt.VIR_NETWORK_XML_INACTIVE
CARDS = "addresses"
"""A fact of a domain's mark: for which of its cards it has put hosts into networks."""
Card = tuple[str, str]
"""A network's name and a MAC."""


@dataclass(frozen=True)
class Host:
    """An address that is kept for a MAC (lower case), with the name that the network's DNS gives it."""

    mac: str
    address: str
    name: str | None = None

    @property
    def key(self) -> str:
        """What the host is called: by its name, without one by its MAC."""
        return self.name or dashed(self.mac)

    def write(self, element: Element) -> None:
        """Put it into a `<host>`; what else that says stays."""
        for name, text in (("mac", self.mac), ("name", self.name), ("ip", self.address)):
            if text is None:
                element.attrib.pop(name, "")
            elif (element.get(name) or "").lower() != text.lower():
                element.set(name, text)


def host_of(element: Element) -> Host | None:
    """The host of a `<host>`, None when it is one by another mark than its MAC."""
    mac, address = element.get("mac"), element.get("ip")
    return Host(mac.lower(), address, element.get("name")) if mac and address else None


def hosts_of(root: Element) -> Iterator[Host]:
    """Every host by MAC in a network's XML."""
    for element in root.iterfind("ip/dhcp/host"):
        host = host_of(element)
        if host is not None:
            yield host


def converge(network: libvirt.virNetwork, ours: Container[Host]) -> None:
    """Bring those hosts of the running network that are `ours` to what its definition says."""
    running = parse(network.XMLDesc(0))
    now = {host for host in hosts_of(running) if host in ours}
    wanted = {host for host in hosts_of(parse(network.XMLDesc(INACTIVE))) if host in ours}
    change(network, running, now - wanted, wanted - now, LIVE)


def change(network: libvirt.virNetwork, root: Element, out: Iterable[Host], new: Iterable[Host], flags: int) -> None:
    """Take hosts out and put others in; `root` is the network's XML. Raises libvirtError.

    A host cannot change its address: it is deleted and added, and all go out first, for two may have swapped theirs.
    """
    families = [one.get("family", "ipv4") for one in root.iterfind("ip")]
    if "ipv4" not in families:
        return
    index = families.index("ipv4")
    for command, hosts in ((_DELETE, out), (_ADD, new)):
        for host in sorted(hosts, key=lambda one: one.mac):
            network.update(command, _SECTION, index, _text(host), flags)


def _text(host: Host) -> str:
    element = parse("<host/>")
    host.write(element)
    return text_of(element)


def cards_of(root: Element) -> set[Card]:
    """For which cards a domain (its inactive definition) keeps addresses."""
    rows = json.loads(marks.facts_of(root).get(CARDS) or "[]")
    return {(network, mac) for network, mac in rows}


def note_cards(root: Element, cards: set[Card]) -> None:
    """Write that into `root`, which is then defined; nothing where there is nothing to tell."""
    if cards == cards_of(root):
        return
    if marks.find(root) is None:
        marks.put(root, marks.element_of(Mark("", 0, acknowledged=True)))
    marks.set_fact(root, CARDS, json.dumps(sorted(cards), separators=(",", ":")) if cards else "")


def of_instances(connection: libvirt.virConnect) -> set[Card]:
    """For which cards the instances of a node keep addresses."""
    return set().union(*(cards_of(root) for _, root in devices.definitions(connection.listAllDomains(0))))


def outside(connection: libvirt.virConnect, root: Element, net: IPNetwork) -> Iterator[tuple[str, str, str]]:
    """Instances' cards for which a network (its XML) keeps an address that is not in `net`: the domain, card, address.

    libvirt takes such a host, and dnsmasq does not use it (measured).
    """
    network = value(root, "name") or ""
    kept = {(network, host.mac): host.address for host in hosts_of(root) if address_of(host.address) not in net}
    for domain, definition in devices.definitions(connection.listAllDomains(0)) if kept else ():
        noted = cards_of(definition)
        for device in definition.iterfind("devices/interface"):
            card = network, (value(device, "mac/@address") or "").lower()
            if card in noted and card in kept:
                name = (devices.alias_of(device) or card[1]).removeprefix(devices.NIC_ALIAS)
                yield domain.name(), name, kept[card]


def of_cards(network: libvirt.virNetwork, macs: set[str], wanted: set[Host]) -> None:
    """Have a network keep `wanted` for the cards with these MACs, and nothing else for them."""
    for read, write in ((INACTIVE, CONFIG), (0, LIVE)):
        if write == CONFIG or network.isActive():
            root = parse(network.XMLDesc(read))
            now = {host for host in hosts_of(root) if host.mac in macs}
            change(network, root, now - wanted, wanted - now, write)

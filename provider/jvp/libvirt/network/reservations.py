"""DHCP hosts of networks: which address is kept for which card.

A network owns the hosts that it declared, an instance those of its cards; neither touches the other's, nor those of
anybody else.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Container, Iterable, Iterator, Set
from dataclasses import dataclass

import libvirt

from jvp.core.identity import Mark
from jvp.core.types import IPNetwork, address_of, dashed
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles, marks, told
from jvp.libvirt.link.xml import Element, parse, text_of, value

_SECTION = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
_ADD, _DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
LIVE, CONFIG = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE, libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
INACTIVE = libvirt.VIR_NETWORK_XML_INACTIVE
CARDS = "addresses"
"""A fact of a domain's mark: the hosts that it has put into networks for its cards."""
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
    mac, address = element.get("mac"), told.address(element.get("ip"))
    return Host(mac.lower(), address, element.get("name")) if mac and address else None


def hosts_of(root: Element) -> Iterator[Host]:
    """Every host by MAC in a network's XML."""
    for element in root.iterfind("ip/dhcp/host"):
        host = host_of(element)
        if host is not None:
            yield host


RESTART_FROM = 16
"""So many steps on a running network take seconds, some 0.3 s each; to stop and start it takes 0.4 s."""


def steps_to(network: handles.Network, root: Element, ours: Container[Host]) -> int:
    """How many steps lead from those hosts of the running network that are `ours` to those in `root`."""
    now, wanted = ({host for host in hosts_of(one) if host in ours} for one in (parse(network.XMLDesc(0)), root))
    return len(now ^ wanted)


def converge(work: Work, network: handles.Network, ours: Container[Host]) -> None:
    """Bring those hosts of the running network that are `ours` to what its definition says."""
    running = parse(network.XMLDesc(0))
    now = {host for host in hosts_of(running) if host in ours}
    wanted = {host for host in hosts_of(parse(network.XMLDesc(INACTIVE))) if host in ours}
    change(work, network, running, now - wanted, wanted - now, LIVE)


def change(
    work: Work, network: handles.Network, root: Element, out: Iterable[Host], new: Iterable[Host], flags: int
) -> None:
    """Take hosts out and put others in; `root` is the network's XML. Raises libvirtError, Busy at the deadline.

    Each step is a call, of some 0.3 s where the network runs: libvirt takes one host at a time.
    """
    families = [one.get("family", "ipv4") for one in root.iterfind("ip")]
    if "ipv4" not in families:
        return
    index = families.index("ipv4")
    every, before = list(steps(out, new)), None
    for number, (command, host) in enumerate(every):
        if len(every) >= RESTART_FROM:
            work.status(f"keeping addresses, {number} of {len(every)} steps")
        if host.mac != before:  # else its address would be free until the next run
            work.go_on(f"{number} of {len(every)} steps to the addresses that it keeps are taken; run again to go on")
        network.update(command, _SECTION, index, _text(host), flags)
        before = host.mac


def steps(out: Iterable[Host], new: Iterable[Host]) -> Iterator[tuple[int, Host]]:
    """What leads from the hosts `out` to the hosts `new`, one by one.

    A host cannot change: it is deleted and added. One is back before the next goes, so that no address is free
    meanwhile, but where two exchange theirs.
    """
    gone: dict[str, list[Host]] = {}
    for host in sorted(out, key=lambda one: one.mac):
        gone.setdefault(host.mac, []).append(host)
    waiting = {host.mac: host for host in sorted(new, key=lambda one: one.mac)}
    for mac in sorted(gone.keys() - waiting.keys()):
        yield from ((_DELETE, host) for host in gone.pop(mac))
    while waiting:
        held = {text: host.mac for old in gone.values() for host in old for text in (host.address, host.name)}
        free = [
            mac for mac, host in waiting.items()
            if {held.get(text, mac) for text in (host.address, host.name) if text} == {mac}
        ]  # fmt: skip
        for mac in free:
            yield from ((_DELETE, host) for host in gone.pop(mac, []))
            yield _ADD, waiting.pop(mac)
        if not free:
            first = next(mac for mac in waiting if mac in gone)
            yield from ((_DELETE, host) for host in gone.pop(first))


def _text(host: Host) -> str:
    element = parse("<host/>")
    host.write(element)
    return text_of(element)


def kept_of(root: Element) -> dict[Card, Host]:
    """What a domain (its inactive definition) has networks keep for its cards, as it was last declared.

    An older version of us did not write down the address.
    """
    rows = told.json_of(marks.facts_of(root).get(CARDS) or "[]")
    with contextlib.suppress(ValueError, TypeError):
        full = ([*row, "", None][:4] for row in rows)
        return {
            (str(network), str(mac)): Host(str(mac), told.address(address) or "", name if name is None else str(name))
            for network, mac, address, name in full
        }
    return {}


def cards_of(root: Element) -> set[Card]:
    """For which cards a domain (its inactive definition) keeps addresses."""
    return set(kept_of(root))


def note_cards(root: Element, kept: dict[Card, Host]) -> None:
    """Write that into `root`, which is then defined; nothing where there is nothing to tell."""
    if kept == kept_of(root):
        return
    if marks.find(root) is None:
        marks.put(root, marks.element_of(Mark("", 0, acknowledged=True)))
    rows = [[*card, host.address, *([host.name] if host.name else [])] for card, host in sorted(kept.items())]
    marks.set_fact(root, CARDS, json.dumps(rows, separators=(",", ":")) if rows else "")


def of_instances(connection: handles.Connection) -> set[Card]:
    """For which cards the instances of a node keep addresses."""
    return set().union(*(cards_of(root) for _, root in devices.definitions(connection.listAllDomains(0))))


def outside(connection: handles.Connection, root: Element, net: IPNetwork) -> Iterator[tuple[str, str, str]]:
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


def of_cards(
    work: Work, network: handles.Network, macs: set[str], wanted: set[Host], over: Set[str] = frozenset()
) -> None:
    """Have a network keep `wanted` for the cards with these MACs, and nothing else for them.

    What is kept for the MACs in `over` gives way where it is in the way.
    """
    words = {text for host in wanted for text in (host.address, host.name) if text}
    for read, write in ((INACTIVE, CONFIG), (0, LIVE)):
        if write == CONFIG or network.isActive():
            root = parse(network.XMLDesc(read))
            now = {
                host for host in hosts_of(root)
                if host.mac in macs or (host.mac in over and words & {host.address, host.name})
            }  # fmt: skip
            change(work, network, root, now - wanted, wanted - now, write)

"""Addresses and names that networks keep for an instance's cards: there before it starts, and gone with it.

The domain notes what it has networks keep. What goes is taken out of the networks before the domain forgets it, what
comes is noted before it is put in: whatever is cut off in between, a later run or the delete finds it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from typing import Any

from jvp.core.errors import Busy, Invalid, Path, Rejected
from jvp.core.work import Work
from jvp.libvirt.domain import addresses
from jvp.libvirt.domain.devices import GIVEN_UP_FIRST
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.ranges import range_of
from jvp.libvirt.link.xml import Element, parse, value
from jvp.libvirt.network import reservations
from jvp.libvirt.network.networks import NetworkApi
from jvp.libvirt.network.reservations import Card, Host
from jvp.libvirt.node_view import View
from jvp.resources.instance.definition import device_at, mac_of, nic_key
from jvp.resources.instance.model import GuestAddress, Instance, InstanceState
from jvp.resources.instance.nic_model import Nic
from jvp.resources.network.definition import Ours

HAD_S = 20.0
"""So long an instance whose address another one of its program has waits for that one to give it up."""


def wanted(root: Element, spec: Instance) -> dict[Card, Host]:
    """What the networks are to keep for the cards of `root`, the patched definition."""
    found: dict[Card, Host] = {}
    for nic in spec.nics:
        device = device_at(root, f"nics.{nic.name}")
        if nic.address is not None and device is not None:
            network, mac = value(device, "source/@network"), value(device, "mac/@address")
            if network and mac:
                found[network, mac.lower()] = Host(mac.lower(), nic.address, nic.hostname)
    return found


def drop(work: Work, node: Node, cards: set[Card]) -> None:
    """Have the networks keep nothing for these cards; a network that is gone keeps nothing anyway."""
    for name, macs in _by_network(cards).items():
        network = NetworkApi(node).named(name)
        if network is not None:
            with node.turn(work, f'the addresses of "{name}"'):
                reservations.of_cards(work, network, macs, set())


def keep(work: Work, node: Node, wanted: dict[Card, Host], over: set[Card], given_up: set[str]) -> None:
    """Have the networks keep just that for these cards, also where it is kept for the cards in `over`.

    A name that somebody else gave to one of the cards stays, unless it is one that the program has `given_up`.
    """
    for name, macs in _by_network(wanted).items():
        network = NetworkApi(node).by_reference(name, ("nics",))
        with node.turn(work, f'the addresses of "{name}"'):
            root = parse(network.XMLDesc(reservations.INACTIVE))
            named = {host.mac: host.name for host in reservations.hosts_of(root) if host.name not in given_up}
            new = {
                host if host.name else dataclasses.replace(host, name=named.get(mac))
                for (where, mac), host in wanted.items() if where == name
            }  # fmt: skip
            others = {mac for where, mac in over if where == name}
            _tell(work, View(node), name, root, others, new)
            reservations.of_cards(work, network, macs, new, others)


def _tell(work: Work, view: View, network: str, root: Element, others: set[str], new: set[Host]) -> None:
    """Say whose addresses are taken over: a program that gives one address twice by mistake hears of it."""
    words = {text for host in new for text in (host.address, host.name)}
    for host in reservations.hosts_of(root):
        if host.mac in others and {host.address, host.name} & words and (who := _holder(view, (network, host.mac))):
            work.warn(f'{host.address} was kept for a card of "{who[0].name()}", and is this instance\'s from now on')


def names_of(root: Element | None, prior: InstanceState | None) -> set[str]:
    """The host names that the instance has given to its cards so far."""
    noted = reservations.kept_of(root).values() if root is not None else ()
    declared = prior.nics if prior is not None else ()
    return {name for name in (*(host.name for host in noted), *(nic.hostname for nic in declared)) if name}


def _by_network(cards: Iterable[Card]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, mac in sorted(cards):
        found.setdefault(name, set()).add(mac)
    return found


NOTHING = "0.0.0.0"
"""The address of a card for which one is declared and none is kept. (None would mean that none is declared, and a
program that gave one up in the middle of a crash would have nothing left to change.)"""


def kept(view: View, card: Card) -> Host:
    """What a card's network keeps for it. NOTHING also where it runs unlike its definition: drift."""
    nothing = Host(card[1], NOTHING)
    found = {_kept(root, card[1]) for root in view.network_roots(card[0])}
    same = {host.address for host in found}
    if len(same) != 1:
        return nothing
    one = found.pop()
    return dataclasses.replace(one, name=None if found else one.name)


def _kept(root: Element, mac: str) -> Host:
    return next((host for host in reservations.hosts_of(root) if host.mac == mac), Host(mac, NOTHING))


@dataclasses.dataclass(frozen=True)
class _Card:
    """A card that is to have an address: where the program says so, and what the network is to keep for it."""

    index: int
    network: str
    host: Host
    own: frozenset[str]
    """The MACs of all of the instance's cards on that network, now and before."""
    had: Host | None
    """What the instance declared last for the card."""
    is_planned: bool
    """Whether this is a plan, which waits for nobody."""

    @property
    def path(self) -> Path:
        return ("nics", self.index, "address")


def refuse(work: Work, view: View, spec: Instance, uuid: str, inactive: Element | None, stack: str) -> set[Card]:
    """Raise for what a network cannot keep. `inactive` is the definition that there is, `stack` whose it is.

    A plan of a new instance has no `uuid`.

    Returned is for which cards of the same program's instances addresses are kept that this one changes to: they go to
    who is to have them, for no call sees what the plan has for the others.
    """
    before = reservations.kept_of(inactive) if inactive is not None else {}
    over: set[Card] = set()
    for index, nic in enumerate(spec.nics):
        if nic.address is None or nic.network is None:
            continue
        network = view.network(nic.network, ("nics", index, "network"))
        name, mac = network.name(), _mac(nic, uuid, inactive)
        macs = {mac for where, mac in before if where == name} | {_mac(one, uuid, inactive) for one in spec.nics}
        host = Host(mac, nic.address, nic.hostname)
        card = _Card(index, name, host, frozenset(macs), before.get((name, mac)), not uuid)
        if not view.node.claims.take(f"{name}/{nic.address}"):
            raise Rejected(f'"{nic.address}" is given to another instance now', path=card.path)
        root = parse(network.XMLDesc(reservations.INACTIVE))
        _refuse_place(root, name, nic.address, card.path)
        # A look at the domains that is later than the claim and the network: what those tell is written down by then.
        over |= {(name, other) for other in _taken(work, view.fresh(), network, root, card, stack)}
    return over


def _mac(nic: Nic, uuid: str, inactive: Element | None) -> str:
    device = device_at(inactive, f"nics.{nic.name}") if inactive is not None else None
    there = value(device, "mac/@address") if device is not None else None
    return (nic.mac or there or mac_of(uuid, nic.name)).lower()


def _refuse_place(root: Element, name: str, address: str, path: Path) -> None:
    element = next((one for one in root.iterfind("ip") if one.get("family", "ipv4") == "ipv4"), None)
    if element is None or element.find("dhcp") is None:
        raise Rejected(f'network "{name}" hands out no IPv4 addresses; give it a cidr and dhcp', path=path)
    net, found = range_of(element), ipaddress.ip_address(address)
    if net is None or found not in net or found in (net.network_address, net.broadcast_address):
        raise Invalid(f'"{address}" is no address for a guest in {net} of the network "{name}"', path=path)
    if address == element.get("address"):
        raise Invalid(f'"{address}" is the gateway of the network "{name}"', path=path)


def _taken(work: Work, view: View, network: handles.Network, root: Element, card: _Card, stack: str) -> set[str]:
    """The MACs of the cards of the same program for which what the card is to have is kept. Raises for any others.

    Only what an instance noted is its to give up: a host for its card that somebody else put there is not.
    """
    over: set[str] = set()
    declared = Ours.recorded(root)
    for host in reservations.hosts_of(root):
        if host.mac == card.host.mac and declared is not None and host in declared:
            why = f'the network "{card.network}" keeps {host.address} for this card in its reservations'
            raise Invalid(why, path=card.path)
        text = next((text for text in (card.host.address, card.host.name) if text in (host.address, host.name)), None)
        if text is None or host.mac in card.own:
            continue
        path = card.path if text == card.host.address else ("nics", card.index, "hostname")
        is_declared = declared is not None and host in declared
        who = _holder(view, (card.network, host.mac)) if not is_declared else None
        if who is None and not _keeps(network, host):
            continue  # given up since
        whom = f'{host.key}, a card of "{who[0].name()}"; {GIVEN_UP_FIRST}' if who else f"{host.key} already"
        why = f'the network "{card.network}" keeps "{text}" for {whom}'
        if who is None or not stack or marks.stack_of(who[1]) != stack:
            raise Invalid(why, path=path)
        noted = reservations.kept_of(who[1])[card.network, host.mac]
        if card.had is not None and text in (card.had.address, card.had.name):
            too = f'"{text}" is what the instance "{who[0].name()}" declares too; each needs its own'
            _wait_for(work, network, host, text, who[0].name(), Invalid(too, path=path))
            view = view.fresh()
        elif text not in (noted.address or card.host.address, noted.name) and not card.is_planned:
            # It notes another one: it is on its way to that, or somebody else edited what is kept for it.
            _wait_for(work, network, host, text, who[0].name(), Invalid(why, path=path))
            view = view.fresh()
        else:
            over.add(host.mac)
    return over


def _holder(view: View, card: Card) -> tuple[handles.Domain, Element] | None:
    """The instance that noted that the card's network keeps an address for it."""
    return next(((domain, root) for domain, root in view.definitions if card in reservations.cards_of(root)), None)


def _keeps(network: handles.Network, host: Host) -> bool:
    return host in reservations.hosts_of(parse(network.XMLDesc(reservations.INACTIVE)))


def _wait_for(work: Work, network: handles.Network, host: Host, text: str, who: str, error: Invalid) -> None:
    """Another instance has what this one is to have; it may give it up in this run. Raises `error` if it does not."""
    work.status(f'waiting for "{who}" to give up {text}')

    try:
        work.until(lambda: not _keeps(network, host), limit_s=HAD_S, every_s=0.5, what="")
    except Busy:
        raise error from None


def addresses_of(
    domain: handles.Domain, live: Element, active: bool, prior: InstanceState | None, *, managed: bool
) -> dict[str, Any]:
    """The addresses of the guest that are known, and the first of them, for its state.

    Of a machine that is not ours the agent is not asked: its patience would have to be set first.

    How an address was first known is how it is known: leases lapse and agents fall silent, and nothing has changed.
    """
    names = {value(card, "mac/@address"): nic_key(card) for card in live.iterfind("devices/interface")}
    first_known = {(one.mac, one.address): one.source for one in (prior.addresses if prior is not None else ())}
    found = [
        GuestAddress(
            nic=names.get(one.mac),
            mac=one.mac,
            address=one.address,
            source=first_known.get((one.mac, one.address), one.source),
        )
        for one in (addresses.addresses(domain, live, ask_agent=managed) if active else [])
    ]
    first = next((one.address for one in found if ":" not in one.address), None)
    return {"addresses": found, "ip_address": first}

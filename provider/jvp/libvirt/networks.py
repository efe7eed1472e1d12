"""Networks through libvirt: finding, defining, live DHCP ranges, and what a restart does to the guests."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import libvirt

from jvp.core.errors import Busy, NotFound, Path, Rejected
from jvp.core.identity import Mark
from jvp.core.types import IPNetwork, is_uuid, shortened
from jvp.core.work import Work, current
from jvp.libvirt import devices, marks, told
from jvp.libvirt.disks import refuse_saved
from jvp.libvirt.domains import DomainApi
from jvp.libvirt.errors import Gone, is_gone, seen_to_go
from jvp.libvirt.looks import Looks
from jvp.libvirt.node import Node
from jvp.libvirt.pools import listed
from jvp.libvirt.xml import Element, parse, text_of, value

REPLUG = "its network was restarted and the guest did not let go of the card; takes effect at the next power cycle"
AT_ONCE = 8
"""So many guests are asked to let go of their cards at the same time."""
GuestCards = tuple[libvirt.virDomain, list[Element]]


@dataclass(frozen=True)
class Seen:
    """A network of anybody, as one look at all of them found it: running as it runs, else as it is defined."""

    uuid: str
    name: str
    mode: str | None
    bridge: str | None
    ranges: tuple[IPNetwork, ...]


class NetworkApi:
    """The calls on networks of one node. Raise libvirtError unless they say otherwise."""

    INACTIVE: ClassVar[int] = libvirt.VIR_NETWORK_XML_INACTIVE
    NONE: ClassVar[str] = "none"

    def __init__(self, node: Node) -> None:
        self.node = node
        self._looks = Looks()
        self._seen: tuple[Seen, ...] = ()
        self._used: frozenset[str | None] = frozenset()

    def find(self, uuid: str) -> libvirt.virNetwork | None:
        """The network with this uuid, None when there is none."""
        try:
            return self.node.connection.networkLookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.NETWORK):
                return None
            raise

    def found(self, uuid: str) -> tuple[libvirt.virNetwork, Element] | None:
        """The network with this uuid and its inactive definition, None when there is none."""
        try:
            network = self.node.connection.networkLookupByUUIDString(uuid)
            return network, self.inactive(network)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.NETWORK):
                return None
            raise

    def definitions(self) -> Iterator[tuple[libvirt.virNetwork, str]]:
        """Every network with the XML of its running definition; one that somebody removes meanwhile is left out."""
        for network in self.node.connection.listAllNetworks(0):
            try:
                text = network.XMLDesc(0)
            except libvirt.libvirtError as error:
                if is_gone(error, Gone.NETWORK):
                    continue
                raise
            yield network, text

    def seen(self) -> tuple[Seen, ...]:
        """Every network. Costs a call for each: calls that ask at the same time share them."""
        self._looks.share(current(), "networks", self._see)
        return self._seen

    def _see(self) -> None:
        self._seen = tuple(_seen(text) for _, text in self.definitions())

    def inactive(self, network: libvirt.virNetwork) -> Element:
        """What the network will be at its next start: with our mark, which libvirt keeps nowhere else."""
        return parse(network.XMLDesc(self.INACTIVE))

    def mark_of(self, network: libvirt.virNetwork) -> Mark | None:
        """Our mark of the network, None of one that we did not make. Raises NotFound when it is gone."""
        with seen_to_go(Gone.NETWORK):
            return marks.mark_of(self.inactive(network))

    def named(self, name: str) -> libvirt.virNetwork | None:
        """The network with this name, None when there is none."""
        try:
            return self.node.connection.networkLookupByName(name)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.NETWORK):
                return None
            raise

    def by_reference(self, reference: str, path: Path) -> libvirt.virNetwork:
        """The network of an id or name. Raises NotFound with the names that exist."""
        found = self.find(reference) if is_uuid(reference) else None
        if found is not None:
            return found
        networks = self.node.connection.listAllNetworks(0)
        for network in networks:
            if network.name() == reference:
                return network
        names = listed(network.name() for network in networks)
        raise NotFound(f'there is no network "{shortened(reference)}" on the node; there are: {names}', path=path)

    def interface(self, name: str) -> str | None:
        """The type of a network interface of the node: `bridge`, `ethernet`. NONE without one of this name.

        None where the daemon cannot tell.
        """
        try:
            return parse(self.node.connection.interfaceLookupByName(name).XMLDesc(0)).get("type")
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.INTERFACE):
                return self.NONE
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
        return None

    def connected(self, network: libvirt.virNetwork) -> list[str]:
        """The names of the running guests with a card on it, ours or not."""
        if not network.isActive():
            return []
        owners = (value(parse(port.XMLDesc(0)), "owner/name") for port in network.listAllPorts())
        return sorted({name for name in owners if name})

    def runs_under(self, name: str) -> bool:
        """Whether a running guest has a card on a network of this name, which may be gone. Costs a call for each guest:
        shared, too."""
        self._looks.share(current(), "running guests", self._see_guests)
        return name in self._used

    def _see_guests(self) -> None:
        self._used = frozenset(
            value(card, "source/@network")
            for _, root in devices.running(self.node.connection)
            for card in root.iterfind("devices/interface")
        )

    def define(self, root: Element) -> libvirt.virNetwork:
        """Define or redefine by the uuid in `root`."""
        return self.node.connection.networkDefineXML(text_of(root))

    def start(self, network: libvirt.virNetwork) -> None:
        """Start it; running already is fine."""
        try:
            network.create()
        except libvirt.libvirtError:
            if not network.isActive():
                raise

    def remove(self, uuid: str) -> None:
        """Stop and undefine; gone already is fine."""
        network = self.find(uuid)
        if network is None:
            return
        try:
            if network.isActive():
                network.destroy()
            if network.isPersistent():
                network.undefine()
        except libvirt.libvirtError as error:
            if not is_gone(error, Gone.NETWORK):
                raise

    def acknowledge(self, root: Element) -> None:
        """Note in the network, and in `root` (its inactive definition), that an engine's state has the object.

        Best effort, and nothing when it is noted or foreign.
        """
        mark = marks.mark_of(root)
        if mark is not None and not mark.acknowledged:
            marks.acknowledge(root)
            with contextlib.suppress(libvirt.libvirtError):
                self.define(root)

    def update_ranges(self, network: libvirt.virNetwork) -> None:
        """Bring the running network's DHCP ranges to those of its definition.

        A range cannot be modified, only added and deleted. Source: virNetworkUpdate.
        """
        wanted = _ranges(parse(network.XMLDesc(self.INACTIVE)))
        section, live = libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
        for index, running in enumerate(_ranges(parse(network.XMLDesc(0)))):
            for command, text in _range_steps(running, wanted[index] if index < len(wanted) else running):
                network.update(command, section, index, text, live)


def _range_steps(running: list[str], wanted: list[str]) -> Iterator[tuple[int, str]]:
    """What leads from one list to the other, in its order: the first range is the one that a program declares."""
    add = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
    if running[:1] != wanted[:1]:
        running, wanted, add = running[::-1], wanted[::-1], libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_FIRST
    same = next((at for at, pair in enumerate(zip(running, wanted, strict=False)) if pair[0] != pair[1]), None)
    if same is None:
        same = min(len(running), len(wanted))
    yield from ((libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, text) for text in running[same:])
    yield from ((add, text) for text in wanted[same:])


@functools.lru_cache(1024)
def _seen(text: str) -> Seen:
    """From the XML of a network, which most looks find as the one before did."""
    root = parse(text)
    uuid, name, mode, bridge = (value(root, path) for path in ("uuid", "name", "forward/@mode", "bridge/@name"))
    return Seen(uuid or "", name or "", mode, bridge, tuple(ranges_of(root)))


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


def _ranges(root: Element) -> list[list[str]]:
    """The DHCP ranges of each `<ip>`, in their order."""
    return [[text_of(one).strip() for one in element.iterfind("dhcp/range")] for element in root.iterfind("ip")]


class Restart:
    """The guests on a network that stops: their NICs lose the bridge and must be plugged in again.

    That a restart began is noted in the network's mark, so that a later run finishes what a crash cut off.
    """

    _FACT = "restarting"

    def __init__(self, node: Node, network: libvirt.virNetwork) -> None:
        self.node, self.network, self.name = node, network, network.name()

    @classmethod
    def is_noted(cls, root: Element) -> bool:
        """Whether a restart of this network (its inactive XML) was begun and not finished."""
        return cls._FACT in marks.facts_of(root)

    @classmethod
    def note(cls, root: Element) -> None:
        """Write into `root`, which is then defined, that a restart begins. A network that was imported has no mark."""
        if marks.find(root) is None:
            marks.put(root, marks.element_of(Mark("", 0)))
        marks.set_fact(root, cls._FACT, "yes")

    def finish(self, work: Work) -> None:
        """Plug the guests' NICs in again when a restart was noted, and take the note away."""
        root = parse(self.network.XMLDesc(NetworkApi.INACTIVE))
        if not self.is_noted(root):
            return
        self._warn_of_others(work)
        guests = list(self._guests())
        for domain, _ in guests:
            work.status(f'plugging "{domain.name()}" into network "{self.name}" again')
        # All of them are cut off until then: one that does not answer keeps no other waiting.
        for (domain, _), held in zip(guests, self._each(functools.partial(devices.replug, work), guests), strict=True):
            for nic in held:
                self._defer(work, domain, nic)
        element = marks.find(root)
        assert element is not None
        element.attrib.pop(self._FACT)
        if marks.is_empty(root):
            marks.drop(root)
        self.network.connect().networkDefineXML(text_of(root))

    def _warn_of_others(self, work: Work) -> None:
        """Guests that jvp does not manage are not touched."""
        running = devices.definitions(self._domains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))
        others = sorted(domain.name() for domain, root in running if not devices.is_ours(root) and self._of(root))
        if others:
            work.warn(
                f'{", ".join(others)} of others on network "{self.name}" lost their bridge when that stopped, until '
                "the next power cycle or until the card is plugged in again"
            )

    def _defer(self, work: Work, domain: libvirt.virDomain, nic: Element) -> None:
        """A guest that does not let go of its NIC gets it back with its next power cycle: said now, and noted."""
        alias = devices.alias_of(nic) or ""
        ours = alias.startswith(devices.NIC_ALIAS)
        card = alias.removeprefix(devices.NIC_ALIAS) if ours else (value(nic, "mac/@address") or "").replace(":", "-")
        work.warn(
            f'"{domain.name()}" does not let go of its card "{card}" to be plugged into network "{self.name}" again; '
            "it is cut off until its next power cycle"
        )
        DomainApi(self.node).defer(domain, f"nics.{card}", REPLUG)

    def release(self, work: Work) -> None:
        """Before the network goes: unplug the NICs of our own instances. Raises Rejected for those of others.

        Source of the need: an engine deletes a network before it updates the instance that gave it up.
        """
        users = devices.definitions(self._domains())
        using = [(domain, root) for domain, root in users if self._of(root) or self._of(_live(domain, root))]
        foreign = sorted(domain.name() for domain, root in using if not devices.is_ours(root))
        if foreign:
            raise Rejected(f'network "{self.name}" is used by {", ".join(foreign)}, which jvp does not manage')
        refuse_saved(self.network.connect(), f'network "{self.name}"', lambda root: bool(self._of(root)))
        running = []
        for domain, root in using:
            for nic in self._of(root):
                parent = nic.getparent()
                assert parent is not None
                parent.remove(nic)
            domain.connect().defineXML(text_of(root))
            if domain.isActive():
                running.append((domain, self._of(devices.live_xml(domain))))
        held = self._each(functools.partial(devices.unplug_all, work), running)
        names = [domain.name() for (domain, _), nics in zip(running, held, strict=True) if nics]
        if names:
            holding = ", ".join(f'"{name}" does not let go of its NIC' for name in names)
            raise Busy(f'network "{self.name}" is in use: {holding}')

    def _each(
        self, step: Callable[[libvirt.virDomain, list[Element]], list[Element]], guests: list[GuestCards]
    ) -> list[list[Element]]:
        """Take a step with each guest and its cards, with several guests at the same time."""
        with ThreadPoolExecutor(AT_ONCE) as workers:
            return list(workers.map(lambda one: step(*one), guests))

    def _guests(self) -> Iterator[GuestCards]:
        """Our running guests with a card on the network."""
        for domain, root in devices.definitions(self._domains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)):
            if devices.is_ours(root) and (nics := self._of(_live(domain, root))):
                yield domain, nics

    def _domains(self, flags: int = 0) -> list[libvirt.virDomain]:
        domains: list[libvirt.virDomain] = self.node.connection.listAllDomains(flags)
        return domains

    def _of(self, root: Element) -> list[Element]:
        return _cards(root, self.name)


def _cards(root: Element, network: str) -> list[Element]:
    return [nic for nic in root.iterfind("devices/interface") if value(nic, "source/@network") == network]


def _live(domain: libvirt.virDomain, inactive: Element) -> Element:
    """The running definition; of a domain that somebody removed meanwhile the one that it had."""
    try:
        return devices.live_xml(domain)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.DOMAIN):
            return inactive
        raise

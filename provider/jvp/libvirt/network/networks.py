"""Networks through libvirt: finding, looking at all of them, defining, live DHCP ranges."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import libvirt

from jvp.core.errors import NotFound, Path
from jvp.core.identity import Mark
from jvp.core.types import IPNetwork, is_uuid, shortened
from jvp.core.words import listed
from jvp.core.work import current
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import Gone, is_gone, seen_to_go, unless_gone
from jvp.libvirt.link.looks import Looks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.ranges import ranges_of
from jvp.libvirt.link.xml import Element, parse, text_of, value


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

    def find(self, uuid: str) -> handles.Network | None:
        """The network with this uuid, None when there is none."""
        try:
            return self.node.connection.networkLookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.NETWORK):
                return None
            raise

    def found(self, uuid: str) -> tuple[handles.Network, Element] | None:
        """The network with this uuid and its inactive definition, None when there is none."""
        try:
            network = self.node.connection.networkLookupByUUIDString(uuid)
            return network, self.inactive(network)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.NETWORK):
                return None
            raise

    def definitions(self) -> Iterator[tuple[handles.Network, str]]:
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
        return self._looks.share(current(), "networks", self._see)

    def _see(self) -> tuple[Seen, ...]:
        return tuple(_seen(text) for _, text in self.definitions())

    def inactive(self, network: handles.Network) -> Element:
        """What the network will be at its next start: with our mark, which libvirt keeps nowhere else."""
        return parse(network.XMLDesc(self.INACTIVE))

    def mark_of(self, network: handles.Network) -> Mark | None:
        """Our mark of the network, None of one that we did not make. Raises NotFound when it is gone."""
        with seen_to_go(Gone.NETWORK):
            return marks.mark_of(self.inactive(network))

    def named(self, name: str) -> handles.Network | None:
        """The network with this name, None when there is none."""
        try:
            return self.node.connection.networkLookupByName(name)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.NETWORK):
                return None
            raise

    def by_reference(self, reference: str, path: Path) -> handles.Network:
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

    def connected(self, network: handles.Network) -> list[str]:
        """The names of the running guests with a card on it, ours or not."""
        if not network.isActive():
            return []
        owners = (value(parse(port.XMLDesc(0)), "owner/name") for port in network.listAllPorts())
        return sorted({name for name in owners if name})

    def runs_under(self, name: str) -> bool:
        """Whether a running guest has a card on a network of this name, which may be gone. Costs a call for each guest:
        shared, too."""
        return name in self._looks.share(current(), "running guests", self._see_guests)

    def _see_guests(self) -> frozenset[str | None]:
        return frozenset(
            value(card, "source/@network")
            for _, root in devices.running(self.node.connection)
            for card in root.iterfind("devices/interface")
        )

    def users(self, name: str) -> set[str]:
        """The uuids of the domains with a card on a network of this name, as they run or as they will. Costs a call or
        two for each domain: shared, too."""
        return self._looks.share(current(), "domains", self._see_domains).get(name, set())

    def _see_domains(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for domain in self.node.connection.listAllDomains(0):
            for name in _networks_of(domain):
                found.setdefault(name, set()).add(domain.UUIDString())
        return found

    def define(self, root: Element) -> handles.Network:
        """Define or redefine by the uuid in `root`."""
        return self.node.connection.networkDefineXML(text_of(root))

    def start(self, network: handles.Network) -> None:
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
        with unless_gone(Gone.NETWORK):
            if network.isActive():
                network.destroy()
            if network.isPersistent():
                network.undefine()

    def acknowledge(self, root: Element) -> None:
        """Note in the network, and in `root` (its inactive definition), that an engine's state has the object.

        Best effort, and nothing when it is noted or foreign.
        """
        mark = marks.mark_of(root)
        if mark is not None and not mark.acknowledged:
            marks.acknowledge(root)
            with contextlib.suppress(libvirt.libvirtError):
                self.define(root)

    def update_ranges(self, network: handles.Network, running: Element, wanted: Element) -> None:
        """Bring the DHCP ranges of a network from how it runs to its definition.

        A range cannot be modified, only added and deleted. Source: virNetworkUpdate.
        """
        then = _ranges(wanted)
        section, live = libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
        for index, now in enumerate(_ranges(running)):
            for command, text in _range_steps(now, then[index] if index < len(then) else now):
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


def _ranges(root: Element) -> list[list[str]]:
    """The DHCP ranges of each `<ip>`, in their order."""
    return [[text_of(one).strip() for one in element.iterfind("dhcp/range")] for element in root.iterfind("ip")]


def _networks_of(domain: handles.Domain) -> set[str]:
    """The networks that a listed domain has cards on, as it will and as it does run; none when it is gone."""
    try:
        texts = [
            domain.XMLDesc(flags) for flags in ((devices.INACTIVE, 0) if domain.ID() >= 0 else (devices.INACTIVE,))
        ]
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.DOMAIN):
            return set()
        raise
    cards = (card for text in texts for card in parse(text).iterfind("devices/interface"))
    return {name for card in cards if (name := value(card, "source/@network"))}

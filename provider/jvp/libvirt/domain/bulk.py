"""All domains at once, for lists."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import libvirt

from jvp.libvirt.domain import devices, guest
from jvp.libvirt.link import handles, told
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.ranges import ranges_of
from jvp.libvirt.link.xml import Element, number, parse, value

_KIB = 1024


@dataclass
class SeenDomain:
    """A domain of anybody in a list."""

    id: str
    name: str
    state: str | None
    root: Element | None = None
    """Its inactive definition, where that was asked for."""

    @property
    def cpus(self) -> int | None:
        return None if self.root is None else told.number(value(self.root, "vcpu/@current") or value(self.root, "vcpu"))

    @property
    def memory_bytes(self) -> int | None:
        kib = None if self.root is None else number(self.root, "currentMemory") or number(self.root, "memory")
        return None if kib is None else kib * _KIB

    @cached_property
    def cards(self) -> list[tuple[str, str]]:
        """The networks by name that its cards are on, each with the card's MAC."""
        if self.root is None:
            return []
        cards = self.root.iterfind("devices/interface")
        found = ((value(card, "source/@network"), value(card, "mac/@address")) for card in cards)
        return [(network, (mac or "").lower()) for network, mac in found if network]


def domains(
    connection: handles.Connection, takes: Callable[[str, str | None], bool] | None, *, looks: bool
) -> Iterator[SeenDomain]:
    """The domains whose name and state `takes` says are wanted; each is looked at for itself only where that is said.
    All without one, which saves a question for each of a thousand.

    Raises libvirtError. Source: virConnectGetAllDomainStats tells of memory and CPUs too, but asks each running QEMU
    for it: one that hangs would have all hang (tried on 9.0). Definitions are told without.
    """
    for domain, told_of in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
        name, state = domain.name(), guest.STATES.get(told_of.get("state.state"))
        if takes is not None and not takes(name, state):
            continue
        root = _definition(domain) if looks else None
        if root is not None or not looks:
            yield SeenDomain(domain.UUIDString(), name, state, root)


def _definition(domain: handles.Domain) -> Element | None:
    """The inactive definition, without secrets; None where the domain is gone."""
    try:
        return parse(domain.XMLDesc(devices.INACTIVE))
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.DOMAIN):
            return None
        raise


class Leases:
    """What networks have leased, each asked once: for lists, in the place of a question for each card."""

    def __init__(self, connection: handles.Connection) -> None:
        self._connection = connection
        self._found: dict[str, dict[str, list[guest.Lease]]] = {}

    def first(self, domain: SeenDomain) -> str | None:
        """The first IPv4 address, else the first of all, that a running domain's cards have a lease for."""
        if domain.state in (None, "stopped", "crashed") or domain.root is None:
            return None
        earlier, now = guest.set_aside(domain.root), time.time()
        found = [
            lease.address
            for network, mac in domain.cards
            for lease in self._of(network).get(mac, ())
            if lease not in earlier and (lease.expires == 0 or lease.expires > now)
        ]
        return min(found, key=lambda address: ":" in address, default=None)

    def _of(self, network: str) -> dict[str, list[guest.Lease]]:
        if network not in self._found:
            self._found[network] = {}
            for lease in self._asked(network):
                self._found[network].setdefault(lease.mac, []).append(lease)
        return self._found[network]

    def _asked(self, name: str) -> list[guest.Lease]:
        """The leases in the network's ranges, those that were renewed last first; none of one that does not run."""
        try:
            network = self._connection.networkLookupByName(name)
            rows = network.DHCPLeases() if network.isActive() else []
            ranges = ranges_of(parse(network.XMLDesc(0))) if rows else []
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.NETWORK):
                return []
            raise
        found = [(told.mac(row["mac"]), told.address(row["ipaddr"]), int(row["expirytime"])) for row in rows]
        leases = [
            guest.Lease(mac, address, end)
            for mac, address, end in found
            if mac and address and any(ipaddress.ip_address(address) in one for one in ranges)
        ]
        return sorted(leases, key=lambda lease: -lease.expires)

"""Counters of domains: one call for all of them.

A guest that is busy with something else is not waited for: it tells then what the daemon knows without QEMU, and what
it does not tell is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import libvirt

from jvp.libvirt.domain import guest
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.xml import Element, parse

_GROUPS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
Numbers = dict[str, Any]
"""Whole numbers by our names."""
_Table = dict[str, tuple[str, Callable[[int], int]]]
"""Our name of a number, libvirt's, and how it gets our unit."""


def _plain(number: int) -> int:
    return number


def _from_kib(number: int) -> int:
    return number * 1024


def _from_ns(number: int) -> int:
    return number // 1000


_DOMAIN: _Table = {
    "cpus": ("vcpu.current", _plain),
    "cpu_microseconds": ("cpu.time", _from_ns),
    "user_microseconds": ("cpu.user", _from_ns),
    "system_microseconds": ("cpu.system", _from_ns),
    "memory_bytes": ("balloon.current", _from_kib),
    "resident_bytes": ("balloon.rss", _from_kib),
    "guest_memory_bytes": ("balloon.available", _from_kib),
    "guest_unused_bytes": ("balloon.unused", _from_kib),
    "guest_usable_bytes": ("balloon.usable", _from_kib),
    "guest_cache_bytes": ("balloon.disk_caches", _from_kib),
}
_DISK: _Table = {
    "capacity_bytes": ("capacity", _plain),
    "allocation_bytes": ("allocation", _plain),
    "read_bytes": ("rd.bytes", _plain),
    "read_requests": ("rd.reqs", _plain),
    "read_microseconds": ("rd.times", _from_ns),
    "written_bytes": ("wr.bytes", _plain),
    "write_requests": ("wr.reqs", _plain),
    "write_microseconds": ("wr.times", _from_ns),
    "flush_requests": ("fl.reqs", _plain),
    "flush_microseconds": ("fl.times", _from_ns),
}
_CARD: _Table = {
    "received_bytes": ("rx.bytes", _plain),
    "received_packets": ("rx.pkts", _plain),
    "receive_errors": ("rx.errs", _plain),
    "receive_drops": ("rx.drop", _plain),
    "sent_bytes": ("tx.bytes", _plain),
    "sent_packets": ("tx.pkts", _plain),
    "send_errors": ("tx.errs", _plain),
    "send_drops": ("tx.drop", _plain),
}


@dataclass
class Counted:
    """What one domain has counted since its guest was started."""

    domain: handles.Domain
    name: str
    state: str | None
    numbers: Numbers
    disks: dict[str, Numbers] = field(default_factory=dict)
    """By their targets: vda."""
    paths: dict[str, str] = field(default_factory=dict)
    """The files or devices of those disks."""
    cards: dict[str, Numbers] = field(default_factory=dict)
    """By their devices on the node: vnet0. Of a guest that runs alone."""

    def running(self) -> Element | None:
        """The running definition, without secrets; None where the guest does not run. Raises libvirtError."""
        if self.domain.ID() == -1:
            return None
        try:
            return parse(self.domain.XMLDesc(0))
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.DOMAIN):
                return None
            raise


def counted(connection: handles.Connection, domains: list[handles.Domain] | None = None) -> Iterator[Counted]:
    """The counters of all domains, or of these. Raises libvirtError."""
    if domains is None:
        answers = connection.getAllDomainStats(_GROUPS, _NOWAIT)
    else:
        answers = connection.domainListGetStats(domains, _GROUPS, _NOWAIT)
    for domain, told in answers:
        found = Counted(domain, domain.name(), guest.STATES.get(told.get("state.state")), _numbers(told, "", _DOMAIN))
        for at in _places(told, "block"):
            target = str(told[f"{at}name"])
            found.disks[target] = _numbers(told, at, _DISK)
            if path := told.get(f"{at}path"):
                found.paths[target] = str(path)
        for at in _places(told, "net"):
            found.cards[str(told[f"{at}name"])] = _numbers(told, at, _CARD)
        yield found


def _places(told: Mapping[str, Any], kind: str) -> Iterator[str]:
    """How the names begin that are about one device each."""
    for number in range(told.get(f"{kind}.count", 0)):
        if f"{kind}.{number}.name" in told:
            yield f"{kind}.{number}."


def _numbers(told: Mapping[str, Any], at: str, table: _Table) -> Numbers:
    found = {ours: (told.get(f"{at}{theirs}"), scaled) for ours, (theirs, scaled) in table.items()}
    return {ours: scaled(value) for ours, (value, scaled) in found.items() if isinstance(value, int) and value >= 0}

"""What a network's DNS answers beside the names of guests that have addresses from it, and whom it asks itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from jvp.core.facts import Changes, Effect, Unit
from jvp.core.model import Rule, Spec
from jvp.core.types import Address, DomainName, Text, address_of, shortened
from jvp.core.values import known, surely

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_RECORD = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_SERVICE = re.compile(rf"_[A-Za-z0-9-]{{1,62}}\._(tcp|udp)(\.{_LABEL})*", re.ASCII)
_MOST = 255
"""A TXT record's text is one string. Source: RFC 1035."""


def _record(text: str) -> str:
    if len(text) > 253 or _RECORD.fullmatch(text) is None:
        raise ValueError(f'"{shortened(text)}" is not the name of a record: letters, digits, _ and - in labels')
    return text


def _service(text: str) -> str:
    if len(text) > 253 or _SERVICE.fullmatch(text) is None:
        raise ValueError(
            f'"{shortened(text)}" is not a service; write it like "_ldap._tcp" or "_ldap._tcp.lab.example"'
        )
    return text


def _txt(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if len(text.encode()) > _MOST:
        raise ValueError(f"is longer than the {_MOST} bytes that a record can have")
    return text


class DnsHost(Spec):
    """An address and its names. Its order in the list never matters."""

    key = "address"

    address: Annotated[Address, Field(description="The address, which stands in the list once.")]
    names: Annotated[list[DomainName], Field(description="The names that lead to it, first the one that it has.")]


class DnsText(Spec):
    """A TXT record."""

    name: Annotated[str, AfterValidator(_record), Field(description="The name of the record.")]
    value: Annotated[Text, AfterValidator(_txt), Field(description="Its text.")]


class DnsTarget(Spec):
    """Where a service is."""

    name: Annotated[DomainName, Field(description="The name of the host.")]
    port: Annotated[int, Field(ge=1, le=65535, description="The port there.")]
    priority: Annotated[int, Field(ge=0, le=65535, description="The host with the lowest one is asked first.")] = 0
    weight: Annotated[
        int, Field(ge=0, le=65535, description="The share that a host gets among those of one priority.")
    ] = 0


class DnsService(Spec):
    """SRV records of one name: the hosts that offer a service."""

    name: Annotated[
        str,
        AfterValidator(_service),
        Unit("service like _ldap._tcp or _ldap._tcp.lab.example"),
        Field(description="The service and its protocol; without a domain behind them they are of the network's own."),
    ]
    targets: Annotated[list[DnsTarget], Field(description="The hosts that offer it.")]


class DnsZone(Spec):
    """A domain that other servers are asked about than about the rest."""

    name: Annotated[DomainName, Field(description="The domain.")]
    forwarders: Annotated[
        list[Address], Field(description="The servers that are asked; when left out those that the node itself asks.")
    ] = []


class Dns(Spec):
    """The network's own DNS server."""

    enabled: Annotated[
        bool, Changes(Effect.NETWORK_RESTART), Field(description="Whether the network answers names at all.")
    ] = True
    hosts: Annotated[list[DnsHost], Field(description="Addresses and their names.")] = []
    txt: Annotated[list[DnsText], Field(description="TXT records.")] = []
    srv: Annotated[list[DnsService], Field(description="SRV records: where services are.")] = []
    forwarders: Annotated[
        list[Address],
        Changes(Effect.NETWORK_RESTART),
        Field(description="The servers that are asked for all other names; by default those that the node asks."),
    ] = []
    zones: Annotated[
        list[DnsZone],
        Changes(Effect.NETWORK_RESTART),
        Field(description="Domains that other servers are asked about."),
    ] = []


_RECORDS = ("hosts", "txt", "srv", "forwarders", "zones")


def dns_rules(dns: Any) -> Iterator[Rule]:
    """What holds across the properties of a network's DNS."""
    if not isinstance(dns, Dns):
        return
    if dns.enabled is False:
        for name in _RECORDS:
            if surely(getattr(dns, name)):
                yield ("dns", name), "means nothing while dns.enabled is false"
        return
    for name, key in (("hosts", "address"), ("txt", "name"), ("srv", "name"), ("zones", "name")):
        yield from _twice(getattr(dns, name), key, ("dns", name))
    for index, host in enumerate(_items(dns.hosts)):
        if isinstance(host, DnsHost):
            yield from _host_rules(host, ("dns", "hosts", index))
    for index, service in enumerate(_items(dns.srv)):
        if isinstance(service, DnsService):
            path = ("dns", "srv", index, "targets")
            if service.targets == []:
                yield path, "must not be empty"
            yield from _twice(service.targets, "name", path)


def _host_rules(host: DnsHost, path: tuple[str | int, ...]) -> Iterator[Rule]:
    if host.names == []:
        yield (*path, "names"), "must not be empty"
    if known(host.address) and (plain := str(address_of(host.address))) != host.address:
        # It tells the host from the others of the list, so it has one spelling.
        yield (*path, "address"), f'"{host.address}" is written "{plain}" here'
    names = [name.lower() for name in _items(host.names) if known(name)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        yield (*path, "names"), f'"{twice}" is given twice'


def _twice(items: Any, key: str, path: tuple[str | int, ...]) -> Iterator[Rule]:
    seen: set[str] = set()
    for index, item in enumerate(_items(items)):
        text = getattr(item, key, None)
        if not isinstance(text, str):
            continue
        if text.lower() in seen:
            yield (*path, index, key), f'"{text}" is given twice'
        seen.add(text.lower())


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

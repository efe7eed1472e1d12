"""The DNS of a network in its XML, and which changes of it a running network takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jvp.core.diff import Change
from jvp.core.facts import Effect
from jvp.core.values import UNKNOWN, Bag, has_unknown
from jvp.libvirt.link import told
from jvp.libvirt.link.xml import Element, ensure, number, put, sub
from jvp.resources.network.dns_model import Dns, DnsHost, DnsService, DnsTarget, DnsText, DnsZone

_TAGS = {"forwarder": ("forwarders", "zones"), "txt": ("txt",), "host": ("hosts",), "srv": ("srv",)}
"""The elements, and the properties that stand in each."""


def read(root: Element) -> Dns | None:
    """The DNS of a network (its XML); None where nothing is said of it that a program can say."""
    dns = root.find("dns")
    if dns is None or (dns.get("enable") != "no" and all(dns.find(tag) is None for tag in _TAGS)):
        return None
    everything, zones = _forwarders(dns)
    return Dns.model_construct(
        enabled=dns.get("enable") != "no",
        hosts=_hosts(dns),
        txt=[DnsText.model_construct(name=one.get("name", ""), value=one.get("value", "")) for one in dns.iter("txt")],
        srv=_services(dns),
        forwarders=everything,
        zones=[DnsZone.model_construct(name=name, forwarders=servers) for name, servers in zones.items()],
    )


def _hosts(dns: Element) -> list[DnsHost]:
    names: dict[str, list[str]] = {}
    for one in dns.iterfind("host"):
        address = told.address(one.get("ip"))
        if address is not None:
            names.setdefault(address, []).extend(name.text or "" for name in one.iterfind("hostname"))
    return [DnsHost.model_construct(address=address, names=found) for address, found in names.items()]


def _services(dns: Element) -> list[DnsService]:
    found: dict[str, list[DnsTarget]] = {}
    for one in dns.iterfind("srv"):
        name = f"_{one.get('service', '')}._{one.get('protocol', '')}"
        name += f".{domain}" if (domain := one.get("domain")) else ""
        port, priority, weight = (number(one, f"@{key}") or 0 for key in ("port", "priority", "weight"))
        target = DnsTarget.model_construct(name=one.get("target", ""), port=port, priority=priority, weight=weight)
        found.setdefault(name, []).append(target)
    return [DnsService.model_construct(name=name, targets=targets) for name, targets in found.items()]


def _forwarders(dns: Element) -> tuple[list[str], dict[str, list[str]]]:
    """The servers for everything, and those for each domain."""
    everything: list[str] = []
    zones: dict[str, list[str]] = {}
    for one in dns.iterfind("forwarder"):
        domain, address = one.get("domain"), told.address(one.get("addr"))
        servers = everything if domain is None else zones.setdefault(domain, [])
        servers += [address] if address is not None else []
    return everything, zones


def patch(root: Element, dns: Dns | None) -> None:
    """Write the DNS into a network's XML. What of it is so already stays as it is written."""
    was, new = _bag(read(root)), _bag(dns)
    if was == new:
        return
    put(root, "dns/@enable", "no" if new["enabled"] is False else None)
    for tag, names in _TAGS.items():
        if any(was[name] != new[name] for name in names):
            holder = ensure(root, "dns")
            for one in holder.findall(tag):
                holder.remove(one)
    if dns is not None:
        _write(ensure(root, "dns"), dns)
    holder = ensure(root, "dns")
    if not len(holder) and not holder.attrib:
        root.remove(holder)


def _write(holder: Element, dns: Dns) -> None:
    """Write those elements of which none is there."""
    there = {tag for tag in _TAGS if holder.find(tag) is not None}
    for tag, attributes, names in _elements(dns):
        if tag not in there:
            element = sub(holder, tag, **attributes)
            for name in names:
                sub(element, "hostname", name)


def _elements(dns: Dns) -> Iterator[tuple[str, dict[str, str | None], list[str]]]:
    """Each element's tag, its attributes, and the host names in it."""
    for address in dns.forwarders:
        yield "forwarder", {"addr": address}, []
    for zone in dns.zones:
        servers: list[str | None] = [*zone.forwarders]
        for server in servers or [None]:
            yield "forwarder", {"domain": zone.name, "addr": server}, []
    for text in dns.txt:
        yield "txt", {"name": text.name, "value": text.value}, []
    for host in dns.hosts:
        yield "host", {"ip": host.address}, host.names
    for service in dns.srv:
        name, protocol, *domain = service.name.split(".", 2)
        for target in service.targets:
            yield "srv", {
                "service": name[1:], "protocol": protocol[1:], "domain": domain[0] if domain else None,
                "target": target.name, "port": str(target.port), "priority": str(target.priority),
                "weight": str(target.weight),
            }, []  # fmt: skip


def _bag(dns: Any) -> Bag:
    """All of a network's DNS as a bag, from a model, a bag or nothing."""
    given = dns.bag() if isinstance(dns, Dns) else dns or {}
    return {**Dns.model_construct().bag(), **given}


def having(change: Change, state: Dns | None, new: Any) -> Change | None:
    """A change of a network's DNS with what it does to one that runs; None of what says nothing, as no DNS does.

    libvirt takes records in and out while it runs, but not of a name that several addresses have: it finds no single
    one then. Source: virNetworkDefUpdateDNSHost.
    """
    if new is UNKNOWN or has_unknown(new):
        return change.having(max(change.effect, Effect.NETWORK_RESTART))
    old, wanted = _bag(state), _bag(new)
    if old == wanted:
        # To say that it has nothing, where nobody said anything, is kept: a plan may have promised more of it.
        return change.having(Effect.LIVE) if state is None and new is not None else None
    about = change.path[1:2] or tuple(name for name in old if old[name] != wanted[name])
    asks = {"enabled", "forwarders", "zones"} & set(map(str, about))
    hosts = "hosts" in about and (_shares_names(old["hosts"]) or _shares_names(wanted["hosts"]))
    return change.having(Effect.NETWORK_RESTART) if asks or hosts else change


def _shares_names(hosts: Any) -> bool:
    names = [str(name).lower() for host in hosts for name in host.get("names", ())]
    return len(names) != len(set(names))

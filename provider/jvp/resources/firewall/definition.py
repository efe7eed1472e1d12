"""A firewall's XML: what the rules of a program become, and back.

A `Line` is one `<rule>` of libvirt's. Ours carry a comment: `jvp:NAME` for a rule of the program, `jvp` for what every
firewall has. All others are somebody else's, and stay.

How the lines work together (tried on libvirt 9.0, which makes chains of iptables of them): one that accepts connections
in one direction lets their answers pass, and no other packet. The lines for what guests connect to come first, so that
a line against connections from an address takes nothing from connections to it. What no line lets pass is dropped at
the end: also the guest's answers to what reached it by the node's own routes, which libvirt does not filter on its way
in.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jvp.core.model import attributes
from jvp.core.types import network_of
from jvp.libvirt.link.xml import Element, parse, put, read_facts, sub, write_facts
from jvp.resources.firewall.model import FAMILIES, Firewall, FirewallRule, FirewallState, port_range

_OURS = "jvp"
_OUT = -850
"""What is added to the priority of a rule for what guests connect to."""
_BASE, _OUT_POLICY, _IN_POLICY, _LAST, _LAST_FRAME = -900, -40, 850, 900, 1000
_SUFFIX = {4: "", 6: "-ipv6"}
_ANY = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
_NEIGHBOURS = {"in": (130, 134, 135, 136), "out": (131, 133, 135, 136, 143)}
"""The types of ICMPv6 without which there is no IPv6: who is there, who routes, who listens. Source: RFC 4890."""
_FRAMES = ("ipv4", "ipv6", "arp", "rarp")
"""What passes on to the rules about addresses, or has none (RARP is how QEMU tells bridges where a guest is). In any
other frame, with a VLAN tag above all, those rules see nothing: a guest takes one of VLAN 0 as if it had no tag."""
SPOOFING = ("no-mac-spoofing", "no-arp-mac-spoofing", "no-ip-spoofing", "no-arp-ip-spoofing")
"""libvirt's own filters against guests that send with another one's address."""


@dataclass(frozen=True)
class Line:
    """One `<rule>`: its own attributes, and its protocol with that one's."""

    action: str
    direction: str
    priority: int
    protocol: str
    match: frozenset[tuple[str, str]] = frozenset()
    stateful: bool = True

    @classmethod
    def of(cls, rule: Element) -> Line | None:
        """None for one that has not just one protocol, or a priority that is none."""
        (protocol,) = rule if len(rule) == 1 else (None,)
        text = rule.get("priority", "500")
        if protocol is None or not text.removeprefix("-").isdecimal():
            return None
        match = frozenset((str(key), _spelled(str(text))) for key, text in protocol.attrib.items() if key != "comment")
        stateful = rule.get("statematch", "true") not in ("0", "false")
        return cls(rule.get("action", ""), rule.get("direction", ""), int(text), str(protocol.tag), match, stateful)

    def write(self, root: Element, comment: str) -> None:
        state = None if self.stateful else "false"
        rule = sub(
            root, "rule", action=self.action, direction=self.direction, priority=str(self.priority), statematch=state
        )
        sub(rule, self.protocol, **dict(sorted(self.match)), comment=comment)


def _spelled(text: str) -> str:
    """An address as Python spells it, which libvirt may not; anything else as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _base(inbound: str, outbound: str) -> Iterator[Line]:
    """What every firewall has: what belongs to connections that stand, addresses, neighbours, and what is left."""
    for version in (4, 6):
        every = f"all{_SUFFIX[version]}"
        yield Line("accept", "inout", _BASE, every, frozenset({("state", "RELATED")}))
        server, client = ("67", "68") if version == 4 else ("547", "546")
        ports = frozenset({("srcportstart", server), ("dstportstart", client)})
        yield Line("accept", "in", _BASE, f"udp{_SUFFIX[version]}", ports, stateful=False)
        if outbound == "accept":
            yield Line("accept", "out", _OUT_POLICY, every)
        if inbound == "accept":
            yield Line("accept", "in", _IN_POLICY, every)
        yield Line("drop", "inout", _LAST, every)
    for direction, numbers in _NEIGHBOURS.items():
        for number in numbers:
            match = frozenset({("type", str(number))})
            yield Line("accept", direction, _BASE, "icmpv6", match, stateful=False)
    for direction, policy in (("in", inbound), ("out", outbound)):
        if policy == "drop":
            for frame in _FRAMES:
                yield Line("return", direction, _LAST, "mac", frozenset({("protocolid", frame)}))
            yield Line("drop", direction, _LAST_FRAME, "mac")


def _lines(rule: FirewallRule) -> Iterator[Line]:
    """What a rule of the program becomes: a line for each family and range of ports."""
    own = FAMILIES.get(rule.protocol)
    net = network_of(rule.cidr) if rule.cidr is not None else None
    versions = [net.version] if net is not None else [own] if own is not None else [4, 6]
    priority = (rule.priority or 0) + (_OUT if rule.direction == "out" else 0)
    side = "src" if rule.direction == "in" else "dst"
    for version in versions:
        match: dict[str, str] = {}
        if net is not None and (net != _ANY[version] or own is not None):  # else the family alone says it
            match |= {f"{side}ipaddr": str(net.network_address), f"{side}ipmask": str(net.prefixlen)}
        if rule.direction == "out" and rule.action != "accept":
            match["state"] = "NEW"  # or it would be against what comes from there, too
        protocol = rule.protocol if own is not None else f"{rule.protocol}{_SUFFIX[version]}"
        for ports in map(port_range, rule.ports) if rule.ports else (None,):
            first, last = (None, None) if ports is None else ports
            found = {**match, **({"dstportstart": str(first)} if first else {})}
            found |= {"dstportend": str(last)} if last != first else {}
            yield Line(rule.action, rule.direction, priority, protocol, frozenset(found.items()))


def _rule(name: str, lines: list[Line]) -> FirewallRule | None:
    """The rule that these lines are; None where no rule of a program becomes just these."""
    first = lines[0]
    match, tag = dict(first.match), first.protocol
    side = "src" if first.direction == "in" else "dst"
    plain = tag.removesuffix("-ipv6")
    versions = {_version(line.protocol) for line in lines}
    ports = dict.fromkeys(_ports(dict(line.match)) for line in lines)
    cidr = None
    if address := match.get(f"{side}ipaddr"):
        cidr = f"{address}/{match.get(f'{side}ipmask', '')}"
    elif len(versions) == 1 and plain not in FAMILIES:
        cidr = str(_ANY[versions.pop()])
    values: dict[str, Any] = {
        "name": name,
        "direction": first.direction,
        "action": first.action,
        "protocol": plain,
        "ports": [text for text in ports if text],
        "cidr": cidr,
        "priority": first.priority - (_OUT if first.direction == "out" else 0),
    }
    try:
        found = FirewallRule.model_validate(values)
        return found if Counter(_lines(found)) == Counter(lines) else None
    except ValueError:
        return None


def _version(protocol: str) -> int:
    return FAMILIES.get(protocol) or (6 if protocol.endswith("-ipv6") else 4)


def _ports(match: dict[str, str]) -> str:
    first, last = match.get("dstportstart", ""), match.get("dstportend", "")
    return f"{first}-{last}" if last else first


def _comment(rule: Element) -> str:
    return next((str(one.get("comment") or "") for one in rule), "")


def _is_ours(rule: Element) -> bool:
    comment = _comment(rule)
    return comment == _OURS or comment.startswith(f"{_OURS}:")


def skeleton(uuid: str) -> Element:
    """A new firewall without anything that the program declares."""
    root = parse("<filter chain='root'/>")
    put(root, "uuid", uuid)
    return root


def patch(root: Element, spec: Firewall) -> None:
    """Write what the program declares; rules and filters of others stay."""
    write_facts(Firewall, root, spec)
    for old in [one for one in root.findall("rule") if _is_ours(one)]:
        root.remove(old)
    for line in _base(spec.inbound, spec.outbound):
        line.write(root, _OURS)
    for rule in spec.rules_:
        for line in _lines(rule):
            line.write(root, f"{_OURS}:{rule.name}")
    there = {one.get("filter"): one for one in root.findall("filterref") if one.get("filter") in SPOOFING}
    if _is_against_spoofing(root) != spec.anti_spoofing or spec.anti_spoofing:
        for one in there.values():
            root.remove(one)
        for name in SPOOFING if spec.anti_spoofing else ():
            sub(root, "filterref", filter=name)


def _is_against_spoofing(root: Element) -> bool:
    return set(SPOOFING) <= {one.get("filter") for one in root.iterfind("filterref")}


def read(root: Element) -> dict[str, Any]:
    """A firewall's properties from its XML, by attribute. A rule that is no rule of a program any more is missing."""
    inbound, outbound = _policies(root)
    return {
        **read_facts(FirewallState, root),
        "inbound": inbound,
        "outbound": outbound,
        "rules_": [rule for name, lines in _groups(root).items() if (rule := _rule(name, lines)) is not None],
        "anti_spoofing": _is_against_spoofing(root),
        "undeclared": list(_undeclared(root)),
    }


def _groups(root: Element) -> dict[str, list[Line]]:
    """The lines of each of the program's rules, by its name and in the order of their priorities."""
    found: dict[str, list[Line]] = {}
    for rule in root.iterfind("rule"):
        name = _comment(rule).removeprefix(f"{_OURS}:")
        if name != _comment(rule) and (line := Line.of(rule)) is not None:
            found.setdefault(name, []).append(line)
    return dict(sorted(found.items(), key=lambda item: (item[1][0].direction, item[1][0].priority)))


def _of_all(root: Element) -> list[Line]:
    """The lines that every firewall of ours has, as this one has them."""
    return [line for rule in root.iterfind("rule") if _comment(rule) == _OURS and (line := Line.of(rule)) is not None]


def _policies(root: Element) -> tuple[str, str]:
    lines = set(_of_all(root))
    if not lines:  # another tool's: libvirt lets pass what no rule is about
        return "accept", "accept"
    known = {Line("accept", "in", _IN_POLICY, "all"): "in", Line("accept", "out", _OUT_POLICY, "all"): "out"}
    there = {known.get(line) for line in lines}
    return ("accept" if "in" in there else "drop"), ("accept" if "out" in there else "drop")


def is_written(root: Element) -> bool:
    """Whether it has lines that only we write."""
    return bool(_of_all(root))


def is_damaged(root: Element) -> bool:
    """Whether what every firewall of ours has was edited: it may let pass what it should not."""
    lines = _of_all(root)
    return Counter(lines) != Counter(_base(*_policies(root)))


def _undeclared(root: Element) -> Iterator[str]:
    for rule in root.iterfind("rule"):
        if not _is_ours(rule):
            yield _in_words(rule)
    all_there = _is_against_spoofing(root)
    for one in root.iterfind("filterref"):
        name = str(one.get("filter"))
        if not all_there or name not in SPOOFING:
            yield f"the filter {name}"


def _in_words(rule: Element) -> str:
    protocol = " ".join(
        " ".join((str(one.tag), *(f"{key!s}={text!s}" for key, text in sorted(one.items())))) for one in rule
    )
    return f"{rule.get('action')} {rule.get('direction')} {protocol}".strip()


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """The values that a definition may be edited in, for the mark."""
    return {name: value for name, value in values.items() if name in attributes(Firewall) and name != "name"}

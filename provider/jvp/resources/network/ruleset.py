"""The packet filter's table of a network with port forwards: its text for nft, and what is read back of it.

libvirt runs such a network in mode open, in which it makes no rules. The table does what mode nat promises (guests
reach out behind the node's address, and nobody reaches them unasked), and leads ports of the node to guests. It is
replaced whole, by one transaction. Each rule bears a comment: by these, and by what each forward says itself, one that
was changed, taken out or added is seen, whatever version of nft tells of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jvp.core.types import IPAddress, address_of, network_of
from jvp.libvirt.link import told
from jvp.resources.network.forward_model import PortForward

PREFIX = "jvp_"
_LOOPBACK = {4: "127.0.0.0/8", 6: "::1"}
_TO_MANY = {4: "{ 224.0.0.0/24, 255.255.255.255 }", 6: "ff02::/16"}
"""What guests send to all on their own wire, under no other address. Source: libvirt's mode nat."""
_CHAINS = {
    "prerouting": ("nat", "prerouting", -100),
    "output": ("nat", "output", -100),
    "postrouting": ("nat", "postrouting", 100),
    "forward": ("filter", "forward", 0),
    "elsewhere": ("filter", "postrouting", 0),
}
"""Type, hook and priority of each. Source: nft(8), whose words for these numbers are dstnat, srcnat and filter."""


def table_of(uuid: str) -> str:
    """The name of a network's table, in the family inet."""
    return f"{PREFIX}{uuid.replace('-', '')[:16]}"


@dataclass(frozen=True)
class Ruleset:
    """What a network's table is to be."""

    uuid: str
    bridge: str
    ranges: tuple[str, ...]
    """The CIDRs of its guests."""
    forwards: tuple[PortForward, ...]

    @property
    def text(self) -> str:
        """For `nft -f`: it replaces the table, or makes it."""
        name = table_of(self.uuid)
        lines = [f"table inet {name}", f"delete table inet {name}", f"table inet {name} {{"]
        for chain, rules in self._rules().items():
            kind, hook, priority = _CHAINS[chain]
            lines += [f"  chain {chain} {{", f"    type {kind} hook {hook} priority {priority}; policy accept;"]
            lines += [f'    {rule} comment "{comment}"' for comment, rule in rules]
            lines.append("  }")
        return "\n".join([*lines, "}", ""])

    def _rules(self) -> dict[str, list[tuple[str, str]]]:
        """The rules of each chain, with their comments. While the network is stopped, a forward leads nowhere."""
        return {
            "prerouting": [(one.name, _led(one, local=False)) for one in self.forwards],
            "output": [(one.name, _led(one, local=True)) for one in self.forwards],
            "postrouting": [rule for cidr in self.ranges for rule in _masquerade(cidr)],
            "forward": list(self._forward()),
            "elsewhere": [
                (f"{cidr} is here alone", f'{_ip(cidr)} daddr {cidr} oifname != "{self.bridge}" ct status dnat drop')
                for cidr in self.ranges
            ],
        }

    def _forward(self) -> Iterator[tuple[str, str]]:
        """Who may reach whom."""
        bridge = f'"{self.bridge}"'
        yield f"among {self.bridge}", f"iifname {bridge} oifname {bridge} accept"
        yield f"answers to {self.bridge}", f"oifname {bridge} ct state established,related accept"
        yield f"forwards to {self.bridge}", f"oifname {bridge} ct status dnat accept"
        yield f"nothing else to {self.bridge}", f"oifname {bridge} reject"
        for cidr in self.ranges:
            yield f"out of {cidr}", f"iifname {bridge} {_ip(cidr)} saddr {cidr} accept"
        yield f"nothing else out of {self.bridge}", f"iifname {bridge} reject"

    def found_in(self, listing: Any) -> list[PortForward]:
        """Which forwards hold, by what `nft -j list table` tells. None of them does where the rules around are not as
        they are to be, for then nobody knows what comes of them."""
        chains, rules = _read(listing)
        wanted = self._rules()
        if chains != _CHAINS or any(
            [one.comment for one in rules.get(name, ())] != [comment for comment, _ in wanted[name]]
            for name in wanted.keys() - {"prerouting", "output"}
        ):
            return []
        declared = {one.meaning: one for one in self.forwards}
        outside = [_told(one) for one in rules.get("prerouting", ())]
        local = [_told(one) for one in rules.get("output", ())]
        if None in outside or outside != local:
            both = [one for one in outside if one is not None and one in local]
        else:
            both = [one for one in outside if one is not None]
        return [declared.get(one.meaning, one) for one in both]


def _ip(text: str) -> str:
    return "ip" if network_of(text).version == 4 else "ip6"


def _led(one: PortForward, *, local: bool) -> str:
    """The rule of a forward, for what comes from outside or for what the node itself (`local`) sends.

    Only what is for the node: of an address that it does not have it takes nothing.
    """
    to = address_of(one.to)
    family = "ip" if to.version == 4 else "ip6"
    if one.host_address:
        where = f"{family} daddr {address_of(one.host_address)}"
    else:
        where = f"meta nfproto ipv{to.version}"
        if local:
            where = f"{family} daddr != {_LOOPBACK[to.version]} {where}"
    first, last = one.span
    ports = str(first) if first == last else f"{first}-{last}"
    target = _target(to, None if one.host_ports is not None else one.port or first)
    return f"{where} fib daddr type local {one.protocol} dport {ports} dnat {family} to {target}"


def _target(to: IPAddress, port: int | None) -> str:
    if port is None:
        return str(to)
    return f"[{to}]:{port}" if to.version == 6 else f"{to}:{port}"


def _masquerade(cidr: str) -> Iterator[tuple[str, str]]:
    """Guests reach out behind the node's address, and each other through a forward behind the gateway's: the answers
    would go past the node otherwise."""
    ip, version = _ip(cidr), network_of(cidr).version
    inside = f"{ip} saddr {cidr} {ip} daddr"
    yield f"forwarded inside {cidr}", f"{inside} {cidr} ct status dnat masquerade"
    yield f"to all in {cidr}", f"{inside} {_TO_MANY[version]} return"
    # As libvirt does: a port below 1024 is what some services take for the word of an administrator.
    yield f"tcp out of {cidr}", f"{inside} != {cidr} meta l4proto tcp masquerade to :1024-65535"
    yield f"udp out of {cidr}", f"{inside} != {cidr} meta l4proto udp masquerade to :1024-65535"
    yield f"out of {cidr}", f"{inside} != {cidr} masquerade"


@dataclass(frozen=True)
class _Rule:
    comment: str | None
    parts: Sequence[Any]


def _read(listing: Any) -> tuple[dict[str, tuple[str, str, Any]], dict[str, list[_Rule]]]:
    """The chains and the rules of a table; policies that are not ours make a chain another one."""
    chains: dict[str, tuple[str, str, Any]] = {}
    rules: dict[str, list[_Rule]] = {}
    for item in _list(_dict(listing).get("nftables")):
        if chain := _dict(_dict(item).get("chain")):
            kind = str(chain.get("type")) if chain.get("policy") == "accept" else "another policy"
            chains[str(chain.get("name"))] = (kind, str(chain.get("hook")), chain.get("prio"))
        elif rule := _dict(_dict(item).get("rule")):
            rules.setdefault(str(rule.get("chain")), []).append(_Rule(rule.get("comment"), _list(rule.get("expr"))))
    return chains, rules


def _told(rule: _Rule) -> PortForward | None:
    """The forward that a rule is; None where it is none of ours."""
    found: dict[str, Any] = {"name": rule.comment, "host_address": None, "host_port": None, "host_ports": None}
    for part in rule.parts:
        match, dnat = _dict(_dict(part).get("match")), _dict(_dict(part).get("dnat"))
        left = _dict(match.get("left"))
        payload = _dict(left.get("payload"))
        if payload.get("field") == "dport" and match.get("op") == "==":
            found["protocol"] = payload.get("protocol")
            right = match.get("right")
            span = _list(_dict(right).get("range"))
            found |= {"host_ports": "{}-{}".format(*span)} if len(span) == 2 else {"host_port": right}
        elif payload.get("field") == "daddr" and match.get("op") == "==":
            found["host_address"] = told.address(match.get("right"))
        elif dnat:
            found |= {"to": told.address(dnat.get("addr")), "port": dnat.get("port")}
        elif payload.get("field") != "daddr" and not left.keys() & {"fib", "meta"}:
            return None
    try:
        return PortForward.model_validate({name: value for name, value in found.items() if value is not None})
    except ValueError:
        return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

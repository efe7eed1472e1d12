"""What a firewall is declared with, and what is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from jvp.core.facts import At, Changes, Computed, Effect, Output, Same, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec
from jvp.core.types import Cidr, Name, network_of, shortened
from jvp.core.values import known
from jvp.resources.firewall.items import FirewallFilters, FirewallItem

Policy = Literal["accept", "drop"]
FIRST, LAST = 1, 800
_LISTED = 101
"""The priority of the first rule of the list, where it says none."""
WITH_PORTS = ("tcp", "udp", "sctp")
FAMILIES = {"icmp": 4, "icmpv6": 6}
"""The protocols that one family of addresses has alone."""


def port_range(text: str) -> tuple[int, int]:
    """First and last port of `22` or `8000-8100`. Raises ValueError with a sentence."""
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text, re.ASCII)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= 65535 or not 1 <= last <= 65535:
        raise ValueError(f'"{shortened(text)}" is no port; write it like "22", or a range like "8000-8100"')
    if first > last:
        raise ValueError(f'"{text}" ends before it begins')
    return first, last


def _port(text: str) -> str:
    port_range(text)
    return text


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _rule_name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", text, re.ASCII) is None:
        raise ValueError(
            f'"{shortened(text)}" is not a name of a rule: up to 40 letters, digits and . _ -, '
            "beginning with a letter or digit"
        )
    return text


Port = Annotated[str, BeforeValidator(_as_text), AfterValidator(_port), Same(port_range)]


class FirewallRule(Spec):
    """A rule for new connections. What answers them passes by itself."""

    name: Annotated[
        Annotated[str, AfterValidator(_rule_name)], Field(description="A short name that stays with the rule.")
    ]
    direction: Annotated[
        Literal["in", "out"], Field(description="in: connections to the guest. out: connections that it makes.")
    ] = "in"
    action: Annotated[
        Literal["accept", "drop", "reject"],
        Field(description="Let it pass, drop it without a word, or tell the sender that it is refused."),
    ] = "accept"
    protocol: Annotated[
        Literal["all", "tcp", "udp", "sctp", "icmp", "icmpv6", "esp", "ah"],
        Field(description="The protocol. icmp is IPv4's, icmpv6 IPv6's; the others are of both families."),
    ] = "all"
    ports: Annotated[
        list[Port],
        Unit('ports like "22" or "8000-8100"'),
        Field(description="The ports that are connected to, of tcp, udp and sctp; every port when left out."),
    ] = []
    cidr: Annotated[
        Cidr | None,
        Field(description="The addresses of the other side; when left out every address of both families."),
    ] = None
    priority: Annotated[
        int | None,
        Field(
            ge=FIRST,
            le=LAST,
            description="The rule with the lowest one that fits counts. By default the rules count in their order: 101 "
            "for the first of the list, 102 for the second.",
        ),
    ] = None


class Firewall(Spec):
    """Rules for what goes through the cards of instances that name it in `nics[].firewall`."""

    name: Annotated[
        Name | None,
        At("@name"),
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique on the node; made up from the resource's name when left out."),
    ] = None
    inbound: Annotated[Policy, Field(description="What becomes of connections to the guest that no rule is about.")] = (
        "drop"
    )
    outbound: Annotated[
        Policy, Field(description="What becomes of connections that the guest makes and that no rule is about.")
    ] = "accept"
    rules_: Annotated[
        list[FirewallRule],
        Field(alias="rules", description="The rules. Those in and those out are tried for themselves."),
    ] = []
    anti_spoofing: Annotated[
        bool,
        Field(
            description="Whether guests may send with their own MAC and IPv4 address alone: that which "
            "`nics[].address` says, else the first one that they use."
        ),
    ] = False

    def rules(self) -> Iterator[Rule]:
        seen: dict[str, int] = {}
        places: dict[tuple[str, int], str] = {}
        for index, rule in enumerate(self.rules_ if isinstance(self.rules_, list) else ()):
            if not isinstance(rule, FirewallRule):
                continue
            if known(rule.name) and seen.setdefault(rule.name, index) != index:
                yield ("rules", index, "name"), f'"{rule.name}" is given twice'
            yield from ((("rules", index, *path), why) for path, why in _of_one(rule))
            place = _priority(rule, index)
            if known(rule.name, rule.direction, place):
                other = places.setdefault((rule.direction, place), rule.name)
                if other != rule.name:
                    yield ("rules", index, "priority"), f'{place} is that of the rule "{other}" too; give another one'

    def derived(self) -> dict[str, Any]:
        if not isinstance(self.rules_, list) or not self.rules_:
            return {}
        return {
            "rules_": [
                {**rule.bag(), "priority": _priority(rule, index)} if isinstance(rule, FirewallRule) else rule
                for index, rule in enumerate(self.rules_)
            ]
        }


def _priority(rule: FirewallRule, index: int) -> Any:
    return min(_LISTED + index, LAST) if rule.priority is None else rule.priority


def _of_one(rule: FirewallRule) -> Iterator[Rule]:
    if not known(rule.protocol):
        return
    if known(rule.ports) and rule.ports and rule.protocol not in WITH_PORTS:
        yield ("ports",), f"are of {', '.join(WITH_PORTS)} alone, and not of {rule.protocol}"
    seen: set[tuple[int, int]] = set()
    for index, port in enumerate(rule.ports if isinstance(rule.ports, list) else ()):
        if known(port) and port_range(port) in seen:
            yield ("ports", index), f'"{port}" is given twice'
        seen |= {port_range(port)} if known(port) else set()
    family = FAMILIES.get(rule.protocol)
    cidr = rule.cidr if known(rule.cidr) else None
    if family is not None and cidr is not None and network_of(cidr).version != family:
        yield ("cidr",), f'"{cidr}" is not an IPv{family} network, which {rule.protocol} is of'


_CHANGES = ("rules", "inbound", "outbound", "antiSpoofing")


class FirewallState(Firewall):
    """A firewall as it is."""

    uuid: Annotated[str, At("uuid"), Output(), Field(description="libvirt's uuid.")]
    undeclared: Annotated[
        list[str],
        Output(follows=_CHANGES),
        Field(
            description="What it has beside its rules, in words: rules that somebody else wrote, and other filters. "
            "They are left alone."
        ),
    ] = []


class FirewallType(ResourceType[Firewall, FirewallState]):
    """Firewalls."""

    kind, token, spec, state = "firewall", "Firewall", Firewall, FirewallState
    filters, item = FirewallFilters, FirewallItem
    made_first = True

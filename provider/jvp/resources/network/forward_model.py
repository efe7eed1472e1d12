"""What a network forwards to its guests: ports of the node, as a program declares them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import Same, Unit
from jvp.core.model import Rule, Spec
from jvp.core.types import Address, IPNetwork, address_of, network_of, shortened
from jvp.core.values import known

MOST = 100
"""So many forwards has a network: its mark keeps them all, and no mark is longer than 16 KiB."""
LAST_PORT = 65535


_SERVICES = {53: ("tcp", "udp"), 67: ("udp",), 547: ("udp",)}
"""What the guests of a network ask the node for: names, and addresses of both IP versions."""


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a name of a forward: at most 32 letters, digits, . _ and -')
    return text


def ports_of(text: str) -> tuple[int, int]:
    """First and last port of "8000-8010". Raises ValueError with a sentence."""
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text, re.ASCII)
    if match is None:
        raise ValueError(f'"{shortened(text)}" is not a range of ports; write it like "8000-8010"')
    first, last = int(match[1]), int(match[2])
    if not 0 < first < last <= LAST_PORT:
        raise ValueError(f'"{text}" is not a range of ports: they go from 1 to {LAST_PORT}, the smaller one first')
    return first, last


def _ports(text: str) -> str:
    ports_of(text)
    return text


Port = Annotated[int, Field(ge=1, le=LAST_PORT)]
Ports = Annotated[str, AfterValidator(_ports), Same(ports_of), Unit("range of ports like 8000-8010")]


def is_address(text: str) -> bool:
    """Whether a text is an address, and not the name of a reservation."""
    try:
        address_of(text)
    except ValueError:
        return False
    return True


def _target(text: str) -> str:
    looks_so = re.fullmatch(r"[0-9.]+|.*:.*", text, re.ASCII | re.DOTALL) is not None
    if is_address(text) or (not looks_so and _NAME.fullmatch(text) is not None):
        return text
    raise ValueError(f'"{shortened(text)}" is neither an IP address nor the name of a reservation')


def _same_target(text: str) -> object:
    return address_of(text) if is_address(text) else text.lower()


_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
Target = Annotated[
    str, AfterValidator(_target), Same(_same_target), Unit("IP address, or the name of a reservation of the network")
]


class PortForward(Spec):
    """A port of the node that leads to a guest. Its order in the list never matters."""

    name: Annotated[str, AfterValidator(_name), Field(description="A short name that stays with the forward.")]
    protocol: Annotated[Literal["tcp", "udp"], Field(description="What is forwarded.")] = "tcp"
    host_address: Annotated[
        Address | None,
        Field(description="The address of the node that it listens on; by default every one but the loopback."),
    ] = None
    host_port: Annotated[Port | None, Field(description="The port of the node.")] = None
    host_ports: Annotated[
        Ports | None, Field(description="Several ports of the node instead, which lead to the same ports of the guest.")
    ] = None
    to: Annotated[
        Target,
        Field(
            description="The address of the guest, inside of the network: one that its card keeps (`nics[].address`), "
            "or the name of one of the network's own `reservations`."
        ),
    ]
    port: Annotated[Port | None, Field(description="The port of the guest; by default the one of the node.")] = None

    def rules(self) -> Iterator[Rule]:
        if self.host_port is None and self.host_ports is None:
            yield ("hostPort",), "is required, or hostPorts"
        elif self.host_port is not None and self.host_ports is not None:
            yield ("hostPorts",), "cannot be given beside hostPort"
        elif self.host_ports is not None and self.port is not None:
            yield ("port",), "goes with one hostPort; the ports of a range stay the same in the guest"
        if self.host_address is None or not known(self.host_address):
            return
        outside = address_of(self.host_address)
        if outside.is_loopback or outside.is_multicast or outside.is_unspecified:
            yield ("hostAddress",), f'"{self.host_address}" is no address that others reach the node by; leave it out'
        elif known(self.to) and is_address(self.to) and address_of(self.to).version != outside.version:
            yield ("hostAddress",), f'"{self.host_address}" and "{self.to}" are not of one IP version'

    @property
    def span(self) -> tuple[int, int]:
        """First and last port of the node."""
        return ports_of(self.host_ports) if self.host_ports is not None else (self.host_port or 0, self.host_port or 0)

    @property
    def meaning(self) -> tuple[object, ...]:
        """What two spellings of it have in common."""
        outside = address_of(self.host_address) if self.host_address else None
        return self.name, self.protocol, outside, self.span, address_of(self.to), self.port or self.span[0]

    def meets(self, other: PortForward) -> bool:
        """Whether both want a port of one address of the node."""
        if self.protocol != other.protocol or address_of(self.to).version != address_of(other.to).version:
            return False
        mine, theirs = self.host_address, other.host_address
        if mine and theirs and address_of(mine) != address_of(theirs):
            return False
        return self.span[0] <= other.span[1] and other.span[0] <= self.span[1]

    @property
    def is_known(self) -> bool:
        """Whether nothing of it is left to be known."""
        return known(self.name, self.protocol, self.host_address, self.host_port, self.host_ports, self.to, self.port)


def aimed(item: PortForward, names: Mapping[str, Sequence[str]]) -> PortForward | None:
    """The forward to an address, where it leads to a name; None where no reservation has that.

    `names` has the addresses of each, in lower case. Of both IP versions it takes the one of the host address.
    """
    if is_address(item.to):
        return item
    found = [address_of(one) for one in names.get(item.to.lower(), ())]
    wanted = address_of(item.host_address).version if item.host_address else None
    to = next((one for one in found if wanted in (None, one.version)), None)
    return item.model_copy(update={"to": str(to)}) if to is not None else None


Ranges = Sequence[tuple[str, str | None]]
"""The CIDRs of a network, each with the network's own address in it where that is known."""


def forward_rules(
    forwards: object, ranges: Ranges, kept: Mapping[str, Sequence[str]] | None, *, all_known: bool
) -> Iterator[Rule]:
    """What holds among the forwards of a network with these ranges, which may be all that it has.

    `kept` are the addresses of its reservations, None where they are not all known.
    """
    items = forwards if isinstance(forwards, list) else []
    if len(items) > MOST:
        yield ("portForwards",), f"are {len(items)}; a network has at most {MOST}"
    sound: list[PortForward] = []
    names: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, PortForward):
            continue
        if known(item.name) and item.name in names:
            yield ("portForwards", index, "name"), f'"{item.name}" is given twice'
        names.add(item.name)
        broken = [(("portForwards", index, *path), why) for path, why in item.rules()]
        yield from broken
        if broken or not item.is_known or (kept is None and not is_address(item.to)):
            continue
        said, found = item.to, aimed(item, kept or {})
        if found is None:
            yield ("portForwards", index, "to"), f'"{said}" is the name of no reservation of the network'
            continue
        item = found
        if why := _not_inside(item.to, ranges, all_known=all_known) or _taken_by_us(item, ranges):
            yield ("portForwards", index, *why[0]), why[1]
        for other in sound:
            if item.meets(other):
                where = "hostPort" if item.host_port is not None else "hostPorts"
                yield ("portForwards", index, where), f'has a port that "{other.name}" forwards already'
        sound.append(item)


def _not_inside(text: str, ranges: Ranges, *, all_known: bool) -> Rule | None:
    """Why an address is none of a guest of the network."""
    address = address_of(text)
    for cidr, own in ranges:
        net: IPNetwork = network_of(cidr)
        if address.version != net.version:
            continue
        if address not in net:
            return ("to",), f'"{text}" is outside of {net}; a forward leads to a guest of the network'
        if own is not None and address == address_of(own):
            return ("to",), f'"{text}" is the gateway; a forward leads to a guest of the network'
        return None
    return (("to",), f'"{text}" is outside of the network: it has no IPv{address.version}') if all_known else None


def _taken_by_us(item: PortForward, ranges: Ranges) -> Rule | None:
    """Why a forward would take what the guests themselves ask the node for."""
    first, last = item.span
    taken = next((port for port in _SERVICES if first <= port <= last and item.protocol in _SERVICES[port]), None)
    gateways = [address_of(own) for _, own in ranges if own is not None]
    if taken is None or (item.host_address is not None and address_of(item.host_address) not in gateways):
        return None
    where = "hostPort" if item.host_port is not None else "hostPorts"
    return (where,), f"port {taken} is the network's own service to its guests; give a hostAddress outside of it"

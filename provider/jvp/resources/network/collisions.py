"""Two networks cannot share addresses or a bridge: what is refused, what is waited for, and what is given way to.

No call sees what the plan has for the other networks. So a network of one program that changes to a range that another
one of the same program has stops that one, which is to change or to go in the same run. One that is made, and one
whose own range another has, waits a moment instead; then it says who has it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jvp.core.errors import Busy, Invalid, NotFound, Path, dotted
from jvp.core.taken import name_taken
from jvp.core.types import IPNetwork, network_of
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import marks
from jvp.libvirt.link.errors import Gone, seen_to_go
from jvp.libvirt.link.ranges import ranges_of
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.network import reservations
from jvp.libvirt.network.networks import NetworkApi, Seen
from jvp.resources.network import node_devices
from jvp.resources.network.definition import Ours, hosts_in, mode_of
from jvp.resources.network.model import Network

GIVE_UP_S = 20.0
"""So long a network waits for a range that another one of its program has."""
TURN = "the ranges of the networks"
"""What one call at a time has: two that exchange theirs must not both find the other one in the way."""


@dataclass(frozen=True)
class _Met:
    """Another network that has what one is to have."""

    path: Path
    other: Seen
    why: str
    net: IPNetwork | None = None
    """The range that is wanted; None where it is a bridge."""


def has_bridge(own: Element | None, spec: Network) -> bool:
    """Whether a network (its inactive definition) has the bridge already that it is to have."""
    return own is not None and (value(own, "bridge/@name"), mode_of(own)) == (spec.bridge, spec.mode)


def _all(seen: Iterable[Seen], spec: Network, uuid: str, own: Element | None) -> Iterator[_Met]:
    """Also of networks that stand. Only a bridge of the node's own may serve several."""
    had = has_bridge(own, spec)
    wanted = _ranges(spec)
    for other in seen:
        if other.uuid == uuid:
            continue
        for path, cidr in wanted.items():
            for theirs in other.ranges:
                if why := _overlap(cidr, theirs, other.name):
                    yield _Met(path, other, why, network_of(cidr))
        if spec.bridge and other.bridge == spec.bridge and not (had or spec.mode == other.mode == "bridge"):
            yield _Met(("bridge",), other, f'"{other.bridge}" is the bridge of the network "{other.name}"')


def _still(api: NetworkApi, met: Iterable[_Met]) -> Iterator[_Met]:
    """Without networks that went since they were seen. Raises libvirtError."""
    return (one for one in met if api.find(one.other.uuid) is not None)


def _ranges(spec: Network) -> dict[Path, str]:
    """The address ranges of a network by their properties."""
    four: dict[Path, str] = {("cidr",): spec.cidr} if spec.cidr else {}
    return four | ({("ipv6", "cidr"): spec.ipv6.cidr} if spec.ipv6 is not None else {})


def _overlap(cidr: str, theirs: IPNetwork, name: str) -> str | None:
    return f'{cidr} overlaps {theirs} of the network "{name}"' if network_of(cidr).overlaps(theirs) else None


def refuse_name(api: NetworkApi, seen: tuple[Seen, ...], name: str, uuid: str) -> tuple[Seen, ...]:
    """The networks without one of the name that was removed since they were seen.

    Raises NameTaken where another one has the name; libvirtError.
    """
    for other in seen:
        if other.name != name or other.uuid == uuid:
            continue
        with contextlib.suppress(NotFound):
            if (found := api.find(other.uuid)) is not None:
                raise name_taken("network", name, id=other.uuid, holder=api.mark_of(found))
        seen = tuple(one for one in seen if one is not other)
    return seen


def refuse(api: NetworkApi, seen: Iterable[Seen], spec: Network, uuid: str, stack: str) -> None:
    """Raise Invalid, for a plan, as the create of the network would, from others there and others that are planned.

    One that may give way until then is none of them.
    """
    plans, ranges = api.node.plans, _ranges(spec)
    for one in _still(api, _all(seen, spec, uuid, None)):
        if not plans.moves(one.other.uuid, ours=_is_of(api, one.other, stack)):
            raise Invalid(one.why, path=one.path)
    for name, theirs in plans.others("network", uuid, (str(spec.name), [network_of(cidr) for cidr in ranges.values()])):
        for path, cidr in ranges.items():
            for net in theirs:
                if why := _overlap(cidr, net, name):
                    raise Invalid(why, path=path)


def refuse_interface(
    api: NetworkApi, spec: Network, uuid: str, before: Element | None, *, planned_by: str | None = None
) -> None:
    """A network in mode bridge needs a bridge that is there, any other one makes its own. Raises Invalid.

    What the network has already (its definition is `before`) is nothing new. In a plan, of the program `planned_by`,
    nor is the bridge of a network that may give it up until then.
    """
    _refuse_device(api, spec, before)
    name = spec.bridge
    had = spec.mode == "bridge" and has_bridge(before, spec)
    kind = api.interface(name) if name and not had else None
    if kind is None or name is None:
        return
    if spec.mode == "bridge":
        if kind == api.NONE or (kind != "bridge" and spec.virtual_port is None):
            what = "" if kind == api.NONE else f': "{name}" is an interface of another kind'
            raise Invalid(f'the node has no bridge "{name}"{what}', path=("bridge",))
    elif kind != api.NONE and spec.active:
        network = api.find(uuid)
        own = network is not None and network.isActive() and network.bridgeName() == name
        if not own and (planned_by is None or not _goes(api, spec, uuid, planned_by)):
            raise Invalid(f'the node has an interface "{name}" already', path=("bridge",))


def _refuse_device(api: NetworkApi, spec: Network, before: Element | None) -> None:
    """Raise Invalid where the node has not the interface that a network newly is to be on."""
    name = spec.device
    if name is None or (before is not None and node_devices.read(before)["device"] == name):
        return
    if api.interface(name) == api.NONE:
        raise Invalid(f'the node has no interface "{name}"', path=("device",))


def _goes(api: NetworkApi, spec: Network, uuid: str, stack: str) -> bool:
    """Whether the bridge that a planned network is to have is one of a network that may give it up until then."""
    return any(
        one.path == ("bridge",) and api.node.plans.moves(one.other.uuid, ours=_is_of(api, one.other, stack))
        for one in _all(api.seen(), spec, uuid, None)
    )


def wait(
    work: Work, api: NetworkApi, seen: tuple[Seen, ...], spec: Network, uuid: str, own: Element | None, stack: str
) -> tuple[Seen, ...]:
    """Wait until others of the program have given up what this network is to have and cannot take over.

    `own` is its inactive definition, None of one that is to be made. At the end of its patience it is refused later.
    One that is there and does not run disturbs nobody with what it has already. Gives the networks as it saw them last.
    """
    mine, views = _mine(own), itertools.chain([seen], iter(api.seen, None))
    if mine is not None and not spec.active:
        return seen

    def is_free() -> bool:
        nonlocal seen
        seen = next(views)
        there = [
            one for one in _all(seen, spec, uuid, own)
            if (mine is None or one.net in mine) and _is_of(api, one.other, stack)
        ]  # fmt: skip
        for one in there[:1]:
            work.status(f'waiting for the network "{one.other.name}" to give up its addresses')
        return not [one for one in there if mine is None or _runs(api, one.other)]

    with contextlib.suppress(Busy):
        work.until(is_free, limit_s=GIVE_UP_S, every_s=0.5, what="")
    return seen


def told(api: NetworkApi, spec: Network, uuid: str, own: Element) -> Iterator[str]:
    """What a plan says of the networks of the program that give way. Raises libvirtError."""
    mine, stack = ranges_of(own), marks.stack_of(own)
    for one in _all(api.seen(), spec, uuid, own):
        if one.net is not None and one.net not in mine and _is_of(api, one.other, stack):
            yield f"{dotted(one.path)}: {one.why}, which is stopped where it does not give that up first"


def settle(
    work: Work, api: NetworkApi, seen: Iterable[Seen], spec: Network, uuid: str, own: Element | None, stack: str
) -> None:
    """Stop the networks of the program that are to give way. Raises Invalid for any others, before that.

    What the network has already is nothing new: others' networks may overlap that, and those of the program while only
    one of them runs.
    """
    mine, stops = _mine(own), []
    for one in _still(api, _all(seen, spec, uuid, own)):
        same = one.net is not None and _is_of(api, one.other, stack)
        if mine is not None and one.net in mine:
            if same and spec.active and _runs(api, one.other):
                raise Invalid(f"{one.why}, which declares it too", path=one.path)
        elif mine is None or not same:
            raise Invalid(one.why, path=one.path)
        else:
            stops.append(one)
    for one in stops:
        other = api.find(one.other.uuid)
        with contextlib.suppress(NotFound), seen_to_go(Gone.NETWORK):
            if other is not None and other.isActive():
                work.warn(f'the network "{one.other.name}" has {one.net}, and is stopped to give it up')
                other.destroy()


def _mine(own: Element | None) -> list[IPNetwork] | None:
    return ranges_of(own) if own is not None else None


def _runs(api: NetworkApi, other: Seen) -> bool:
    """Whether a network runs now; no where it is gone."""
    with contextlib.suppress(NotFound), seen_to_go(Gone.NETWORK):
        found = api.find(other.uuid)
        return found is not None and bool(found.isActive())
    return False


def _is_of(api: NetworkApi, other: Seen, stack: str) -> bool:
    """Whether a network is of the same program; no where nothing tells, nor of one that is gone."""
    with contextlib.suppress(NotFound), seen_to_go(Gone.NETWORK):
        found = api.find(other.uuid) if stack else None
        return found is not None and marks.stack_of(api.inactive(found)) == stack
    return False


def refuse_reserved(api: NetworkApi, root: Element, spec: Network, ours: Ours) -> None:
    """A MAC, a name and an address are in a network once, whoever put them there. Raises Invalid, libvirtError."""
    others = [host for host in reservations.hosts_of(root) if host not in ours]
    for index, wanted in enumerate(hosts_in(spec.reservations)):
        for other in others:
            # A state of before a crash does not know what its update did to a network that bears no mark of ours.
            if other == wanted and marks.mark_of(root) is None:
                continue
            for name in ("mac", "name", "address"):
                text = getattr(wanted, name)
                if text is not None and text == getattr(other, name):
                    who = devices.holder(api.node.connection, other.mac)
                    whose = (
                        f'a card of "{who}"; {devices.GIVEN_UP_FIRST}' if who else "which this resource did not declare"
                    )
                    raise Invalid(
                        f'"{text}" is kept already in this network, for {other.key} with {other.address}, {whose}',
                        path=("reservations", index, name),
                    )

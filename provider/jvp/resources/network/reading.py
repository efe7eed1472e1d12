"""A network as it is: whose it is, which of its hosts are its own, and its state."""

from __future__ import annotations

from typing import Any

from jvp.core.diff import Change
from jvp.core.errors import Rejected
from jvp.core.identity import Bearing, bearing
from jvp.core.work import Work, current
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.xml import Element, parse, value
from jvp.libvirt.network import reservations
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network import forwards, node_devices
from jvp.resources.network.definition import (
    OPEN,
    SETTLING,
    Ours,
    comparable,
    forward_mode,
    hosts_in,
    read,
    way_out,
    with_way_out,
    without_way_out,
)
from jvp.resources.network.dns_model import Dns
from jvp.resources.network.forward_model import PortForward, aimed, is_address
from jvp.resources.network.forward_record import has_table, is_going, recorded
from jvp.resources.network.model import Network, NetworkState
from jvp.resources.network.restart import Restart

_EMPTY: dict[str, Any] = {"dns": Dns.model_construct(), "routes": [], "dnsmasq_options": [], "dhcp_options": {}}
"""What of these is declared and says nothing: libvirt has no word for that."""


def state_of(
    api: NetworkApi,
    network: handles.Network,
    prior: NetworkState | None,
    root: Element | None = None,
    declared: Network | None = None,
) -> NetworkState:
    """A network as it is, of anybody; `prior` is what an engine has of it. Raises libvirtError.

    `root` is its inactive definition, where that was just read; `declared` what has just been made.
    """
    if root is None:
        root = api.inactive(network)
    ours = ours_of(api, root, prior)
    values, device = read(root, ours), way_out(root)
    active, running = bool(network.isActive()), None
    if active:
        # What runs unlike its definition is drift: nothing of a network waits for a next boot. Where somebody
        # edited the definition, that is the drift.
        running = parse(network.XMLDesc(0))
        live, edited = read(running, ours), marks.edited(root, comparable(values))
        if has_table(root) and live["mode"] == OPEN:
            live["mode"] = "nat"
        values = {name: was if name in edited else live[name] for name, was in values.items()}
        device = device or way_out(running)
    said = declared or prior
    values["port_forwards"] = _as_named(_forwards(api, root, running), values, said)
    values |= _as_said(values, said)
    if prior is not None and marks.mark_of(root) is not None:
        values["mode"] = with_way_out(values["mode"], device)
    unfinished = Restart.is_noted(root) or SETTLING in marks.facts_of(root) or is_going(root)
    return NetworkState.model_construct(
        **values,
        autostart=bool(network.autostart()),
        active=active and not unfinished,
        state=word(active),
    )


def _as_named(found: list[PortForward], values: dict[str, Any], said: Network | None) -> list[PortForward]:
    """The forwards, to a reservation's name where the program says so and it has that address still."""
    names = Network.model_construct(reservations=values["reservations"], ipv6=values["ipv6"]).kept_names or {}
    named = {one.name: one for one in said.port_forwards if not is_address(one.to)} if said is not None else {}
    for index, one in enumerate(found):
        now = aimed(named[one.name], names) if one.name in named else None
        if now is not None and now.to == one.to:
            found[index] = one.model_copy(update={"to": named[one.name].to})
    return found


def _as_said(values: dict[str, Any], said: Network | None) -> dict[str, Any]:
    """What the definition does not tell from nothing, as the program says it."""
    found: dict[str, Any] = {}
    if values["device_mode"] == node_devices.SHARED and (said is None or said.device_mode is None):
        found["device_mode"] = None
    if said is not None:
        empty = ((name, none) for name, none in _EMPTY.items() if values[name] is None)
        found |= {name: none for name, none in empty if getattr(said, name) is not None}
    return found


def _forwards(api: NetworkApi, root: Element, running: Element | None) -> list[PortForward]:
    """The port forwards that hold; of a network that stands those that will. `running` is how it runs.

    Raises JvpError where the node cannot be asked now; where no command runs there, what is declared is told.
    """
    declared = recorded(root)
    if not declared or any(forward_mode(one) != OPEN for one in (root, running) if one is not None):
        return []
    if running is None:
        return declared
    try:
        return forwards.held(current(), api.node, root)
    except Rejected as error:
        current().warn(f"portForwards: {error.message}; whether they hold is not known")
    return declared


def ours_of(api: NetworkApi, root: Element, prior: NetworkState | None) -> Ours:
    """The hosts of the network's own (`root` is its inactive definition).

    Of a network that we did not make those that the state has; of an import all but those of instances.
    """
    recorded = Ours.recorded(root)
    if recorded is not None:
        return recorded
    if prior is not None:
        return Ours.of(hosts_in(prior.reservations))
    cards = reservations.of_instances(api.node.connection)
    name = value(root, "name") or ""
    return Ours.of(host for host in reservations.hosts_of(root) if (name, host.mac) not in cards)


def bearing_of(work: Work, network: handles.Network, root: Element, prior: NetworkState | None) -> Bearing:
    """Whether it is ours (`root` is its inactive definition). Its bridge is named after its id, where its owner names
    none."""
    if work.mark is None:
        return Bearing.OURS
    if marks.find(root) is not None:
        return bearing(marked=True, expected=work.mark, same=True)
    now = read(root, Ours())
    same = prior is None or (now["name"], now["mode"], now["bridge"]) == (
        prior.name,
        OPEN if prior.port_forwards else prior.mode,
        prior.bridge,
    )
    # libvirt keeps no metadata of one that was undefined while it runs.
    return bearing(marked=same and not network.isPersistent(), expected=work.mark, same=same)


def drops_way_out(change: Change, state: NetworkState) -> bool:
    """Whether all that is to change of the mode is the way out of it, which somebody may have put into the definition
    alone."""
    return change.path == ("mode",) and without_way_out(state.mode) == change.new


def has_no_way_out(network: handles.Network) -> bool:
    """Whether a network runs without one. Raises libvirtError."""
    return way_out(parse(network.XMLDesc(0))) is None


def is_of_forwards(change: Change) -> bool:
    """Whether it is one of the port forwards, which are changed without a restart in a network that has some."""
    return change.path[:1] == ("portForwards",)


def runs_in(network: handles.Network, mode: str) -> bool:
    """Whether a network runs in this mode of libvirt's. Raises libvirtError."""
    return bool(network.isActive()) and forward_mode(parse(network.XMLDesc(0))) == mode


def word(active: bool) -> str:
    return "active" if active else "inactive"

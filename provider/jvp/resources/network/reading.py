"""A network as it is: whose it is, which of its hosts are its own, and its state."""

from __future__ import annotations

from jvp.core.diff import Change
from jvp.core.identity import Bearing, bearing
from jvp.core.work import Work
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.xml import Element, parse, value
from jvp.libvirt.network import reservations
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network.definition import (
    SETTLING,
    Ours,
    comparable,
    hosts_in,
    read,
    way_out,
    with_way_out,
    without_way_out,
)
from jvp.resources.network.model import NetworkState
from jvp.resources.network.restart import Restart


def state_of(
    api: NetworkApi, network: handles.Network, prior: NetworkState | None, root: Element | None = None
) -> NetworkState:
    """A network as it is, of anybody; `prior` is what an engine has of it. Raises libvirtError.

    `root` is its inactive definition, where that was just read.
    """
    if root is None:
        root = api.inactive(network)
    ours = ours_of(api, root, prior)
    values, device = read(root, ours), way_out(root)
    active = bool(network.isActive())
    if active:
        # What runs unlike its definition is drift: nothing of a network waits for a next boot. Where somebody
        # edited the definition, that is the drift.
        running = parse(network.XMLDesc(0))
        live, edited = read(running, ours), marks.edited(root, comparable(values))
        values = {name: was if name in edited else live[name] for name, was in values.items()}
        device = device or way_out(running)
    if prior is not None and marks.mark_of(root) is not None:
        values["mode"] = with_way_out(values["mode"], device)
    unfinished = Restart.is_noted(root) or SETTLING in marks.facts_of(root)
    return NetworkState.model_construct(
        **values,
        autostart=bool(network.autostart()),
        active=active and not unfinished,
        state=word(active),
    )


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
    same = prior is None or all(now[name] == getattr(prior, name) for name in ("name", "mode", "bridge"))
    # libvirt keeps no metadata of one that was undefined while it runs.
    return bearing(marked=same and not network.isPersistent(), expected=work.mark, same=same)


def drops_way_out(change: Change, state: NetworkState) -> bool:
    """Whether all that is to change of the mode is the way out of it, which somebody may have put into the definition
    alone."""
    return change.path == ("mode",) and without_way_out(state.mode) == change.new


def has_no_way_out(network: handles.Network) -> bool:
    """Whether a network runs without one. Raises libvirtError."""
    return way_out(parse(network.XMLDesc(0))) is None


def word(active: bool) -> str:
    return "active" if active else "inactive"

"""The create and the update of a network, step by step: `make` and `change` have them in their order.

The docstring of a step says what must be true before it, what is true after it, and what takes it back.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jvp.core.diff import Change, Kind
from jvp.core.errors import JvpError, NotFound
from jvp.core.facts import Effect
from jvp.core.handler import Done, Outcome
from jvp.core.identity import Bearing, Key, Mark, generation
from jvp.core.work import Work
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.xml import Element, parse
from jvp.libvirt.network import ip6_hosts, records, reservations
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network import collisions, forward_record, forwards, hairpin, service
from jvp.resources.network.definition import (
    SETTLING,
    Ours,
    comparable,
    forward_mode,
    free_way_out,
    hosts_in,
    kept,
    patch,
    read,
    record,
    skeleton,
)
from jvp.resources.network.model import Network, NetworkState
from jvp.resources.network.reading import (
    bearing_of,
    drops_way_out,
    has_no_way_out,
    is_of_forwards,
    ours_of,
    runs_in,
    state_of,
)
from jvp.resources.network.restart import Restart


@dataclass(frozen=True)
class _Draft:
    """What is to be written."""

    root: Element
    """The definition."""
    ours: Ours
    """The hosts that the network has of its own, and those that it is to have."""
    new: Ours
    """Only these."""
    restarts: bool = False
    """Whether it has to be stopped and started to become so."""
    names: bool = True
    """Whether its DNS is the program's."""


def make(work: Work, api: NetworkApi, key: Key, spec: Network) -> Outcome[NetworkState]:
    """Make the network, or go on with what an earlier try of the same key left. Raises JvpError, libvirtError."""
    with libvirt_errors(f'network "{spec.name or key.label}"'):
        new = _identified(work, api, key, spec)
    with contextlib.ExitStack() as undo, libvirt_errors(f'network "{new.name}"'):
        _made_way(new)
        draft = _drafted(new)
        if new.left is None and not spec.port_forwards:
            forwards.remove_left(work, api.node, new.uuid)
        network = api.define(draft.root)
        if new.left is None:
            undo.callback(forwards.undone, work, api.node, spec.port_forwards, new.uuid)
            undo.callback(api.remove, new.uuid)
        _settled(work, api, network, spec, draft, is_new=new.left is None)
        _forgot_hosts(api, network, draft)
        undo.pop_all()
        return Done(new.uuid, state_of(api, network, None, declared=spec))


@dataclass(frozen=True)
class _New:
    """One create: what is declared, which network it is, and what an earlier try left."""

    work: Work
    api: NetworkApi
    spec: Network
    mark: Mark
    stack: str
    uuid: str
    name: str
    left: handles.Network | None
    """The network of an earlier try."""
    own: Element | None
    """Its inactive definition."""


def _identified(work: Work, api: NetworkApi, key: Key, spec: Network) -> _New:
    """Which network this is: its id follows from the key, so that a killed create finds its own work again.

    After: nothing is written.
    """
    number, uuid, left = generation(key, api.find, api.mark_of)
    own = api.inactive(left) if left is not None else None
    name = spec.name or key.auto_name(uuid)
    return _New(work, api, spec, Mark.new(key, number, work.declaration), key.stack, uuid, name, left, own)


def _made_way(new: _New) -> None:
    """Have its name, its ranges and its bridge free: what others of the program give up is waited for, or stopped.

    Raises NameTaken, Invalid for what anybody else has. Undo: none; those that were stopped are to change or to go.
    """
    work, api, spec, uuid, own = new.work, new.api, new.spec, new.uuid, new.own
    seen = collisions.refuse_name(api, api.seen(), new.name, uuid)
    seen = collisions.wait(work, api, seen, spec, uuid, own, new.stack)
    collisions.settle(work, api, seen, spec, uuid, own, new.stack)
    collisions.refuse_interface(api, spec, uuid, own)
    had = forward_record.recorded(own) if own is not None else []
    forwards.refuse(work, api, spec.aimed, uuid, had)


def _drafted(new: _New) -> _Draft:
    """The definition, with our mark. It notes a restart where guests run that are on no bridge of it.

    After: everything that can be refused was refused.
    """
    left, spec = new.left, new.spec
    root = new.own if new.own is not None else skeleton(new.uuid)
    declared = Ours.of(hosts_in(spec.reservations))
    ours = Ours.recorded(root) or Ours()
    both = ours | declared
    stopped = left is None or not left.isActive() or Restart.is_noted(root)
    patch(root, spec.model_copy(update={"name": new.name}), both)
    had_table = forward_record.has_table(root)
    marks.put(root, marks.element_of(new.mark))
    forward_record.note(root, spec.aimed, had=had_table)
    marks.set_fact(root, marks.WROTE, marks.wrote(comparable(read(root, both))))
    record(root, ours, declared, live=left is not None and bool(left.isActive()))
    if spec.active and stopped and new.api.runs_under(new.name):
        # Somebody removed it under guests that run: this makes a new bridge, on which their cards are not.
        Restart.note(root)
    return _Draft(root, both, declared)


def change(
    work: Work, api: NetworkApi, object_id: str, prior: NetworkState, spec: Network, changes: Sequence[Change]
) -> Outcome[NetworkState]:
    """Apply the changes, live where that is possible. Again: yes.

    Raises NotFound when the network is gone; JvpError, libvirtError. One that does not start as it should be now is
    as it was before; all else the next update goes on with.
    """
    now = _opened(work, api, object_id, prior, spec, changes)
    _waited(now)
    with api.node.turn(work, collisions.TURN):
        _took_ranges(now)
        draft = _redrafted(now)
        network = api.define(draft.root)
        stopped = _stopped(network, draft)
    with _way_back(now, network, stopped=stopped):
        _settled(work, api, network, spec, draft)
    _forgot_hosts(api, network, draft)
    declared = NetworkState.model_construct(**dict(spec), uuid=object_id)
    return Done(object_id, state_of(api, network, declared))


@dataclass(frozen=True)
class _Now:
    """One update: what there is, and what is to be."""

    work: Work
    api: NetworkApi
    uuid: str
    prior: NetworkState
    spec: Network
    changes: Sequence[Change]
    network: handles.Network
    root: Element
    """Its inactive definition."""
    stack: str


def _opened(
    work: Work, api: NetworkApi, uuid: str, prior: NetworkState, spec: Network, changes: Sequence[Change]
) -> _Now:
    """Find the network and its definition. After: it is ours. Raises NotFound."""
    found = api.found(uuid)
    if found is None or bearing_of(work, *found, prior) is Bearing.REMADE:
        raise NotFound(f'network "{prior.name}" is gone; refresh the state and run again')
    network, root = found
    return _Now(work, api, uuid, prior, spec, changes, network, root, marks.stack_of(root))


def _waited(now: _Now) -> None:
    """Wait a while until others of the program have given up what this one has already and they have too.

    After: whoever has a range still is refused in the next step.
    """
    collisions.wait(now.work, now.api, now.api.seen(), now.spec, now.uuid, now.root, now.stack)


def _took_ranges(now: _Now) -> None:
    """Stop the networks of the program that are to give way. Raises Invalid for what anybody else has.

    Before: no other update of this process is at it. After: everything that can be refused was refused.
    """
    work, api, spec, uuid, root = now.work, now.api, now.spec, now.uuid, now.root
    collisions.settle(work, api, api.seen(), spec, uuid, root, now.stack)
    collisions.refuse_interface(api, spec, uuid, root)
    collisions.refuse_reserved(api, root, spec, ours_of(api, root, now.prior))
    forwards.refuse(work, api, spec.aimed, uuid, forward_record.recorded(root))


def _redrafted(now: _Now) -> _Draft:
    """The definition as it is to be, made of a copy of the one that there is. It notes the restart, if there is one.

    After: a death from here on is told by what the definition notes.
    """
    network, prior, spec, root = now.network, now.prior, now.spec, copy.deepcopy(now.root)
    ours, new = ours_of(now.api, root, prior), Ours.of(hosts_in(spec.reservations))
    marks.acknowledge(root)
    removed = {str(change.path[0]) for change in now.changes if change.kind is Kind.DELETE}
    both = ours | new
    free_way_out(root)
    had_table = forward_record.has_table(root)
    patch(root, kept(spec, read(root, both), removed), both)
    forward_record.note(root, spec.aimed, had=had_table)
    restarts = _must_restart(now, forward_mode(root)) or _restart_is_quicker(network, root, both)
    marks.update(root, now.work, comparable(read(root, both)))
    record(root, ours, new, live=bool(network.isActive()) and not restarts)
    if spec.active and (restarts or not network.isActive()):
        # Last: of a network that was imported this note is all that is kept, until the restart is over.
        Restart.note(root)
    return _Draft(root, both, new, restarts, names=spec.dns is not None or "dns" in removed)


def _must_restart(now: _Now, mode: str) -> bool:
    """Whether it is, where `mode` is libvirt's mode that it is to have."""
    network, prior = now.network, now.prior
    if any(
        change.effect is Effect.NETWORK_RESTART
        and not (drops_way_out(change, prior) and has_no_way_out(network))
        and not (is_of_forwards(change) and runs_in(network, mode))
        for change in now.changes
    ):
        return True
    # Started by somebody since it was read: it runs as it was.
    return prior.state == "inactive" and bool(network.isActive())


def _restart_is_quicker(network: handles.Network, root: Element, ours: Ours) -> bool:
    """Whether many reservations change, and nobody is on the running network who would notice its restart."""
    if not network.isActive() or network.listAllPorts():
        return False
    return reservations.steps_to(network, root, ours) >= reservations.RESTART_FROM


def _stopped(network: handles.Network, draft: _Draft) -> bool:
    """Stop it for its restart; whether it ran. Before: its definition notes the restart."""
    stopped = draft.restarts and bool(network.isActive())
    if stopped:
        network.destroy()
    return stopped


@contextlib.contextmanager
def _way_back(now: _Now, network: handles.Network, *, stopped: bool) -> Iterator[None]:
    """Have a network that was stopped run as it was, when it does not start as it should be now.

    Best effort: the error is another.
    """
    try:
        yield
    except JvpError:
        if stopped and not network.isActive():
            with contextlib.suppress(JvpError), libvirt_errors("network"):
                before = now.root
                marks.acknowledge(before)
                restart = Restart(now.api.node, now.api.define(before))
                restart.note(before)
                network = now.api.define(before)
                _rules_back(now)
                now.api.start(network)
                restart.finish(now.work)
        raise


def _rules_back(now: _Now) -> None:
    """Have the forwards as they were. Best effort: what cannot be had leaves a table that lets nobody in."""
    if not forward_record.has_table(now.root):
        forwards.undone(now.work, now.api.node, now.spec.port_forwards, now.uuid)
        return
    with contextlib.suppress(JvpError):
        forwards.settle(now.work, now.api, now.root)


# What both have


def _settled(
    work: Work, api: NetworkApi, network: handles.Network, spec: Network, draft: _Draft, *, is_new: bool = False
) -> None:
    """Bring the running network to what its definition says. Nothing is asked of a new one.

    Before: the definition is as declared. Undo: a create's with the network; an update's by the way back.
    """
    runs = not is_new and bool(network.isActive())
    if runs and not spec.active:
        network.destroy()
    if forward_record.has_table(draft.root):
        # Before whatever starts it: without the table it would be open to all.
        forwards.settle(work, api, draft.root)
    if (not is_new and bool(network.autostart())) != spec.autostart:
        network.setAutostart(int(spec.autostart))
    if not spec.active:
        return
    if runs:
        running, wanted = parse(network.XMLDesc(0)), api.inactive(network)
        api.update_ranges(network, running, wanted)
        if draft.names:
            records.converge(network, running, wanted)
        ip6_hosts.converge(network, running, wanted)
        reservations.converge(work, network, draft.ours)
    else:
        with service.refusals(), libvirt_errors(f'network "{network.name()}"', ("cidr",) if spec.cidr else ()):
            api.start(network)
    if Restart.is_noted(draft.root):
        Restart(api.node, network).finish(work)
    hairpin.meet(work, api.node, [network.UUIDString()])


def _forgot_hosts(api: NetworkApi, network: handles.Network, draft: _Draft) -> None:
    """Hosts that were taken out are nobody's any more, and port forwards that were all taken out have no table.

    Before: they are gone from the running network too.
    """
    # The draft is what the definition was before a restart took its note out of it.
    if SETTLING in marks.facts_of(draft.root) or forward_record.is_going(draft.root):
        root = api.inactive(network)
        record(root, draft.new, draft.new, live=False)
        if forward_record.is_going(draft.root):
            forward_record.forget(root)
        api.define(root)

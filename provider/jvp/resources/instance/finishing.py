"""The end of a create and of an update: power, autostart, the wait for an address or the agent, and the state."""

from __future__ import annotations

from jvp.core.handler import Done, Outcome, Partial
from jvp.core.types import memory_bytes, whole_mib
from jvp.core.work import Work
from jvp.libvirt.domain import devices, guest, waiting
from jvp.libvirt.domain.domains import DomainApi, pending_of
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import start_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import View
from jvp.resources.instance import cards, live, machine, reading
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.network import hairpin


def finish(
    work: Work,
    api: DomainApi,
    domain: handles.Domain,
    spec: Instance,
    prior: InstanceState | None = None,
    *,
    restarted: bool = False,
) -> Outcome[InstanceState]:
    """Power and autostart, then the wait, then the state.

    Before: definition, disks and addresses are as declared. Undo: a create's, but for a wait that runs out: that
    leaves the instance, as `Partial`.
    """
    if bool(domain.autostart()) != spec.autostart:
        domain.setAutostart(int(spec.autostart))
    fresh = prior is None or restarted or not domain.isActive()
    with start_errors(f'instance "{domain.name()}"', *machine.at_fault(spec)):
        started = guest.set_power(work, domain, spec.power_state, spec.shutdown_timeout) or restarted
    hairpin.meet(work, api.node, (nic.network for nic in spec.nics))
    why = _waited(work, domain, spec, fresh=started or prior is None or prior.ip_address is None)
    basis = prior or InstanceState.model_construct(**{name: getattr(spec, name) for name in Instance.model_fields})
    declared = basis.model_copy(update={name: getattr(spec, name) for name in Instance.model_fields})
    state = _state(work, api, domain, declared)
    if fresh and domain.isActive() and whole_mib(state.memory_bytes or 0) != memory_bytes(spec.memory):
        _note_memory(api, domain, acknowledge=prior is not None)
        state = _state(work, api, domain, declared)
    uuid = str(domain.UUIDString())
    return Done(uuid, state) if why is None else Partial(uuid, state, (why,))


def _state(work: Work, api: DomainApi, domain: handles.Domain, declared: InstanceState) -> InstanceState:
    return reading.read(work, View(api.node), domain, devices.inactive_xml(domain), declared)


def _waited(work: Work, domain: handles.Domain, spec: Instance, *, fresh: bool) -> str | None:
    """Wait for what the program waits for; why that is not there as a sentence, None when it is."""
    why = guest.io_error(domain) if spec.power_state == "running" else None
    # A guest that had its address already is not waited for because its memory changed.
    if why is None and spec.wait_for == "ip" and domain.isActive() and fresh:
        kept = cards.wanted(devices.inactive_xml(domain), spec)
        addresses = {mac: host.address for (_, mac), host in kept.items()}
        return waiting.wait_for_address(work, domain, addresses, spec.wait_timeout)
    if why is None and spec.wait_for == "agent" and domain.isActive():
        return waiting.wait_for_agent(work, domain, spec.wait_timeout)
    return why


def _note_memory(api: DomainApi, domain: handles.Domain, *, acknowledge: bool) -> None:
    """A guest starts with all of its room and gives the rest back when its balloon's driver is there, if ever."""
    pending = pending_of(domain, devices.inactive_xml(domain))
    api.note(domain, {**pending, "memory": live.NO_BALLOON}, acknowledge=acknowledge)


def set_leases_aside(node: Node, domain: handles.Domain | None, root: Element, spec: Instance) -> None:
    """Note which leases do not answer the wait after the next start: those from before it.

    A guest that goes on from a saved image has its leases still.
    """
    if spec.wait_for != "ip":
        marks.set_fact(root, guest.EARLIER, "")
    elif domain is None or not domain.hasManagedSaveImage(0):
        guest.set_leases_aside(node.connection, root)

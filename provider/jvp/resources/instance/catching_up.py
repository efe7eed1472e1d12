"""The last steps of an update: the guest is brought to the definition that was written, and its disk to its size."""

from __future__ import annotations

from jvp.core.work import Work
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import start_errors
from jvp.libvirt.network import filters
from jvp.libvirt.storage.templates import release_template
from jvp.resources.instance import finishing, live, machine, planning, reading, restarting, rootdisk
from jvp.resources.instance.definition import NONE, Names, iso_of, names_of
from jvp.resources.instance.model import Instance
from jvp.resources.instance.update import Draft, Update


def grow_root(update: Update, domain: handles.Domain, draft: Draft) -> None:
    """Bring the root disk to its declared size, through the guest where it runs.

    Before: the definition names the disk. What was seen of the node before it was written is old by now.
    """
    rootdisk.grow_root(update.view.fresh(), domain, draft.root, update.spec, update.prior)


def converged(update: Update, domain: handles.Domain) -> bool:
    """Give the running guest what it takes, and note what waits for its next power cycle; whether anything does.

    Before: the definition is as declared, and the guest is made like it.
    """
    pending = _pending(update, domain, names_of(update.prior, update.spec))
    update.api.note(domain, pending)
    return bool(pending)


def catch_up(work: Work, api: DomainApi, domain: handles.Domain) -> None:
    """Give a guest that came back with the hardware of then what was declared since, and note what waits for its next
    power cycle. Raises libvirtError. Again: yes."""
    if domain.isActive():
        inactive = devices.inactive_xml(domain)
        noted = {path: why for path, why in marks.pending_of(inactive).items() if path in live.UNTOLD}
        api.note(domain, noted | live.converge(work, domain, inactive, NONE, {}))


def release_iso(update: Update, draft: Draft) -> None:
    """Let a template's old image go that was the CD, if nobody else has it.

    Before: the definition has another one. While the guest has the old one still, it stays.
    """
    if draft.old_iso is not None and draft.old_iso != iso_of(draft.root):
        release_template(update.work, update.node, draft.old_iso)


def switched_off(update: Update, domain: handles.Domain, draft: Draft, waits: bool) -> bool:
    """Switch the guest off for its triggers, or for what waits where the program has it so; whether it is to be started
    again.

    Before: what waits is noted.
    """
    work, api, spec = update.work, update.api, update.spec
    if not (waits and _restarts(spec, domain)) and not restarting.is_due(update, draft):
        return False
    guest.shut_down(work, domain, spec.shutdown_timeout)
    # While it is off, so that a death on either side of this leaves the same definition.
    api.note(domain, {})
    off = devices.inactive_xml(domain)
    finishing.set_leases_aside(update.node, domain, off, spec)
    api.define(off)
    return True


def started(update: Update, domain: handles.Domain, *, restarts: bool) -> None:
    """Start a guest that this update has switched off.

    Before: it is off, and nothing waits any more.
    """
    if restarts:
        with start_errors(update.what, *machine.at_fault(update.spec)):
            guest.start(update.work, domain)


def _restarts(spec: Instance, domain: handles.Domain) -> bool:
    """Whether what is pending is worth a restart. A paused guest could not save what it holds, so it stays."""
    wanted = spec.update_policy == "restart" and spec.power_state != "stopped"
    return wanted and guest.state_of(domain) == "running"


def _pending(update: Update, domain: handles.Domain, names: Names) -> dict[str, str]:
    """Give the running guest what it takes; what is left for its next power cycle, by path."""
    if not domain.isActive():
        return {}
    changed = update.changed()
    inactive = devices.inactive_xml(domain)
    # What no difference of the definitions tells: it waits until the guest was off, whatever changes meanwhile.
    noted = reading.still_pending(domain, inactive, devices.live_xml(domain))
    kept = {path: why for path, why in noted.items() if path in live.UNTOLD or why in live.UNTIL_OFF}
    # Every try takes a card out of the guest and puts it in again.
    refused = {path: why for path, why in noted.items() if path.startswith("nics.") and why not in live.RETRIED}
    refused = {} if "nics" in changed else refused
    joined = live.rejoin(update.node, domain, names)
    filters.stand_again(domain, devices.live_xml(domain))
    kept = {path: why for path, why in kept.items() if path not in joined}
    pending = kept | live.converge(update.work, domain, inactive, names, refused)
    pending |= {path: why for path, why in joined.items() if why is not None}
    if planning.rewrites_seed(update.changes):
        pending["cloudInit"] = f"the guest reads it at its next boot; {live.NEXT_BOOT}"
    if "cpu" in changed:
        pending["cpu"] = live.NEXT_BOOT
    if "cpuMode" in changed:
        # Only of a named model the running definition tells whether the guest has it already.
        same = machine.cpu_of(inactive) == machine.cpu_of(devices.live_xml(domain))
        pending = {path: why for path, why in pending.items() if path != "cpuMode"}
        pending |= {} if same else {"cpuMode": live.NEXT_BOOT}
    return pending

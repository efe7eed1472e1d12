"""A guest that was saved to disk (`virsh managedsave`, or by the node as it shut down) before it is changed.

Its next start would bring back what it was saved with, whatever the definition says by then. So it goes on first, and
is changed as it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jvp.core.diff import Change
from jvp.core.errors import Rejected
from jvp.core.model import having
from jvp.core.work import Work
from jvp.libvirt.domain import guest
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, value
from jvp.libvirt.network.networks import NetworkApi
from jvp.libvirt.storage import kinds, pool_mark
from jvp.libvirt.storage.lookup import pool_at
from jvp.resources.instance.definition import source_of
from jvp.resources.instance.instance_facts import Beside
from jvp.resources.instance.model import Instance


def settle(work: Work, node: Node, domain: handles.Domain, spec: Instance, changes: Sequence[Change]) -> None:
    """Have a saved guest go on when it is to run; one that is to be off loses what it was saved with.

    Raises Rejected when nobody says which of both, and when a pool cannot tell whether a disk is still there;
    libvirtError. Again: yes.
    """
    if not _is_saved(domain):
        return
    name = domain.name()
    if spec.power_state == "unmanaged":
        if any(change.path[0] not in having(Instance, Beside) for change in changes):
            raise Rejected(
                f'"{name}" was saved to disk and would go on as it was before the change; start it, or drop what was '
                f"saved with `virsh managedsave-remove {name}`, and run again"
            )
        return
    if why := dropped(domain, spec):
        work.warn(why)
        domain.managedSaveRemove(0)
        return
    if lost := list(_lost(work, node, parse(domain.managedSaveGetXMLDesc(0)))):
        are = "is" if len(lost) == 1 else "are"
        work.warn(
            f'"{name}" was saved to disk with {" and ".join(lost)}, which {are} gone: what was saved is dropped, and '
            "the guest starts afresh"
        )
        domain.managedSaveRemove(0)
        return
    guest.set_power(work, domain, spec.power_state, spec.shutdown_timeout)


def dropped(domain: handles.Domain, spec: Instance) -> str | None:
    """That an update drops what a guest was saved with, for the plan and for the update; None when it does not."""
    if spec.power_state != "stopped" or not _is_saved(domain):
        return None
    return f'what "{domain.name()}" was saved to disk with is dropped: stopped means off'


def _is_saved(domain: handles.Domain) -> bool:
    return not domain.isActive() and bool(domain.hasManagedSaveImage(0))


def _lost(work: Work, node: Node, root: Element) -> Iterator[str]:
    """What a saved machine has and surely nobody has any more."""
    for card in root.iterfind("devices/interface"):
        network = value(card, "source/@network")
        if network and NetworkApi(node).named(network) is None:
            yield f'the network "{network}"'
    for disk in root.iterfind("devices/disk"):
        path = source_of(disk)
        pool = pool_at(node, kinds.folder_of(path)) if path else None
        if path and pool is not None and pool_mark.is_gone(work, pool, kinds.name_of(path)):
            yield f"the disk {path}"

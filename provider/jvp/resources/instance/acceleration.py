"""What a machine runs on: KVM or emulation, as declared and as the node can."""

from __future__ import annotations

from collections.abc import Sequence

from jvp.core.diff import Change
from jvp.core.errors import Rejected
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import kvm_probe
from jvp.resources.instance import storage
from jvp.resources.instance.model import Instance
from jvp.resources.provider import Provider


def chosen(work: Work, node: Node, provider: Provider, spec: Instance, pool: handles.StoragePool | None) -> str:
    """kvm or qemu, for a new machine. Raises Rejected where the node has no KVM; libvirtError."""
    wanted = spec.virt_type or provider.virt_type
    if wanted == "auto":
        return kvm_probe.acceleration(work, node, pool)
    if wanted == "kvm" and not kvm_probe.lists_kvm(node):
        raise Rejected('the node offers no KVM; use "qemu", or "auto"', path=("virtType",))
    return wanted


def changed(
    work: Work, view: View, provider: Provider, spec: Instance, inactive: Element, changes: Sequence[Change]
) -> str | None:
    """The same for a machine that is there; None where it stays as it is. Raises Rejected, libvirtError.

    A create sees whether the guest starts with KVM; here that may be long after, so a tiny guest is tried.
    """
    if not any(change.path[0] == "virtType" for change in changes):
        return None
    node, pool = view.node, storage.pool_of_root(view, inactive)
    found = chosen(work, node, provider, spec, pool)
    if found == "kvm" and inactive.get("type") != "kvm" and pool is not None and kvm_probe.is_broken(work, node, pool):
        raise Rejected('KVM does not work on this node; use "qemu", or "auto"', path=("virtType",))
    return found

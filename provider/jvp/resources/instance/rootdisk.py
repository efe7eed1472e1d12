"""The root disk of an instance that is there: lost from its definition, too small, and how it grows."""

from __future__ import annotations

from jvp.core.errors import Invalid, NotFound, Rejected
from jvp.core.types import disk_bytes
from jvp.core.work import Work
from jvp.libvirt import disk_chain
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import copy_volume, kinds, lookup, pool_kind
from jvp.resources.instance import planning
from jvp.resources.instance.definition import FORMAT as MADE_AS
from jvp.resources.instance.definition import DiskSource, root_disk, root_format
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.storage import FORMAT, grow, root_chain, root_path, root_size, size_at, source_of_volume


def lost(view: View, inactive: Element, prior: InstanceState) -> DiskSource | None:
    """The root disk of an instance of ours whose definition has lost it, to be put back; None when it has it."""
    path = prior.root_disk_path
    if marks.mark_of(inactive) is None or root_disk(inactive) is not None or not path:
        return None
    format = marks.facts_of(inactive).get(MADE_AS) or FORMAT
    volume = view.volume(path)
    return source_of_volume(path, volume, format) if volume is not None else None


def damage(work: Work, view: View, inactive: Element, prior: InstanceState) -> str | None:
    """What an accident has done to the root disk; None when it is whole, or gone. Raises libvirtError, Busy.

    Giving it its size again would be no mend: the guest's system is lost with its content.
    """
    own, format = root_path(view, inactive, prior.root_disk_path), root_format(inactive) or FORMAT
    volume = view.volume(own) if own is not None else None
    if own is None or volume is None or volume.size(format):
        return None
    view.refreshed(work, own, volume)  # only then libvirt sees what is there now
    volume = view.volume(own)
    if volume is None or volume.size(format):
        return None
    return copy_volume.damage(volume.root, format, f'the root disk of "{value(inactive, "name")}"')


def refuse_size(view: View, domain: handles.Domain, inactive: Element, spec: Instance, prior: InstanceState) -> None:
    """Raise Invalid for less than the disk has, Rejected where it is damaged, or cannot grow: its pool's volumes keep
    their size, or another tool's layer would have to.

    Raises libvirtError.
    """
    wanted = spec.root_disk.size if spec.root_disk else None
    own = root_path(view, inactive, prior.root_disk_path)
    if (why := damage(Work(), view, inactive, prior)) is not None:
        raise Rejected(why, path=("rootDisk",))
    now = root_size(view, domain, inactive, own)
    if now is None and own is not None and marks.mark_of(inactive) and lookup.pool_at(view.node, kinds.folder_of(own)):
        raise NotFound(f"its root disk {own} is gone; refresh the state and run again", path=("rootDisk",))
    if wanted and now is not None and disk_bytes(wanted) < now:
        raise Invalid(planning.less(wanted, now), path=("rootDisk", "size"))
    if wanted and now is not None and disk_bytes(wanted) > now:
        refuse_covered(view, domain, inactive, own)
        if own is not None and (volume := view.volume(own)) is not None:
            pool_kind.require(volume.pool, "resize", ("rootDisk", "size"))


def grow_root(view: View, domain: handles.Domain, inactive: Element, spec: Instance, prior: InstanceState) -> None:
    """Bring the disk to the declared size, through the guest when it runs. Again: yes. Raises libvirtError."""
    wanted = spec.root_disk.size if spec.root_disk else None
    chain, own = root_chain(view, inactive), root_path(view, inactive, prior.root_disk_path)
    if not wanted or chain is None or chain.path is None or own is None or not chain.stands_for(own):
        return  # what another tool laid over it has the declared size
    path, format = chain.path, (root_format(inactive) if chain.path == own else chain.format) or "raw"
    now = size_at(view, path, format)
    if now is None or disk_bytes(wanted) <= now:
        return
    if domain.isActive():
        # On another bus it waits for the next power cycle, and is still where it was.
        running = root_disk(devices.live_xml(domain))
        target = value(running if running is not None else chain.disk, "target/@dev")
        domain.blockResize(target or "", disk_bytes(wanted), devices.RESIZE_BYTES)
    else:
        grow(view, path, format, disk_bytes(wanted))


def refuse_covered(view: View, domain: handles.Domain, root: Element, own: str | None) -> None:
    """Raise Rejected when the root disk `own` lies under another tool's layer, which would have to grow with it."""
    chain = root_chain(view, root)
    if chain is not None and chain.path != own and (own is None or not chain.stands_for(own)):
        why = disk_chain.covered(chain, domain, own)
        raise Rejected(f"the root disk {own} {why}", path=("rootDisk", "size"))

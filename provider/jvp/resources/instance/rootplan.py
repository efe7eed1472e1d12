"""The root disk of a new instance: planned before anything is written, then made, or taken over as it is."""

from __future__ import annotations

from dataclasses import dataclass

from jvp.core.errors import Invalid, Rejected
from jvp.core.types import disk_bytes, size_text
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt import disk_chain
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, value, volume_xml
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import copy_volume, flat_copy, kinds
from jvp.libvirt.storage.content import copied, refuse_space
from jvp.libvirt.storage.kinds import Ability
from jvp.libvirt.storage.lookup import BackingFile, create_volume, find_volume, there
from jvp.libvirt.storage.pool_kind import Layout, layout_of
from jvp.libvirt.storage.templates import TemplateVolume, refuse_damaged, refuse_going, template_of
from jvp.libvirt.storage.volume_claim import remove_when_free
from jvp.resources.instance import from_snapshot, leftovers
from jvp.resources.instance.definition import root_name
from jvp.resources.instance.from_snapshot import Origin
from jvp.resources.instance.model import Instance
from jvp.resources.instance.storage import FORMAT, nvram_name, seed_name

OUTLIVED = "outlived"
"""A fact of the mark while a machine is made: its root disk was there before, and no failure may take it away."""


@dataclass(frozen=True)
class RootPlan:
    """Where the root disk will be, found before anything is written."""

    pool: handles.StoragePool
    layout: Layout
    template: TemplateVolume | None
    size: int
    format: str
    made_from: Origin | None = None
    """The snapshot whose disks are copied."""


def plan_root(view: View, spec: Instance, uuid: str = "") -> RootPlan | None:
    """The pool, origin and size of the root disk; None for an instance without one. Raises what is wrong."""
    root = spec.root_disk
    wanted = disk_bytes(root.size) if root and root.size else None
    if spec.snapshot is not None:
        return _of_snapshot(view, spec, wanted, uuid)
    format = (root.format if root else None) or FORMAT
    if spec.template is None:
        if root is None or root.pool is None or wanted is None:
            return None
        pool = view.pool(root.pool, ("rootDisk", "pool"))
        return RootPlan(pool, layout_of(pool), None, wanted, format)
    template = template_of(view.node, spec.template, ("template",))
    pool = view.pool(root.pool, ("rootDisk", "pool")) if root and root.pool else template.pool
    if wanted is not None and wanted < template.capacity:
        raise Invalid(
            f'"{root.size if root else ""}" is less than the template "{template.name}" has, '
            f"which is {size_text(template.capacity)}",
            path=("rootDisk", "size"),
        )
    layout = layout_of(pool)
    needs: Ability = "backing" if format == FORMAT else "upload" if format == template.format else "clone"
    layout.kind.require(needs, ("rootDisk", "pool") if root and root.pool else ("template",))
    if format == "raw":
        refuse_space(pool, f'the template "{template.name}"', int(template.volume.info()[2]), ("rootDisk", "pool"))
    return RootPlan(pool, layout, template, wanted or template.capacity, format)


def _of_snapshot(view: View, spec: Instance, wanted: int | None, uuid: str) -> RootPlan:
    root, made_from = spec.root_disk, from_snapshot.origin_of(view, spec, uuid)
    pool = view.pool(root.pool, ("rootDisk", "pool")) if root and root.pool else made_from.pool
    least = kinds.FILES.rounded(made_from.root.size)
    if wanted is not None and wanted < least:
        raise Invalid(
            f'"{root.size if root else ""}" is less than {made_from.root.what} has, which is {size_text(least)}',
            path=("rootDisk", "size"),
        )
    from_snapshot.refuse_full(made_from, pool, bound=bool(root and root.pool))
    format = from_snapshot.format_of(spec, made_from)
    return RootPlan(pool, layout_of(pool), None, wanted or least, format, made_from)


def outlived(work: Work, plan: RootPlan, uuid: str, inactive: Element | None) -> bool:
    """Whether there is a root disk of a machine of this id that somebody undefined. We take the domain away last.

    `inactive` is the definition of an earlier try, which has noted it; None where there is none. Raises Rejected when a
    file of somebody else's is called as one of its others.
    """
    if inactive is not None:
        return bool(marks.facts_of(inactive).get(OUTLIVED))
    leftovers.refuse_foreign(work, plan.pool, seed_name(uuid), nvram_name(uuid))
    if plan.made_from is not None and from_snapshot.is_half(plan.pool, root_name(uuid)):
        return False
    return there(work, plan.pool, root_name(uuid)) is not None


def make_root(work: Work, node: Node, plan: RootPlan, uuid: str, *, keep: bool) -> None:
    """Make the root disk anew; what an earlier try left is discarded. With `keep` the one that is there is taken over.

    Raises Rejected when that one is not what the program declares.
    """
    work.status("making the root disk")
    if plan.template is not None:
        refuse_damaged(plan.template, ("template",))
    name = root_name(uuid)
    stale = find_volume(plan.pool, name)
    if stale is not None and keep:
        _take_over(work, node, stale, plan)
        return
    if stale is not None:
        remove_when_free(work, stale)  # the node may still be converting for one that died
    if plan.made_from is not None:
        flat_copy.copy(work, node, plan.made_from.root, plan.pool, name, plan.format, size=plan.size)
        return
    if plan.template is not None and plan.format == "raw":
        volume = copied(work, node, plan.template, plan.pool, name, plan.format)
        if plan.size > plan.template.capacity:
            volume.resize(plan.size, 0)
        return
    backing = BackingFile(plan.template.path, plan.template.format) if plan.template else None
    create_volume(work, node, plan.pool, name, capacity=plan.size, format=plan.format, backing=backing)
    if plan.template is not None:
        refuse_going(plan.template, ("template",))


def _take_over(work: Work, node: Node, volume: handles.StorageVol, plan: RootPlan) -> None:
    root = volume_xml(volume)
    backing, wanted = value(root, "backingStore/path"), plan.template.path if plan.template else None
    if plan.format == "raw":
        wanted = None  # a copy, or blank
    if tops := disk_chain.standing(View(node), plan.pool, volume.path()):
        raise Rejected(
            f"its root disk {volume.path()} outlived a machine that was undefined, and lies under {listed(tops)}, "
            'which writing to it would break; merge that into it ("qemu-img commit"), or delete it',
            path=("rootDisk",),
        )
    other = copy_volume.format_of(root) != plan.format or backing != wanted
    if other or (number(root, "capacity") or 0) > plan.size:
        raise Rejected(
            f"its root disk {volume.path()} outlived a machine that was undefined, and is not what is declared "
            f"now; delete that volume, or declare the disk as it was",
            path=("rootDisk",),
        )
    work.warn(f"its root disk {volume.path()} outlived a machine that was undefined: it is kept with all that is on it")
    if (number(root, "capacity") or 0) < plan.size:
        volume.resize(plan.size, 0)

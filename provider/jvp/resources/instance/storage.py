"""The disks that belong to an instance: its root disk and its cloud-init seed, named after its uuid."""

from __future__ import annotations

import contextlib
import posixpath
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from jvp.core.errors import Invalid, NotFound, Path, Rejected
from jvp.core.types import disk_bytes, size_text
from jvp.core.work import Work
from jvp.libvirt import copying, devices, marks, overlays, sidecar
from jvp.libvirt.contents import copied, refuse_space
from jvp.libvirt.fill import remove_when_free
from jvp.libvirt.node import Node
from jvp.libvirt.pools import active_pools, has_file, unless_lost
from jvp.libvirt.storage import (
    BackingFile,
    DomainDisk,
    TemplateVolume,
    active_pool_of,
    create_volume,
    detach,
    disk_users,
    find_volume,
    listed,
    refuse_going,
    template_of,
    there,
    volume_of,
)
from jvp.libvirt.templates import parsed_name, refuse_damaged
from jvp.libvirt.xml import Element, number, parse, value, volume_xml
from jvp.resources.instance import leftovers
from jvp.resources.instance.definition import (
    SEED_ALIAS,
    DiskSource,
    disk_key,
    is_ours,
    root_disk,
    root_format,
    root_name,
    source_of,
    told_format,
)
from jvp.resources.instance.model import Instance
from jvp.resources.instance.upkeep import Places


@dataclass(frozen=True)
class RootPlan:
    """Where the root disk will be, found before anything is written."""

    pool: Any
    template: TemplateVolume | None
    size: int
    format: str


FORMAT = "qcow2"
"""A root disk's, unless the program says another."""
RELEASE_S = devices.UNPLUG_S + 10.0
"""So long another instance of ours may take to let go of a volume."""
OUTLIVED = "outlived"
"""A fact of the mark while a machine is made: its root disk was there before, and no failure may take it away."""
NVRAM = "nvram"
"""A fact of the mark: the guest had UEFI once. Its variables outlive a change to BIOS, and no pool has seen them."""


def seed_name(uuid: str) -> str:
    return f"jvp-{uuid}-seed"


def nvram_name(uuid: str) -> str:
    return f"jvp-{uuid}-nvram"


def plan_root(node: Node, spec: Instance) -> RootPlan | None:
    """The pool, template and size of the root disk; None for an instance without one. Raises what is wrong."""
    root = spec.root_disk
    wanted = disk_bytes(root.size) if root and root.size else None
    format = (root.format if root else None) or FORMAT
    if spec.template is None:
        if root is None or root.pool is None or wanted is None:
            return None
        return RootPlan(active_pool_of(node, root.pool, ("rootDisk", "pool")), None, wanted, format)
    template = template_of(node, spec.template, ("template",))
    if root and root.pool:
        pool = active_pool_of(node, root.pool, ("rootDisk", "pool"))
    else:
        pool = template.pool
        if not pool.isActive():
            raise Rejected(f'storage pool "{pool.name()}" of the template is not active; start it', path=("template",))
    if wanted is not None and wanted < template.capacity:
        raise Invalid(
            f'"{root.size if root else ""}" is less than the template "{template.name}" has, '
            f"which is {size_text(template.capacity)}",
            path=("rootDisk", "size"),
        )
    if format == "raw":
        refuse_space(pool, f'the template "{template.name}"', int(template.volume.info()[2]), ("rootDisk", "pool"))
    return RootPlan(pool, template, wanted or template.capacity, format)


def path_in(pool: Any, name: str) -> str:
    """The path that a volume of this name will have. Source: dir pools keep a volume as a file of its name."""
    folder = value(parse(pool.XMLDesc(0)), "target/path")
    return f"{folder}/{name}"


def outlived(work: Work, plan: RootPlan, uuid: str, found: Any) -> bool:
    """Whether there is a root disk of a machine of this id that somebody undefined. We take the domain away last.

    `found` is what there is of the machine: an earlier try, which has noted it, or nothing. Raises Rejected when a
    file of somebody else's is called as one of its others.
    """
    if found is not None:
        return bool(marks.facts_of(devices.inactive_xml(found)).get(OUTLIVED))
    leftovers.refuse_foreign(work, plan.pool, seed_name(uuid), nvram_name(uuid))
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
    if plan.template is not None and plan.format == "raw":
        volume = copied(work, node, plan.template, plan.pool, name, plan.format)
        if plan.size > plan.template.capacity:
            volume.resize(plan.size, 0)
        return
    backing = BackingFile(plan.template.path, plan.template.format) if plan.template else None
    create_volume(work, node, plan.pool, name, capacity=plan.size, format=plan.format, backing=backing)
    if plan.template is not None:
        refuse_going(plan.template, ("template",))


def _take_over(work: Work, node: Node, volume: Any, plan: RootPlan) -> None:
    root = volume_xml(volume)
    backing, wanted = value(root, "backingStore/path"), plan.template.path if plan.template else None
    if plan.format == "raw":
        wanted = None  # a copy, or blank
    if tops := overlays.standing(node, plan.pool, volume.path(), disk_users(node.connection)):
        raise Rejected(
            f"its root disk {volume.path()} outlived a machine that was undefined, and lies under {listed(tops)}, "
            'which writing to it would break; merge that into it ("qemu-img commit"), or delete it',
            path=("rootDisk",),
        )
    other = copying.format_of(root) != plan.format or backing != wanted
    if other or (number(root, "capacity") or 0) > plan.size:
        raise Rejected(
            f"its root disk {volume.path()} outlived a machine that was undefined, and is not what is declared "
            f"now; delete that volume, or declare the disk as it was",
            path=("rootDisk",),
        )
    work.warn(f"its root disk {volume.path()} outlived a machine that was undefined: it is kept with all that is on it")
    if (number(root, "capacity") or 0) < plan.size:
        volume.resize(plan.size, 0)


def disk_source(
    work: Work, node: Node, reference: str, path: Path, *, user: str, writes: bool,
    has: Collection[str] = (), give_up: Callable[[], None] | None = None,
) -> DiskSource:  # fmt: skip
    """The path and recorded format of a volume. Raises when it is missing, or another domain than `user` has it.

    What `user` has already is its own, whoever else has it: by these paths, or below an overlay. One that `writes`
    would break what stands on the volume: it is refused then too.

    Another instance of ours may be letting go of it at this moment: an engine moves a volume by two updates at once.
    It may wait for one of ours then, when they exchange volumes: `give_up` is called again and again meanwhile.
    """
    volume = volume_of(node, reference, path)
    where = volume.path()

    if where in has:
        return DiskSource(where, format_of(volume))
    end = time.monotonic() + work.left(RELEASE_S)
    while True:
        # Claimed before it is asked who has it: another thread may be about to write it down.
        claimed = node.claims.take(where)
        users = disk_users(node.connection)
        mine = [disk for disk in users.get(where, ()) if disk.domain.UUIDString() == user]
        others = [disk for disk in users.get(where, ()) if disk not in mine]
        if (claimed and not others) or any(disk.backing for disk in mine):
            if writes and not users.get(where):
                _refuse_base(node, volume, users, user, path)
            return DiskSource(where, format_of(volume))
        holder = f'"{others[0].name}"' if others else "another instance"
        if time.monotonic() >= end or not all(disk.ours for disk in others):
            raise _attached(reference, holder, path)
        if give_up is not None:
            give_up()
        work.status(f'waiting for {holder} to let go of the volume "{reference}"')
        work.wait(0.5)


def refuse_in_use(node: Node, reference: str, path: Path) -> None:
    """Raise for a volume that is missing, and for one that somebody's machine has: ours may let go of it until then."""
    users = disk_users(node.connection).get(volume_of(node, reference, path).path(), ())
    if foreign := [disk.name for disk in users if not disk.ours]:
        raise _attached(reference, f'"{foreign[0]}"', path)


def _attached(reference: str, holder: str, path: Path) -> Rejected:
    return Rejected(f'volume "{reference}" is attached to {holder} already', path=path)


def _refuse_base(node: Node, volume: Any, users: dict[str, list[DomainDisk]], user: str, path: Path) -> None:
    """Raise Rejected when others than `user` have, or could have again, an overlay that stands on the volume."""
    pool = volume.storagePoolLookupByVolume()
    tops = overlays.standing(node, pool, volume.path(), users) if overlays.has_foreign(pool) else set()
    if tops and not any(disk.domain.UUIDString() == user for top in tops for disk in users.get(top, ())):
        raise Rejected(
            f'volume "{volume.name()}" lies under {listed(tops)}, which writing to it would break; merge that into it '
            '("qemu-img commit"), or delete it',
            path=path,
        )


def give_up(work: Work, node: Node, domain: Any, paths: set[str]) -> None:
    """Take disks out of a domain, which runs or not. Raises Busy when the guest does not let go, libvirtError."""
    users = disk_users(node.connection)
    for path in sorted(paths):
        for disk in users.get(path, ()):
            if disk.domain.UUIDString() == domain.UUIDString() and not disk.backing:
                detach(work, disk, path)


def iso_source(node: Node, reference: str, path: Path) -> DiskSource:
    """The path of a CD image. Raises when it is missing, or is no plain image."""
    found = _iso_template(node, reference, path)
    volume = found.volume if found is not None else volume_of(node, reference, path)
    format = found.format if found is not None else format_of(volume)
    if format != "raw":
        raise Invalid(f'"{reference}" has the format {format}; a CD image is raw', path=path)
    return DiskSource(volume.path(), format)


def iso_id(node: Node, reference: str) -> str:
    """The id of the template or volume that a reference to a CD image means. Raises NotFound, Rejected."""
    found = _iso_template(node, reference, ())
    return found.id if found is not None else iso_id_of(volume_of(node, reference, ()))


def iso_id_of(volume: Any) -> str:
    """The id of what a volume is: of the template whose image it is or was, else its own."""
    names = parsed_name(volume.name())
    return f"{volume.storagePoolLookupByVolume().UUIDString()}/{names[0] if names else volume.name()}"


def _iso_template(node: Node, reference: str, path: Path) -> TemplateVolume | None:
    """The template of a reference, None when it means a volume."""
    try:
        return template_of(node, reference, path)
    except NotFound:
        if "/" not in reference:
            raise
        return None


def format_of(volume: Any) -> str:
    """A volume's format from our record, of a foreign volume from libvirt.

    A guest can write a qcow2 header into its raw disk; believing it would give it the node's files to read.
    """
    record = sidecar.get(volume.storagePoolLookupByVolume(), volume.name())
    probed = value(volume_xml(volume), "target/format/@type") or "raw"
    if record is None or not record.format:
        return probed
    if record.format != probed and record.format == "qcow2":
        raise Rejected(f'volume "{volume.name()}" was made as qcow2 and is {probed} now: its data is damaged')
    return record.format


def size_at(node: Node, path: str, format: str | None) -> int | None:
    """The size of the disk of this format at a path, None when it is in no pool."""
    found = volume_at(node, path)
    return size_of(found, format) if found is not None else None


def size_of(volume: Any, format: str | None) -> int:
    """What a guest sees of its disk. A raw one that looks like qcow2, because the guest wrote that, is its file."""
    root = volume_xml(volume)
    other = format == "raw" and copying.format_of(root) != "raw"
    return number(root, "physical" if other else "capacity") or 0


def grow(node: Node, path: str, format: str, size: int) -> None:
    """Grow the disk of a guest that is off. Raises Rejected when its bytes claim another format, libvirtError."""
    volume = volume_at(node, path)
    copying.refuse_other_format(volume_xml(volume), format, volume.name())
    volume.resize(size, 0)


def root_path(node: Node, root: Element, known: str | None = None) -> str | None:
    """The file that is the instance's root disk, also under overlays that another tool laid over it.

    An imported one is told from them by the path that it is `known` by. None without a disk. Raises libvirtError.
    """
    device = root_disk(root)
    top = source_of(device) if device is not None else None
    if device is None or top is None or is_ours(root):
        return top
    if marks.mark_of(root) is None:
        return known if known and overlays.over(node, device, known) else top
    name, found = root_name(value(root, "uuid") or ""), overlays.layers(node, device)
    own = next((path for path in found if posixpath.basename(path) == name), None)
    if own is None and (told_format(device) == "raw" or volume_at(node, found[-1]) is not None):
        own = _made(node, name, known)  # all that lies under the disk is known, and ours is not among it
    return own or top


def _made(node: Node, name: str, known: str | None) -> str | None:
    """The path of a volume that we made, wherever it is; it may be where it is `known` to have been."""
    if known and posixpath.basename(known) == name and volume_at(node, known) is not None:
        return known
    found = (unless_lost(pool, partial(find_volume, pool, name)) for pool in active_pools(node.connection))
    return next((str(volume.path()) for volume in found if volume is not None), None)


def is_elsewhere(node: Node, root: Element, own: str | None) -> bool:
    """Whether somebody pointed the root disk of a machine of ours at a file that does not stand on `own`."""
    device = root_disk(root)
    if device is None or own is None or marks.mark_of(root) is None or source_of(device) == own:
        return False
    return own not in overlays.layers(node, device)


def places(node: Node, root: Element, known: str | None) -> Places:
    """Where the files of a machine of ours are, for `upkeep.mend`. Raises libvirtError."""
    if marks.mark_of(root) is None:
        return Places()
    own, formats = root_path(node, root, known), []
    seed = next((one for one in root.iterfind("devices/disk") if devices.alias_of(one) == SEED_ALIAS), None)
    name, place = seed_name(value(root, "uuid") or ""), None
    if seed is not None and own is not None and posixpath.basename(source_of(seed) or "") != name:
        place = posixpath.join(posixpath.dirname(own), name)
    for device in root.iterfind("devices/disk"):
        path = source_of(device)
        if (devices.alias_of(device) or "").startswith(devices.DISK_ALIAS) and path is not None:
            volume = volume_at(node, path)
            record = sidecar.get(volume.storagePoolLookupByVolume(), volume.name()) if volume is not None else None
            if record is not None and record.format:
                formats.append((disk_key(device), record.format))
    return Places(own if is_elsewhere(node, root, own) else None, place, tuple(formats))


def root_overlays(node: Node, root: Element, known: str | None) -> list[str]:
    """The overlays over the root disk, top first. Of one that we made also those whose base is gone already.

    Raises libvirtError.
    """
    device, own = root_disk(root), root_path(node, root, known)
    if device is None or own is None or is_ours(root):
        return []
    if source_of(device) != own:
        return overlays.over(node, device, own)
    found = overlays.layers(node, device) if marks.mark_of(root) is not None else []
    # Only a removal that was cut off leaves this.
    cut = len(found) > 1 and volume_at(node, found[-1]) is None
    return found[:-1] if cut and not any(overlays.is_recorded(node, path) for path in found) else []


def root_size(node: Node, domain: Any, root: Element, own: str | None) -> int | None:
    """What the guest sees of its root disk, whose own file is `own`. Raises libvirtError."""
    device = root_disk(root)
    top = source_of(device) if device is not None else None
    if top is not None and top != own and not is_elsewhere(node, root, own):
        return overlays.size(domain, top)
    return size_at(node, own, root_format(root)) if own else None


def pool_of_root(node: Node, root: Element) -> Any:
    """The pool of the root disk in a definition; None where it has none, or that is in no active pool."""
    path = root_path(node, root)
    volume = volume_at(node, path) if path is not None else None
    return volume.storagePoolLookupByVolume() if volume is not None else None


def volume_at(node: Node, path: str) -> Any:
    """The volume at a path, None when no active pool has it. One without its file is none: the pool looks again."""
    with contextlib.suppress(NotFound):
        volume = volume_of(node, path, ())
        return volume if has_file(volume) else there(Work(), volume.storagePoolLookupByVolume(), volume.name())
    return None

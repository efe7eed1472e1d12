"""The end of an instance: what goes with it, what stays, and what is refused before anything goes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial

from jvp.core.errors import Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.disk_chain import Chain, Layer, Whose
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.domains import Defined, DomainApi
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value, volume_xml
from jvp.libvirt.network import reservations
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import shedding
from jvp.libvirt.storage import kinds, layer_names, pool_mark, volume_record
from jvp.libvirt.storage.lookup import active_pools, delete_volume, find_volume, names, pool_at, refresh, unless_lost
from jvp.libvirt.storage.templates import release_template
from jvp.resources.instance import cards, machine
from jvp.resources.instance.definition import is_own_name, iso_of, own_disks, own_name, root_name, source_of
from jvp.resources.instance.model import MAX_DEVICES
from jvp.resources.instance.storage import (
    NVRAM,
    nvram_name,
    pool_of_root,
    root_layers,
    root_path,
    seed_name,
)


def remove(
    work: Work,
    api: DomainApi,
    uuid: str,
    found: Defined | None,
    path: str | None,
    patience: str | None = None,
    *,
    keep: bool = False,
    whole: bool = False,
) -> None:
    """Remove everything that belongs to the instance; the domain goes last, so that a crash finds it again.

    `found` is None where it is gone. With `keep` the root disk stays, with `whole` an imported one goes too. Where a
    disk outlives the guest, it has `patience` to shut down. Raises Rejected for a root disk out of reach, before that.
    """
    node, going, view = api.node, _Going(path), View(api.node)
    if found is not None:
        going = _checked(work, view, uuid, found.root, path, whole=whole)
        for name, file in api.memories(found.domain):
            work.warn(f'the memory of its snapshot "{name}" stays, which whoever made that put into {file}')
        stays = found.domain.isPersistent() or _defined_again(api, found)  # else it is gone with its power-off
        _switch_off(work, found.domain, set() if keep else going.files, patience)
        if stays:
            shedding.shed(work, node, found.domain, going.files)
        if going.firmware is not None:
            refresh(work, going.firmware)
    imported = not going.ours or keep
    if not going.ours and whole and going.path:
        _remove_at(node, going.path)
    _remove_made(work, view, uuid, None if imported else going.path, imported=imported)
    # From the base up: what is left of them if this is cut off is found from the top.
    for layer in () if keep else reversed(going.over):
        _remove_layer(node, layer)
    if found is None:
        return
    cards.drop(work, node, reservations.cards_of(found.root))
    api.undefine(found.domain)
    if (iso := iso_of(found.root)) is not None:
        release_template(work, node, iso)


def _defined_again(api: DomainApi, found: Defined) -> bool:
    """Define a domain again that somebody undefined while it runs, where it has snapshots: their end needs it."""
    if not shedding.has_any(api.node, found.domain.UUIDString(), found.root):
        return False
    api.define(found.root)
    return True


@dataclass(frozen=True)
class _Going:
    """What goes with an instance."""

    path: str | None
    """Its root disk."""
    over: tuple[Layer, ...] = ()
    """What lies over that, the active layer first."""
    files: set[str] = field(default_factory=set)
    """All of these."""
    ours: bool = True
    """Whether we made the instance."""
    firmware: handles.StoragePool | None = None
    """The pool in which UEFI's variables lie that the pool has not seen."""


def _checked(work: Work, view: View, uuid: str, root: Element, path: str | None, *, whole: bool) -> _Going:
    """What goes with a domain of this inactive definition. Raises Rejected for what must not go."""
    ours, own, over = marks.mark_of(root) is not None, root_path(view, root, path), tuple[Layer, ...]()
    others = list[str]()
    path = path or own
    own_chains = [Chain(view, one) for one in own_disks(root)] if ours else []
    if (ours or whole) and path:
        over = root_layers(view, root, path)
        of_root = {path, own or path, *(layer.path for layer in over)}
        over += tuple(layer for chain in own_chains for layer in chain.layers if layer_names.is_layer(layer.name))
        others = [layer.path for chain in own_chains for layer in chain.layers if layer.whose is Whose.ROOT]
        for file in dict.fromkeys([*(layer.path for layer in over), *others, own or path, path]):
            what = "root disk" if file in of_root else "disk"
            _refuse_unreachable(work, view, file, what)
            _refuse_shared(view, file, uuid, what)
        if not ours:
            _refuse_declared(view, path)
    if ours and (path or own_chains):
        _refuse_given_away(view, uuid)
    had_uefi = marks.facts_of(root).get(NVRAM) and machine.firmware_of(root) == "bios"
    files = (
        {file for file in (*(layer.path for layer in over), *others, own, path) if file}
        if ours or whole
        else set[str]()
    )
    return _Going(path, over, files, ours, pool_of_root(view, root) if had_uefi else None)


def _switch_off(work: Work, domain: handles.Domain, goes: set[str], patience: str | None) -> None:
    if not guest.is_active(domain):
        return
    if patience is not None and _outlived(domain, goes):
        guest.shut_down(work, domain, patience)
    else:
        guest.cut_off(domain)


def _outlived(domain: handles.Domain, goes: set[str]) -> bool:
    """Whether a disk that the guest can write to stays when the files that `goes` names go. Raises libvirtError."""
    disks = devices.live_xml(domain).iterfind("devices/disk")
    written = [one for one in disks if one.get("device", "disk") == "disk" and one.find("readonly") is None]
    return any(source_of(one) not in goes for one in written)


def _refuse_unreachable(work: Work, view: View, path: str, what: str) -> None:
    """Raise Rejected when it cannot be told whether its disk at `path` is still there: its pool must be asked."""
    if view.volume(path) is not None:
        return
    folder, name = kinds.folder_of(path), kinds.name_of(path)
    pool = pool_at(view.node, folder)
    if pool is None:
        raise Rejected(
            f"its {what} {path} is in no active storage pool, so it would be left behind; start the pool over "
            f"{folder}, or define it again, and repeat this; if it is lost for good, undefine the domain by hand"
        )
    pool_mark.is_gone(work, pool, name)


def _refuse_given_away(view: View, uuid: str) -> None:
    """Raise Rejected when another machine has a disk or a layer that is named after this one, and goes with it."""
    for path in view.users:
        if is_own_name(uuid, kinds.name_of(path)) or layer_names.owner(kinds.name_of(path)) == uuid:
            _refuse_shared(view, path, uuid, "disk")


def _refuse_shared(view: View, path: str, uuid: str, what: str) -> None:
    """Raise Rejected when another machine has its disk at `path`, which that would lose."""
    others = {disk.name for disk in view.users.get(path, ()) if disk.domain.UUIDString() != uuid}
    if others:
        raise Rejected(f"its {what} {path} is used by {listed(others)} too; detach it there first")


def _refuse_declared(view: View, path: str) -> None:
    """Raise Rejected when the root disk at `path` is a volume that a program declares. Raises libvirtError."""
    volume = view.volume(path)
    if volume is not None and volume.record is not None:
        raise Rejected(
            f"its root disk {path} is a volume that a program declares, so it does not go with the instance",
            path=("rootDisk", "deleteWithInstance"),
        )


def _remove_at(node: Node, path: str) -> None:
    """Remove the volume at a path; gone already is success. Raises libvirtError."""
    found = View(node).volume(path)
    if found is not None:
        delete_volume(found.volume)


def _remove_layer(node: Node, layer: Layer) -> None:
    """Remove a layer, and before it our record: what is left without one goes with the instance all the same.

    Raises libvirtError. Again: yes.
    """
    volume = layer.volume
    if volume is not None and volume.record is not None:
        volume_record.drop(volume.pool, volume.name, volume.record.nonce)
    _remove_at(node, layer.path)


def _remove_made(work: Work, view: View, uuid: str, path: str | None, *, imported: bool = False) -> None:
    """Remove root disk, seed and UEFI's variables of an instance, wherever they are.

    Then a template generation that lost its user. `path` is the root disk's last known path. Only volumes named after
    the uuid are touched; of an imported instance what an update made, and never the root disk. A copy that a program
    has declared since is that program's. Raises Rejected for one that another machine has.
    """
    node, root, released = view.node, root_name(uuid), None
    made = [seed_name(uuid), nvram_name(uuid)]
    for pool in active_pools(node.connection):
        work.go_on("not all that belongs to it is removed; run again to go on")
        # Pools of others may stop or go while ours are searched.
        there = set(unless_lost(pool, partial(names, pool)) or ())
        own = {name for name in there if is_own_name(uuid, name) and volume_record.volume_name(name) not in there}
        if own and not imported:
            _refuse_given_away(view, uuid)
        for name in made if imported else [root, *made, *own, *_over_copied(uuid, there)]:
            volume = unless_lost(pool, partial(find_volume, pool, name)) if name in there else None
            if volume is None:
                continue
            if name == root:
                released, path = value(volume_xml(volume), "backingStore/path") or released, None
            delete_volume(volume)
    if path and (left := View(node).volume(path)) is not None and left.name in (root, seed_name(uuid)):
        delete_volume(left.volume)
    if released:
        release_template(work, node, released)


def _over_copied(uuid: str, there: Collection[str]) -> Iterator[str]:
    """What lies over a disk while a copy of the instance's own is made from it, whether that is there yet or not."""
    if any(map(layer_names.is_over_copied, there)):
        yield layer_names.over_copied(root_name(uuid))
        yield from (layer_names.over_copied(own_name(uuid, place)) for place in range(MAX_DEVICES))

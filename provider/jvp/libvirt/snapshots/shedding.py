"""The end of all snapshots of a domain that is to go: what was written since is merged into the disks that stay."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

from jvp.core.errors import Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt import disk_chain
from jvp.libvirt.disk_chain import Chain, Layer
from jvp.libvirt.domain import devices, disk_source
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import disks, making, merging, record, settling
from jvp.libvirt.snapshots.record import Snap
from jvp.libvirt.storage import kinds, layer_names, lookup


def has_any(node: Node, uuid: str, root: Element) -> bool:
    """Whether a domain of this definition has snapshots, or layers that they left. Raises libvirtError."""
    paths = (disk_source.path_of(disk) or "" for disk in disks.written(root))
    return any(layer_names.is_layer(kinds.name_of(path)) for path in paths) or bool(record.of(node, uuid))


def shed(work: Work, node: Node, domain: handles.Domain, goes: Collection[str]) -> None:
    """Take all snapshots away of a domain that is off, whose disks stay but for the files that go with it.

    Raises Rejected where others stand on one that stays, or on a layer; Busy, Cancelled, libvirtError. Again: yes.
    """
    uuid = domain.UUIDString()
    for snap in record.of(node, uuid):
        _end(work, node, domain, snap)
    view = View(node)
    chains = [Chain(view, disk) for disk in disks.written(devices.inactive_xml(domain))]
    layered = [chain for chain in chains if chain.path is not None and layer_names.is_layer(kinds.name_of(chain.path))]
    if layered:
        with record.turn(work, node, uuid):
            _shed(work, node, domain, layered, goes)


def _shed(work: Work, node: Node, domain: handles.Domain, layered: list[Chain], goes: Collection[str]) -> None:
    uuid = domain.UUIDString()
    staying = [(chain, _base(chain)) for chain in layered if chain.path not in goes]
    used = {layer.path for chain in layered for layer in chain.layers}
    merging.learn(work, node, [base.path for _, base in staying])
    for _, base in staying:
        _refuse_others(View(node), uuid, base)
    _refuse_overlays(View(node), uuid)
    for snap in record.of(node, uuid):
        making.remove_kept(node, snap)
        snap.drop()
    _remove(node, uuid, used)
    for chain, base in staying:
        assert chain.path is not None
        merging.merge_chain(work, node, domain, base.path, base.format, chain.path, None)
    disks.sync(View(node), devices.inactive_xml(domain))
    _remove(node, uuid, goes)


def _base(chain: Chain) -> Layer:
    """The disk below our layers. Raises Rejected where it cannot be told."""
    found = next((layer for layer in chain.layers if not layer_names.is_layer(layer.name)), None)
    if found is None or found.volume is None:
        raise Rejected(
            f"the disk below {chain.path}, into which what was written since a snapshot is merged, is in no active "
            "storage pool; start that pool, and run again"
        )
    return found


def _refuse_others(view: View, uuid: str, base: Layer) -> None:
    found = disk_chain.in_the_way(view, base.path)
    others = [name for file, name in found.items() if layer_names.owner(kinds.name_of(file)) != uuid]
    if others:
        raise Rejected(
            f'"{base.name}" lies under {listed(others)} too, so nothing is merged into it; delete those first'
        )


def _refuse_overlays(view: View, uuid: str) -> None:
    """Raise Rejected where something of others stands on a layer of the instance, all of which go."""
    known = lookup.backing_map(view.node.connection, fresh=True)
    for path in [volume.path() for volume in of_instance(view.node, uuid)]:
        if any(layer_names.owner(kinds.name_of(user)) != uuid for user in known.get(path, ())):
            found = disk_chain.in_the_way(view, path)
            if others := [name for file, name in found.items() if layer_names.owner(kinds.name_of(file)) != uuid]:
                raise Rejected(f"{listed(others)} stands on {path}, which goes with its snapshots; delete those first")


def _remove(node: Node, uuid: str, but: Collection[str]) -> None:
    for volume in of_instance(node, uuid):
        if volume.path() not in but:
            lookup.delete_volume(volume)


def of_instance(node: Node, uuid: str) -> Iterator[handles.StorageVol]:
    """The layers of an instance, in whatever pool. Raises libvirtError."""
    for pool in lookup.active_pools(node.connection):
        for name in lookup.unless_lost(pool, partial(lookup.names, pool)) or ():
            if layer_names.owner(name) == uuid and (volume := lookup.find_volume(pool, name)) is not None:
                yield volume


def _end(work: Work, node: Node, domain: handles.Domain, snap: Snap) -> None:
    """End what was cut off with a snapshot: its making, its deletion, a way back to it."""
    if snap.record.phase == "filling" and not making.is_taken(domain, snap):
        making.take_back(node, snap)
    elif snap.merging:
        merging.go_on(work, node, domain, snap)
    else:
        settling.settle(node, domain, snap)

"""Where the disks are that belong to an instance: its root disk and its cloud-init seed, named after its uuid."""

from __future__ import annotations

from functools import partial

from jvp.core.errors import NotFound, Path, Rejected
from jvp.libvirt.disk_chain import Chain, Layer, Whose
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.node_view import SeenVolume, View
from jvp.libvirt.storage import copy_volume, kinds
from jvp.libvirt.storage.lookup import active_pools, find_volume, unless_lost
from jvp.libvirt.storage.pool_kind import layout_of, volumes_of
from jvp.libvirt.storage.templates import TemplateVolume, parsed_name, template_of
from jvp.resources.instance.definition import (
    SEED_ALIAS,
    DiskSource,
    disk_key,
    is_own_file,
    root_disk,
    root_format,
    root_name,
    source_of,
)
from jvp.resources.instance.model import Instance
from jvp.resources.instance.upkeep import Places

FORMAT = "qcow2"
"""A root disk's, unless the program says another."""
NVRAM = "nvram"
"""A fact of the mark: the guest had UEFI once. Its variables outlive a change to BIOS, and no pool has seen them."""


def seed_name(uuid: str) -> str:
    return f"jvp-{uuid}-seed"


def nvram_name(uuid: str) -> str:
    return f"jvp-{uuid}-nvram"


def nvram_path(uuid: str, pool: handles.StoragePool | None, spec: Instance) -> str | None:
    """A file beside the root disk: libvirt fills it at the first start and removes it with the domain."""
    return layout_of(pool).path(nvram_name(uuid)) if pool is not None and spec.firmware == "uefi" else None


def source_of_volume(where: str, volume: SeenVolume, format: str | None = None) -> DiskSource:
    """Where a volume that is there is, with its own format, unless it is known to be of another."""
    return DiskSource(where, format or format_of(volume), volumes_of(volume.root).disk)


def iso_id(view: View, reference: str) -> str:
    """The id of the template or volume that a reference to a CD image means. Raises NotFound, Rejected."""
    found = iso_template(view.node, reference, ())
    return found.id if found is not None else iso_id_of(view.meant(reference))


def iso_id_of(volume: SeenVolume) -> str:
    """The id of what a volume is: of the template whose image it is or was, else its own."""
    names = parsed_name(volume.name)
    return f"{volume.pool.UUIDString()}/{names[0]}" if names else volume.id


def iso_template(node: Node, reference: str, path: Path) -> TemplateVolume | None:
    """The template of a reference, None when it means a volume."""
    try:
        return template_of(node, reference, path)
    except NotFound:
        if "/" not in reference:
            raise
        return None


def format_of(volume: SeenVolume) -> str:
    """A volume's format from our record, of a foreign volume from libvirt.

    A guest can write a qcow2 header into its raw disk; believing it would give it the node's files to read.
    """
    record, probed = volume.record, value(volume.root, "target/format/@type") or "raw"
    if record is None or not record.format:
        return probed
    if record.format != probed and record.format == "qcow2":
        raise Rejected(f'volume "{volume.name}" was made as qcow2 and is {probed} now: its data is damaged')
    return record.format


def size_at(view: View, path: str, format: str | None) -> int | None:
    """The size of the disk of this format at a path, None when it is in no pool."""
    found = view.volume(path)
    return found.size(format) if found is not None else None


def grow(view: View, path: str, format: str, size: int) -> None:
    """Grow the disk of a guest that is off. Raises Rejected when its bytes claim another format, libvirtError."""
    found = view.meant(path)
    copy_volume.refuse_other_format(found.root, format, found.name)
    found.volume.resize(size, 0)


def root_path(view: View, root: Element, known: str | None = None) -> str | None:
    """The file that is the instance's root disk, also under layers that lie over it.

    An imported one is told from them by the path that it is `known` by. None without a disk. Raises libvirtError.
    """
    chain = root_chain(view, root)
    if chain is None or chain.path is None or is_own_file(root):
        return chain.path if chain is not None else None
    if marks.mark_of(root) is None:
        return known if known and chain.over(known) else chain.path
    name = root_name(value(root, "uuid") or "")
    own = next((layer.path for layer in chain.layers if layer.name == name), None)
    if own is None and (chain.format == "raw" or view.volume(chain.layers[-1].path) is not None):
        own = _made(view, name, known)  # all that lies under the disk is known, and ours is not among it
    return own or chain.path


def root_chain(view: View, root: Element) -> Chain | None:
    """What the root disk is made of; None without a disk."""
    device = root_disk(root)
    return Chain(view, device) if device is not None else None


def _made(view: View, name: str, known: str | None) -> str | None:
    """The path of a volume that we made, wherever it is; it may be where it is `known` to have been."""
    if known and kinds.name_of(known) == name and view.volume(known) is not None:
        return known
    found = (unless_lost(pool, partial(find_volume, pool, name)) for pool in active_pools(view.node.connection))
    return next((str(volume.path()) for volume in found if volume is not None), None)


def is_elsewhere(view: View, root: Element, own: str | None) -> bool:
    """Whether somebody pointed the root disk of a machine of ours at a file that does not stand on `own`."""
    chain = root_chain(view, root)
    if chain is None or own is None or marks.mark_of(root) is None or chain.path == own:
        return False
    return own not in [layer.path for layer in chain.layers]


def places(view: View, root: Element, known: str | None) -> Places:
    """Where the files of a machine of ours are, for `upkeep.mend`. Raises libvirtError."""
    if marks.mark_of(root) is None:
        return Places()
    own, formats = root_path(view, root, known), []
    seed = next((one for one in root.iterfind("devices/disk") if devices.alias_of(one) == SEED_ALIAS), None)
    name, place = seed_name(value(root, "uuid") or ""), None
    if seed is not None and own is not None and kinds.name_of(source_of(seed) or "") != name:
        place = f"{kinds.folder_of(own)}/{name}"
    for device in root.iterfind("devices/disk"):
        path = source_of(device)
        if (devices.alias_of(device) or "").startswith(devices.DISK_ALIAS) and path is not None:
            volume = view.volume(path)
            record = volume.record if volume is not None else None
            if record is not None and record.format:
                formats.append((disk_key(device), record.format))
    return Places(own if is_elsewhere(view, root, own) else None, place, tuple(formats))


def root_layers(view: View, root: Element, known: str | None) -> tuple[Layer, ...]:
    """The layers over the root disk, the active one first. Of one that we made also those whose base is gone already.

    Raises libvirtError.
    """
    chain, own = root_chain(view, root), root_path(view, root, known)
    if chain is None or own is None or is_own_file(root):
        return ()
    if chain.path != own:
        return chain.over(own)
    found = chain.layers if marks.mark_of(root) is not None else ()
    # Only a removal that was cut off leaves this.
    cut = len(found) > 1 and view.volume(found[-1].path) is None
    return found[:-1] if cut and not any(layer.whose is Whose.VOLUME for layer in found) else ()


def root_size(view: View, domain: handles.Domain, root: Element, own: str | None) -> int | None:
    """What the guest sees of its root disk, whose own file is `own`. Raises libvirtError."""
    chain = root_chain(view, root)
    if chain is not None and chain.path not in (None, own) and not is_elsewhere(view, root, own):
        return chain.seen_size(domain)
    return size_at(view, own, root_format(root)) if own else None


def pool_of_root(view: View, root: Element) -> handles.StoragePool | None:
    """The pool of the root disk in a definition; None where it has none, or that is in no active pool."""
    path = root_path(view, root)
    volume = view.volume(path) if path is not None else None
    return volume.pool if volume is not None else None

"""Copying a disk whole: all that it is made of, as a guest sees it, into one file that stands on nothing.

The daemon's own conversion goes by the format that it finds in a file, and a guest may have written that. So it never
reads the disk itself: an empty layer is laid over the disk meanwhile, whose header says what lies below. The layer is
as large as the copy is to be, and tells others that something stands on the disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import libvirt

from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, put
from jvp.libvirt.storage import copy_volume, kinds, layer_names, lookup, pool_kind, volume_claim
from jvp.libvirt.storage.content import Content, refuse_space
from jvp.libvirt.storage.lookup import BackingFile
from jvp.libvirt.storage.volume_claim import Claim, Wanted


@dataclass(frozen=True)
class Disk:
    """A disk to copy."""

    what: str
    """Which it is, in a sentence."""
    path: str
    """The file that a guest would write to."""
    format: str
    """By our records or a domain's definition, never by its own bytes."""
    size: int
    """What a guest sees, in bytes."""
    allocation: int
    """What all its files take: no copy takes more."""
    facts: dict[str, Any]
    """What the record of a copy keeps of it."""
    refuse_changing: Callable[[], None] = field(compare=False)
    """Raises Rejected while something may write to it, and Busy where something may have since it was found."""
    nonce: str = ""
    """Tells what it is a disk of from a later one of the same name."""


def copy(
    work: Work,
    node: Node,
    disk: Disk,
    pool: handles.StoragePool,
    name: str,
    format: str,
    *,
    size: int = 0,
    mode: str = lookup.PERMISSION_MODE,
) -> handles.StorageVol:
    """A new volume of `size`, or as large as the disk is, with all that a guest sees of it.

    Raises Rejected, Busy, Cancelled (the daemon goes on then), libvirtError. Again: after the volume was removed.
    """
    volume_claim.remove_layer(work, pool, name)
    size = max(size, kinds.FILES.rounded(disk.size))
    layer = lookup.create_volume(
        work, node, pool, layer_names.over_copied(name),
        capacity=size, format=layer_names.FORMAT, backing=BackingFile(disk.path, disk.format),
    )  # fmt: skip
    try:
        disk.refuse_changing()
        root = described(name, size, format, mode)
        made = copy_volume.convert(work, node, layer, layer_names.FORMAT, pool, root, total=disk.allocation)
        disk.refuse_changing()
    finally:
        # While the daemon still reads it, it stays: the next run removes it.
        with contextlib.suppress(libvirt.libvirtError):
            lookup.delete_volume(layer)
    return made


def described(name: str, size: int, format: str, mode: str = lookup.PERMISSION_MODE) -> Element:
    """A volume that stands on nothing, as it is to be made."""
    root = parse("<volume><allocation>0</allocation></volume>")
    put(root, "name", name)
    put(root, "capacity", str(size))
    put(root, "target/format/@type", format)
    put(root, "target/permissions/mode", mode)
    if format == "qcow2":
        put(root, "target/compat", "1.1")
    return root


class FlatCopy(Content):
    """All of a disk's content, in any format, that stands on nothing."""

    at_once, needs = False, "clone"

    def __init__(self, node: Node, disk: Disk, format: str) -> None:
        super().__init__(node, format)
        self.disk = disk

    @property
    def what(self) -> str:
        return self.disk.what

    @property
    def facts(self) -> dict[str, Any]:
        return self.disk.facts

    def require(self, pool: handles.StoragePool) -> None:
        super().require(pool)
        pool_kind.require(pool, "backing", ("pool",))

    def refuse(self, pool: handles.StoragePool) -> None:
        self.disk.refuse_changing()
        refuse_space(pool, self.what, self.disk.allocation)

    @property
    def capacity(self) -> int | None:
        return kinds.FILES.rounded(self.disk.size)

    def wanted(self, size: int | None) -> Wanted:
        return Wanted(max(size or 0, self.capacity or 0), self.format)

    def make(self, work: Work, claim: Claim, size: int | None) -> handles.StorageVol:
        claim.clear(work)
        claim.begin()
        return copy(work, self.node, self.disk, claim.pool, claim.name, self.format, size=size or 0)

"""Volumes that another one is cloned from: which may be copied, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jvp.core.errors import Busy, Path, Rejected
from jvp.core.words import listed
from jvp.libvirt.domain.disks import DomainDisk, seen_domains
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, value, volume_xml
from jvp.libvirt.storage import copy_volume, layer_names, lookup, pool_kind, templates, volume_record
from jvp.libvirt.storage.templates import TemplateVolume

FORMATS = ("qcow2", "raw")
"""Of the volumes that can be managed, and so cloned."""


@dataclass(frozen=True)
class Original:
    """A volume to clone."""

    pool: handles.StoragePool
    volume: handles.StorageVol
    root: Element
    format: str
    base: TemplateVolume | None
    """The template's image that it stores its differences from; its clone then does so too."""
    where: Path
    """The property that names it."""
    nonce: str
    """Tells it from a later volume of the same name; empty for somebody else's."""

    @property
    def name(self) -> str:
        return value(self.root, "name") or ""

    @property
    def id(self) -> str:
        return f"{self.pool.UUIDString()}/{self.name}"

    @property
    def capacity(self) -> int:
        """What a guest sees, in whole sectors."""
        return pool_kind.volumes_of(self.root).rounded(number(self.root, "capacity") or 0)

    @property
    def path(self) -> str:
        return value(self.root, "target/path") or ""

    def refuse_unsteady(self, users: Mapping[str, list[DomainDisk]], active: str = "") -> None:
        """Raise Rejected while a guest that runs may write into it, or into the file `active`, in which it goes on.
        `users` are all domains' disks."""
        writers = _writers(users, self.path) | (_writers(users, active) if active else set())
        if writers:
            raise Rejected(
                f'volume "{self.name}" is in use by {listed(writers)}, which may write into it meanwhile; '
                "stop that first",
                path=self.where,
            )

    def refuse_changed(self, node: Node, clone: Element) -> None:
        """Raise Busy when the original was not left alone while `clone` was made from it."""
        if _writers(seen_domains(node).users, self.path):
            raise Busy(f'volume "{self.name}" was taken into use while it was cloned; run again when it is free')
        if value(clone, "backingStore/path") != (self.base.path if self.base else None):
            raise Rejected(f'volume "{self.name}" has changed while it was cloned; run again', path=self.where)
        if self.base is not None:
            templates.refuse_going(self.base, self.where)
            if lookup.find_volume(self.base.pool, self.base.volume_name) is None:
                raise Rejected(f'volume "{self.name}" has lost {self.base.path} while it was cloned', path=self.where)


def original_of(node: Node, reference: str, where: Path) -> Original:
    """The volume to clone. Raises NotFound with what there is, Rejected for one that cannot be cloned.

    Its format comes from our record or from a domain that has it, and must be what libvirt finds in it.
    """
    with libvirt_errors(f'volume "{reference}"', where):
        volume = lookup.volume_of(node, reference, where)
        if layer_names.is_no_disk(name := volume.name()):
            raise Rejected(f'volume "{name}" is kept for an instance or a copy, and is no disk; name one', path=where)
        pool, root = volume.storagePoolLookupByVolume(), volume_xml(volume)
        record = volume_record.get(pool, name)
        if record is not None and record.phase != "whole":
            raise Rejected(f'volume "{name}" is not complete; apply the program that declares it', path=where)
        format = (record.format if record else None) or _driver_format(node, volume) or copy_volume.format_of(root)
        if format not in FORMATS:
            raise Rejected(f'volume "{name}" is of the format {format}; only qcow2 and raw can be cloned', path=where)
        copy_volume.refuse_other_format(root, format, name)
        nonce = record.nonce if record else ""
        return Original(pool, volume, root, format, _base(node, root, name, where), where, nonce)


def _base(node: Node, root: Element, name: str, where: Path) -> TemplateVolume | None:
    """The template's image that a volume stands on. Raises Rejected for any other file: it may be a guest's word."""
    path = value(root, "backingStore/path")
    if path is None:
        return None
    volume = lookup.at_path(node, path)
    names = templates.parsed_name(volume.name()) if volume is not None else None
    if volume is None or names is None:
        raise Rejected(f'volume "{name}" stands on {path}, which is no template; it cannot be cloned', path=where)
    place = volume.storagePoolLookupByVolume()
    template = templates.template_of(node, f"{place.UUIDString()}/{names[0]}", where)
    # It may stand on an image that the template had before.
    return replace(template, volume=volume, volume_name=volume.name(), path=path)


def _writers(users: Mapping[str, list[DomainDisk]], path: str) -> set[str]:
    """The running guests that may write into the file at a path."""
    running = [disk for disk in users.get(path, ()) if disk.live is not None and not disk.backing]
    return {disk.name for disk in running if disk.element.find("readonly") is None}


def _driver_format(node: Node, volume: handles.StorageVol) -> str | None:
    """The format by which a domain has the volume, None when none has it."""
    users = seen_domains(node).users.get(volume.path(), ())
    return next((disk.format for disk in users if not disk.backing), None)

"""What a new volume holds: nothing, what stands on a template, a copy of one, or a clone of another volume.

A content is asked in this order: `facts` at any time, then `ready`, `capacity`, `wanted`, and at last `make`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from jvp.core.errors import NoSpace, Path
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, parse, put, volume_xml
from jvp.libvirt.storage import copy_volume, lookup, pool_kind, templates
from jvp.libvirt.storage.clone_source import Original
from jvp.libvirt.storage.kinds import Ability
from jvp.libvirt.storage.lookup import BackingFile
from jvp.libvirt.storage.templates import TemplateVolume
from jvp.libvirt.storage.volume_claim import Claim, Wanted


class Content:
    """An empty disk, and the base of the others. Raises libvirtError unless a call says otherwise."""

    at_once = True
    """Whether the volume is whole as soon as libvirt has made it."""
    needs: Ability | None = None
    """What the pool must be able to do for it."""

    def __init__(self, node: Node, format: str) -> None:
        self.node, self.format = node, format

    @property
    def what(self) -> str:
        """The content in a sentence."""
        return "nothing"

    @property
    def facts(self) -> dict[str, Any]:
        """What the record keeps of where the content came from."""
        return {}

    @contextlib.contextmanager
    def ready(self, work: Work, pool: handles.StoragePool | None) -> Iterator[None]:
        """Around the fill: raises what speaks against filling a volume of `pool` now, before the first write.

        Where the pool is not made yet (None) only what the content alone tells.
        """
        if pool is not None:
            self.require(pool)
            self.refuse(pool)
        yield

    def require(self, pool: handles.StoragePool) -> None:
        """Raise Rejected where pools of this kind cannot do what the content needs."""
        if self.needs is not None:
            pool_kind.require(pool, self.needs, ("pool",))

    def refuse(self, pool: handles.StoragePool) -> None:
        """Raise what speaks against it."""

    @property
    def capacity(self) -> int | None:
        """What a guest sees of the content alone, in bytes; None when that shows only at its end."""
        return None

    def wanted(self, size: int | None) -> Wanted:
        """The volume to make before any content comes in."""
        assert size is not None
        return Wanted(size, self.format)

    def make(self, work: Work, claim: Claim, size: int | None) -> handles.StorageVol:
        """The claimed volume with its content. Again: with the same claim."""
        return claim.make(work)


class Overlay(Content):
    """What differs from a template, stored beside it."""

    needs = "backing"

    def __init__(self, node: Node, template: TemplateVolume) -> None:
        super().__init__(node, "qcow2")
        self.template = template

    @property
    def what(self) -> str:
        return f'the template "{self.template.name}"'

    @property
    def facts(self) -> dict[str, Any]:
        template = self.template
        return {"template_id": template.id, "template_pool": template.pool.name(), "template_file": template.path}

    @property
    def capacity(self) -> int | None:
        return self.template.capacity

    def wanted(self, size: int | None) -> Wanted:
        return Wanted(size or self.template.capacity, "qcow2", BackingFile(self.template.path, self.template.format))

    def make(self, work: Work, claim: Claim, size: int | None) -> handles.StorageVol:
        templates.refuse_damaged(self.template, ("template",))
        volume = claim.make(work)
        templates.refuse_going(self.template, ("template",))
        return volume


class Copy(Content):
    """All of a template's content, by streams where the format stays."""

    at_once = False

    def __init__(self, node: Node, template: TemplateVolume, format: str) -> None:
        super().__init__(node, format)
        self.template = template
        self.needs = "upload" if template.format == format else "clone"

    @property
    def what(self) -> str:
        return f'the template "{self.template.name}"'

    @property
    def facts(self) -> dict[str, Any]:
        return {"template_id": self.template.id, "template_pool": self.template.pool.name()}

    def refuse(self, pool: handles.StoragePool) -> None:
        refuse_space(pool, self.what, int(self.template.volume.info()[2]))

    @property
    def capacity(self) -> int | None:
        return self.template.capacity

    def wanted(self, size: int | None) -> Wanted:
        # A copy begins as raw of the very length: an upload does not cut off what is longer.
        return Wanted(file_length(volume_xml(self.template.volume), self.template.format), "raw")

    def make(self, work: Work, claim: Claim, size: int | None) -> handles.StorageVol:
        templates.refuse_damaged(self.template, ("template",))
        if self.template.format == self.format:
            volume = streamed(work, self.node, claim, self.template.volume, self.format)
        else:
            volume = self._converted(work, claim)
        if size is not None and size > self.template.capacity:
            volume.resize(size, 0)
        return volume

    def _converted(self, work: Work, claim: Claim) -> handles.StorageVol:
        claim.clear(work)
        claim.begin()
        return converted(work, self.node, self.template, claim.pool, claim.name, self.format)


class Clone(Content):
    """All of another volume's content, in its format.

    By streams alone: a guest may have written it, and libvirt's own clone would believe what is in it.
    """

    at_once, needs = False, "upload"

    def __init__(self, node: Node, original: Original) -> None:
        super().__init__(node, original.format)
        self.original = original

    @property
    def what(self) -> str:
        return f'the volume "{self.original.name}"'

    @property
    def facts(self) -> dict[str, Any]:
        original = self.original
        base = {"template_file": original.base.path} if original.base else {}
        return {"volume_id": original.id, "volume_pool": original.pool.name(), **base}

    def refuse(self, pool: handles.StoragePool) -> None:
        refuse_space(pool, self.what, number(self.original.root, "allocation") or 0)

    @property
    def capacity(self) -> int | None:
        return self.original.capacity

    def wanted(self, size: int | None) -> Wanted:
        return Wanted(file_length(self.original.root, self.format), "raw")

    def make(self, work: Work, claim: Claim, size: int | None) -> handles.StorageVol:
        volume = streamed(work, self.node, claim, self.original.volume, self.format)
        self.original.refuse_changed(self.node, volume_xml(volume))
        if size is not None and size > self.original.capacity:
            volume.resize(size, 0)
        return volume


def copied(
    work: Work, node: Node, template: TemplateVolume, pool: handles.StoragePool, name: str, format: str
) -> handles.StorageVol:
    """A new volume of its own with all of a template's content, without a record. Again: after it was removed."""
    if template.format != format:
        return converted(work, node, template, pool, name, format)
    length = file_length(volume_xml(template.volume), format)
    volume = lookup.create_volume(work, node, pool, name, capacity=length, format="raw")
    copy_volume.copy(work, node, template.volume, volume, total=length, what=f'volume "{name}"')
    lookup.refresh(work, pool)
    return volume


def converted(
    work: Work, node: Node, template: TemplateVolume, pool: handles.StoragePool, name: str, format: str
) -> handles.StorageVol:
    """A new volume with a template's content in another format."""
    root = parse("<volume><allocation>0</allocation></volume>")
    put(root, "name", name)
    put(root, "capacity", str(template.capacity))
    put(root, "target/format/@type", format)
    put(root, "target/permissions/mode", lookup.PERMISSION_MODE)
    if format == "qcow2":
        put(root, "target/compat", "1.1")
    return copy_volume.convert(work, node, template.volume, template.format, pool, root)


def refuse_space(pool: handles.StoragePool, what: str, needed: int, path: Path = ("pool",)) -> None:
    """Raise NoSpace when the pool cannot hold a full copy."""
    free = lookup.free_bytes(pool)
    if needed > free:
        raise NoSpace(
            f'storage pool "{pool.name()}" has {free} bytes left, and a copy of {what} takes {needed}', path=path
        )


def file_length(root: Element, format: str) -> int:
    """The length of a volume's file; of a raw one in whole sectors."""
    if format != "raw":
        return number(root, "physical") or 0
    return pool_kind.volumes_of(root).rounded(number(root, "capacity") or 0)


def streamed(work: Work, node: Node, claim: Claim, source: handles.StorageVol, format: str) -> handles.StorageVol:
    """The claimed volume with every byte of `source`, which is of `format`. Raises Rejected when it looks otherwise."""
    volume = claim.make(work)
    what = f'volume "{claim.name}"'
    with claim.filling():
        copy_volume.copy(work, node, source, volume, total=claim.wanted.capacity, what=what)
    lookup.refresh(work, claim.pool)
    copy_volume.refuse_other_format(volume_xml(volume), format, claim.name)
    return volume

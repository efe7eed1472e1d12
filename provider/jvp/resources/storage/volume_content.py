"""What a declared volume is made from."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jvp import images
from jvp.core.errors import Invalid, JvpError, Path, Rejected
from jvp.core.types import disk_bytes, size_text
from jvp.core.values import known
from jvp.core.work import Work
from jvp.images import qcow2
from jvp.libvirt import disk_chain
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number, value, volume_xml
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import copy_volume, kinds, lookup
from jvp.libvirt.storage.clone_source import original_of
from jvp.libvirt.storage.content import Clone, Content, Copy, Overlay
from jvp.libvirt.storage.streams import VolumeUpload, read_small
from jvp.libvirt.storage.templates import template_of
from jvp.libvirt.storage.volume_claim import Claim, Wanted
from jvp.resources.storage.image_source import Opened, Origin, at, opened, uploaded

if TYPE_CHECKING:
    from jvp.resources.storage.volume_model import Volume

_KEPT_MAX = 1000
"""Longer paths are not kept on the node: the record has 4 KiB."""


def content_of(node: Node, spec: Volume) -> Content:
    """The content of a declared volume. Raises NotFound, Rejected for what its references name."""
    if spec.template is not None:
        template = template_of(node, spec.template, ("template",))
        full = spec.full_clone or spec.format == "raw"
        return Copy(node, template, spec.format) if full else Overlay(node, template)
    if spec.volume is not None:
        original = original_of(node, spec.volume, ("volume",))
        _refuse_other_format(spec, original.format, f'the volume "{original.name}"')
        return CheckedClone(node, original)
    if spec.image_path is not None or spec.image_upload is not None:
        return ImageFile(node, spec)
    return Content(node, spec.format)


def size_of(spec: Volume, content: Content) -> int | None:
    """The size in bytes; None where only the content's end tells it. Raises Invalid when the content does not fit."""
    least = content.capacity
    if spec.size is None:
        return least
    size = disk_bytes(spec.size)
    refuse_smaller(size, least or 0, content.what)
    return size


def refuse_unfit(work: Work, pool: handles.StoragePool | None, spec: Volume, content: Content) -> None:
    """Raise what speaks against filling a volume of `pool` with the content, as far as that is known by now."""
    with content.ready(work, pool):
        if known(spec.size):
            size_of(spec, content)


def refuse_smaller(size: int, least: int, what: str) -> None:
    """Raise Invalid when what a volume is made from does not fit into it."""
    if size < least:
        raise Invalid(
            f'"{size_text(size)}" is {size} bytes, and {what} has {least}: write "{size_text(least)}" or more',
            path=("size",),
        )


def _refuse_other_format(spec: Volume, format: str, what: str) -> None:
    if spec.format != format:
        raise Invalid(
            f'{what} is {format}, and a volume made from it is so too: write "{format}", or make a template of it '
            "and a full clone of that",
            path=("format",),
        )


class CheckedClone(Clone):
    """A clone of a volume whose own header was read: nothing but a template may lie under it.

    What another tool has laid over it is no part of it. What we have laid over it is: the volume goes on there.
    """

    def refuse(self, pool: handles.StoragePool) -> None:
        view = View(self.node)
        self.original.refuse_unsteady(view.users)
        if (disk := disk_chain.under_ours(view, self.original.path)) is not None:
            raise Rejected(
                f'volume "{self.original.name}" {disk_chain.under(view, disk.name, disk.domain.UUIDString())}, and '
                "cannot be cloned before that is merged",
                path=("volume",),
            )
        super().refuse(pool)
        if self.format == "qcow2":
            head = read_small(self.node.connection, self.original.volume, images.HEAD_BYTES)
            try:
                header = qcow2.parse(head)
                qcow2.refuse_unusable(dataclasses.replace(header, backing_file=None), None)
            except JvpError as error:
                raise Rejected(
                    f'volume "{self.original.name}" cannot be cloned: {error.message}', path=("volume",)
                ) from None


class ImageFile(Content):
    """An image on this machine, or one that was uploaded, streamed as a template's is."""

    at_once = False

    def __init__(self, node: Node, spec: Volume) -> None:
        super().__init__(node, spec.format)
        self.spec = spec
        self.where: Path = ("imagePath",) if spec.image_path is not None else ("imageUpload",)
        self._image: Opened | None = None

    @property
    def what(self) -> str:
        return "the image"

    @property
    def facts(self) -> dict[str, Any]:
        if self.spec.image_upload is not None:
            return {"image_upload": self.spec.image_upload}
        path = self.spec.image_path
        return {"image_path": path} if len(json.dumps(path)) <= _KEPT_MAX else {}

    @contextlib.contextmanager
    def ready(self, work: Work, pool: handles.StoragePool | None) -> Iterator[None]:
        upload = self.spec.image_upload
        path = self.spec.image_path if upload is None else uploaded(work, upload, self.where)
        with opened(work, pool, Origin(path=path, format=self.format), self.where) as self._image:
            _refuse_other_format(self.spec, self._image.info.format, self.what)
            yield

    @property
    def image(self) -> Opened:
        assert self._image is not None
        return self._image

    @property
    def capacity(self) -> int | None:
        found = self.image.info.virtual_bytes
        return None if found is None else kinds.FILES.rounded(found)

    def wanted(self, size: int | None) -> Wanted:
        length = self.image.length or 1
        return Wanted(kinds.FILES.rounded(length) if self.format == "raw" else length, "raw")

    def make(self, work: Work, claim: Claim, size: int | None) -> handles.StorageVol:
        volume = claim.make(work)
        with claim.filling(), self.node.job(work) as connection:
            upload = VolumeUpload(connection, copy_volume.on(connection, volume))
            at(self.where, lambda: images.fill(self._segments(), upload, work=work))
        lookup.refresh(work, claim.pool)
        root = volume_xml(volume)
        copy_volume.refuse_other_format(root, self.format, claim.name)
        if value(root, "backingStore/path"):
            raise Rejected("the image was changed while it was read", path=self.where)
        found = number(root, "capacity") or 0
        if size is not None:
            refuse_smaller(size, found, self.what)
            if size > found:
                volume.resize(size, 0)
        return volume

    def _segments(self) -> Iterator[images.Segment]:
        """The image's, and of a raw one what is missing to whole sectors."""
        length = 0
        for segment in self.image.segments():
            length += segment.length
            yield segment
        if self.format == "raw" and kinds.FILES.rounded(length) > length:
            yield images.Data(bytes(kinds.FILES.rounded(length) - length))

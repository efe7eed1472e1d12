"""What a declared volume is made from."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from jvp import images
from jvp.core.errors import Invalid, JvpError, Path, Rejected
from jvp.core.types import disk_bytes, size_text
from jvp.core.values import known
from jvp.core.work import Work
from jvp.images import qcow2
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number, value, volume_xml
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import copy_volume, flat_copy, kinds, layer_names, lookup, pool_kind, volume_claim
from jvp.libvirt.storage.clone_source import original_of
from jvp.libvirt.storage.content import Clone, Content, Copy, Overlay
from jvp.libvirt.storage.flat_copy import FlatCopy
from jvp.libvirt.storage.streams import VolumeUpload, read_small
from jvp.libvirt.storage.templates import template_of
from jvp.libvirt.storage.volume_claim import Claim, Wanted
from jvp.resources.storage import whole_disk
from jvp.resources.storage.image_source import Opened, Origin, at, opened, uploaded
from jvp.resources.storage.template_source import public

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
    if spec.snapshot is not None:
        return FlatCopy(node, whole_disk.of_snapshot(node, spec.snapshot, spec.disk), spec.format)
    if spec.volume is not None:
        original = original_of(node, spec.volume, ("volume",))
        if original.format != spec.format or whole_disk.is_covered(node, original):
            return FlatCopy(node, whole_disk.of_volume(node, original), spec.format)
        return CheckedClone(node, original)
    if any(source is not None for source in (spec.image_path, spec.image_url, spec.image_upload)):
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


def _kept(**facts: str | None) -> dict[str, Any]:
    """The facts that the record has room for."""
    return {name: text for name, text in facts.items() if text is not None and len(json.dumps(text)) <= _KEPT_MAX}


class CheckedClone(Clone):
    """A clone of a volume whose own header was read: nothing but a template may lie under it.

    What another tool has laid over it is no part of it. What we have laid over it is, and is copied otherwise.
    """

    def refuse(self, pool: handles.StoragePool) -> None:
        self.original.refuse_unsteady(View(self.node).users)
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
        sources = {"imagePath": spec.image_path, "imageUrl": spec.image_url, "imageUpload": spec.image_upload}
        self.where: Path = (next(name for name, value in sources.items() if value is not None),)
        self._image: Opened | None = None

    @property
    def what(self) -> str:
        return "the image"

    @property
    def facts(self) -> dict[str, Any]:
        if self.spec.image_upload is not None:
            return {"image_upload": self.spec.image_upload}
        if self.spec.image_url is not None:
            told = json.dumps([self.spec.image_url, self.spec.image_checksum])
            key = hashlib.sha256(told.encode()).hexdigest()[:32]
            url = public(self.spec.image_url)  # without a password
            return {"image_key": key, **_kept(image_url=url, image_checksum=self._checksum)}
        path = self.spec.image_path
        return _kept(image_path=path, image_checksum=self._checksum)

    @contextlib.contextmanager
    def ready(self, work: Work, pool: handles.StoragePool | None) -> Iterator[None]:
        upload = self.spec.image_upload
        path = self.spec.image_path if upload is None else uploaded(work, upload, self.where)
        origin = Origin(
            path=path, url=self.spec.image_url, checksum=self.spec.image_checksum, format=self.format,
            checksum_at=("imageChecksum",),
        )  # fmt: skip
        with opened(work, pool, origin, self.where) as self._image:
            if pool is not None and self._image.info.format != self.format:
                pool_kind.require(pool, "clone", ("pool",))
            yield

    @property
    def _checksum(self) -> str | None:
        """What it must hash to, without a password in an address."""
        algorithm, _, where = (self.spec.image_checksum or "").partition(":")
        return f"{algorithm}:{public(where)}" if "://" in where else self.spec.image_checksum

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
        return Wanted(self._length(length), "raw")

    def make(self, work: Work, claim: Claim, size: int | None) -> handles.StorageVol:
        if self.image.info.format != self.format:
            volume = self._converted(work, claim)
        else:
            volume = claim.make(work)
            with claim.filling():
                self._fill(work, claim, volume)
        found = number(volume_xml(volume), "capacity") or 0
        if size is not None:
            refuse_smaller(size, found, self.what)
            if size > found:
                volume.resize(size, 0)
        return volume

    def _converted(self, work: Work, claim: Claim) -> handles.StorageVol:
        """The image goes into a volume of its own first, which the daemon converts."""
        claim.clear(work)
        claim.begin()
        volume_claim.remove_layer(work, claim.pool, claim.name)
        length, name = self._length(self.image.length or 1), layer_names.over_copied(claim.name)
        image = lookup.create_volume(work, self.node, claim.pool, name, capacity=length, format="raw")
        try:
            self._fill(work, claim, image)
            size = kinds.FILES.rounded(number(volume_xml(image), "capacity") or 0)
            root = flat_copy.described(claim.name, size, self.format)
            return copy_volume.convert(work, self.node, image, self.image.info.format, claim.pool, root)
        finally:
            # While the daemon still reads it, it stays: the next run removes it.
            with contextlib.suppress(JvpError), libvirt_errors(name):
                lookup.delete_volume(image)

    def _fill(self, work: Work, claim: Claim, volume: handles.StorageVol) -> None:
        """Stream the image into an empty volume. Raises Rejected where that is not what was announced."""
        with self.node.job(work) as connection:
            upload = VolumeUpload(connection, copy_volume.on(connection, volume))
            fill = partial(images.fill, self._segments(), upload, verifier=self.image.verifier, work=work)
            at(self.where, fill)
        lookup.refresh(work, claim.pool)
        root = volume_xml(volume)
        copy_volume.refuse_other_format(root, self.image.info.format, claim.name)
        if value(root, "backingStore/path"):
            raise Rejected("the image was changed while it was read", path=self.where)

    def _length(self, length: int) -> int:
        """Of the volume that takes the image; of a raw one in whole sectors."""
        return kinds.FILES.rounded(length) if self.image.info.format == "raw" else length

    def _segments(self) -> Iterator[images.Segment]:
        """The image's, and of a raw one what is missing to whole sectors."""
        length = 0
        for segment in self.image.segments():
            length += segment.length
            yield segment
        if self.image.info.format == "raw" and kinds.FILES.rounded(length) > length:
            yield images.Data(bytes(kinds.FILES.rounded(length) - length))

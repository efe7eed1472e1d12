"""Making and renewing templates. The rules of `volume_claim` hold; the record has a name of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import libvirt

from jvp.core.errors import Busy, JvpError, Rejected
from jvp.core.identity import Key, Mark
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, value, volume_xml
from jvp.libvirt.storage import copy_volume, flat_copy, kinds, lookup, pool_kind, pool_mark, volume_claim, volume_record
from jvp.libvirt.storage.flat_copy import Disk
from jvp.libvirt.storage.streams import VolumeUpload, read_small
from jvp.libvirt.storage.templates import DIGEST_LENGTH, Record, record_name, sweep, volume_name
from jvp.libvirt.storage.volume_claim import Claim, Holder, Standing, Wanted
from jvp.libvirt.storage.volume_record import Sidecar

KIND = "template"


@dataclass(frozen=True)
class Image:
    """An image that is about to become a generation."""

    digest: str
    """What the volume is named after: 12 digits of it."""
    format: str
    length: int | None
    """Of the file; None when it shows only at its end."""


@dataclass(frozen=True)
class Found:
    """A template as it is, with the volume of the generation in use."""

    pool: handles.StoragePool
    name: str
    sidecar: Sidecar
    record: Record
    root: Element

    @property
    def path(self) -> str:
        return value(self.root, "target/path") or ""

    @property
    def short(self) -> str | None:
        """That somebody cut the image off, as a sentence goes on; None when it is whole."""
        return short_of(self.root, self.record)


@dataclass(frozen=True)
class Slot:
    """A template's name in a pool, ours to make a generation under. `before` is the record that is there."""

    pool: handles.StoragePool
    name: str
    mark: Mark
    before: Sidecar | None = None
    fresh: bool = False
    """Whether `before` is of a template that is gone: it gets a new birth."""

    @property
    def record(self) -> Record:
        old = Record.of(self.before) if self.before is not None else Record(birth="")
        return replace(old, birth=volume_record.new_nonce()) if self.fresh or not old.birth else old


class TemplateApi:
    """The calls on templates of one node. Raise libvirtError unless they say otherwise."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def find(self, work: Work, pool: handles.StoragePool, name: str) -> Found | None:
        """The template, None when it is surely gone. Raises Rejected when the pool cannot tell."""
        kept = self.sidecar(work, pool, name)
        record = Record.of(kept) if kept is not None else None
        if kept is None or record is None or not record.current:
            return None
        root = self._xml(pool, volume_name(name, record.current))
        if root is None and not pool_mark.is_gone(work, pool, volume_name(name, record.current)):
            root = self._xml(pool, volume_name(name, record.current))
        return None if root is None else Found(pool, name, kept, record, root)

    def acknowledge(self, found: Found) -> None:
        """Note that an engine's state has the template. Best effort."""
        if not found.sidecar.mark.acknowledged:
            with contextlib.suppress(libvirt.libvirtError):
                self.write(found.pool, found.name, found.sidecar.acknowledged())

    def standing(self, work: Work, pool: handles.StoragePool, name: str, key: Key) -> tuple[Standing, Sidecar | None]:
        """What holds a template's name. A record whose generation in use is surely gone holds nothing."""
        kept = volume_record.get(pool, record_name(name))
        if kept is None:
            return Standing.FREE, None
        ours = kept.mark.of(key)
        if ours and not kept.mark.acknowledged:
            return Standing.OURS, kept
        if not ours and kept.phase == "filling":
            return Standing.TAKEN, kept
        if self.find(work, pool, name) is None:
            return Standing.FREE, kept
        return (Standing.MOVED_ON if ours else Standing.TAKEN), kept

    def has(self, work: Work, slot: Slot, digest: str) -> handles.StorageVol | None:
        """The whole volume of a generation that is in use or superseded; None when it has to be made."""
        record = slot.record
        if digest[:DIGEST_LENGTH] not in (record.current, *record.superseded):
            return None
        return lookup.there(work, slot.pool, volume_name(slot.name, digest))

    def pieces(self, work: Work, volume: handles.StorageVol) -> Iterator[bytes | int]:
        """The bytes of a generation in order, a number for a hole of that length."""
        with self.node.job(work) as connection:
            yield from copy_volume.pieces(connection, copy_volume.on(connection, volume))

    @contextlib.contextmanager
    def reading(self, work: Work, volume: handles.StorageVol) -> Iterator[Callable[[int, int], bytes]]:
        """A function that reads so many bytes of a generation from an offset on."""
        with self.node.job(work) as connection:
            there = copy_volume.on(connection, volume)
            yield lambda start, length: read_small(connection, there, length, start=start)

    def switch(self, work: Work, slot: Slot, digest: str, facts: dict[str, Any]) -> None:
        """Make a generation that is there already the one in use. `facts` complete the record."""
        assert slot.before is not None
        self._drop_unfinished(work, slot, "")
        root = volume_xml(slot.pool.storageVolLookupByName(volume_name(slot.name, digest)))
        record = replace(_moved(slot.record, digest), size=_capacity(root), length=_length(root), **facts)
        kept = replace(
            slot.before, mark=slot.mark, phase="whole", format=copy_volume.format_of(root), facts=record.facts()
        )
        self.write(slot.pool, slot.name, kept)
        sweep(work, self.node, slot.pool, slot.name)

    def fill(
        self, work: Work, slot: Slot, image: Image, send: Callable[[VolumeUpload], str], facts: dict[str, Any]
    ) -> None:
        """Make `image` the generation in use; the one before stays when that fails.

        `send` fills an upload and returns the content digest; `facts` complete the record.
        Raises Busy when another run is at it, NameTaken when the volume's name is taken.
        """

        def put(claim: Claim) -> tuple[handles.StorageVol, str]:
            volume = claim.make(work)
            with claim.filling(), self.node.job(work) as connection:
                content = send(VolumeUpload(connection, copy_volume.on(connection, volume)))
            lookup.refresh(work, slot.pool)
            return volume, content

        self._fill(work, slot, image, put, facts)

    def copy(
        self,
        work: Work,
        slot: Slot,
        image: Image,
        disk: Disk,
        digest: Callable[[handles.StorageVol], str],
        facts: dict[str, Any],
    ) -> None:
        """Make a copy of `disk` the generation in use; `digest` tells what its content hashes to. Raises as `fill`."""

        def put(claim: Claim) -> tuple[handles.StorageVol, str]:
            claim.clear(work)
            claim.begin()
            mode = claim.wanted.mode
            volume = flat_copy.copy(work, self.node, disk, slot.pool, claim.name, image.format, mode=mode)
            return volume, digest(volume)

        self._fill(work, slot, image, put, facts)

    def _fill(
        self,
        work: Work,
        slot: Slot,
        image: Image,
        put: Callable[[Claim], tuple[handles.StorageVol, str]],
        facts: dict[str, Any],
    ) -> None:
        claim, keep = self._claim(work, slot, image)
        with contextlib.ExitStack() as undo:
            undo.callback(volume_claim.undo_quietly, claim, keep)
            volume, content = put(claim)
            root = volume_xml(volume)
            if copy_volume.format_of(root) != image.format or value(root, "backingStore/path"):
                raise Rejected(f"libvirt takes the image for {copy_volume.format_of(root)}, and it is {image.format}")
            record = _moved(Record.of(claim.record), image.digest)
            record = replace(record, digest=content, size=_capacity(root), length=_length(root), **facts)
            claim.finish(**record.facts())
            undo.pop_all()
        sweep(work, self.node, slot.pool, slot.name)

    def forget(self, work: Work, pool: handles.StoragePool, name: str, birth: str) -> None:
        """Finish a removal that was cut off after the volume in use was gone: nothing will ever ask for it again.

        Best effort. Again: yes. A record of another template, by its birth, stays.
        """
        with contextlib.suppress(libvirt.libvirtError, JvpError):
            kept = volume_record.get(pool, record_name(name))
            if kept is not None and kept.phase == "deleting" and Record.of(kept).birth == birth:
                self.delete_all(work, pool, name, kept)

    def delete_all(self, work: Work, pool: handles.StoragePool, name: str, kept: Sidecar) -> None:
        """Delete all generations, and then the record, unless the name is another template's by now. Again: yes."""
        for digest in Record.of(kept).generations:
            found = lookup.find_volume(pool, volume_name(name, digest))
            if found is not None:
                volume_claim.remove_when_free(work, found)
            if digest == Record.of(kept).next:
                volume_claim.remove_layer(work, pool, volume_name(name, digest))
        with self.node.pool_lock(pool.UUIDString()):
            now = volume_record.get(pool, record_name(name))
            if now is None or now.nonce == kept.nonce:
                volume_record.drop(pool, record_name(name))

    def paths(self, pool: handles.StoragePool, name: str, record: Record) -> list[str]:
        """Of the generations that are there."""
        volumes = (lookup.find_volume(pool, volume_name(name, digest)) for digest in record.generations)
        return [volume.path() for volume in volumes if volume is not None]

    def _claim(self, work: Work, slot: Slot, image: Image) -> tuple[Claim, Sidecar | None]:
        """The record says that the image is on its way; and the record to go back to."""
        work.check()
        old, digest = slot.record, image.digest[:DIGEST_LENGTH]
        self._drop_unfinished(work, slot, digest)
        named = volume_name(slot.name, digest)
        mode = "0600" if self.node.is_session else "0444"
        wanted = Wanted(image.length or kinds.FILES.least, "raw", mode=mode)
        left = lookup.find_volume(slot.pool, named) if old.next == digest else None
        found = Holder(Standing.OURS, slot.before, left)
        record = Sidecar(KIND, slot.mark, "filling", "", image.format, replace(old, next=digest).facts())
        record = volume_claim.prepared(record, wanted, found)
        if slot.before is not None and volume_claim.settle(work, slot.pool, record_name(slot.name), slot.before):
            self.write(slot.pool, slot.name, record)
        elif not volume_record.claim(slot.pool, record_name(slot.name), record):
            raise Busy(f'template "{slot.name}" is being made by another run; run again when that is done')
        keep = None
        if slot.before is not None and old.current and not slot.fresh:
            keep = slot.before.having(phase="whole", nonce=record.nonce, facts=replace(old, next="").facts())
        return Claim(self.node, slot.pool, named, wanted, record, record_name(slot.name)), keep

    def _drop_unfinished(self, work: Work, slot: Slot, digest: str) -> None:
        """Remove the volume of an image whose fill was cut off, unless it is `digest`, which is taken up again."""
        old = slot.record
        if slot.before is None or not old.next or old.next in (digest, old.current, *old.superseded):
            return
        volume = lookup.there(work, slot.pool, volume_name(slot.name, old.next))
        if volume is not None and volume_claim.is_ours(volume_xml(volume), slot.before.facts):
            volume_claim.remove_when_free(work, volume)
        volume_claim.remove_layer(work, slot.pool, volume_name(slot.name, old.next))

    def sidecar(self, work: Work, pool: handles.StoragePool, name: str) -> Sidecar | None:
        """The record, None when it is surely gone."""
        named = record_name(name)
        try:
            kept = volume_record.get(pool, named)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID and not pool.isActive():
                raise lookup.inactive(pool.name()) from None
            if not is_gone(error, Gone.VOLUME):
                raise
            kept = None
        if kept is None and not pool_mark.is_gone(work, pool, volume_record.volume_name(named)):
            return volume_record.get(pool, named)
        return kept

    def write(self, pool: handles.StoragePool, name: str, kept: Sidecar) -> None:
        """Put the record there."""
        # Not while another thread of ours is about to write what it read before.
        with self.node.pool_lock(pool.UUIDString()):
            volume_record.put(pool, record_name(name), kept)

    def _xml(self, pool: handles.StoragePool, name: str) -> Element | None:
        try:
            volume = lookup.find_volume(pool, name)
            return None if volume is None else volume_xml(volume)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.VOLUME):
                return None
            raise


def _moved(record: Record, digest: str) -> Record:
    """The record with another generation in use, and the one before superseded."""
    digest = digest[:DIGEST_LENGTH]
    before = (*record.superseded, record.current)
    superseded = tuple(dict.fromkeys(one for one in before if one and one != digest))
    return replace(record, current=digest, next="", superseded=superseded, going=())


def short_of(root: Element, record: Record) -> str | None:
    """That an image was cut off, as a sentence goes on; None when it is whole. `root` is its volume's XML."""
    now = _length(root)
    if record.length and now < record.length:
        return f"has {now} bytes of the {record.length} that were put there"
    if record.size and _capacity(root) < record.size:
        return f"has {_capacity(root)} bytes of the {record.size} that were put there"
    return None


def _length(root: Element) -> int:
    """The bytes of its file."""
    return number(root, "physical") or 0


def _capacity(root: Element) -> int:
    """What a guest sees, in whole sectors."""
    return pool_kind.volumes_of(root).rounded(number(root, "capacity") or 0)

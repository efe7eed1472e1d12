"""Making, renewing and removing templates. The rules of `volume_claim` hold; the record has a name of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import libvirt

from jvp.core.errors import Busy, JvpError, Rejected
from jvp.core.identity import Key, Mark
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain import disks
from jvp.libvirt.domain.disks import DomainDisk
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, value, volume_xml
from jvp.libvirt.storage import copy_volume, kinds, lookup, pool_kind, pool_mark, volume_claim, volume_record
from jvp.libvirt.storage.streams import VolumeUpload
from jvp.libvirt.storage.templates import DIGEST_LENGTH, Record, left_behind, record_name, sweep, users_of, volume_name
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
        return _short(self.root, self.record)


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
        kept = self._sidecar(work, pool, name)
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
                self._write(found.pool, found.name, found.sidecar.acknowledged())

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

    def clear_short(self, work: Work, slot: Slot, digest: str, *, same: bool) -> bool:
        """Remove the image in use when it is cut off, so that it is made again; whether that was so.

        What stands on it needs the very same content: unless that is sure (`same`), Rejected names it. Again: yes.
        """
        volume = self.has(work, slot, digest) if digest[:DIGEST_LENGTH] == slot.record.current else None
        why = _short(volume_xml(volume), slot.record) if volume is not None else None
        if volume is None or why is None:
            return False
        lookup.refresh(work, slot.pool)  # only then libvirt sees a folder
        volume = self.has(work, slot, digest)
        if volume is None:
            return True
        if copy_volume.format_of(volume_xml(volume)) == kinds.FOLDER:
            raise Rejected(
                f'{volume.path()} is a folder, and the image of template "{slot.name}" was a file: move it away and '
                "run again"
            )
        users = [] if same else users_of(self.node, [volume.path()])
        if users:
            raise Rejected(
                f'template "{slot.name}" {why}, and {listed(users)} stand on it: what its address gives now may '
                "be another image; put the file back, or delete those first"
            )
        volume_claim.remove_when_free(work, volume)
        return True

    def pieces(self, work: Work, volume: handles.StorageVol) -> Iterator[bytes | int]:
        """The bytes of a generation in order, a number for a hole of that length."""
        with self.node.job(work) as connection:
            yield from copy_volume.pieces(connection, copy_volume.on(connection, volume))

    def switch(self, work: Work, slot: Slot, digest: str, facts: dict[str, Any]) -> None:
        """Make a generation that is there already the one in use. `facts` complete the record."""
        assert slot.before is not None
        self._drop_unfinished(work, slot, "")
        root = volume_xml(slot.pool.storageVolLookupByName(volume_name(slot.name, digest)))
        record = replace(_moved(slot.record, digest), size=_capacity(root), length=_length(root), **facts)
        kept = replace(
            slot.before, mark=slot.mark, phase="whole", format=copy_volume.format_of(root), facts=record.facts()
        )
        self._write(slot.pool, slot.name, kept)
        sweep(work, self.node, slot.pool, slot.name)

    def fill(
        self, work: Work, slot: Slot, image: Image, send: Callable[[VolumeUpload], str], facts: dict[str, Any]
    ) -> None:
        """Make `image` the generation in use; the one before stays when that fails.

        `send` fills an upload and returns the content digest; `facts` complete the record.
        Raises Busy when another run is at it, NameTaken when the volume's name is taken.
        """
        claim, keep = self._claim(work, slot, image)
        with contextlib.ExitStack() as undo:
            undo.callback(volume_claim.undo_quietly, claim, keep)
            volume = claim.make(work)
            with claim.filling(), self.node.job(work) as connection:
                content = send(VolumeUpload(connection, copy_volume.on(connection, volume)))
            lookup.refresh(work, slot.pool)
            root = volume_xml(volume)
            if copy_volume.format_of(root) != image.format or value(root, "backingStore/path"):
                raise Rejected(f"libvirt takes the image for {copy_volume.format_of(root)}, and it is {image.format}")
            record = _moved(Record.of(claim.record), image.digest)
            record = replace(record, digest=content, size=_capacity(root), length=_length(root), **facts)
            claim.finish(**record.facts())
            undo.pop_all()
        sweep(work, self.node, slot.pool, slot.name)

    def remove(
        self, work: Work, pool: handles.StoragePool, name: str, *, birth: str | None, volume: str | None
    ) -> None:
        """Delete a template with all its generations. Raises Rejected naming who stands on it. Again: yes.

        `birth` tells whether it is still the one that was made; `volume` is the name of its volume as last seen.
        """
        kept = self._sidecar(work, pool, name)
        if kept is None:
            if volume and lookup.find_volume(pool, volume) is not None:
                raise Rejected(
                    f'template "{name}" has lost its record {volume_record.volume_name(record_name(name))}; '
                    f'delete the volume "{volume}" by hand when nothing uses it'
                )
            return
        record = Record.of(kept)
        if birth and record.birth != birth:
            work.warn(f'template "{name}" is left alone: it was made by another resource after ours was gone')
            return
        for place in lookup.active_pools(self.node.connection):
            # Volumes that were made behind libvirt's back count as users too.
            with contextlib.suppress(Busy, Rejected):
                lookup.refresh(work, place)
        every = disks.disk_users(self.node.connection)
        drives = self._drives(pool, name, record, every)
        others = {path: [disk for disk in found if not _is_our_cd(disk)] for path, found in every.items()}
        self._refuse_used(pool, name, record, others)
        for disk, path in drives:
            work.status(f'taking the CD "{name}" out of "{disk.name}"')
            disks.detach(work, disk, path)
        self._write(pool, name, kept.having(phase="deleting"))
        try:
            # Again, because a volume may have been made on it until the record said "deleting".
            self._refuse_used(pool, name, record)
        except JvpError:
            self._write(pool, name, kept)
            raise
        self._remove_all(work, pool, name, kept)

    def forget(self, work: Work, pool: handles.StoragePool, name: str, birth: str) -> None:
        """Finish a removal that was cut off after the volume in use was gone: nothing will ever ask for it again.

        Best effort. Again: yes. A record of another template, by its birth, stays.
        """
        with contextlib.suppress(libvirt.libvirtError, JvpError):
            kept = volume_record.get(pool, record_name(name))
            if kept is not None and kept.phase == "deleting" and Record.of(kept).birth == birth:
                self._remove_all(work, pool, name, kept)

    def _remove_all(self, work: Work, pool: handles.StoragePool, name: str, kept: Sidecar) -> None:
        for digest in Record.of(kept).generations:
            found = lookup.find_volume(pool, volume_name(name, digest))
            if found is not None:
                volume_claim.remove_when_free(work, found)
        with self.node.pool_lock(pool.UUIDString()):
            now = volume_record.get(pool, record_name(name))
            if now is None or now.nonce == kept.nonce:  # else the name is another template's by now
                volume_record.drop(pool, record_name(name))

    def _paths(self, pool: handles.StoragePool, name: str, record: Record) -> list[str]:
        volumes = (lookup.find_volume(pool, volume_name(name, digest)) for digest in record.generations)
        return [volume.path() for volume in volumes if volume is not None]

    def _drives(
        self, pool: handles.StoragePool, name: str, record: Record, every: Mapping[str, Sequence[DomainDisk]]
    ) -> list[tuple[DomainDisk, str]]:
        """The CD drives of instances of ours that the image is in: an engine deletes before it updates."""
        paths = self._paths(pool, name, record)
        found = [(disk, path) for path in paths for disk in every.get(path, ()) if _is_our_cd(disk)]
        if found:
            for path in paths:
                disks.refuse_saved(
                    self.node.connection,
                    f'template "{name}"',
                    lambda root, path=path: disks.has_disk(self.node.connection, root, path),  # type: ignore[misc]
                )
        return found

    def _refuse_used(
        self,
        pool: handles.StoragePool,
        name: str,
        record: Record,
        disks: Mapping[str, Sequence[DomainDisk]] | None = None,
    ) -> None:
        users = users_of(self.node, self._paths(pool, name, record), disks)
        if left := left_behind(self.node, users):
            what = "root disk of an instance that was" if len(left) == 1 else "root disks of instances that were"
            raise Rejected(
                f'template "{name}" is used by {listed(left)}, the {what} undefined; first apply the program '
                "that declares it, which takes the disk over, or delete that volume by hand"
            )
        if users:
            raise Rejected(f'template "{name}" is used by {listed(users)}; delete those first')

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
            self._write(slot.pool, slot.name, record)
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

    def _sidecar(self, work: Work, pool: handles.StoragePool, name: str) -> Sidecar | None:
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

    def _write(self, pool: handles.StoragePool, name: str, kept: Sidecar) -> None:
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


def _is_our_cd(disk: DomainDisk) -> bool:
    return disk.ours and disk.is_cd


def _short(root: Element, record: Record) -> str | None:
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

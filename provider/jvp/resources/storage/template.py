"""Template: a disk image in a storage pool, from a local file or an address, that volumes are made from."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jvp import images
from jvp.core.declaration import Noted
from jvp.core.diff import Change, Kind
from jvp.core.errors import Bug, Invalid, JvpError, NotFound, Stopped
from jvp.core.facts import Effect
from jvp.core.handler import Done, Handler, Outcome
from jvp.core.identity import MAX_GENERATIONS, Key, Mark
from jvp.core.model import load
from jvp.core.taken import KEPT, name_taken
from jvp.core.types import in_lower_case, is_uuid, size_text, utc_text
from jvp.core.values import known
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number, volume_xml
from jvp.libvirt.storage import lookup, templates
from jvp.libvirt.storage.flat_copy import Disk, FlatCopy
from jvp.libvirt.storage.streams import VolumeUpload
from jvp.libvirt.storage.template_fill import Found, Image, Slot, TemplateApi
from jvp.libvirt.storage.volume_claim import Standing
from jvp.libvirt.storage.volumes import VolumeApi
from jvp.resources.foreseen import attempt, obstacles, pool_of
from jvp.resources.storage import image_source, listing, template_origin, template_use
from jvp.resources.storage.image_source import at
from jvp.resources.storage.items import TemplateFilters, TemplateItem
from jvp.resources.storage.template_model import Template, TemplateSource, TemplateState, TemplateType
from jvp.resources.storage.template_source import key_of, origin_of, place_of, refuse_file, shown
from jvp.resources.storage.unread import unread


class Templates(TemplateType, Handler[Template, TemplateState]):
    """The verbs of templates. The id is `<pool uuid>/<name>` and stays when the image changes."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = TemplateApi(node)
        self._seen: dict[str, str | None] = {}
        """What the last read saw amiss with an image, by the template's id, until a plan has told it."""

    def create(self, work: Work, key: Key, spec: Template) -> Outcome[TemplateState]:
        with libvirt_errors(f'template "{spec.name or key.label}"'):
            pool = lookup.active_pool_of(self.node, spec.pool, ("pool",))
            slot = self._slot(work, pool, key, spec)
            self._bring(work, slot, spec)
            return Done(f"{pool.UUIDString()}/{slot.name}", self.state_of(self._found(work, pool, slot.name), spec))

    def read(self, work: Work, object_id: str, prior: TemplateState | None) -> TemplateState | None:
        name = object_id.partition("/")[2]
        self._seen.pop(object_id, None)
        with libvirt_errors(f'template "{name}"'):
            try:
                pool, _ = self._place(object_id)
                found = self.api.find(work, pool, name)
            except Stopped as stopped:
                return unread(work, stopped, f'template "{name}"', None if work.looks else prior)
            if found is None and prior is not None and prior.nonce:
                self.api.forget(work, pool, name, prior.nonce)
            if found is None or (prior is not None and prior.nonce and found.record.birth != prior.nonce):
                return None
            if prior is not None:
                if not work.looks:
                    self.api.acknowledge(found)
                self._seen[object_id] = found.short
            return self.state_of(found, prior)

    def update(
        self, work: Work, object_id: str, prior: TemplateState, spec: Template, changes: Sequence[Change]
    ) -> Outcome[TemplateState]:
        pool, name = self._place(object_id)
        with libvirt_errors(f'template "{name}"'):
            found = self._found(work, pool, name)
            if prior.nonce and found.record.birth != prior.nonce:
                raise NotFound(
                    f'template "{name}" is not the one that was made here any more; refresh the state and run again'
                )
            kept = found.sidecar.having(mark=found.sidecar.mark.updated(work.key))
            mark = kept.mark.updated(work.key, work.declaration)
            self._bring(work, Slot(pool, name, mark, kept), spec)
            return Done(object_id, self.state_of(self._found(work, pool, name), spec))

    def delete(self, work: Work, object_id: str, prior: TemplateState | None) -> None:
        pool, name = self._place(object_id)
        with libvirt_errors(f'template "{name}"'):
            birth, volume = (prior.nonce, prior.volume_name) if prior else (None, None)
            template_use.remove(work, self.api, pool, name, birth=birth, volume=volume)

    def find(self, work: Work, reference: str) -> str:
        return templates.template_of(self.node, self.node.here(reference, 2)).id

    def noted(self, work: Work, object_id: str) -> Noted | None:
        pool, name = self._place(object_id)
        with libvirt_errors(f'template "{name}"'):
            found = self.api.find(work, pool, name)
            return None if found is None else Noted.of(found.sidecar.mark, self.spec)

    def list(self, work: Work, filters: TemplateFilters | None = None) -> Iterator[TemplateItem]:
        with libvirt_errors("templates"):
            yield from listing.templates(self.node, work, filters or TemplateFilters())

    def place(self, inputs: dict[str, Any]) -> str:
        return f"{in_lower_case(inputs['pool'])}/{inputs['name']}"

    def effects(self, changes: Sequence[Change], state: TemplateState, new: dict[str, Any]) -> Iterable[Change]:
        """A reference to the same pool in another spelling is no change."""
        for change in changes:
            wanted = in_lower_case(change.new) if isinstance(change.new, str) else None
            same = wanted is not None and wanted in (state.pool_uuid, state.pool_name)
            if not (change.path == ("pool",) and same) and not template_origin.is_no_change(change, state):
                yield change

    def looked(
        self, work: Work, changes: Sequence[Change], state: TemplateState, new: dict[str, Any]
    ) -> Iterable[Change]:  # fmt: skip
        if (short := self._short(work, state)) is not None and not any(one.path[0] == "source" for one in changes):
            note = f"its image {short}: it is put there again"
            yield Change(("source",), Kind.UPDATE, Effect.LIVE, None, new.get("source"), note)
        yield from self.effects(changes, state, new)

    def _short(self, work: Work, state: TemplateState) -> str | None:
        """That somebody cut the image off; None also while nothing can be asked."""
        object_id = f"{state.pool_uuid}/{state.name}"
        with contextlib.suppress(KeyError):
            return self._seen.pop(object_id)
        with contextlib.suppress(JvpError):
            pool, name = self._place(object_id)
            with libvirt_errors(f'template "{name}"'):
                found = self.api.find(work, pool, name)
                return found.short if found is not None else None
        return None

    def predict(self, spec: Template, prior: TemplateState | None) -> dict[str, Any]:
        bag: dict[str, Any] = {}
        if prior is None and known(spec.pool):
            bag["poolUuid" if is_uuid(spec.pool) else "poolName"] = in_lower_case(spec.pool)
        source = spec.source
        if not isinstance(source, TemplateSource) or not known(source.path, source.digest) or source.digest is None:
            return bag
        bag["digest"] = source.digest
        name = prior.name if prior is not None else spec.name
        if name is not None and known(name):
            bag["volumeName"] = templates.volume_name(name, source.digest)
        return bag

    def obstacles(self, work: Work, spec: Template, key: Callable[[], Key]) -> Iterator[JvpError]:
        if known(spec.name, spec.pool):
            self.node.plans.make(self.kind, spec.name, f"{spec.pool}/{spec.name}")
        what = f'template "{spec.name}"'
        pool = yield from pool_of(self.node, what, spec.pool, ("pool",))
        if pool is not None and known(spec.name):
            yield from obstacles(what, lambda: self._slot(work, pool, key(), spec))
        yield from self._of_source(work, what, pool, spec)

    def warnings(self, work: Work, spec: Template, prior: TemplateState | None) -> Iterator[str]:
        if prior is not None and isinstance(spec.source, TemplateSource) and spec.source != prior.source:
            yield from map(str, self._of_source(work, "template", None, spec))

    def _of_source(self, work: Work, what: str, pool: handles.StoragePool | None, spec: Template) -> Iterator[JvpError]:
        """What speaks against the source, as far as that is known by now. Of a disk it warns how much is copied."""
        source = spec.source
        if not isinstance(source, TemplateSource) or not template_origin.is_disk(source):
            yield from obstacles(what, lambda: refuse_file(work, pool, source))
        elif template_origin.is_there_by_now(self.node, source):
            disk = yield from attempt(what, lambda: template_origin.disk_of(self.node, source))
            if disk is not None:
                yield from obstacles(what, lambda: self._refuse_copy(work, pool, source, disk))
                work.warn(f"{what} is a copy of {disk.what}: {size_text(disk.allocation)} are copied")

    def _refuse_copy(self, work: Work, pool: handles.StoragePool | None, source: TemplateSource, disk: Disk) -> None:
        with FlatCopy(self.node, disk, template_origin.format_of(source)).ready(work, pool):
            pass

    def _place(self, object_id: str) -> tuple[handles.StoragePool, str]:
        with libvirt_errors(f'template "{object_id.partition("/")[2]}"'):
            return VolumeApi(self.node).pool(object_id)

    def _found(self, work: Work, pool: handles.StoragePool, name: str) -> Found:
        found = self.api.find(work, pool, name)
        if found is None:
            raise NotFound(f'template "{name}" is gone; refresh the state and run again')
        return found

    def _slot(self, work: Work, pool: handles.StoragePool, key: Key, spec: Template) -> Slot:
        """The name to make the template under. Raises NameTaken."""
        for generation in range(MAX_GENERATIONS):
            name = spec.name or key.auto_name(key.uuid(generation))
            standing, kept = self.api.standing(work, pool, name, key)
            if standing in (Standing.FREE, Standing.OURS):
                mark = Mark.new(key, generation, work.declaration)
                return Slot(pool, name, mark, kept, fresh=standing is Standing.FREE)
            if spec.name or standing is Standing.TAKEN:
                holder = kept.mark if kept is not None else None
                made = KEPT if standing is Standing.MOVED_ON else ""
                id_ = f"{pool.UUIDString()}/{name}"
                raise name_taken(self.kind, name, id=id_, holder=holder, pool=pool.name(), made=made)
        raise Bug(f"{MAX_GENERATIONS} templates exist under one address of the program")

    def _bring(self, work: Work, slot: Slot, spec: Template) -> None:
        """Make the declared image the generation in use, if it is not."""
        source = spec.source
        if template_origin.is_disk(source):
            self._bring_copy(work, slot, spec)
            return
        digest = source.digest if source.path is not None else key_of(source)
        facts: dict[str, Any] = {"source": shown(source), "source_name": "", "source_key": key_of(source)}
        facts["os"] = spec.os or ""
        if digest is None:
            assert source.path is not None
            digest = at(("source", "path"), lambda: images.file_digest_cached(source.path or "", work))
        same = source.upload is not None or (source.path is not None and slot.record.digest == digest)
        gone = template_use.clear_short(work, self.api, slot, digest, same=same)
        volume = None if gone else self.api.has(work, slot, digest)
        if volume is None:
            self._fill(work, slot, source, digest, {**facts, "created": utc_text(time.time())})
            return
        if source.path is not None and source.checksum and slot.record.source_key != facts["source_key"]:
            image_source.verify(work, origin_of(work, source))
        if digest[:12] != slot.record.current:
            facts["digest"] = digest if source.path is not None else self._content(work, volume)
            facts["created"] = utc_text(time.time())
            facts |= self._system(work, volume)
        self.api.switch(work, slot, digest, facts)

    def _bring_copy(self, work: Work, slot: Slot, spec: Template) -> None:
        """The same of a copy. One of the declared disk stays, whatever became of that since."""
        source, record, disk = spec.source, slot.record, None
        facts: dict[str, Any] = {"source": record.source, "source_name": record.source_name}
        facts |= {"source_key": record.source_key}
        if not template_origin.means(source, record):
            disk = template_origin.disk_of(self.node, source)
            facts = template_origin.kept(source, disk)
        facts["os"], digest = spec.os or "", facts["source_key"]
        gone = template_use.clear_short(work, self.api, slot, digest, same=False)
        volume = None if gone else self.api.has(work, slot, digest)
        if volume is None:
            disk = disk or template_origin.disk_of(self.node, source)
            self._refuse_copy(work, slot.pool, source, disk)
            image = Image(digest, template_origin.format_of(source), None)
            facts["created"] = utc_text(time.time())

            def told(made: handles.StorageVol) -> str:
                facts.update(self._system(work, made))  # the record is yet to come
                return self._content(work, made)

            self.api.copy(work, slot, image, disk, told, facts)
            return
        if digest[:12] != record.current:
            facts |= {"digest": self._content(work, volume), "created": utc_text(time.time())}
            facts |= self._system(work, volume)
        self.api.switch(work, slot, digest, facts)

    def _fill(self, work: Work, slot: Slot, source: TemplateSource, digest: str, facts: dict[str, Any]) -> None:
        where = place_of(source)
        with image_source.opened(work, slot.pool, origin_of(work, source), where) as image:
            if source.format not in (None, image.info.format):
                raise Invalid(
                    f'the image is {image.info.format}: write "{image.info.format}"', path=("source", "format")
                )

            def send(upload: VolumeUpload) -> str:
                content = images.ContentDigest()
                filled = images.fill(image.segments(), upload, verifier=image.verifier, digest=content, work=work)
                facts.update(_told(images.detected(upload.read, filled.total, work.check)))  # the record is yet to come
                if source.path is None:
                    return filled.digest or ""
                if not image.packed and filled.digest != digest:
                    raise Invalid("the file was changed while it was read; run again when nothing writes to it")
                return digest

            made = Image(digest, image.info.format, image.length)
            self.api.fill(work, slot, made, lambda upload: at(where, lambda: send(upload)), facts)

    def _system(self, work: Work, volume: handles.StorageVol) -> dict[str, str]:
        """What a generation says of itself that is taken up again."""
        with self.api.reading(work, volume) as read:
            return _told(images.detected(read, number(volume_xml(volume), "physical") or 0, work.check))

    def _content(self, work: Work, volume: handles.StorageVol) -> str:
        """The content digest of a generation that came from an address and is taken up again."""
        pieces = self.api.pieces(work, volume)
        return images.content_digest(
            images.Hole(piece) if isinstance(piece, int) else images.Data(piece) for piece in pieces
        )

    def state_of(self, found: Found, spelled: Template | None) -> TemplateState:
        """The state; what only a program knows is taken from `spelled`: the spec, or the state before."""
        name, uuid, record = found.pool.name(), found.pool.UUIDString(), found.record
        source = load(TemplateSource, record.source)
        if (
            spelled is not None
            and isinstance(spelled.source, TemplateSource)
            and (key_of(spelled.source) == record.source_key or template_origin.means(spelled.source, record))
        ):
            source = spelled.source
        local = source.path is not None
        return TemplateState.model_construct(
            name=found.name,
            pool=spelled.pool if spelled and in_lower_case(spelled.pool) in (name, uuid) else name,
            source=source.model_copy(update={"digest": record.digest if local else None}),
            os=record.os or None,
            os_release=record.release or None,
            os_name=record.os_name or None,
            architecture=record.architecture or None,
            digest=record.digest,
            format=found.sidecar.format,
            size_bytes=record.size,
            volume_name=templates.volume_name(found.name, record.current),
            path=found.path,
            created_at=record.created,
            source_id=record.source.get("snapshot") or record.source.get("volume"),
            source_name=record.source_name or None,
            pool_name=name,
            pool_uuid=uuid,
            nonce=record.birth,
        )


def _told(system: images.System | None) -> dict[str, str]:
    """What an image says of itself, as the record keeps it."""
    found = system or images.System("", "", "")
    return {"release": found.release, "os_name": found.name, "architecture": found.architecture}

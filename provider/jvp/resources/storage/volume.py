"""Volume: a disk in a storage pool, empty, or from a template, another volume, a snapshot or an image."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jvp.core.declaration import Noted
from jvp.core.diff import Change, Kind
from jvp.core.errors import Bug, JvpError, NameTaken, NotFound, Path, Rejected, Stopped, Undefined
from jvp.core.facts import Effect
from jvp.core.handler import Done, Handler, Outcome
from jvp.core.identity import MAX_GENERATIONS, Key, Mark
from jvp.core.types import (
    disk_bytes,
    in_lower_case,
    is_uuid,
    size_text,
)
from jvp.core.values import known
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain.disks import seen_domains
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import kinds, lookup, pool_kind, volume_claim
from jvp.libvirt.storage.clone_source import FORMATS
from jvp.libvirt.storage.content import Content
from jvp.libvirt.storage.copy_volume import damage, format_of
from jvp.libvirt.storage.flat_copy import FlatCopy
from jvp.libvirt.storage.layer_names import ROOT
from jvp.libvirt.storage.volume_claim import Holder, Standing
from jvp.libvirt.storage.volume_record import Sidecar
from jvp.libvirt.storage.volumes import WAY_OUT, Found, VolumeApi
from jvp.resources.foreseen import attempt, is_there, obstacles, pool_of
from jvp.resources.storage import listing, lost_file, volume_use
from jvp.resources.storage.items import VolumeFilters, VolumeItem
from jvp.resources.storage.unread import unread
from jvp.resources.storage.volume_content import content_of, refuse_unfit, size_of
from jvp.resources.storage.volume_model import Volume, VolumeState, VolumeType

ORIGINS = (
    "template_id", "volume_id", "snapshot_id", "snapshot_disk", "image_path", "image_key", "image_upload", "full",
)  # fmt: skip
"""The facts of the record that tell what a volume was made from."""


class Volumes(VolumeType, Handler[Volume, VolumeState]):
    """The verbs of volumes. The id is `<pool uuid>/<name>`; what is ours stands in a sidecar."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = VolumeApi(node)
        self._seen: dict[str, str | None] = {}
        """What the last read saw amiss with an object, by its id, until a plan has told it."""

    def create(self, work: Work, key: Key, spec: Volume) -> Outcome[VolumeState]:
        with libvirt_errors(f'volume "{spec.name or key.label}"'):
            pool = lookup.pool_of(self.node, spec.pool, ("pool",))
            with lookup.running(pool, ("pool",)):
                try:
                    content = content_of(self.node, spec)
                except NotFound:
                    if (left := self._outlived(work, pool, key, spec)) is None:
                        raise
                    object_id = f"{pool.UUIDString()}/{left.name}"
                    return Done(object_id, self._state(self._grown(work, self.api.redeclare(left, work), spec), spec))
                name, generation, found = self._name(work, pool, key, spec)
            object_id = f"{pool.UUIDString()}/{name}"
            facts = {**content.facts, "full": spec.full_clone}
            if (whole := self._as_declared(pool, found, spec, facts)) is not None:
                return Done(object_id, self._state(self._grown(work, self.api.redeclare(whole, work), spec), spec))
            with content.ready(work, pool):
                size = size_of(spec, content)
                mark = Mark.new(key, generation, work.declaration)
                record = Sidecar("volume", mark, "filling", "", spec.format, facts)
                lost_file.warn_of_writers(work, self.node, pool, name)
                made = self._fill(work, pool, name, record, content, size, found)
            return Done(object_id, self._state(made, spec))

    def read(self, work: Work, object_id: str, prior: VolumeState | None) -> VolumeState | None:
        self._seen.pop(object_id, None)
        prior = None if work.looks else prior  # references are compared by meaning
        with libvirt_errors(f'volume "{object_id.partition("/")[2]}"'):
            try:
                found = self.api.find(work, object_id)
            except Stopped as stopped:
                return unread(work, stopped, f'volume "{object_id.partition("/")[2]}"', prior)
            if found is None:
                if prior is not None and prior.nonce:
                    self.api.forget(work, object_id, prior.nonce)
                return None
            if prior is None:
                if not work.looks:
                    self._refuse_import(found)
            elif found.record is not None and prior.nonce and found.record.nonce != prior.nonce:
                # Somebody removed ours, and somebody made another one under its name.
                return None
            else:
                self.api.acknowledge(found)
                if found.size == 0:
                    # Only when it looks at its folder again, libvirt sees what is there now.
                    lookup.refresh(work, found.pool)
                    found = self.api.find(work, object_id) or found
                    work.warn(damage(found.root, prior.format, f'volume "{found.name}"', mended=True))
                self._seen[object_id] = found.fault(prior.nonce)
            return self._state(found, prior)

    def update(
        self, work: Work, object_id: str, prior: VolumeState, spec: Volume, changes: Sequence[Change]
    ) -> Outcome[VolumeState]:
        with libvirt_errors(f'volume "{prior.name}"', ("size",)):
            found = self._found(work, object_id)
            if (why := found.fault(prior.nonce)) is not None:
                raise Rejected(f'volume "{prior.name}" {why}; {WAY_OUT}')
            if prior.nonce and (found.record is None or found.record.nonce != prior.nonce):
                raise NotFound(
                    f'volume "{prior.name}" is not the one that was made here any more; refresh the state and run again'
                )
            if any(change.path == ("compactTriggers",) for change in changes):
                from jvp.resources.storage import compacting  # which reads images

                found = compacting.triggered(work, self.node, found)
            found = self._grown(work, self.api.declare(found, work), spec)
            return Done(object_id, self._state(found, spec))

    def delete(self, work: Work, object_id: str, prior: VolumeState | None) -> None:
        with libvirt_errors(f'volume "{object_id.partition("/")[2]}"'):
            nonce, detach = (prior.nonce, prior.detach_on_delete) if prior else (None, True)
            try:
                volume_use.remove(work, self.api, object_id, nonce=nonce, detach=detach is not False)
            except Undefined:
                # An imported program names its pool, so no engine knows that the pool must go last.
                if prior is None or nonce:
                    raise
                work.warn(f"{prior.path} is left: it was imported, and its storage pool is not defined any more")

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'volume "{reference}"'):
            parts = reference if reference.startswith("/") else self.node.here(reference, 2)
            volume = lookup.volume_of(self.node, parts)
            return f"{volume.storagePoolLookupByVolume().UUIDString()}/{volume.name()}"

    def noted(self, work: Work, object_id: str) -> Noted | None:
        with libvirt_errors(f'volume "{object_id.partition("/")[2]}"'):
            found = self.api.find(work, object_id)
            return None if found is None else Noted.of(found.record.mark if found.record else None, self.spec)

    def users(self, work: Work, object_id: str) -> Sequence[str]:
        with libvirt_errors(f'volume "{object_id.partition("/")[2]}"'):
            found = self.api.find(work, object_id)
            users = seen_domains(self.node).users.get(found.active, ()) if found is not None else ()
            return sorted({disk.name for disk in users})

    def list(self, work: Work, filters: VolumeFilters | None = None) -> Iterator[VolumeItem]:
        with libvirt_errors("volumes"):
            yield from listing.volumes(self.node, work, filters or VolumeFilters())

    def place(self, inputs: dict[str, Any]) -> str:
        return f"{in_lower_case(inputs['pool'])}/{inputs['name']}"

    def effects(self, changes: Sequence[Change], state: VolumeState, new: dict[str, Any]) -> Iterable[Change]:
        """References to the same pool or template in another spelling are no change."""
        meant: dict[Path, set[str | None]] = {
            ("pool",): {state.pool_uuid, state.pool_name},
            ("template",): _spellings(state.template_id, state.template_pool),
            ("volume",): _spellings(state.volume_id, state.volume_pool),
            ("snapshot",): _spellings(state.snapshot_id, state.snapshot_instance) - {_name(state.snapshot_id)},
        }
        for change in changes:
            wanted = in_lower_case(change.new) if isinstance(change.new, str) else None
            if change.path == ("disk",) and {change.old, change.new} == {None, ROOT}:
                continue
            if wanted is None or wanted not in meant.get(change.path, ()):
                yield change

    def looked(
        self, work: Work, changes: Sequence[Change], state: VolumeState, new: dict[str, Any]
    ) -> Iterable[Change]:  # fmt: skip
        if (why := self._fault(work, state)) is not None:
            note = f"the volume {why}: this will fail"
            yield Change(("name",), Kind.UPDATE, Effect.LIVE, state.name, state.name, note)
        yield from self.effects(changes, state, new)

    def _fault(self, work: Work, state: VolumeState) -> str | None:
        """Why it may be another volume than was made here; None also while nothing can be asked."""
        object_id = f"{state.pool_uuid}/{state.name}"
        if not state.nonce:
            return None
        with contextlib.suppress(KeyError):
            return self._seen.pop(object_id)
        with contextlib.suppress(JvpError), libvirt_errors(f'volume "{state.name}"'):
            found = self.api.find(work, object_id)
            return found.fault(state.nonce) if found is not None else None
        return None

    def predict(self, spec: Volume, prior: VolumeState | None) -> dict[str, Any]:
        bag: dict[str, Any] = {}
        if spec.size is not None and known(spec.size):
            bag["sizeBytes"] = disk_bytes(spec.size)
        if prior is None and known(spec.pool):
            bag["poolUuid" if is_uuid(spec.pool) else "poolName"] = in_lower_case(spec.pool)
        return bag

    def obstacles(self, work: Work, spec: Volume, key: Callable[[], Key]) -> Iterator[JvpError]:
        if known(spec.name, spec.pool) and spec.name is not None:
            self.node.plans.make(self.kind, f"{spec.pool}/{spec.name}")
        what = f'volume "{spec.name}"'
        pool = yield from pool_of(self.node, what, spec.pool, ("pool",))
        if pool is not None and known(spec.name):
            yield from obstacles(what, lambda: self._name(work, pool, key(), spec))
        origins = {"template": spec.template, "volume": spec.volume, "snapshot": spec.snapshot}
        there = (is_there(self.node.plans, text, kind) for kind, text in origins.items() if text is not None)
        images = (spec.image_path, spec.image_url, spec.image_checksum, spec.image_upload)
        if known(spec.format, spec.disk, *images) and all(there):
            content = yield from attempt(what, lambda: content_of(self.node, spec))
            # A file can be judged before there is a pool to put it into.
            if content is not None and spec.image_url is None and (pool is not None or any(images)):
                yield from obstacles(what, lambda: refuse_unfit(work, pool, spec, content))
            if isinstance(content, FlatCopy):
                work.warn(
                    f"{what} is a copy of {content.what}: at most {size_text(content.disk.allocation)} are copied"
                )

    def warnings(self, work: Work, spec: Volume, prior: VolumeState | None) -> Iterator[str]:
        if prior is not None and prior.size_bytes and spec.size is not None and known(spec.size):
            least = prior.size_bytes
            if disk_bytes(spec.size) < least:
                yield f'volume "{prior.name}" has {size_text(least)} and cannot shrink to {spec.size}: this will fail'
            elif disk_bytes(spec.size) > least and not kinds.always("resize"):
                yield from map(str, obstacles(f'volume "{prior.name}"', lambda: self._refuse_growth(prior)))

    def _refuse_growth(self, prior: VolumeState) -> None:
        pool = lookup.find_pool(self.node, prior.pool_uuid or "")
        if pool is not None:
            pool_kind.require(pool, "resize", ("size",))

    def replacement_warnings(self, work: Work, prior: VolumeState) -> Iterator[str]:
        with libvirt_errors(f'volume "{prior.name}"'):
            users = [disk for disk in seen_domains(self.node).users.get(prior.path, ()) if disk.live is not None]
            if users and prior.detach_on_delete:
                names = listed(disk.name for disk in users)
                yield f'volume "{prior.name}" is unplugged from what runs with it before it is deleted: {names}'

    def _name(self, work: Work, pool: handles.StoragePool, key: Key, spec: Volume) -> tuple[str, int, Holder]:
        """The name to take, its generation, and what holds it: nothing, or an earlier try. Raises NameTaken."""
        for generation in range(MAX_GENERATIONS):
            name = spec.name or key.auto_name(key.uuid(generation))
            found = volume_claim.holder(work, pool, name, key)
            if found.standing in (Standing.FREE, Standing.OURS):
                return name, generation, found
            if spec.name or found.standing is Standing.TAKEN:
                raise volume_claim.taken(pool, name, found, self.kind, ("name",))
        raise Bug(f"{MAX_GENERATIONS} volumes exist under one address of the program")

    def _fill(
        self,
        work: Work,
        pool: handles.StoragePool,
        name: str,
        record: Sidecar,
        content: Content,
        size: int | None,
        found: Holder,
    ) -> Found:
        with contextlib.ExitStack() as undo:
            wanted = content.wanted(size)
            claim = volume_claim.claim(work, self.node, pool, name, record, wanted, found, at_once=content.at_once)
            undo.callback(volume_claim.undo_quietly, claim)
            volume = content.make(work, claim, size)
            record = claim.finish()
            undo.pop_all()
        return self.api.found(pool, volume, record)

    def _as_declared(
        self, pool: handles.StoragePool, held: Holder, spec: Volume, facts: dict[str, Any]
    ) -> Found | None:
        """The whole volume of an earlier try, when it is what the program declares, but for its size."""
        if held.volume is None or held.record is None or held.record.phase != "whole":
            return None
        found = self.api.found(pool, held.volume, held.record)
        if found.format != spec.format or format_of(found.root) != spec.format:
            return None
        same = all(held.record.facts.get(name) == facts.get(name) for name in ORIGINS)
        return found if same and (spec.size is None or found.size <= disk_bytes(spec.size)) else None

    def _outlived(self, work: Work, pool: handles.StoragePool, key: Key, spec: Volume) -> Found | None:
        """The whole volume of an earlier try whose origin is gone since, when it is what the program declares."""
        with contextlib.suppress(NameTaken):
            _, _, held = self._name(work, pool, key, spec)
            facts = held.record.facts if held.record is not None else {}
            disks = {spec.disk or ROOT, facts.get("snapshot_disk") or ROOT}
            if len(disks) == 1 and all(_is_of(spec, facts, origin) for origin in ("template", "volume", "snapshot")):
                return self._as_declared(pool, held, spec, {**facts, "full": spec.full_clone})
        return None

    def _grown(self, work: Work, found: Found, spec: Volume) -> Found:
        return found if spec.size is None else volume_use.grow(work, self.api, found, disk_bytes(spec.size))

    def _found(self, work: Work, object_id: str) -> Found:
        found = self.api.find(work, object_id)
        if found is None:
            raise NotFound(f'volume "{object_id.partition("/")[2]}" is gone; refresh the state and run again')
        return found

    def _refuse_import(self, found: Found) -> None:
        if found.record is not None and found.record.phase == "filling":
            raise Rejected(f'"{found.name}" is not complete: the run that made it was cut off')
        if found.format not in FORMATS:
            raise Rejected(
                f'"{found.name}" is of the format {found.format}; only {" and ".join(FORMATS)} can be managed'
            )

    def _state(self, found: Found, spelled: Volume | None) -> VolumeState:
        """The state, with what the host does not know taken from `spelled`: the spec, or the state before."""
        facts = found.record.facts if found.record else {}
        name, uuid = found.pool.name(), found.pool.UUIDString()
        prior = spelled if isinstance(spelled, VolumeState) else None
        return VolumeState.model_construct(
            name=found.name,
            pool=spelled.pool if spelled and in_lower_case(spelled.pool) in (name, uuid) else name,
            size=size_text(found.size),
            format=found.format,  # type: ignore[arg-type]
            template=spelled.template if spelled and spelled.template else facts.get("template_id"),
            volume=spelled.volume if spelled and spelled.volume else facts.get("volume_id"),
            snapshot=spelled.snapshot if spelled and spelled.snapshot else facts.get("snapshot_id"),
            disk=spelled.disk if spelled else facts.get("snapshot_disk"),
            image_path=spelled.image_path if spelled and spelled.image_path else facts.get("image_path"),
            image_url=spelled.image_url if spelled and spelled.image_url else facts.get("image_url"),
            image_checksum=(spelled.image_checksum if spelled else None) or facts.get("image_checksum"),
            image_upload=facts.get("image_upload"),
            full_clone=facts.get("full", spelled.full_clone if spelled else False),
            compact_triggers=spelled.compact_triggers if spelled else None,
            detach_on_delete=spelled.detach_on_delete if spelled else True,
            path=found.path,
            size_bytes=found.size,
            pool_name=name,
            pool_uuid=uuid,
            backing_file=found.backing_file,
            template_id=facts.get("template_id"),
            template_pool=facts.get("template_pool"),
            volume_id=facts.get("volume_id"),
            volume_pool=facts.get("volume_pool"),
            snapshot_id=facts.get("snapshot_id"),
            snapshot_instance=facts.get("snapshot_instance"),
            nonce=found.record.nonce if found.record else prior.nonce if prior else None,
        )


def _spellings(object_id: str | None, holder: str | None) -> set[str | None]:
    """What a template, a volume or a snapshot may be called."""
    if not object_id:
        return set()
    name = _name(object_id)
    return {object_id, name, f"{holder}/{name}"}


def _is_of(spec: Volume, facts: dict[str, Any], origin: str) -> bool:
    """Whether the reference to an origin means the one that the record tells, which may be gone."""
    said, recorded = getattr(spec, origin), facts.get(f"{origin}_id")
    if said is None or recorded is None:
        return said is recorded
    holder = "snapshot_instance" if origin == "snapshot" else f"{origin}_pool"
    return in_lower_case(said) in _spellings(recorded, facts.get(holder))


def _name(object_id: str | None) -> str:
    """The name in an id."""
    return (object_id or "").partition("/")[2]

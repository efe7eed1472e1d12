"""The verbs of snapshots. The id is `<domain uuid>/<name>`; what one is stands in its record."""

from __future__ import annotations

import contextlib
import time
import uuid as uuids
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import Bug, JvpError, NameTaken, NotFound, Rejected, Stopped
from jvp.core.handler import Done, Handler, Outcome, Partial
from jvp.core.identity import MAX_GENERATIONS, Key, Mark
from jvp.core.taken import KEPT, name_taken
from jvp.core.types import in_lower_case, shortened, utc_text
from jvp.core.values import known
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import making, merging, record
from jvp.libvirt.snapshots.record import Snap
from jvp.libvirt.storage import layer_names, lookup, pool_mark, volume_record
from jvp.libvirt.storage.volume_record import Sidecar
from jvp.resources.foreseen import is_there, obstacles
from jvp.resources.instance import hardware
from jvp.resources.snapshot import reading
from jvp.resources.snapshot.items import SnapshotFilters, SnapshotItem
from jvp.resources.snapshot.model import Snapshot, SnapshotState, SnapshotType
from jvp.resources.storage.unread import unread

CUT_OFF = "its deletion was cut off: it is taken anew, or deleted to the end"


class Snapshots(SnapshotType, Handler[Snapshot, SnapshotState]):
    """The verbs of snapshots."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.domains = DomainApi(node)

    def create(self, work: Work, key: Key, spec: Snapshot) -> Outcome[SnapshotState]:
        with libvirt_errors(f'snapshot "{spec.name or key.label}"'):
            domain = self.domains.by_reference(spec.instance, ("instance",))
            with record.turn(work, self.node, domain.UUIDString()):
                name, generation, left = self._name(domain, key, spec)
                mark = Mark.new(key, generation, work.declaration)
                if left is not None and left.record.phase == "whole":
                    left = self._noted(left, spec, left.mark.declaring(work.declaration))
                    return Done(left.id, reading.state_of(self.node, left, spec))
                if left is not None and left.merging is not None:
                    self._end(work, domain, left)
                    left = None
                return self._made(work, domain, name, mark, spec, left)

    def read(
        self, work: Work, object_id: str, prior: SnapshotState | None
    ) -> SnapshotState | Partial[SnapshotState] | None:
        uuid, _, name = object_id.partition("/")
        with libvirt_errors(f'snapshot "{name}"'):
            try:
                snap = self._found(work, uuid, name, prior)
            except Stopped as stopped:
                return unread(work, stopped, f'snapshot "{name}"', prior)
            if snap is None or snap.merging == ():
                return None
            if prior is not None and prior.nonce and snap.record.nonce != prior.nonce:
                return None
            if prior is None and not work.looks:
                if snap.record.phase != "whole":
                    raise Rejected(f'"{name}" is not complete: the run that made or deleted it was cut off')
            elif not work.looks and not snap.mark.acknowledged and snap.record.phase == "whole":
                with contextlib.suppress(JvpError), libvirt_errors(name):
                    snap = snap.put(snap.record.acknowledged())
            state = reading.state_of(self.node, snap, None if work.looks and prior is None else prior)
            return Partial(object_id, state, (CUT_OFF,)) if snap.merging is not None else state

    def update(
        self, work: Work, object_id: str, prior: SnapshotState, spec: Snapshot, changes: Sequence[Change]
    ) -> Outcome[SnapshotState]:
        uuid, _, name = object_id.partition("/")
        with libvirt_errors(f'snapshot "{name}"'), record.turn(work, self.node, uuid):
            snap = self._found(work, uuid, name, prior)
            if snap is None or snap.merging == () or (prior.nonce and snap.record.nonce != prior.nonce):
                raise NotFound(f'snapshot "{name}" is gone; refresh the state and run again')
            mark = snap.mark.updated(work.key, work.declaration)
            if snap.merging is not None:
                domain = self.domains.by_reference(uuid, ("instance",))
                self._end(work, domain, snap)
                return self._made(work, domain, name, mark, spec, None)
            snap = self._noted(snap, spec, mark)
            return Done(object_id, reading.state_of(self.node, snap, spec))

    def delete(self, work: Work, object_id: str, prior: SnapshotState | None) -> None:
        uuid, _, name = object_id.partition("/")
        with libvirt_errors(f'snapshot "{name}"'), record.turn(work, self.node, uuid):
            snap = self._found(work, uuid, name, prior)
            if snap is None:
                return
            if prior is not None and prior.nonce and snap.record.nonce != prior.nonce:
                work.warn(f'snapshot "{name}" is left alone: it was taken by another resource after ours was gone')
                return
            domain = self.domains.find(uuid)
            if domain is None:
                work.warn(
                    f'the instance of the snapshot "{name}" is not defined any more: the files of its disks stay as '
                    "they are, each on the one before"
                )
                making.remove_kept(self.node, snap)
                snap.drop()
                return
            self._end(work, domain, snap)

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'snapshot "{reference}"'):
            holder, _, name = self.node.here(reference, 2).rpartition("/")
            domain = None
            if holder:
                with contextlib.suppress(NotFound):
                    domain = self.domains.by_reference(holder, ())
            uuid = domain.UUIDString() if domain is not None else holder.lower()
            snap = record.find(self.node, uuid, name) if holder else None
            if snap is not None:
                return snap.id
            if domain is not None and name in [one.getName() for one in domain.listAllSnapshots(0)]:
                raise NotFound(f'snapshot "{reference}" is another tool\'s, which jvp lists and leaves alone')
            if domain is not None:
                record.refuse_stopped(self.node, uuid)
            return self._refuse_missing(reference)

    def noted(self, work: Work, object_id: str) -> Noted | None:
        uuid, _, name = object_id.partition("/")
        with libvirt_errors(f'snapshot "{name}"'):
            snap = self._found(work, uuid, name, None)
            return None if snap is None or snap.merging == () else Noted.of(snap.mark, self.spec)

    def list(self, work: Work, filters: SnapshotFilters | None = None) -> Iterator[SnapshotItem]:
        with libvirt_errors("snapshots"):
            yield from reading.items(self.node, work, filters or SnapshotFilters())

    def place(self, inputs: dict[str, Any]) -> str:
        return f"{in_lower_case(inputs['instance'])}/{inputs['name']}"

    def effects(self, changes: Sequence[Change], state: SnapshotState, new: dict[str, Any]) -> Iterable[Change]:
        """A reference to the same instance in another spelling is no change."""
        for change in changes:
            said = in_lower_case(change.new) if isinstance(change.new, str) else None
            if change.path != ("instance",) or said not in (state.instance_id, state.instance_name):
                yield change

    def obstacles(self, work: Work, spec: Snapshot, key: Callable[[], Key]) -> Iterator[JvpError]:
        what = f'snapshot "{spec.name}"'
        if known(spec.name, spec.instance):
            self.node.plans.make(self.kind, f"{spec.instance}/{spec.name}")
        if known(spec.name, spec.instance, spec.memory, spec.volumes) and is_there(
            self.node.plans, spec.instance, "instance"
        ):
            yield from obstacles(what, lambda: self._foreseen(key(), spec))

    def _foreseen(self, key: Key, spec: Snapshot) -> None:
        domain = self.domains.by_reference(spec.instance, ("instance",))
        _, _, left = self._name(domain, key, spec)
        if left is None:
            making.look(View(self.node), domain, spec.volumes, memory=bool(spec.memory))

    def _name(self, domain: handles.Domain, key: Key, spec: Snapshot) -> tuple[str, int, Snap | None]:
        """The name to take, its generation, and what an earlier try of the same key left. Raises NameTaken."""
        uuid = domain.UUIDString()
        for generation in range(MAX_GENERATIONS):
            name = spec.name or key.auto_name(key.uuid(generation))
            found = record.find(self.node, uuid, name)
            if found is None:
                return name, generation, None
            mine = found.mark.of(key)
            if mine and (not found.mark.acknowledged or found.merging is not None):
                return name, generation, found
            if spec.name or not mine:
                raise self._taken(found, mine)
        raise Bug(f"{MAX_GENERATIONS} snapshots exist under one address of the program")

    def _taken(self, found: Snap, mine: bool) -> NameTaken:
        return name_taken(self.kind, found.name, id=found.id, holder=found.mark, made=KEPT if mine else "")

    def _made(
        self, work: Work, domain: handles.Domain, name: str, mark: Mark, spec: Snapshot, left: Snap | None
    ) -> Outcome[SnapshotState]:
        merging.end_others(work, self.node, domain, domain.UUIDString(), name)
        # Not by the key alone: what replaces one at its address, by another name, is made before that goes.
        serial = str(uuids.uuid5(uuids.NAMESPACE_OID, f"{mark.key} {mark.generation} {name}"))
        volumes = tuple(spec.volumes) if spec.volumes is not None else None
        wish = making.Wish(name, serial, spec.quiesce, utc_text(time.time()), spec.memory, volumes)
        facts: dict[str, Any] = {"description": spec.description} if spec.description else {}
        facts[hardware.HARDWARE] = hardware.of(devices.inactive_xml(domain))
        sidecar = Sidecar(record.KIND, mark, "filling", "", "", facts)
        snap = making.make(work, self.node, domain, wish, sidecar, left)
        if left is not None:
            snap = self._noted(snap, spec, mark)
        return Done(snap.id, reading.state_of(self.node, snap, spec))

    def _end(self, work: Work, domain: handles.Domain, snap: Snap) -> None:
        if snap.record.phase == "filling":
            making.thaw(domain, snap)
        if snap.record.phase == "filling" and not making.is_taken(domain, snap):
            making.take_back(self.node, snap)
        elif not merging.delete(work, self.node, domain, snap):
            work.warn(
                f'snapshot "{snap.name}" is deleted; others go on from what it holds in more than one way, so its data '
                "is merged when these are deleted"
            )

    def _noted(self, snap: Snap, spec: Snapshot, mark: Mark) -> Snap:
        """Note what is declared."""
        facts = {name: fact for name, fact in snap.record.facts.items() if name != "description"}
        facts |= {"description": spec.description} if spec.description else {}
        new = snap.record.having(mark=mark, facts=facts)
        return snap.put(new) if new != snap.record else snap

    def _found(self, work: Work, uuid: str, name: str, prior: SnapshotState | None) -> Snap | None:
        """The snapshot; None when it is surely gone. Raises Stopped, Rejected, libvirtError."""
        pool = lookup.find_pool(self.node, prior.pool_uuid) if prior is not None and prior.pool_uuid else None
        if pool is None:
            if (known := record.find(self.node, uuid, name)) is None:
                record.refuse_stopped(self.node, uuid)
            return known
        with lookup.running(pool):
            found = record.read(pool, uuid, name)
            if found is None and not pool_mark.is_gone(
                work, pool, volume_record.volume_name(layer_names.record(uuid, name))
            ):
                found = record.read(pool, uuid, name)
            return found

    def _refuse_missing(self, reference: str) -> str:
        names = {domain.UUIDString(): domain.name() for domain in self.node.connection.listAllDomains(0)}
        found = [f"{names.get(one.instance, one.instance)}/{one.name}" for one in record.every(self.node)]
        advice = "" if "/" in reference else "write it as instance/name, or give its id; "
        raise NotFound(f'there is no snapshot "{shortened(reference)}"; {advice}there are: {listed(found)}')

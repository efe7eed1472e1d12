"""Taking a volume's name, filling the volume, and giving both up again: safe to cut off at any call.

The steps, and what a later try finds when one was cut off:

    claim     the sidecar, "filling", with a fresh nonce     nothing else: make the volume
    make      the empty volume                               a volume as `Wanted` says: take it
    begin     the sidecar says that data may be in it        a volume with anything in it: remove it, make it anew
    finish    the sidecar says "whole"                       a whole volume that no engine knows of: take it

A volume that is whole as soon as it is made leaves out `begin`, and its record is foretold (`volume_record`).

libvirtd sees to it that of two who claim one wins. It does not for those who take over what an earlier try left, nor
for uploads: the nonce decides, checked before the volume is called whole, and the loser raises Busy. Who finds a
record without its volume waits `_SETTLE_S` before taking it over, so what is made in less time needs no such check.
"""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libvirt

from jvp.core.errors import Busy, JvpError, NameTaken, NoSpace, Path
from jvp.core.identity import Key
from jvp.core.taken import KEPT, being_made, name_taken
from jvp.core.types import shortened
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain.disks import seen_domains
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import translated
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, value, volume_xml
from jvp.libvirt.storage import kinds, layer_names, lookup, pool_kind, volume_record
from jvp.libvirt.storage.lookup import BackingFile
from jvp.libvirt.storage.volume_record import Sidecar

_UNDO_S = 10.0
_SETTLE_S = 0.5
_BUSY_S = 120.0
"""How long to wait for libvirtd to let go of a volume that a killed client was filling."""


@dataclass(frozen=True)
class Wanted:
    """The volume to make, as it is before any data comes in."""

    capacity: int
    format: str
    backing: BackingFile | None = None
    mode: str = "0600"

    @property
    def shape(self) -> list[Any]:
        """What tells our empty volume from somebody else's, as the record keeps it."""
        return [self.capacity, self.format, self.backing.path if self.backing else None]


class Standing(enum.Enum):
    """What is there under a name, for one key."""

    FREE = "nothing"
    OURS = "what an earlier try of this key left"
    MOVED_ON = "an object of this key that an engine's state has"
    TAKEN = "an object of somebody else"


@dataclass(frozen=True)
class Holder:
    """What holds a name in a pool."""

    standing: Standing
    record: Sidecar | None
    volume: handles.StorageVol | None

    def whole(self) -> bool:
        return self.volume is not None and self.record is not None and self.record.phase == "whole"


def holder(work: Work, pool: handles.StoragePool, name: str, key: Key) -> Holder:
    """What holds `name`. Raises libvirtError.

    A record without its volume holds nothing unless somebody is about to make it; one that says "deleting" is of
    this key's own object, whose end was cut off.
    """
    record = volume_record.get(pool, name)
    volume = lookup.there(work, pool, name)
    if record is not None and volume is None:
        lookup.refresh(work, pool)
        volume = lookup.find_volume(pool, name)
    if record is None:
        return Holder(Standing.FREE if volume is None else Standing.TAKEN, None, volume)
    ours = record.mark.of(key)
    if volume is None:
        standing = Standing.OURS if ours or record.phase != "filling" else Standing.TAKEN
    elif not ours:
        standing = Standing.TAKEN
    elif record.mark.acknowledged and record.phase != "deleting":
        standing = Standing.MOVED_ON
    else:
        standing = Standing.OURS
    return Holder(standing, record, volume)


def taken(pool: handles.StoragePool, name: str, found: Holder, kind: str, path: Path) -> NameTaken:
    """The error for a name that another object holds."""
    where, short = pool.name(), shortened(name)
    if found.volume is None:
        return being_made(kind, short, pool=where, record=volume_record.volume_name(name), path=path)
    holder = found.record.mark if found.record else None
    made = KEPT if found.standing is Standing.MOVED_ON else "which nothing of jvp made" if holder is None else ""
    return name_taken(kind, short, id=f"{pool.UUIDString()}/{name}", holder=holder, pool=where, made=made, path=path)


class Claim:
    """A name in a pool that is ours for one fill."""

    def __init__(
        self,
        node: Node,
        pool: handles.StoragePool,
        name: str,
        wanted: Wanted,
        record: Sidecar,
        record_name: str = "",
        *,
        fresh: bool = False,
        since: float = float("-inf"),
    ) -> None:
        self.node, self.pool, self.name, self.wanted, self.record = node, pool, name, wanted, record
        self.record_name = record_name or name
        self._made, self._fresh, self._since = False, fresh, since

    def make(self, work: Work) -> handles.StorageVol:
        """The empty volume. What an earlier try left is removed unless it is just that.

        Raises NameTaken when a volume lies there that is not what our record speaks of; libvirtError.
        """
        old = None if self._fresh else self.clear(work)
        if old is None:
            try:
                return self._create(work)
            except libvirt.libvirtError as error:
                # By another run that has lost the name to us, and was just about to.
                if error.get_error_code() != libvirt.VIR_ERR_STORAGE_VOL_EXIST:
                    raise
            old = self.clear(work)
        return old if old is not None else self._create(work)

    def _create(self, work: Work) -> handles.StorageVol:
        wanted = self.wanted
        made = lookup.create_volume(
            work, self.node, self.pool, self.name,
            capacity=wanted.capacity, format=wanted.format, backing=wanted.backing, mode=wanted.mode,
        )  # fmt: skip
        self._made = True
        return made

    def clear(self, work: Work) -> handles.StorageVol | None:
        """Remove what an earlier try left, unless it is the very volume to make, which is returned."""
        facts = self.record.facts
        if facts["begun"]:
            remove_layer(work, self.pool, self.name)
        old = lookup.there(work, self.pool, self.name)
        if old is not None and not is_ours(volume_xml(old), facts):
            # Another run may be making it at this moment. Once the pool is at rest, it shows what it is.
            lookup.refresh(work, self.pool)
            old = lookup.find_volume(self.pool, self.name)
        if old is None:
            return None
        root = volume_xml(old)
        if not facts["begun"] and _is_blank(root, self.wanted.shape):
            return old
        if not is_ours(root, facts):
            raise taken(self.pool, self.name, Holder(Standing.TAKEN, None, old), self.record.kind, ("name",))
        self._remove(work, old)
        return None

    def begin(self) -> None:
        """Note that data comes in now: from here on the volume is ours whatever is in it."""
        self._since = float("-inf")  # and another run may take it over at once: see `settle`
        self._put(self.record.having(facts={**self.record.facts, "begun": True}))

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Begin, and put the data in. Where the end of it is missing because another run has taken over: Busy."""
        self.begin()
        try:
            yield
        except NoSpace:
            self.check()
            raise

    def finish(self, **facts: Any) -> Sidecar:
        """Call the volume whole. Raises Busy when another run has taken the name over meanwhile."""
        with self.node.pool_lock(self.pool.UUIDString()):
            if not untaken(self._since):
                self.check()
            self.record = volume_record.made(self.pool, self.record_name, self.record, **facts)
        return self.record

    def check(self) -> None:
        """Raises Busy when another run has taken the name over."""
        found = volume_record.get(self.pool, self.record_name)
        if found is None or found.nonce != self.record.nonce:
            raise Busy(f'volume "{self.name}" is being made by another run; run again when that is done')

    def undo(self, work: Work, *, keep: Sidecar | None = None) -> None:
        """Take away what this claim made; nothing when another run has taken over. Raises libvirtError.

        `keep` is the record to go back to, where there was one that is still worth something.
        """
        found = volume_record.get(self.pool, self.record_name)
        if found is not None and found.nonce != self.record.nonce:
            return
        volume = lookup.there(work, self.pool, self.name)
        facts = found.facts if found is not None else self.record.facts
        # Without a record the volume is left to nobody, so who made it takes it away.
        if volume is not None and (found is not None or self._made) and is_ours(volume_xml(volume), facts):
            self._remove(work, volume)
        if facts.get("begun"):
            remove_layer(work, self.pool, self.name)
        if found is None:
            return
        if keep is not None:
            self._put(keep)
        else:
            volume_record.drop(self.pool, self.record_name, found.nonce)

    def _put(self, record: Sidecar) -> None:
        # Not while another thread of ours is about to write what it read before.
        with self.node.pool_lock(self.pool.UUIDString()):
            volume_record.put(self.pool, self.record_name, record)
        self.record = record

    def _remove(self, work: Work, volume: handles.StorageVol) -> None:
        users = [disk.name for disk in seen_domains(self.node).users.get(volume.path(), ())]
        users += lookup.backing_users(self.node.connection, volume.path())
        if users:
            raise Busy(f'volume "{self.name}" was not finished, but is used by {listed(users)}; release it first')
        remove_when_free(work, volume)


def claim(
    work: Work,
    node: Node,
    pool: handles.StoragePool,
    name: str,
    record: Sidecar,
    wanted: Wanted,
    found: Holder,
    *,
    at_once: bool = False,
) -> Claim:
    """Take `name` for a fill. `found` is what holds it, FREE or OURS; `record` is completed here.

    `at_once`: to make the volume is all there is to it. Raises Busy when another run was quicker; libvirtError.
    """
    work.check()
    record, since = prepared(record, wanted, found), time.monotonic()
    if found.record is not None and settle(work, pool, name, found.record, there=found.volume is not None):
        volume_record.take(pool, name, record)
        if found.record.facts.get("begun"):
            remove_layer(work, pool, name)
        return Claim(node, pool, name, wanted, record)
    made = volume_record.claim(pool, name, record, foretold=at_once)
    if made is None:
        raise Busy(f'{record.kind} "{name}" is being made by another run; run again when that is done')
    return Claim(node, pool, name, wanted, made, fresh=found.volume is None, since=since)


def untaken(since: float) -> bool:
    """Whether nobody can have taken over yet what was without its volume from `since` on."""
    return time.monotonic() - since < _SETTLE_S / 2


def settle(work: Work, pool: handles.StoragePool, record_name: str, record: Sidecar, *, there: bool = True) -> bool:
    """Before what an earlier try left is taken over: raise Busy when its maker is alive and about to finish.

    An empty volume is made within milliseconds, and removed within them. One that data goes into is not waited for:
    there the nonce decides; nor a whole one that is `there`. False when the record is gone, for the removal that it
    told of is done.
    """
    if (record.phase == "whole" and there) or (record.phase == "filling" and record.facts.get("begun")):
        return True
    work.wait(_SETTLE_S)
    found = volume_record.get(pool, record_name)
    if found is None and record.phase != "filling":
        return False
    if found is None or (found.nonce, found.phase) != (record.nonce, record.phase):
        raise Busy(f'{record.kind} "{record_name}" is being made by another run; run again when that is done')
    return True


def prepared(record: Sidecar, wanted: Wanted, found: Holder) -> Sidecar:
    """The record that opens a fill, with what tells our own leftovers from other volumes."""
    shapes, begun = [wanted.shape], False
    if found.record is not None and found.volume is not None:
        # The volume may be of any earlier try; one that was whole has lost its shapes, and is ours.
        shapes += [shape for shape in found.record.facts.get("shapes", ()) if shape != wanted.shape]
        begun = bool(found.record.facts.get("begun", True))
    facts = {**record.facts, "shapes": shapes, "begun": begun}
    return record.having(phase="filling", nonce=volume_record.new_nonce(), facts=facts)


def undo_quietly(claim: Claim, keep: Sidecar | None = None) -> None:
    """`Claim.undo` on the way out of an error that matters more than another one. It has a few seconds of its own."""
    with contextlib.suppress(libvirt.libvirtError, JvpError):
        claim.undo(Work(deadline=time.monotonic() + _UNDO_S), keep=keep)


def remove_when_free(work: Work, volume: handles.StorageVol) -> None:
    """Delete a volume, waiting for libvirtd to finish what a killed client had begun. Missing is fine."""

    def done() -> bool:
        try:
            lookup.delete_volume(volume)
        except libvirt.libvirtError as error:
            if isinstance(translated(error, ""), Busy):
                return False
            raise
        return True

    work.until(done, limit_s=_BUSY_S, every_s=0.2, what=f'volume "{volume.name()}" is being filled; run again later')


def remove_layer(work: Work, pool: handles.StoragePool, name: str) -> None:
    """Remove what a copy to this name that was cut off has left over a disk (see `flat_copy`). Raises Busy,
    libvirtError. Again: yes."""
    if (left := lookup.find_volume(pool, layer_names.over_copied(name))) is not None:
        remove_when_free(work, left)


def is_ours(root: Element, facts: dict[str, Any]) -> bool:
    """Whether a volume is one that our record speaks of: data was put into it, or it is as an earlier try made it."""
    return bool(facts.get("begun", True)) or any(_is_blank(root, shape) for shape in facts.get("shapes", ()))


def _is_blank(root: Element, shape: list[Any]) -> bool:
    """Whether a volume is what `Wanted.shape` says, with nothing in it."""
    found = [number(root, "capacity") or 0, value(root, "target/format/@type"), value(root, "backingStore/path")]
    return found == shape and pool_kind.volumes_of(root).is_blank(number(root, "allocation") or 0)


def records(pool: handles.StoragePool) -> Iterator[str]:
    """The names that have a sidecar in a pool, whole or not. Raises libvirtError."""
    for name in lookup.names(pool):
        if volume_record.is_sidecar(name):
            yield kinds.BESIDE.volume(name)

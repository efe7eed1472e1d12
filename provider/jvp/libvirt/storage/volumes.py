"""Volumes through libvirt: finding one, what is known of it, and our record of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import libvirt

from jvp.core.errors import JvpError, Undefined
from jvp.core.identity import Mark
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone, unless_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, value, volume_xml
from jvp.libvirt.storage import copy_volume, kinds, lookup, pool_mark, templates, volume_record
from jvp.libvirt.storage.volume_claim import untaken
from jvp.libvirt.storage.volume_record import Sidecar

WAY_OUT = "delete it by hand, or remove it from the state and import it"
"""What to do about a volume of which it cannot be told whether it is ours: nothing of it is written or deleted."""


@dataclass(frozen=True)
class Found:
    """A volume as it is, with our record of it (None for a foreign one)."""

    pool: handles.StoragePool
    volume: handles.StorageVol
    root: Element
    record: Sidecar | None
    seen: int | None = None
    """What a guest sees of it where layers of ours lie over it: the record names the one that it writes to."""

    @classmethod
    def of(cls, pool: handles.StoragePool, volume: handles.StorageVol, record: Sidecar | None) -> Found:
        """Raises libvirtError."""
        return cls(pool, volume, volume_xml(volume), record, seen_size(pool, record))

    @property
    def name(self) -> str:
        return value(self.root, "name") or ""

    @property
    def path(self) -> str:
        return value(self.root, "target/path") or ""

    @property
    def active(self) -> str:
        """The file that a guest which has the volume writes to."""
        layer = self.record.facts.get(LAYER) if self.record is not None and self.seen is not None else None
        return f"{kinds.folder_of(self.path)}/{layer}" if layer else self.path

    @property
    def format(self) -> str:
        """Ours by the record: what a guest writes into its raw disk must not change it."""
        return self.record.format if self.record and self.record.format else copy_volume.format_of(self.root)

    @property
    def size(self) -> int:
        """What a guest sees, in bytes. A raw disk that looks like qcow2 is as long as its file."""
        if self.seen is not None:
            return self.seen
        if self.format == "raw" and copy_volume.format_of(self.root) != "raw":
            return number(self.root, "physical") or 0
        return number(self.root, "capacity") or 0

    @property
    def backing_file(self) -> str | None:
        return value(self.root, "backingStore/path") if self.format != "raw" else None

    def fault(self, nonce: str | None) -> str | None:
        """Why it cannot be told whether this is still the volume that was made here, as `nonce` knows it.

        libvirt gives a volume no identity of its own: its key is its path. None where all is as our record says.
        """
        record, name = self.record, volume_record.volume_name(self.name)
        if not nonce:
            return None  # it was imported
        if record is None:
            return f"has lost its record {name}, so it cannot be told whether it is the one that was made here"
        if record.nonce != nonce or record.phase != "whole" or record.format != "qcow2":
            return None  # what a guest writes into its raw disk tells nothing
        probed = copy_volume.format_of(self.root)
        if probed != record.format:
            return f"was made as {record.format} and is {probed} now: it is damaged, or somebody made another one"
        was = None if record.facts.get("full") else record.facts.get("template_file")
        if self.backing_file != was:
            now = self.backing_file or "nothing"
            return f"stands on {now} and was made on {was or 'nothing'}: somebody changed it, or made another one"
        return None


LAYER = "layer"
"""A fact of the record: the name of the layer of ours over the volume that a guest writes to, in the same pool."""


def seen_size(pool: handles.StoragePool, record: Sidecar | None) -> int | None:
    """The size of the layer that the record names; None without one, and where its merge was cut off at the end.

    Raises libvirtError.
    """
    name = record.facts.get(LAYER) if record is not None else None
    layer = lookup.find_volume(pool, name) if name else None
    with unless_gone(Gone.VOLUME):
        return number(volume_xml(layer), "capacity") if layer is not None else None
    return None


class VolumeApi:
    """The calls on volumes of one node. Raise libvirtError unless they say otherwise."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def pool(self, object_id: str) -> tuple[handles.StoragePool, str]:
        """The pool and the name of an id. Raises Undefined without the pool: nothing is known of its volumes then."""
        uuid, _, name = object_id.partition("/")
        try:
            return self.node.connection.storagePoolLookupByUUIDString(uuid), name
        except libvirt.libvirtError as error:
            if not is_gone(error, Gone.POOL):
                raise
        raise Undefined(
            f'the storage pool {uuid} of "{name}" is not defined on the node any more, so nothing can be said of it; '
            "apply the pool alone first, as the target, when the program declares it; else define it again, or remove "
            "this resource from the state"
        )

    def find(self, work: Work, object_id: str) -> Found | None:
        """The volume of an id, None when it is surely gone. Raises Rejected when the pool cannot tell."""
        pool, name = self.pool(object_id)
        try:
            volume = lookup.find_volume(pool, name)
            if volume is not None:
                root, record = volume_xml(volume), volume_record.get(pool, name)
                return Found(pool, volume, root, record, seen_size(pool, record))
        except libvirt.libvirtError as error:
            # A file that was removed behind libvirt's back is found by name, and then has no XML.
            if not is_gone(error, Gone.VOLUME):
                raise self._stopped(pool, error) from None
        if pool_mark.is_gone(work, pool, name):
            return None
        return Found.of(pool, pool.storageVolLookupByName(name), volume_record.get(pool, name))

    def found(self, pool: handles.StoragePool, volume: handles.StorageVol, record: Sidecar | None) -> Found:
        """A volume that was just made or looked up, as it is."""
        return Found.of(pool, volume, record)

    def acknowledge(self, found: Found) -> None:
        """Note that an engine's state has the volume. Best effort; nothing when that is noted, or it is foreign."""
        record = found.record
        if record is None or record.mark.acknowledged:
            return
        with contextlib.suppress(libvirt.libvirtError):
            volume_record.acknowledge(found.pool, found.name, record)

    def declare(self, found: Found, work: Work) -> Found:
        """Note who declares the volume and what, and that an engine's state has it. Best effort; nothing of a foreign
        one."""
        return (
            found
            if found.record is None
            else self._marked(found, found.record, found.record.mark.updated(work.key, work.declaration))
        )

    def redeclare(self, found: Found, work: Work) -> Found:
        """Note what is declared of the volume that an earlier try of the same create has made. Best effort."""
        return (
            found
            if found.record is None
            else self._marked(found, found.record, found.record.mark.declaring(work.declaration))
        )

    def _marked(self, found: Found, before: Sidecar, mark: Mark) -> Found:
        record = before.having(mark=mark)
        if record != before:
            with contextlib.suppress(libvirt.libvirtError):
                volume_record.put(found.pool, found.name, record)
                return replace(found, record=record)
        return found

    def forget(self, work: Work, object_id: str, nonce: str) -> None:
        """Remove our record of a volume that is surely gone: nothing will ever ask for its deletion again. Best effort.

        Again: yes. A record of another volume, by its nonce, stays.
        """
        with contextlib.suppress(libvirt.libvirtError, JvpError):
            pool, name = self.pool(object_id)
            record = volume_record.get(pool, name)
            if record is not None and record.nonce == nonce:
                self.drop_record(work, pool, name, record, float("-inf"))

    def drop_record(self, work: Work, pool: handles.StoragePool, name: str, record: Sidecar, since: float) -> None:
        """Remove the record of a volume that is gone; the template's generation first: nothing else knows of it.

        `since` is when the volume was last looked for, by `time.monotonic`. A record that has been another volume's
        since stays: under the name a new one may be made as soon as the old is gone.
        """
        template: str | None = record.facts.get("template_file")
        if template:
            templates.release_template(work, self.node, template)
        with self.node.pool_lock(pool.UUIDString()):
            # To release a template takes long enough for others to remove this record too, and to make another one.
            if untaken(since) and not template:
                volume_record.remove(pool, name, record)
            else:
                volume_record.drop(pool, name, record.nonce)

    def _stopped(self, pool: handles.StoragePool, error: libvirt.libvirtError) -> Exception:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID and not pool.isActive():
            return lookup.inactive(pool.name())
        return error  # type: ignore[no-any-return]

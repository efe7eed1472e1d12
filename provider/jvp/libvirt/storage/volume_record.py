"""What we know of a volume or template, kept in a small volume beside it: `.jvp-<name>.json`.

Volumes have no metadata of their own. The sidecar is made before the volume and removed after it, so a crash at
any point leaves something that says whose it is and how far it came:

    filling    the volume may be missing or half written; `nonce` is the fill that last claimed it
    whole      the volume is complete
    deleting   the volume is on its way out

To write one is a stream, after which libvirt looks at its whole pool; to shorten the file by a byte is one short call.
So the record of a volume that is made in one step is written once, before it: it is foretold, for it says "whole" and
keeps the `shapes` of what is about to be made. The length of the file tells how far that came:

    SIZE + 2   filling
    SIZE + 1   whole
    SIZE       whole, and acknowledged

Of other records the text says it all. Older versions, which go by the text alone, take a foretold one for whole.

Other kinds of pool will need another place: everything goes through the functions here.

A file of that name is ours only if it reads as one of ours, or is blank: its maker died before it wrote. Any other is
somebody's, is never written nor removed, and counts as no record. One of a newer version raises Rejected.
"""

from __future__ import annotations

import errno
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import libvirt

from jvp.core.declaration import nameless
from jvp.core.errors import Busy, NameTaken, Rejected
from jvp.core.identity import DeclaredBy, Mark
from jvp.core.types import shortened
from jvp.libvirt.link import handles, told
from jvp.libvirt.link.errors import Gone, is_gone, translated
from jvp.libvirt.link.xml import parse, sub, text_of
from jvp.libvirt.storage.kinds import BESIDE
from jvp.libvirt.storage.streams import read_small, write_small

Phase = Literal["filling", "whole", "deleting"]
SIZE = 4096
"""As long is what is written, padded with spaces; room for it is taken when the file is made."""
_UNMADE, _MADE = SIZE + 2, SIZE + 1
MOST = 64 * 1024
"""As much is read: a later version may write longer ones."""
VERSION = 1
_FREE_S = 5.0
"""While another run is at the same name, libvirtd says now and then that the volume is still in use (1 race in 100)."""
_ABANDONED_S = 3.0
"""A blank sidecar older than this has lost its writer between making and writing it (1 ms)."""
_PADDING = b"\0 \n"
_PHASES = ("filling", "whole", "deleting")


@dataclass(frozen=True)
class Sidecar:
    """The facts of one volume or template."""

    kind: str
    mark: Mark
    phase: Phase
    nonce: str = ""
    format: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else the kind keeps: a template's digest, source and volume, who made a folder."""
    at: handles.StorageVol | None = field(default=None, compare=False, repr=False)
    """Where it was read or made, to be found again without a look-up."""
    foretold: bool = field(default=False, compare=False, repr=False)
    """Whether the length of the file there tells how far it came."""

    def having(self, **changes: Any) -> Sidecar:
        return replace(self, **changes)

    def acknowledged(self) -> Sidecar:
        return replace(self, mark=replace(self.mark, acknowledged=True))


def new_nonce() -> str:
    """A value that no other fill has."""
    return secrets.token_hex(8)


def volume_name(name: str) -> str:
    """The sidecar's own name as a volume."""
    return BESIDE.name(name)


def is_sidecar(volume: str) -> bool:
    """Whether a volume of this name is a sidecar: hidden from our listings."""
    return BESIDE.is_record(volume)


def get(pool: handles.StoragePool, name: str) -> Sidecar | None:
    """The sidecar of `name`, None when there is none of ours. Raises Rejected for a newer one, libvirtError."""
    volume = _lookup(pool, name)
    try:
        return None if volume is None else _read(pool, volume)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None  # removed since it was looked up
        if error.get_error_code() != libvirt.VIR_ERR_SYSTEM_ERROR or error.get_int1() != errno.ENOENT:
            raise
        pool.refresh(0)
        return None


def claim(pool: handles.StoragePool, name: str, sidecar: Sidecar, *, foretold: bool = False) -> Sidecar | None:
    """Make the sidecar; None when there is one already. libvirtd sees to it that one of two racers wins.

    `foretold` asks for one of these; where a blank one is taken over it is none.
    Raises Rejected when a file of somebody else's has the name; libvirtError.
    """
    root = parse("<volume><target><format type='raw'/><permissions><mode>0600</mode></permissions></target></volume>")
    sub(root, "name", volume_name(name))
    sub(root, "capacity", str(_UNMADE if foretold else SIZE), unit="bytes")
    sub(root, "allocation", str(SIZE), unit="bytes")
    try:
        volume = pool.createXML(text_of(root), 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_STORAGE_VOL_EXIST:
            if not isinstance(translated(error, ""), NameTaken):
                raise
            pool.refresh(0)  # a file that was put there since the pool looked at its folder
        return sidecar if _take_abandoned(pool, name, sidecar) else None
    text = _encoded(sidecar.having(phase="whole") if foretold else sidecar)
    _when_free(lambda: write_small(pool.connect(), volume, text))
    return sidecar.having(at=volume, foretold=foretold)


def put(pool: handles.StoragePool, name: str, sidecar: Sidecar) -> None:
    """Rewrite a sidecar that is there. Raises libvirtError."""
    volume = _place(pool, name, sidecar)
    _when_free(lambda: write_small(pool.connect(), volume, _encoded(sidecar)))


def take(pool: handles.StoragePool, name: str, sidecar: Sidecar) -> None:
    """Rewrite a sidecar that an earlier try left, foretold or not. Raises libvirtError."""
    volume = pool.storageVolLookupByName(volume_name(name))
    put(pool, name, sidecar.having(at=volume))
    if volume.info()[1] > SIZE:
        _shorten(pool, name, sidecar.having(at=volume), SIZE)


def made(pool: handles.StoragePool, name: str, sidecar: Sidecar, **facts: Any) -> Sidecar:
    """Say that the volume is whole; the sidecar as it is from now on. Raises libvirtError."""
    done = _completed(sidecar)
    if sidecar.foretold and not facts:
        _shorten(pool, name, done, _MADE)
    else:
        done = done.having(facts={**done.facts, **facts}, foretold=False)
        put(pool, name, done)
    return done


def acknowledge(pool: handles.StoragePool, name: str, sidecar: Sidecar) -> None:
    """Say that an engine's state has the volume. Raises libvirtError."""
    if sidecar.foretold:
        _shorten(pool, name, sidecar.acknowledged(), SIZE)
    else:
        put(pool, name, sidecar.acknowledged())


def _shorten(pool: handles.StoragePool, name: str, sidecar: Sidecar, length: int) -> None:
    """Or rewrite it, where the file takes more room than it is long: libvirt refuses to shorten that."""
    volume = _place(pool, name, sidecar)
    try:
        _when_free(lambda: volume.resize(length, libvirt.VIR_STORAGE_VOL_RESIZE_SHRINK))
    except libvirt.libvirtError:
        put(pool, name, sidecar)


def remove(pool: handles.StoragePool, name: str, sidecar: Sidecar) -> None:
    """Remove a sidecar that was read a moment ago; missing is fine. Raises libvirtError."""
    volume = sidecar.at
    assert volume is not None
    try:
        volume.delete(0)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return
        if not isinstance(translated(error, ""), Busy):
            raise
        drop(pool, name, sidecar.nonce)  # somebody is at it


def drop(pool: handles.StoragePool, name: str, nonce: str | None = None) -> None:
    """Remove the sidecar (with `nonce` only that one); missing is fine, and a file of somebody else's stays.

    While it is in use it may become another one: each try looks at it anew. Raises Rejected for a newer one,
    libvirtError.
    """

    def step() -> None:
        volume = _lookup(pool, name)
        if volume is None:
            return
        raw = _bytes(pool, volume)
        found = parsed(raw)
        if found.nonce == (nonce or found.nonce) if found is not None else nonce is None and _is_blank(raw):
            volume.delete(0)

    _when_free(step)


def is_ours(pool: handles.StoragePool, volume: handles.StorageVol) -> bool:
    """Whether a volume of a sidecar's name is one, written or not. Raises Rejected for a newer one, libvirtError."""
    raw = _bytes(pool, volume)
    return _is_blank(raw) or parsed(raw) is not None


def _when_free(step: Callable[[], object]) -> None:
    """Write or remove a sidecar, once libvirtd lets go of it: what two runs do at the same moment is over soon."""
    end = time.monotonic() + _FREE_S
    while True:
        try:
            step()
            return
        except libvirt.libvirtError as error:
            if not isinstance(translated(error, ""), Busy) or time.monotonic() >= end:
                raise
        time.sleep(0.01)


def _take_abandoned(pool: handles.StoragePool, name: str, sidecar: Sidecar) -> bool:
    """Take over a sidecar that nobody wrote: its maker died in the millisecond between making and writing."""
    end, looks = time.monotonic() + _ABANDONED_S, 0
    while time.monotonic() < end:
        volume = _lookup(pool, name)
        if volume is None:
            return False
        raw = _bytes(pool, volume)
        if parsed(raw) is not None:
            return False
        # Not by one look: it may be written at this moment.
        looks += not _is_blank(raw)
        if looks > 1:
            raise Rejected(
                f"the file {volume.path()} has the name of a record that jvp keeps, and is none; move it away, and run "
                "again"
            )
        time.sleep(0.1)
    take(pool, name, sidecar)
    found = get(pool, name)
    return found is not None and found.nonce == sidecar.nonce


def _place(pool: handles.StoragePool, name: str, sidecar: Sidecar) -> handles.StorageVol:
    return sidecar.at or pool.storageVolLookupByName(volume_name(name))


def _lookup(pool: handles.StoragePool, name: str) -> handles.StorageVol | None:
    try:
        return pool.storageVolLookupByName(volume_name(name))
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None
        raise


def _encoded(sidecar: Sidecar) -> bytes:
    mark = asdict(sidecar.mark)
    del mark["declared_by"], mark["declared"]
    bag = {"version": VERSION, "kind": sidecar.kind, "mark": mark, "phase": sidecar.phase, "nonce": sidecar.nonce,
           "format": sidecar.format, "facts": sidecar.facts}  # fmt: skip
    for further in _beside(sidecar.mark):
        text = json.dumps({**bag, **further}, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
        if len(text) <= SIZE:
            return text.ljust(SIZE)
    raise ValueError(f"a sidecar of {len(text)} bytes does not fit into {SIZE}")


def _beside(mark: Mark) -> Iterator[dict[str, Any]]:
    """What stands beside the mark, in which older versions take no other name: less and less of it, until it fits."""
    by = {"declaredBy": asdict(mark.declared_by)} if mark.declared_by is not None else {}
    declared = {"declared": mark.declared} if mark.declared else {}
    yield {**by, **declared}
    brief = {"declared": nameless(mark.declared)} if declared else {}
    yield {**by, **brief}
    yield brief
    yield {}


def _read(pool: handles.StoragePool, volume: handles.StorageVol) -> Sidecar | None:
    """None for a sidecar that was never written, and for a file that is none."""
    length = _length(volume)
    found = parsed(_bytes(pool, volume, length))
    return None if found is None else _come_to(length, found.having(at=volume))


def _come_to(length: int, sidecar: Sidecar) -> Sidecar:
    """What a sidecar's text and the length of its file say together."""
    if sidecar.phase != "whole" or "shapes" not in sidecar.facts:
        return sidecar
    # An older version acknowledges in the text, also what it found unmade and took for whole.
    if length not in (_MADE, SIZE) and not sidecar.mark.acknowledged:
        return sidecar.having(phase="filling", foretold=True)
    done = _completed(sidecar).having(foretold=True)
    return done.acknowledged() if length == SIZE else done


def _completed(sidecar: Sidecar) -> Sidecar:
    """The record of a volume that is whole: without what told our own leftovers from other volumes."""
    kept = {name: item for name, item in sidecar.facts.items() if name not in ("shapes", "begun")}
    return sidecar.having(phase="whole", facts=kept)


def _length(volume: handles.StorageVol) -> int:
    """Of the file in bytes; 0 where there is nothing to read: an empty file, or a folder.

    Raises libvirtError, above all for a pipe, which libvirt refuses here; it would wait for ever to read one.
    """
    try:
        return int(volume.info()[1])
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return SIZE  # the reading tells it better
        raise


def _bytes(pool: handles.StoragePool, volume: handles.StorageVol, length: int | None = None) -> bytes:
    if not (_length(volume) if length is None else length):
        return b""
    raw = read_small(pool.connect(), volume, SIZE)
    if len(raw) == SIZE and not _ends(raw):
        raw += read_small(pool.connect(), volume, MOST - SIZE, start=SIZE)
    return raw


def _ends(raw: bytes) -> bool:
    """Whether what was read is all there is to a record."""
    return raw.rstrip(_PADDING).endswith(b"}") and _loaded(raw) is not None


def _is_blank(raw: bytes) -> bool:
    return len(raw) <= _UNMADE and not raw.strip(_PADDING)


def _loaded(raw: bytes) -> Any:
    try:
        return json.loads(raw.strip(_PADDING))
    except (ValueError, RecursionError):
        return None


_TEXTS = ("template_id", "template_pool", "template_file", "volume_id", "volume_pool", "image_path", "image_upload",
          "image_url", "image_key",
          "image_checksum",
          "snapshot_id", "snapshot_disk", "snapshot_instance",
          "birth", "current", "next", "digest", "source_key", "source_name", "created", "os", "release", "os_name",
          "architecture", "layer")  # fmt: skip
_LISTS = {"superseded": str, "going": str, "shapes": list}


def _are_facts(found: Any) -> bool:
    """Whether the facts of a record are of the kinds that we write: in a file that somebody edited they may be any."""
    if not isinstance(found, dict):
        return False
    lists = [(found.get(name) or [], kind) for name, kind in _LISTS.items()]
    return (
        all(found.get(name) is None or isinstance(found[name], str) for name in _TEXTS)
        and all(isinstance(items, list) and all(isinstance(one, kind) for one in items) for items, kind in lists)
        and all(isinstance(one, str | bool) for one in _members(found.get("source", {})))
        and isinstance(found.get("size", 0), int)
    )


def _members(found: Any) -> Iterable[Any]:
    return found.values() if isinstance(found, dict) else [None]


def parsed(raw: bytes) -> Sidecar | None:
    """The sidecar that a file holds, None for what is none of ours. Raises Rejected for one of a newer version."""
    found = _loaded(raw)
    if not isinstance(found, dict) or "kind" not in found:
        return None
    version = found.get("version")
    if isinstance(version, int) and version > VERSION:
        raise Rejected(
            f"a newer version of jvp keeps this {shortened(str(found['kind']))} (its record is of version {version}, "
            f"this one reads {VERSION}); install that version"
        )
    try:
        mark = Mark(
            **found["mark"],
            declared_by=DeclaredBy.read(found.get("declaredBy")),
            declared=told.note(found.get("declared")),
        )
        read = Sidecar(found["kind"], mark, found["phase"], found["nonce"], found["format"], found["facts"])
    except (KeyError, TypeError):
        return None
    whole = read.phase in _PHASES and isinstance(mark.key, str) and _are_facts(read.facts)
    return read if whole and all(isinstance(text, str) for text in (read.kind, read.nonce, read.format)) else None

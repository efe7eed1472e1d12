"""What we know of a volume or template, kept in a small volume beside it: `.jvp-<name>.json`.

Volumes have no metadata of their own. The sidecar is made before the volume and removed after it, so a crash at
any point leaves something that says whose it is and how far it came:

    filling    the volume may be missing or half written; `nonce` is the fill that last claimed it
    whole      the volume is complete
    deleting   the volume is on its way out

Other kinds of pool will need another place: everything goes through `get`, `claim`, `put` and `drop`.
"""

from __future__ import annotations

import errno
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import libvirt

from jvp.core.errors import Busy
from jvp.core.identity import Mark
from jvp.libvirt.errors import Gone, is_gone, translated
from jvp.libvirt.streams import read_small, write_small
from jvp.libvirt.xml import parse, sub, text_of

Phase = Literal["filling", "whole", "deleting"]
SIZE = 4096
"""Every sidecar has this size, padded with spaces: rewriting it then never changes the volume's capacity."""
_PREFIX, _SUFFIX = ".jvp-", ".json"
_FREE_S = 5.0
"""While another run is at the same name, libvirtd says now and then that the volume is still in use (1 race in 100)."""
_ABANDONED_S = 3.0
"""An empty sidecar older than this has lost its writer between making and writing it (1 ms)."""


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

    def having(self, **changes: Any) -> Sidecar:
        return replace(self, **changes)

    def acknowledged(self) -> Sidecar:
        return replace(self, mark=replace(self.mark, acknowledged=True))


def new_nonce() -> str:
    """A value that no other fill has."""
    return secrets.token_hex(8)


def volume_name(name: str) -> str:
    """The sidecar's own name as a volume."""
    return f"{_PREFIX}{name}{_SUFFIX}"


def is_sidecar(volume: str) -> bool:
    """Whether a volume of this name is a sidecar: hidden from our listings."""
    return volume.startswith(_PREFIX) and volume.endswith(_SUFFIX)


def get(pool: libvirt.virStoragePool, name: str) -> Sidecar | None:
    """The sidecar of `name`, None when there is none. Raises libvirtError."""
    volume = _lookup(pool, name)
    try:
        return None if volume is None else _read(pool, volume)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None  # removed since it was looked up
        # Removed behind libvirt's back: the pool still lists it until it looks at its folder again.
        if error.get_error_code() != libvirt.VIR_ERR_SYSTEM_ERROR or error.get_int1() != errno.ENOENT:
            raise
        pool.refresh(0)
        return None


def claim(pool: libvirt.virStoragePool, name: str, sidecar: Sidecar) -> bool:
    """Make the sidecar; False when there is one already. libvirtd sees to it that one of two racers wins."""
    root = parse("<volume><target><format type='raw'/><permissions><mode>0600</mode></permissions></target></volume>")
    sub(root, "name", volume_name(name))
    sub(root, "capacity", str(SIZE), unit="bytes")
    try:
        volume = pool.createXML(text_of(root), 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_STORAGE_VOL_EXIST:
            return _take_abandoned(pool, name, sidecar)
        raise
    _when_free(lambda: write_small(pool.connect(), volume, _encoded(sidecar)))
    return True


def put(pool: libvirt.virStoragePool, name: str, sidecar: Sidecar) -> None:
    """Rewrite a sidecar that is there. Raises libvirtError."""
    volume = pool.storageVolLookupByName(volume_name(name))
    _when_free(lambda: write_small(pool.connect(), volume, _encoded(sidecar)))


def drop(pool: libvirt.virStoragePool, name: str) -> None:
    """Remove the sidecar; missing is fine."""
    volume = _lookup(pool, name)
    if volume is not None:
        _when_free(lambda: volume.delete(0))


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


def _take_abandoned(pool: libvirt.virStoragePool, name: str, sidecar: Sidecar) -> bool:
    """Take over a sidecar that nobody wrote: its maker died in the millisecond between making and writing."""
    end = time.monotonic() + _ABANDONED_S
    while time.monotonic() < end:
        volume = _lookup(pool, name)
        if volume is None or _read(pool, volume) is not None:
            return False
        time.sleep(0.1)
    put(pool, name, sidecar)
    found = get(pool, name)
    return found is not None and found.nonce == sidecar.nonce


def _lookup(pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    try:
        return pool.storageVolLookupByName(volume_name(name))
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None
        raise


def _encoded(sidecar: Sidecar) -> bytes:
    text = json.dumps({"version": 1, **asdict(sidecar)}, separators=(",", ":")).encode()
    if len(text) > SIZE:
        raise ValueError(f"a sidecar of {len(text)} bytes does not fit into {SIZE}")
    return text.ljust(SIZE)


def _read(pool: libvirt.virStoragePool, volume: libvirt.virStorageVol) -> Sidecar | None:
    """None for a sidecar that was never written, and for one that is not ours to understand."""
    raw = read_small(pool.connect(), volume, SIZE).strip(b"\0 \n")
    try:
        found = json.loads(raw)
        mark = Mark(**found["mark"])
        return Sidecar(found["kind"], mark, found["phase"], found["nonce"], found["format"], found["facts"])
    except (ValueError, KeyError, TypeError):
        return None

"""The names of what snapshots of an instance are made of: its layers, copied firmware variables, memory, records.

They begin as those of the disks that an instance is made with, so whoever removes these finds them too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from jvp.libvirt.storage.kinds import BESIDE

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LAYER = re.compile(rf"jvp-({_UUID})-layer[0-9a-f]{{12}}n[0-9]+")
_KEPT = re.compile(rf"jvp-{_UUID}-(?:firmware|memory)[0-9a-f]{{12}}")
_RECORD = re.compile(rf"jvp-({_UUID})-snap-(.+)")
_NO_DISK = re.compile(rf"jvp-{_UUID}-(?:seed|nvram)")
_COPIED = re.compile(r"jvp-copy-[0-9a-f]{12}")
_COMPACTING, _EXPORTING = re.compile(rf"jvp-compact-{_UUID}"), re.compile(rf"jvp-export-{_UUID}")
FORMAT = "qcow2"
"""Every layer's."""
ROOT = "root"
"""What a snapshot calls the root disk."""


def layer(uuid: str, serial: str, number: int) -> str:
    """The layer over one of an instance's disks. `serial`: a uuid of what lays it there."""
    return f"jvp-{uuid}-layer{serial.replace('-', '')[:12]}n{number}"


def is_layer(name: str) -> bool:
    return _LAYER.fullmatch(name) is not None


def owner(name: str) -> str | None:
    """The uuid of the instance that a layer belongs to; None for any other name."""
    found = _LAYER.fullmatch(name)
    return found[1] if found else None


def is_hidden(name: str) -> bool:
    """Whether a volume is of no use but to a snapshot or a copy: lists of volumes pass over it."""
    ours = is_layer(name) or is_over_copied(name) or is_passing(name)
    return ours or _KEPT.fullmatch(name) is not None


def is_no_disk(name: str) -> bool:
    """Whether a volume is kept for an instance or a copy, and nothing is made of it alone: what a guest had in memory
    or was configured with may be secret."""
    return is_hidden(name) or _NO_DISK.fullmatch(name) is not None


def over_copied(copy: str) -> str:
    """The empty layer that lies over a disk while the volume `copy` is made from it. It is beside the copy."""
    return f"jvp-copy-{hashlib.sha256(copy.encode()).hexdigest()[:12]}"


def is_over_copied(name: str) -> bool:
    return _COPIED.fullmatch(name) is not None


def compacting(uuid: str) -> str:
    """What gives back the room of an image while it does, a domain and a layer of zeros; the image by a uuid."""
    return f"jvp-compact-{uuid}"


def is_compacting(name: str) -> bool:
    return _COMPACTING.fullmatch(name) is not None


def exporting(uuid: str) -> str:
    """The copy of a disk that is made to be read; disk and format by a uuid."""
    return f"jvp-export-{uuid}"


def is_exporting(name: str) -> bool:
    return _EXPORTING.fullmatch(name) is not None


def is_passing(name: str) -> bool:
    """Whether a volume is there for one call alone: what a death has left may go at any time."""
    return is_compacting(name) or is_exporting(name)


def firmware(uuid: str, serial: str) -> str:
    """The copy of an instance's firmware variables."""
    return f"jvp-{uuid}-firmware{serial.replace('-', '')[:12]}"


def memory(uuid: str, serial: str) -> str:
    """What an instance had in memory."""
    return f"jvp-{uuid}-memory{serial.replace('-', '')[:12]}"


def record(uuid: str, snapshot: str) -> str:
    """What the record of a snapshot speaks of: the name of no file, for its data are layers."""
    return f"jvp-{uuid}-snap-{snapshot}"


def snapshots(files: Iterable[str]) -> list[tuple[str, str]]:
    """The instances and snapshots of which records are among the files of a pool."""
    names = (BESIDE.volume(one) for one in files if BESIDE.is_record(one))
    return sorted((found[1], found[2]) for name in names if (found := _RECORD.fullmatch(name)))

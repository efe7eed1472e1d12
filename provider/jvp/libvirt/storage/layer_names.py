"""The names of what snapshots of an instance are made of: its layers, copied firmware variables, records.

They begin as those of the disks that an instance is made with, so whoever removes these finds them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from jvp.libvirt.storage.kinds import BESIDE

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LAYER = re.compile(rf"jvp-({_UUID})-layer[0-9a-f]{{12}}n[0-9]+")
_FIRMWARE = re.compile(rf"jvp-{_UUID}-firmware[0-9a-f]{{12}}")
_RECORD = re.compile(rf"jvp-({_UUID})-snap-(.+)")
FORMAT = "qcow2"
"""Every layer's."""


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
    """Whether a volume is of no use but to a snapshot: lists of volumes pass over it."""
    return is_layer(name) or _FIRMWARE.fullmatch(name) is not None


def firmware(uuid: str, serial: str) -> str:
    """The copy of an instance's firmware variables."""
    return f"jvp-{uuid}-firmware{serial.replace('-', '')[:12]}"


def record(uuid: str, snapshot: str) -> str:
    """What the record of a snapshot speaks of: the name of no file, for its data are layers."""
    return f"jvp-{uuid}-snap-{snapshot}"


def snapshots(files: Iterable[str]) -> list[tuple[str, str]]:
    """The instances and snapshots of which records are among the files of a pool."""
    names = (BESIDE.volume(one) for one in files if BESIDE.is_record(one))
    return sorted((found[1], found[2]) for name in names if (found := _RECORD.fullmatch(name)))

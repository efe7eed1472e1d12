"""Our mark on a storage pool: whose it is, whether we made its folder, and whether our marker lies in it.

libvirt drops `<metadata>` from pools, but keeps `<source><vendor/><product/></source>` for every type of pool and
never reads it (tried on 9.0): the mark stands there, readable while the pool is stopped or its folder unmounted.
The marker is a sidecar in the folder. A pool that should have it and does not is a mount point without its
filesystem, where every volume would else look deleted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import libvirt

from jvp.core.errors import Rejected
from jvp.core.identity import DeclaredBy, Mark
from jvp.core.work import Work
from jvp.libvirt.link import handles, told
from jvp.libvirt.link.xml import Element, parse, put, value
from jvp.libvirt.storage import lookup, volume_record
from jvp.libvirt.storage.volume_record import Sidecar

VENDOR = "jvp"
MARKER = "@pool"
"""The marker's name as a sidecar: `.jvp-@pool.json`. No volume's name holds an @."""
INACTIVE = libvirt.VIR_STORAGE_XML_INACTIVE


@dataclass(frozen=True)
class PoolMark:
    """What we know of a pool of ours."""

    mark: Mark
    made: bool = False
    """The folder did not exist, and we made it, or were about to."""
    marked: bool = False
    """The marker lies in the folder."""
    going: bool = False
    """The pool is being removed: a later try goes on, or takes it back by opening it again."""

    def having(self, **changes: Any) -> PoolMark:
        return replace(self, **changes)

    def acknowledged(self) -> PoolMark:
        return replace(self, mark=replace(self.mark, acknowledged=True))


def mark_of(root: Element) -> PoolMark | None:
    """The mark in a pool's XML, None when the pool is foreign."""
    found = noted(root)
    # One that was imported bears a note under an empty key: it is not one that we made.
    return found if found is not None and found.mark.key else None


def noted(root: Element) -> PoolMark | None:
    """Our mark in a pool's XML, or our note on one that was imported."""
    if value(root, "source/vendor/@name") != VENDOR:
        return None
    found = told.json_of(value(root, "source/product/@name") or "")
    try:
        mark = Mark(
            **found["mark"],
            declared_by=DeclaredBy.read(found.get("declaredBy")),
            declared=told.note(found.get("declared")),
        )
        return PoolMark(mark, bool(found["made"]), bool(found["marked"]), bool(found.get("going")))
    except (KeyError, TypeError, AttributeError):
        return None


def bearer(root: Element) -> Mark | None:
    """The mark of the pool itself, None when it is foreign: not one that came with a copied definition."""
    found = noted(root)
    return found.mark if found is not None and found.mark.may_be_of(value(root, "uuid") or "") else None


def is_marked(root: Element) -> bool:
    """Whether a pool's XML bears our mark, or can bear none: its owner wrote another vendor there."""
    return noted(root) is not None or value(root, "source/vendor/@name") not in (None, VENDOR)


def declare(root: Element, work: Work, *, has_marker: bool) -> bool:
    """Note in a pool's XML who declares it and what, and that an engine's state has it; whether that is new.

    On one that was imported it is all that stands there; not where its owner wrote another vendor there. One whose mark
    is gone gets it back.
    """
    old, key = noted(root), work.key
    if old is None:
        theirs = value(root, "source/vendor/@name") not in (None, VENDOR)
        if theirs or (work.mark is None and (key is None or key.declared_by is None)):
            return False
    new = old or PoolMark(work.mark or Mark("", 0), marked=has_marker and work.mark is not None)
    new = new.having(mark=new.mark.updated(key, work.declaration))
    write(root, new)
    return new != old


def write(root: Element, mark: PoolMark) -> None:
    """Put the mark into a pool's XML."""
    put(root, "source/vendor/@name", VENDOR)
    of, by = mark.mark, mark.mark.declared_by
    # Beside the mark, in which older versions take no other name.
    bag = {
        "mark": {"key": of.key, "generation": of.generation, "acknowledged": of.acknowledged, "owner": of.owner},
        **({"declaredBy": by.note()} if by is not None else {}),
        **({"declared": of.declared} if of.declared else {}),
        "made": mark.made,
        "marked": mark.marked,
        "going": mark.going,
    }
    put(root, "source/product/@name", json.dumps(bag, separators=(",", ":"), ensure_ascii=False))


def inactive_xml(pool: handles.StoragePool) -> Element:
    """The pool's definition. Raises libvirtError."""
    return parse(pool.XMLDesc(INACTIVE))


def put_marker(pool: handles.StoragePool, mark: Mark) -> Mark:
    """Lay the marker into the folder; whose one lies there then. Raises libvirtError."""
    if volume_record.claim(pool, MARKER, _marker(mark)):
        return mark
    found = volume_record.get(pool, MARKER)
    return found.mark if found is not None else mark


def take_marker(pool: handles.StoragePool, mark: Mark) -> None:
    """Write our mark into the marker that a pool which is no more has left. Raises libvirtError."""
    volume_record.put(pool, MARKER, _marker(mark))


def _marker(mark: Mark) -> Sidecar:
    return Sidecar("storage pool", replace(mark, declared=""), "whole")


def are_one(mark: Mark, other: Mark) -> bool:
    """Whether both are of one pool."""
    return (mark.key, mark.generation) == (other.key, other.generation)


def drop_marker(pool: handles.StoragePool) -> None:
    """Take the marker out of the folder; missing is fine. Raises libvirtError."""
    volume_record.drop(pool, MARKER)


def is_gone(work: Work, pool: handles.StoragePool, name: str) -> bool:
    """Whether a volume that a look-up did not find is surely gone.

    It is when the pool runs, has just looked at its folder, and the folder is the one it was.
    Raises Rejected for a pool that is stopped, without its folder, or not mounted; Busy; libvirtError.
    """
    if not pool.isActive():
        raise lookup.inactive(pool.name())
    lookup.refresh(work, pool)
    if lookup.find_volume(pool, name) is not None:
        return False
    if has_lost_marker(pool, inactive_xml(pool)):
        raise other_folder(pool)
    return True


def has_lost_marker(pool: handles.StoragePool, root: Element) -> bool:
    """Whether the marker should lie in the folder of a running pool, and does not. Raises libvirtError."""
    mark = mark_of(root)
    return mark is not None and mark.marked and lookup.find_volume(pool, volume_record.volume_name(MARKER)) is None


def other_folder(pool: handles.StoragePool) -> Rejected:
    return Rejected(
        f'the folder of the storage pool "{pool.name()}" is not the one that it was: '
        f"{volume_record.volume_name(MARKER)} is missing in it; mount its filesystem, and refresh "
        "the pool; if its files are lost for good, undefine "
        f'the pool ("virsh pool-destroy {pool.name()}", then "virsh pool-undefine {pool.name()}") and run again'
    )


def restore_marker(pool: handles.StoragePool, root: Element) -> None:
    """Put back a marker that somebody removed. Only where records of ours still lie in the folder: it is the one then.

    Raises Rejected where none do: its file system may not be mounted. Again: yes. Raises libvirtError.
    """
    mark = mark_of(root)
    if mark is None or not pool.isActive() or not has_lost_marker(pool, root):
        return
    records = [name for name in pool.listVolumes() if volume_record.is_sidecar(name)]
    if not any(volume_record.is_ours(pool, pool.storageVolLookupByName(name)) for name in records):
        raise other_folder(pool)
    put_marker(pool, mark.mark)

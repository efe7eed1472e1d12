"""A template that is in use: who keeps it from being deleted, whose drives let go of it, and who needs the image that
was cut off."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

from jvp.core.errors import Busy, JvpError, Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain import disks
from jvp.libvirt.domain.disks import DomainDisk
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import volume_xml
from jvp.libvirt.storage import copy_volume, kinds, lookup, volume_claim, volume_record
from jvp.libvirt.storage.template_fill import Slot, TemplateApi, short_of
from jvp.libvirt.storage.templates import DIGEST_LENGTH, Record, left_behind, record_name, users_of

Disks = Mapping[str, Sequence[DomainDisk]]
"""Of domains, by path."""


def remove(
    work: Work, api: TemplateApi, pool: handles.StoragePool, name: str, *, birth: str | None, volume: str | None
) -> None:
    """Delete a template with all its generations. Raises Rejected naming who stands on it; libvirtError. Again: yes.

    `birth` tells whether it is still the one that was made; `volume` is the name of its volume as last seen.
    """
    kept = api.sidecar(work, pool, name)
    if kept is None:
        if volume and lookup.find_volume(pool, volume) is not None:
            raise Rejected(
                f'template "{name}" has lost its record {volume_record.volume_name(record_name(name))}; '
                f'delete the volume "{volume}" by hand when nothing uses it'
            )
        return
    record = Record.of(kept)
    if birth and record.birth != birth:
        work.warn(f'template "{name}" is left alone: it was made by another resource after ours was gone')
        return
    for place in lookup.active_pools(api.node.connection):
        # Volumes that were made behind libvirt's back count as users too.
        with contextlib.suppress(Busy, Rejected):
            lookup.unless_lost(place, partial(lookup.refresh, work, place))
    every = disks.disk_users(api.node.connection)
    drives = _drives(api, pool, name, record, every)
    others = {path: [disk for disk in found if not _is_our_cd(disk)] for path, found in every.items()}
    _refuse_used(api, pool, name, record, others)
    for disk, path in drives:
        work.status(f'taking the CD "{name}" out of "{disk.name}"')
        disks.detach(work, disk, path)
    api.write(pool, name, kept.having(phase="deleting"))
    try:
        # Again, because a volume may have been made on it until the record said "deleting".
        _refuse_used(api, pool, name, record)
    except JvpError:
        api.write(pool, name, kept)
        raise
    api.delete_all(work, pool, name, kept)


def clear_short(work: Work, api: TemplateApi, slot: Slot, digest: str, *, same: bool) -> bool:
    """Remove the image in use when it is cut off, so that it is made again; whether that was so.

    What stands on it needs the very same content: unless that is sure (`same`), Rejected names it. Raises libvirtError.
    Again: yes.
    """
    volume = api.has(work, slot, digest) if digest[:DIGEST_LENGTH] == slot.record.current else None
    why = short_of(volume_xml(volume), slot.record) if volume is not None else None
    if volume is None or why is None:
        return False
    lookup.refresh(work, slot.pool)  # only then libvirt sees a folder
    volume = api.has(work, slot, digest)
    if volume is None:
        return True
    if copy_volume.format_of(volume_xml(volume)) == kinds.FOLDER:
        raise Rejected(
            f'{volume.path()} is a folder, and the image of template "{slot.name}" was a file: move it away and '
            "run again"
        )
    users = [] if same else users_of(api.node, [volume.path()])
    if users:
        raise Rejected(
            f'template "{slot.name}" {why}, and {listed(users)} stand on it: what its address gives now may '
            "be another image; put the file back, or delete those first"
        )
    volume_claim.remove_when_free(work, volume)
    return True


def _drives(
    api: TemplateApi, pool: handles.StoragePool, name: str, record: Record, every: Disks
) -> list[tuple[DomainDisk, str]]:
    """The CD drives of instances of ours that the image is in: an engine deletes before it updates."""
    paths, connection = api.paths(pool, name, record), api.node.connection
    found = [(disk, path) for path in paths for disk in every.get(path, ()) if _is_our_cd(disk)]
    if found:
        disks.refuse_saved(
            connection,
            f'template "{name}"',
            lambda root: any(disks.has_disk(connection, root, path) for path in paths),
        )
    return found


def _refuse_used(
    api: TemplateApi, pool: handles.StoragePool, name: str, record: Record, every: Disks | None = None
) -> None:
    users = users_of(api.node, api.paths(pool, name, record), every)
    if left := left_behind(api.node, users):
        what = "root disk of an instance that was" if len(left) == 1 else "root disks of instances that were"
        raise Rejected(
            f'template "{name}" is used by {listed(left)}, the {what} undefined; first apply the program '
            "that declares it, which takes the disk over, or delete that volume by hand"
        )
    if users:
        raise Rejected(f'template "{name}" is used by {listed(users)}; delete those first')


def _is_our_cd(disk: DomainDisk) -> bool:
    return disk.ours and disk.is_cd

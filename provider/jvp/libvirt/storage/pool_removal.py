"""What goes with a pool that is deleted with its data, and who forbids it."""

from __future__ import annotations

import re

import libvirt

from jvp.core.errors import Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain.disks import disk_users
from jvp.libvirt.link import handles
from jvp.libvirt.storage import lookup, pool_mark, templates, volume_record
from jvp.libvirt.storage.volume_claim import records, remove_when_free

_INSTANCE_DISK = re.compile(r"jvp-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[a-z0-9]+")
_MARKER = volume_record.volume_name(pool_mark.MARKER)


def doomed(pool: handles.StoragePool) -> list[handles.StorageVol]:
    """The volumes of ours that go with an active pool, records after what they speak of. Raises libvirtError.

    Only plain files: libvirt lists a sub-folder as a volume too, and that stays with all that is in it.
    """
    files = {lookup.name_of(one): one for one in pool.listAllVolumes(0) if _is_file(one)}
    files.pop(_MARKER, None)
    known: set[str] = set()
    for name in records(pool):
        record = files.get(volume_record.volume_name(name))
        # What is only called as a record is another's, and so is what has the name that it tells.
        if record is not None and volume_record.is_ours(pool, record):
            known |= {record.name()} if volume_record.get(pool, name) is None else {record.name(), name}
    ours = [volume for name, volume in files.items() if _is_ours(name, known)]
    return sorted(ours, key=lambda volume: volume_record.is_sidecar(volume.name()))


def refuse_used(pool: handles.StoragePool, volumes: list[handles.StorageVol]) -> None:
    """Raise Rejected naming the volumes that a domain has, or that a volume which stays stands on."""
    connection, going = pool.connect(), {f"{pool.name()}/{volume.name()}" for volume in volumes}
    disks, bases = disk_users(connection), lookup.backing_map(connection, fresh=True)
    used = set()
    for volume in volumes:
        users = {f'domain "{disk.name}"' for disk in disks.get(volume.path(), ())}
        users |= {f'volume "{user}"' for user in bases.get(volume.path(), ()) if user not in going}
        used |= {f'"{volume.name()}" by {user}' for user in users}
    if used:
        raise Rejected(
            f'storage pool "{pool.name()}" is not deleted with its volumes, for some are used: {listed(used)}; '
            "release them first"
        )


def remove_all(work: Work, volumes: list[handles.StorageVol]) -> None:
    """Delete the volumes. Raises Busy, libvirtError. Again: yes, missing is fine."""
    for volume in volumes:
        work.go_on("not all of its volumes are deleted; run again to go on")
        work.status(f'deleting volume "{volume.name()}"')
        remove_when_free(work, volume)


def _is_file(volume: handles.StorageVol) -> bool:
    try:
        return bool(volume.info()[0] == libvirt.VIR_STORAGE_VOL_FILE)
    except libvirt.libvirtError as error:
        # Removed behind libvirt's back a moment ago.
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return False
        raise


def _is_ours(name: str, known: set[str]) -> bool:
    if name in known or _INSTANCE_DISK.fullmatch(name):
        return True
    template = templates.parsed_name(name)
    return template is not None and templates.record_name(template[0]) in known

"""Which volumes of a pool are ours."""

from __future__ import annotations

import re

import libvirt

from jvp.libvirt.link import handles
from jvp.libvirt.storage import layer_names, lookup, pool_mark, templates, volume_record
from jvp.libvirt.storage.volume_claim import records

_INSTANCE_DISK = re.compile(r"jvp-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[a-z0-9]+")
_MARKER = volume_record.volume_name(pool_mark.MARKER)


def ours_in(pool: handles.StoragePool) -> list[handles.StorageVol]:
    """The volumes of ours in an active pool without our marker, records after what they speak of. Raises libvirtError.

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


def _is_file(volume: handles.StorageVol) -> bool:
    try:
        return bool(volume.info()[0] == libvirt.VIR_STORAGE_VOL_FILE)
    except libvirt.libvirtError as error:
        # Removed behind libvirt's back a moment ago.
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return False
        raise


def _is_ours(name: str, known: set[str]) -> bool:
    if name in known or _INSTANCE_DISK.fullmatch(name) or layer_names.is_over_copied(name):
        return True
    template = templates.parsed_name(name)
    return template is not None and templates.record_name(template[0]) in known

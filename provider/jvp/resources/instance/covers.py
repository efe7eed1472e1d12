"""Data disks under layers, another tool's or ours: they stay as they are until these have been merged."""

from __future__ import annotations

import contextlib

from jvp.core.errors import JvpError, Rejected
from jvp.libvirt import disk_chain
from jvp.libvirt.disk_chain import Chain
from jvp.libvirt.domain import disk_source
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import View
from jvp.resources.instance.definition import DiskSource, Names, disk_key, is_declared, names_of, source_of, told_format
from jvp.resources.instance.model import Instance, InstanceState


def kept(view: View, inactive: Element, wanted: dict[str, DiskSource], known: Names) -> dict[str, DiskSource]:
    """What is to be written for the disks that are `wanted`: for a volume under layers, the active one. Raises
    libvirtError.

    Pointed back to its base, a disk would lose what was written since, and writing to the base breaks the layers.
    """
    found = dict(wanted)
    for device in inactive.iterfind("devices/disk"):
        source, top = wanted.get(disk_key(device)), source_of(device)
        if source is not None and top and is_declared(device, known) and Chain(view, device).over(source.path):
            found[disk_key(device)] = DiskSource(top, told_format(device), device.get("type") or disk_source.FILE)
    return found


def refuse_moved(view: View, domain: handles.Domain, inactive: Element, spec: Instance, prior: InstanceState) -> None:
    """Raise Rejected when a volume that lies under layers is taken out of its disk. Raises libvirtError."""
    known, had = names_of(prior), {disk.name: disk.volume for disk in prior.disks}
    wanted = {disk.name: (index, disk.volume) for index, disk in enumerate(spec.disks)}
    for device in inactive.iterfind("devices/disk"):
        key = disk_key(device)
        index, reference = wanted.get(key, (None, None))
        if key not in had or reference == had[key] or not is_declared(device, known):
            continue
        chain, path, going = Chain(view, device), "", False
        with contextlib.suppress(JvpError):  # of what cannot be found nothing is known
            path = view.meant(had[key]).path
            if reference is not None and path == view.meant(reference).path:
                continue
            going = bool(chain.over(path))
        if going:
            why = disk_chain.covered(chain, domain, path)
            where = ("disks",) if index is None else ("disks", index, "volume")
            raise Rejected(f'the volume "{had[key]}" of the disk "{key}" {why}', path=where)

"""Giving back the room of what a disk image stores for nothing, in place, by QEMU and without a guest.

    hold      a temporary domain opens the image, paused: nobody else writes to it from here on
    look      the caller reads which clusters are zeros
    layer     a volume that says so, and holds no data
    lay       the temporary domain has it over the image
    commit    QEMU merges it: it writes zeros over zeros, and discards

The image reads the same at any moment, so it may be cut off anywhere: the domain is gone with our connection, and the
next run begins anew. It removes the layer that was left.
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid as uuids
from collections.abc import Iterable, Iterator

import libvirt

from jvp.core.abandon import outside
from jvp.core.errors import Busy, Rejected
from jvp.core.work import Work
from jvp.libvirt.domain import devices, disk_source, temporary
from jvp.libvirt.link import events, handles
from jvp.libvirt.link.errors import reason
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, ensure, parse, sub, text_of, value
from jvp.libvirt.storage import copy_volume, layer_names, lookup
from jvp.libvirt.storage.streams import VolumeUpload

_LAY = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
)
_SHOW_S = 0.2
_LOCKED = re.compile(r'Failed to get (shared )?"\w+" lock')
_AGENT_S = 3600
"""A guest that has a large file system to look through takes long, and answers nothing else meanwhile."""


class Held:
    """An image that a temporary domain has, and nobody else writes to. Raises libvirtError."""

    def __init__(self, node: Node, domain: handles.Domain, pool: handles.StoragePool, path: str, name: str) -> None:
        self._node, self._domain, self._pool, self._path, self._name = node, domain, pool, path, name

    def give_back(self, work: Work, layer: Iterable[bytes], length: int) -> None:
        """Merge a layer of zeros, which is so long, into the image. Raises NoSpace, Busy, Cancelled, Rejected."""
        volume = lookup.create_volume(work, self._node, self._pool, self._name, capacity=length, format="raw")
        try:
            with self._node.job(work) as connection:
                upload = VolumeUpload(connection, copy_volume.on(connection, volume))
                try:
                    for piece in layer:
                        work.check()
                        upload.send(piece)
                except BaseException:
                    upload.abort()
                    raise
                upload.finish()
            self._domain.snapshotCreateXML(_snapshot_xml(volume.path()), _LAY)
            _commit(work, self._domain, self._path)
        finally:
            # While the domain is there: after that the next run may have made one of the same name.
            with contextlib.suppress(libvirt.libvirtError):
                lookup.delete_volume(volume)


@contextlib.contextmanager
def hold(
    work: Work, node: Node, pool: handles.StoragePool, path: str, format: str, what: str
) -> Iterator[Held]:  # fmt: skip
    """Have nobody else write to an image while inside. `what` it is, for sentences.

    Raises Busy where somebody does or another run is at it, Cancelled, libvirtError.
    """
    uuid = str(uuids.uuid5(uuids.UUID(pool.UUIDString()), f"compact {path}"))
    name = layer_names.compacting(uuid)
    text = temporary.definition(name, uuid, path, format)
    another = f"another run gives back the space of {what}; run again"
    try:
        with temporary.paused(work, node, text, uuid, another=another) as domain:
            if (left := lookup.find_volume(pool, name)) is not None:
                lookup.delete_volume(left)
            yield Held(node, domain, pool, path, name)
    except libvirt.libvirtError as error:
        if _LOCKED.search(reason(error)):
            raise Busy(f"{what} is in use: something has it open; run again when that is done") from None
        raise


def _snapshot_xml(path: str) -> str:
    root = parse("<domainsnapshot><disks/></domainsnapshot>")
    disk = sub(ensure(root, "disks"), "disk", name=temporary.TARGET, snapshot="external", type=disk_source.FILE)
    sub(disk, "driver", type="qcow2")
    disk_source.point(disk, path)
    return text_of(root)


def _commit(work: Work, domain: handles.Domain, path: str) -> None:
    """Merge what lies over the image at `path` into it. Raises Cancelled, Busy, Rejected, libvirtError."""
    shown = time.monotonic()
    with events.watch(domain.connect(), domain, "block job") as seen:
        domain.blockCommit(temporary.TARGET, path, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        while info := domain.blockJobInfo(temporary.TARGET, 0):
            done, end = info.get("cur", 0), info.get("end", 0)
            if end and done == end:
                try:
                    domain.blockJobAbort(temporary.TARGET, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
                    continue
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_BLOCK_COPY_ACTIVE:
                        raise
            if time.monotonic() - shown > _SHOW_S:
                shown = time.monotonic()
                work.status(f"giving back, {100 * done // end if end else 0} %")
            work.go_on("not all of the space is given back yet; run again to go on")
            seen.next(work, 0.2)
    sources = (disk_source.path_of(disk) for disk in devices.live_xml(domain).iterfind("devices/disk"))
    if path not in sources:
        raise Rejected(f"QEMU gave up giving back the space of {path}; run again")


def refuse_untrimmable(domain: handles.Domain, disk: Element) -> None:
    """Raise Rejected where what the guest discards on this disk of its running definition does not reach the file."""
    if value(disk, "driver/@discard") != "unmap":
        target = value(disk, "target/@dev")
        raise Rejected(
            f'the disk "{target}" of "{domain.name()}" runs without discard="unmap", so its guest can give nothing '
            "back; stop the guest, and run again"
        )


def trim(work: Work, node: Node, domain: handles.Domain) -> None:
    """Have a running guest discard what its file systems do not use. Raises Rejected where no agent does it.

    Source: virDomainFSTrim, by the guest agent's guest-fstrim.
    """
    name, uuid = domain.name(), domain.UUIDString()
    work.status(f'the guest of "{name}" discards what it does not use')
    with node.job(work) as connection, outside(f'the agent of "{name}"'):
        there = connection.lookupByUUIDString(uuid)
        try:
            there.agentSetResponseTimeout(_AGENT_S, 0)
            there.fSTrim(None, 0, 0)
        except libvirt.libvirtError as error:
            if not connection.isAlive():
                raise
            raise Rejected(
                f'"{name}" runs, and its guest agent gives nothing back ({reason(error)}); have the agent run, or stop '
                "the guest, and run again"
            ) from None


def sweep(pool: handles.StoragePool) -> None:
    """Remove what runs that were cut off have left in a pool. Raises libvirtError."""
    for name in filter(layer_names.is_passing, lookup.names(pool)):
        if (volume := lookup.find_volume(pool, name)) is not None:
            lookup.delete_volume(volume)

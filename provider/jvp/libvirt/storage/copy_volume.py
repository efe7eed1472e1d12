"""Copying one volume into another: by streams where the format stays, by the daemon where it must be converted."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Generator

import libvirt

from jvp.core.abandon import outside
from jvp.core.errors import Cancelled, Rejected, Unreachable
from jvp.core.work import Progress, Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, text_of, value, volume_xml
from jvp.libvirt.storage import kinds
from jvp.libvirt.storage.lookup import find_volume
from jvp.libvirt.storage.streams import CHUNK, VolumeUpload

_AT_HOLE = -3
_STATUS_S = 0.2
_WAITING = 16
"""Pieces that the reading side may be ahead of the writing one."""


def copy(
    work: Work, node: Node, source: handles.StorageVol, target: handles.StorageVol, *, total: int, what: str
) -> None:
    """Copy every byte of `source` into `target`, holes as holes. `total` is the length, for the progress.

    Raises Cancelled, Unreachable at the deadline, libvirtError. Again: with a fresh target.
    """
    with node.job(work) as connection:
        origin = on(connection, source)
        upload = VolumeUpload(connection, on(connection, target))
        try:
            done, began = 0, time.monotonic()
            shown = began
            for piece in ahead(pieces(connection, origin), f'volume "{source.name()}"'):
                work.check()
                if work.left() <= 0:
                    raise Unreachable(f"{what}: copying did not finish in the time that the call has; allow more")
                if isinstance(piece, int):
                    upload.hole(piece)
                    done += piece
                else:
                    done += upload.send(piece)
                if time.monotonic() - shown > _STATUS_S:
                    shown = time.monotonic()
                    line = f"{what}: copying, {100 * done // max(total, 1)}%"
                    work.transferred(Progress("copying", done, total, line))
            if shown != began:
                work.transferred(Progress("copying", done, total, f"{what}: copied"))
        except BaseException:
            upload.abort()
            raise
        upload.finish()


def on(connection: handles.Connection, volume: handles.StorageVol) -> handles.StorageVol:
    """The same volume on another connection: a stream's must be the volume's."""
    uuid = volume.storagePoolLookupByVolume().UUIDString()
    return connection.storagePoolLookupByUUIDString(uuid).storageVolLookupByName(volume.name())


def pieces(connection: handles.Connection, volume: handles.StorageVol) -> Generator[bytes | int, None, None]:
    """The volume's bytes in order; a number is a hole of that length."""
    stream = connection.newStream(0)
    volume.download(stream, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
    try:
        while True:
            piece = stream.recvFlags(CHUNK, libvirt.VIR_STREAM_RECV_STOP_AT_HOLE)
            if piece == _AT_HOLE:
                yield stream.recvHole(0)
            elif piece:
                yield piece
            else:
                break
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.finish()


def ahead(source: Generator[bytes | int, None, None], what: str) -> Generator[bytes | int, None, None]:
    """The same pieces, drawn in a thread of its own: reading and writing then overlap."""
    box: queue.Queue[bytes | int | BaseException | None] = queue.Queue(_WAITING)
    left = threading.Event()

    def put_in(item: bytes | int | BaseException | None) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                box.put(item, timeout=0.1)
                break

    def draw() -> None:
        end: BaseException | None = None
        try:
            with contextlib.closing(source):
                for piece in source:
                    put_in(piece)
                    if left.is_set():
                        break
        except BaseException as error:
            end = error
        put_in(end)

    thread = threading.Thread(target=draw, name="jvp-read", daemon=True)
    thread.start()
    try:
        while True:
            with outside(f"the reading of {what}"):
                item = box.get()
            if item is None:
                break
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        with outside(f"the reading of {what}"):
            thread.join()


def convert(
    work: Work,
    node: Node,
    source: handles.StorageVol,
    source_format: str,
    pool: handles.StoragePool,
    root: Element,
    *,
    total: int | None = None,
) -> handles.StorageVol:
    """Make the volume that `root` describes with the content of `source`, in another format.

    `total` is what it takes at most, for the progress.

    Only for sources that no guest ever wrote: libvirt goes by the format that it finds in the file itself. That
    must be `source_format`. On Cancelled (also at the deadline) the daemon goes on, and the volume is busy meanwhile.
    Source: virStorageVolCreateXMLFrom runs qemu-img convert and outlives its caller.
    """
    refuse_other_format(volume_xml(source), source_format, source.name())
    result: list[handles.StorageVol | BaseException] = []
    uuid, text = pool.UUIDString(), text_of(root)

    def call() -> None:
        try:
            with node.job(work) as connection:
                there = connection.storagePoolLookupByUUIDString(uuid)
                work.check()
                result.append(there.createXMLFrom(text, on(connection, source), 0))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=call, name="jvp-convert", daemon=True)
    thread.start()
    name = value(root, "name") or ""
    _wait_for(work, thread, pool, name, total)
    if isinstance(result[0], BaseException):
        raise result[0]
    # Not the one that was made: it is bound to the job's connection, which somebody else has now.
    return pool.storageVolLookupByName(name)


def _wait_for(
    work: Work, conversion: threading.Thread, pool: handles.StoragePool, name: str, total: int | None
) -> None:
    """Raises Cancelled, but not before the volume is there: who takes back what was begun must find it."""
    shown = time.monotonic()
    with outside(f'the conversion of volume "{name}"'):
        while conversion.is_alive():
            if total is None:
                work.status(f'volume "{name}": converting')
            elif time.monotonic() - shown > _STATUS_S:
                shown = time.monotonic()
                done = min(_written(pool, name), total)
                line = f'volume "{name}": copying, {100 * done // max(total, 1)}%'
                work.transferred(Progress("copying", done, total, line))
            over = work.cancelled.is_set() or not work.left()
            if over and find_volume(pool, name) is not None:
                why = "stopped on request" if work.cancelled.is_set() else "the time is up"
                raise Cancelled(f"{why}; the node finishes the conversion, and the next run goes on from there")
            conversion.join(0.05)


def _written(pool: handles.StoragePool, name: str) -> int:
    """What a volume that is being made takes by now; 0 where that cannot be told."""
    with contextlib.suppress(libvirt.libvirtError):
        return int(pool.storageVolLookupByName(name).info()[2])
    return 0


def refuse_other_format(root: Element, recorded: str, name: str) -> None:
    """Raise Rejected for a volume whose own bytes claim another format than we know it to have."""
    found = format_of(root)
    if found != recorded:
        raise Rejected(
            f'volume "{name}" is {recorded}, but its content looks like {found}: a guest may have written that; '
            "it is left alone"
        )


def damage(root: Element, recorded: str, what: str, *, mended: bool = False) -> str:
    """What an accident has done to the file of a volume that has no size any more, and the way out.

    `mended` says that an update gives a raw one its size back.
    """
    path, anew = value(root, "target/path"), "put it back, or delete the file, and it is made anew"
    if format_of(root) == kinds.FOLDER:
        return f"{path} is a folder, and {what} was a file: move it away and run again"
    if recorded == "raw":
        lost = f"the file of {what} was cut to 0 bytes, and what was in it is lost: {path}"
        return lost if mended else f"{lost}; {anew}"
    return f"the file of {what} is no qcow2 image any more: {path}; {anew}"


def format_of(root: Element) -> str:
    """The format in a volume's XML: qcow2, raw, or what else libvirt takes it for. A CD image is raw."""
    found = value(root, "target/format/@type") or "raw"
    return "raw" if found in ("iso", "none", "unknown") else found

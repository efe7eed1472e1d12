"""Uploads into and downloads out of volumes, through libvirt's streams."""

from __future__ import annotations

import contextlib

import libvirt

from jvp.libvirt.errors import libvirt_errors

CHUNK = 256 * 1024


class VolumeUpload:
    """One upload into a volume: `send` and `hole` in order, then `finish`; `abort` after an error.

    Holes are not written. Source: virStorageVolUpload with VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM.
    """

    def __init__(self, connection: libvirt.virConnect, volume: libvirt.virStorageVol, *, length: int = 0) -> None:
        self._what = f'upload into volume "{volume.name()}"'
        with libvirt_errors(self._what):
            self._stream = connection.newStream(0)
            volume.upload(self._stream, 0, length, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)

    def send(self, data: bytes) -> int:
        with libvirt_errors(self._what):
            view = memoryview(data)
            sent = 0
            while sent < len(view):
                sent += self._stream.send(bytes(view[sent : sent + CHUNK]))
            return sent

    def hole(self, length: int) -> None:
        with libvirt_errors(self._what):
            self._stream.sendHole(length, 0)

    def finish(self) -> None:
        with libvirt_errors(self._what):
            self._stream.finish()

    def abort(self) -> None:
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.abort()


def write_small(connection: libvirt.virConnect, volume: libvirt.virStorageVol, data: bytes) -> None:
    """Write what fits into memory into a volume. Raises libvirtError."""
    stream = connection.newStream(0)
    volume.upload(stream, 0, len(data), 0)
    try:
        sent = 0
        while sent < len(data):
            sent += stream.send(data[sent : sent + CHUNK])
    except libvirt.libvirtError:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.finish()


def read_small(connection: libvirt.virConnect, volume: libvirt.virStorageVol, length: int) -> bytes:
    """The first `length` bytes of a volume, fewer when it is shorter. Raises libvirtError."""
    stream = connection.newStream(0)
    volume.download(stream, 0, length, 0)
    parts: list[bytes] = []
    missing = length
    try:
        # Not until the end is told: that is one more round trip.
        while missing > 0 and (part := stream.recv(missing)):
            parts.append(part)
            missing -= len(part)
    except libvirt.libvirtError:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.finish()
    return b"".join(parts)

"""Uploads into and downloads out of volumes, through libvirt's streams.

The end of an upload is read back. Source: tried with libvirt 9.0, virStreamFinish reports success although the node's
disk was full, when nothing was sent after the piece that could not be written. The daemon writes in order and stops at
the first error, so the last piece tells of all.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future

import libvirt

from jvp.core.abandon import outside
from jvp.core.errors import NoSpace, Unreachable
from jvp.libvirt.link import handles, one_at_a_time
from jvp.libvirt.link.errors import libvirt_errors

CHUNK = 256 * 1024
_ZEROS = bytes(CHUNK)
_LOOK_S = 2.0
_LOOKS = 300


class VolumeUpload:
    """One upload into a volume: `send` and `hole` in order, then `finish`; `abort` after an error.

    Holes are not written. Raises NoSpace when the node could not write all of it.
    Source: virStorageVolUpload with VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM.
    """

    def __init__(self, connection: handles.Connection, volume: handles.StorageVol, *, length: int = 0) -> None:
        self._what = f'upload into volume "{volume.name()}"'
        self._connection, self._volume = connection, volume
        self._ended = False
        self._sent = 0
        self._last: tuple[int, bytes] = (0, b"")
        """The last piece that is not all zeros, with its place."""
        with libvirt_errors(self._what):
            self._stream = connection.newStream(0)
            volume.upload(self._stream, 0, length, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)

    def send(self, data: bytes) -> int:
        with libvirt_errors(self._what):
            sent = 0
            while sent < len(data):
                piece = data[sent : sent + CHUNK]  # all of it is no copy
                done = self._stream.send(piece)
                if piece != _ZEROS[: len(piece)]:
                    self._last = (self._sent, piece[:done])
                self._sent += done
                sent += done
            return sent

    def hole(self, length: int) -> None:
        with libvirt_errors(self._what):
            self._stream.sendHole(length, 0)
            self._sent += length

    def finish(self) -> None:
        self._ended = True
        with libvirt_errors(self._what), outside(f"the end of the {self._what}"):
            self._end()
            self._refuse_lost()

    def read(self, start: int, length: int) -> bytes:
        """These bytes of what is there, fewer at its end. After `finish`."""
        with libvirt_errors(self._what):
            return read_small(self._connection, self._volume, length, start=start)

    def _end(self) -> None:
        """Wait for the daemon's word, which may take long where it writes to a slow disk; but not for ever.

        Source: tried with libvirt 9.0, virStreamFinish never returns when the daemon's error crosses it
        (6 of 20 uploads that end in a hole on a full disk). It waits beside the line, for meanwhile it is looked what
        became of the data.
        """
        ended: Future[None] = Future()
        wait = one_at_a_time.beside_the_line(libvirt.virStream.finish)

        def finish() -> None:
            try:
                ended.set_result(wait(self._stream))
            except BaseException as error:
                ended.set_exception(error)

        threading.Thread(target=finish, name="jvp-finish", daemon=True).start()
        for _ in range(_LOOKS):
            with contextlib.suppress(TimeoutError):
                return ended.result(_LOOK_S)
            try:
                self._refuse_lost()
            except NoSpace:
                one_at_a_time.give_up(self._connection)
                raise
        one_at_a_time.give_up(self._connection)
        raise Unreachable(f"{self._what}: libvirtd does not say that it has ended; run the command again")

    def _refuse_lost(self) -> None:
        start, data = self._last
        if read_small(self._connection, self._volume, len(data), start=start) != data:
            raise NoSpace(
                f'volume "{self._volume.name()}" was not written to its end: the node\'s disk is full, or broken'
            )

    def abort(self) -> None:
        """After an error. Again: yes. Source: libvirt waits for ever for an answer about a stream that has ended."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.abort()


def write_small(connection: handles.Connection, volume: handles.StorageVol, data: bytes) -> None:
    """Write what fits into memory into a volume whose room is taken already. Raises libvirtError."""
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


def read_small(
    connection: handles.Connection, volume: handles.StorageVol, length: int, *, start: int = 0
) -> bytes:  # fmt: skip
    """`length` bytes of a volume from `start` on, fewer when it is shorter. Raises libvirtError."""
    if length == 0:
        return b""  # to libvirt it would mean all there is
    stream = connection.newStream(0)
    volume.download(stream, start, length, 0)
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

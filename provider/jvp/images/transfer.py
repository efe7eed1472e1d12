"""Moving an image into an open upload, at the pace of the slower side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from jvp.core.errors import JvpError
from jvp.core.work import Work
from jvp.images.checksum import ContentDigest, Verifier
from jvp.images.segments import Data, Hole, Segment

_HOLE_STEP: Final = 64 * 1024 * 1024
_WAITING_MAX: Final = 16
"""Segments that the hashing thread may be behind by."""


class Upload(Protocol):
    """An upload that has been begun: of a volume, in practice. Either `finish` or `abort` is called, once."""

    def send(self, data: bytes) -> int:
        """Take some of `data`, at least one byte; returns how many."""
        ...

    def hole(self, length: int) -> None:
        """Skip `length` bytes, which read as zeros afterwards."""
        ...

    def finish(self) -> None:
        """All is sent; returns once the receiver has it all."""
        ...

    def abort(self) -> None:
        """Give up; what has arrived is worth nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Filled:
    bytes_sent: int
    """Data that went over; holes are not in it."""
    total: int
    digest: str | None
    """The content digest, when one was asked for."""


class _Hashing:
    """A thread that hashes what is being sent: hashing and sending each keep a core busy."""

    def __init__(self, hashers: list[Verifier | ContentDigest], work: Work) -> None:
        self._hashers, self._work = hashers, work
        self._box: queue.Queue[Segment | None] = queue.Queue(_WAITING_MAX)
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jvp-hash", daemon=True)
        if hashers:
            self._thread.start()

    def _run(self) -> None:
        while (segment := self._box.get()) is not None:
            if self._stopped.is_set() or self._error is not None:
                continue  # only empties the queue
            try:
                for hasher in self._hashers:
                    self._feed(hasher, segment)
            except BaseException as error:
                self._error = error

    def _feed(self, hasher: Verifier | ContentDigest, segment: Segment) -> None:
        if isinstance(segment, Data) or isinstance(hasher, ContentDigest):
            hasher.update(segment)
            return
        for start in range(0, segment.length, _HOLE_STEP):  # a TiB of zeros takes ten minutes to hash
            if self._stopped.is_set():
                return
            hasher.update(Hole(min(_HOLE_STEP, segment.length - start)))

    def put(self, segment: Segment | None) -> None:
        """Hand over; waits while too much is waiting already. Raises Cancelled."""
        while self._hashers:
            try:
                self._box.put(segment, timeout=0.1)
                return
            except queue.Full:
                self._work.check()

    def end(self) -> None:
        """Wait until all is hashed. Raises Cancelled, and what hashing raised."""
        if self._hashers:
            self.put(None)
            while self._thread.is_alive():
                self._thread.join(0.1)
                self._work.check()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Hash nothing more; called on the way out of an error."""
        if self._hashers and self._thread.is_alive():
            self._stopped.set()
            self._box.put(None)


def fill(
    segments: Iterable[Segment],
    upload: Upload,
    *,
    verifier: Verifier | None = None,
    digest: ContentDigest | None = None,
    work: Work,
) -> Filled:
    """Send every segment, then finish; on any error, a wrong checksum or a Cancel, abort and raise it.

    `digest` is asked for its result here, so give a fresh one. Again: only with a new upload.
    """
    hashing = _Hashing([hasher for hasher in (verifier, digest) if hasher is not None], work)
    sent = total = 0
    try:
        for segment in segments:
            work.check()
            hashing.put(segment)
            total += segment.length
            if isinstance(segment, Data):
                _send(upload, segment.data)
                sent += segment.length
            else:
                upload.hole(segment.length)
        hashing.end()
        if verifier is not None:
            verifier.check()
        work.check()
    except BaseException as error:
        hashing.stop()
        _abort(upload, error)
        raise
    upload.finish()
    return Filled(sent, total, digest.hexdigest() if digest is not None else None)


def _send(upload: Upload, data: bytes) -> None:
    taken = upload.send(data)
    if taken == len(data):
        return
    view = memoryview(data)
    while taken < len(data):
        taken += upload.send(bytes(view[taken:]))


def _abort(upload: Upload, error: BaseException) -> None:
    """Abort; that it cannot even be aborted is noted on the error that matters."""
    try:
        upload.abort()
    except Exception as second:
        reason = second.message if isinstance(second, JvpError) else str(second)
        error.add_note(f"the upload could not be aborted either: {reason}")

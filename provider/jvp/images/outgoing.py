"""A file of this machine that an image is written into: whole or not at all, sparse, and for its owner alone.

It is written under a name of its own beside the target, and takes the target's place at the end. What a run that was
cut off has left there the next one for the same target removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jvp.core.errors import Busy, JvpError, NoSpace, Rejected
from jvp.core.work import Work
from jvp.images.segments import DATA_MAX, Data, Hole, punched

_ZEROS: Final = bytes(1024 * 1024)
_WHERE = ("path",)
_LATE = "the image was not written in the time that the call has; allow more"


@dataclass(frozen=True, slots=True)
class Written:
    """What a file holds."""

    length: int
    stored: int
    """Bytes that are no holes."""
    sha256: str


def write(work: Work, path: str, pieces: Iterable[bytes | int], *, overwrite: bool) -> Written:
    """Write an image into a file of this machine; a number among its pieces is a hole of that length.

    Without `overwrite` a file that is there stays, and is as good where it holds the same. Raises Rejected where it
    does not, or nothing can be written; NoSpace; Busy where another run writes the same file, or the time is up; what
    `pieces` raises, and then the target is as it was. Again: yes.
    """
    target = Path(path)
    with _errors(path), _partial(target) as (partial, descriptor):
        found = _filled(work, descriptor, pieces)
        os.fsync(descriptor)
        _put(work, partial, target, found, overwrite=overwrite)
        return found


def refuse_taken(path: str, length: int | None, *, overwrite: bool) -> None:
    """Raise Rejected where a file is surely not to be written: before anything is read. `length` is the image's, where
    that is known: a file that is as long may hold the same."""
    target = Path(path)
    with _errors(path):
        if not target.parent.is_dir():
            raise Rejected(f'there is no folder "{target.parent}"', path=_WHERE)
        try:
            there = target.stat()
        except FileNotFoundError:
            return
        if not stat.S_ISREG(there.st_mode):
            raise Rejected(f'"{path}" is there, and is no file', path=_WHERE)
        if not overwrite and length is not None and there.st_size != length:
            raise _taken(path)


def _taken(path: str) -> Rejected:
    return Rejected(f'"{path}" is there already; have it overwritten, or give another path', path=_WHERE)


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except JvpError:
        raise
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(f'"{path}" was not written: {why}', path=_WHERE) from None
        raise Rejected(f'"{path}" cannot be written: {why}', path=_WHERE) from None


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[tuple[Path, int]]:
    """The file beside the target, empty and ours alone while inside; it is gone afterwards."""
    partial = target.with_name(f".{target.name}.jvp-export")
    descriptor = _locked(partial)
    try:
        os.fchmod(descriptor, 0o600)
        yield partial, descriptor
    finally:
        # By its name only while that is ours: at the end it is the target's.
        if _is_at(partial, descriptor):
            partial.unlink()
        os.close(descriptor)


def _locked(partial: Path) -> int:
    while True:
        try:
            descriptor, new = _opened(partial)
        except FileNotFoundError:  # its maker has just ended
            if partial.parent.is_dir():
                continue
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Rejected(f'"{partial}" is there, and is no file; remove it', path=_WHERE)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(partial, descriptor):
                if new:
                    return descriptor
                # Nothing is written into what is there: it may be the target by a second name, where a run died
                # before it took the first one away, or another user's, who can read it.
                partial.unlink()
        except BlockingIOError:
            os.close(descriptor)
            raise Busy(f'another run writes "{partial}" now; run again when that is done', path=_WHERE) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(partial: Path) -> tuple[int, bool]:
    """The file, and whether it was made just now. Raises FileNotFoundError where it goes at this moment."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with contextlib.suppress(FileExistsError):
        return os.open(partial, flags | os.O_CREAT | os.O_EXCL, 0o600), True
    return os.open(partial, flags), False


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _filled(work: Work, descriptor: int, pieces: Iterable[bytes | int]) -> Written:
    digest, at, stored = hashlib.sha256(), 0, 0
    for segment in punched(_aligned(pieces)):
        work.check()
        if isinstance(segment, Data):
            digest.update(segment.data)
            data = memoryview(segment.data)
            while data:
                done = os.pwrite(descriptor, data, at + segment.length - len(data))
                data = data[done:]
            stored += segment.length
        else:
            _hash_hole(work, digest, segment.length)
        at += segment.length
    os.ftruncate(descriptor, at)
    return Written(at, stored, digest.hexdigest())


def _aligned(pieces: Iterable[bytes | int]) -> Iterator[bytes | Hole]:
    """The same in parts that begin and end where blocks do: zeros are told block by block."""
    held, at = b"", 0
    for piece in pieces:
        if isinstance(piece, int):
            if held:
                yield held
            yield Hole(piece)
            held, at = b"", at + len(held) + piece
            continue
        held += piece
        while len(held) >= (step := DATA_MAX - at % DATA_MAX):
            yield held[:step]
            held, at = held[step:], at + step
    if held:
        yield held


def _hash_hole(work: Work, digest: hashlib._Hash, length: int) -> None:
    while length > 0:
        work.go_on(_LATE)
        digest.update(_ZEROS[:length] if length < len(_ZEROS) else _ZEROS)
        length -= len(_ZEROS)


def _put(work: Work, partial: Path, target: Path, found: Written, *, overwrite: bool) -> None:
    """Have what was written take the target's place."""
    if overwrite:
        partial.replace(target)
    else:
        try:
            os.link(partial, target)
        except FileExistsError:
            if not _holds(work, target, found):
                raise _taken(str(target)) from None
            return
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            if target.exists():  # a file system without links
                raise _taken(str(target)) from None
            partial.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _holds(work: Work, target: Path, found: Written) -> bool:
    """Whether a file holds the same: of a run that ended, and nobody heard of it."""
    digest = hashlib.sha256()
    with target.open("rb") as file:
        if os.fstat(file.fileno()).st_size != found.length:
            return False
        while piece := file.read(1024 * 1024):
            work.go_on(_LATE)
            digest.update(piece)
    return digest.hexdigest() == found.sha256

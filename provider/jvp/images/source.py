"""Where an image comes from: a file on this machine, or an address (see `url_source`)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from jvp.core.errors import Invalid, NotFound, Unreachable
from jvp.core.work import Work
from jvp.images.segments import DATA_MAX, HEAD_BYTES, Hole, Meter, Segment, punched


class Source(Protocol):
    """An open image. A context manager: leaving it gives everything back."""

    @property
    def total_bytes(self) -> int | None:
        """Length of the image; None when nobody knows before the end."""
        ...

    def head(self) -> bytes:
        """The first `HEAD_BYTES`, or all of it if it is shorter. Again: yes."""
        ...

    def segments(self) -> Iterator[Segment]:
        """All of the image, in order. Once."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...


class FileSource:
    """A regular file or a block device; holes are taken from the file system, and zeros become holes."""

    def __init__(self, path: str, work: Work) -> None:
        self._path, self._work = path, work
        self._fd = _open(path)
        try:
            status = os.fstat(self._fd)
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
                raise Invalid(f"{path} is a {_kind(status.st_mode)}, not an image file")
            self.total_bytes: int | None = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:  # a file of /proc has no end
            os.close(self._fd)
            raise self._unreadable(error) from error
        except BaseException:
            os.close(self._fd)
            raise
        self._size = self.total_bytes or 0
        self._stamp = (status.st_size, status.st_mtime_ns)
        self._open = True

    def head(self) -> bytes:
        """Raises Unreachable (the disk does not give it)."""
        return self._pread(HEAD_BYTES, 0)

    def segments(self) -> Iterator[Segment]:
        """Raises Invalid when the file changes meanwhile, Cancelled."""
        progress = Meter("copying", self.total_bytes, self._work)
        for segment in punched(self._parts()):
            self._work.check()
            if self._work.left() <= 0:
                raise Unreachable(f"copying {self._path} did not end in the call's time; run again, or allow more")
            yield segment
            progress.done += segment.length
            progress.show()
        progress.end()
        status = os.fstat(self._fd)
        if (status.st_size, status.st_mtime_ns) != self._stamp:
            raise self._changed()

    def _parts(self) -> Iterator[bytes | Hole]:
        at = 0
        while at < self._size:
            data = self._seek(at, os.SEEK_DATA)
            if data > at:
                yield Hole(data - at)
            end = self._seek(data, os.SEEK_HOLE) if data < self._size else data
            while data < end:
                # pieces end on multiples of DATA_MAX, so that blocks of zeros are seen whole
                piece = self._pread(min(end - data, DATA_MAX - data % DATA_MAX), data)
                if not piece:
                    raise self._changed()
                yield piece
                data += len(piece)
            at = data

    def _seek(self, at: int, whence: int) -> int:
        try:
            return min(os.lseek(self._fd, at, whence), self._size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return self._size
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system without holes
                return at if whence == os.SEEK_DATA else self._size
            raise self._unreadable(error) from error

    def _pread(self, length: int, at: int) -> bytes:
        try:
            return os.pread(self._fd, length, at)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> Unreachable:
        return Unreachable(f"{self._path} cannot be read: {(error.strerror or str(error)).lower()}")

    def _changed(self) -> Invalid:
        return Invalid(f"{self._path} was changed while it was read; run again when nothing writes to it")

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_path(path: str, work: Work) -> FileSource:
    """Open a local image. Raises NotFound, Invalid (a folder, no permission)."""
    return FileSource(path, work)


def _open(path: str) -> int:
    try:
        # O_NONBLOCK: opening a pipe would wait for its other end
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no file {path}") from None
    except PermissionError:
        raise Invalid(f"{path} may not be read: permission denied") from None
    except (OSError, ValueError) as error:
        raise Invalid(
            f"{path!r} cannot be opened: {(getattr(error, 'strerror', None) or str(error)).lower()}"
        ) from None


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "folder",
        stat.S_IFCHR: "character device",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")

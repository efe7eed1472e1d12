"""The one disk image in a tar or zip archive, streamed out of it.

Nothing of an archive is ever written under a name: names are only told. A tar archive is read as it comes in; a zip
archive has its list at its end, so it is put into a nameless temporary file first.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final

from jvp.core.errors import Invalid, NoSpace
from jvp.images.segments import DATA_MAX, HEAD_BYTES, size_text

if TYPE_CHECKING:
    import tarfile
    import zipfile

_HEADERS_MAX: Final = 4 * 2**20
"""What may stand between two files of a tar archive: Python keeps it in memory."""
_LIST_MAX: Final = 16 * 2**20
"""The same for the list of files of a zip archive."""
_TOLD_MAX: Final = 3
Judge = Callable[[bytes, int], str | None]
"""Why a file with this beginning and length is no disk image; None where it is one."""


def _told(name: str) -> str:
    """A stranger's name in a sentence: short, and its control characters escaped."""
    return repr(name if len(name) <= 80 else name[:79] + "…")


class _Choice:
    """Of the files of an archive the one that is an image."""

    def __init__(self, kind: str, judge: Judge) -> None:
        self._kind, self._judge = kind, judge
        self._image: str | None = None
        self._others: list[str] = []

    def takes(self, name: str, head: bytes, size: int) -> bool:
        """Raises Invalid at a second image."""
        why = self._judge(head, size)
        if why is not None:
            if len(self._others) <= _TOLD_MAX:
                self._others.append(f"{_told(name)}: {why}")
            return False
        if self._image is not None:
            raise Invalid(
                f"the {self._kind} archive holds more than one disk image: {_told(self._image)} and "
                f"{_told(name)}; unpack it first"
            )
        self._image = name
        return True

    def end(self) -> None:
        """Raises Invalid when there was none."""
        if self._image is None:
            told = "; ".join(self._others[:_TOLD_MAX]) + ("; …" if len(self._others) > _TOLD_MAX else "")
            raise Invalid(f"the {self._kind} archive holds no disk image" + (f" ({told})" if told else ""))


class _Reader:
    """Chunks as a file to read from; `allowed` is how much may be read until it is set anew."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, b""
        self.allowed = 0

    def read(self, size: int) -> bytes:
        self.allowed -= size
        if self.allowed < 0:
            raise Invalid("the tar archive is broken: its headers are too long")
        while len(self._held) < size and (chunk := next(self._chunks, None)) is not None:
            self._held += chunk
        out, self._held = self._held[:size], self._held[size:]
        return out


def from_tar(chunks: Iterator[bytes], limit_bytes: int, judge: Judge) -> Iterator[bytes]:
    """The image in a tar archive. Raises Invalid (broken, none or several images, too long), and what `chunks` raises.

    Links, devices and the like are passed over.
    """
    import tarfile

    reader, choice = _Reader(chunks), _Choice("tar", judge)
    reader.allowed = _HEADERS_MAX
    try:
        with tarfile.open(fileobj=reader, mode="r|", bufsize=DATA_MAX) as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                if member.isreg():
                    reader.allowed = member.size + _HEADERS_MAX
                    yield from _member(archive, member, limit_bytes, choice)
                reader.allowed = _HEADERS_MAX
                archive.members.clear()  # else it remembers every one
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        raise Invalid(f"the tar archive is broken: {str(error).lower().rstrip('.')}") from error
    choice.end()


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, limit_bytes: int, choice: _Choice) -> Iterator[bytes]:
    file = archive.extractfile(member)
    assert file is not None
    head = file.read(HEAD_BYTES)
    if choice.takes(member.name, head, member.size):
        yield from _limited(head, file, limit_bytes, "tar")
        return
    while file.read(DATA_MAX):
        pass


def _limited(head: bytes, file: IO[bytes], limit_bytes: int, kind: str) -> Iterator[bytes]:
    out, piece = 0, head
    while piece:
        out += len(piece)
        if out > limit_bytes:
            raise Invalid(f"the {kind} archive holds more than the limit of {size_text(limit_bytes)}")
        yield piece
        piece = file.read(DATA_MAX)


def from_zip(chunks: Iterator[bytes], limit_bytes: int, judge: Judge) -> Iterator[bytes]:
    """The image in a zip archive. Raises Invalid as `from_tar` does, NoSpace (the temporary file), and what
    `chunks` raises."""
    import tempfile
    import zipfile
    import zlib

    with tempfile.TemporaryFile() as kept:
        try:
            for chunk in chunks:
                kept.write(chunk)
            kept.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            folder = tempfile.gettempdir()
            raise NoSpace(f"{folder} has no room for the zip archive; set TMPDIR to a folder that has") from None
        try:
            with zipfile.ZipFile(_Listed(kept)) as archive:
                image = _chosen(archive, judge)
                with archive.open(image) as file:
                    yield from _limited(file.read(DATA_MAX), file, limit_bytes, "zip")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a place before the file's begin
                raise
            raise Invalid(f"the zip archive is broken: {str(error).lower().rstrip('.')}") from error


def _chosen(archive: zipfile.ZipFile, judge: Judge) -> zipfile.ZipInfo:
    import zipfile

    choice, found = _Choice("zip", judge), None
    for info in archive.infolist():
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            continue
        name = _told(info.filename)
        if info.flag_bits & 1:
            raise Invalid(f"{name} in the zip archive is encrypted; unpack it first")
        # Python's decoders of the others give what they have at once, however much it is.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Invalid(f"{name} in the zip archive is packed in a way that is not known; unpack it first")
        with archive.open(info) as file:
            if choice.takes(info.filename, file.read(HEAD_BYTES), info.file_size):
                found = info
    choice.end()
    assert found is not None
    return found


class _Listed:
    """A file whose single reads are bounded: `zipfile` reads the whole list of files at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size if 0 <= size <= _LIST_MAX else _LIST_MAX + 1)
        if len(data) > _LIST_MAX:
            raise Invalid("the zip archive holds too many files")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

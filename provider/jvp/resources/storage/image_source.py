"""Images for templates and volumes: opened, unpacked and judged before anything is written."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from jvp import images
from jvp.core.errors import JvpError, NoSpace, Path, Rejected
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.storage import lookup, pool_kind

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """Where an image comes from: `path` or `url`, and what it must hash to or where that is published."""

    path: str | None = None
    url: str | None = None
    checksum: str | None = None
    allow_private_redirects: bool = False
    format: str | None = None
    """What it was declared to be: a raw image is taken whatever is in it."""
    checksum_at: Path = ("source", "checksum")
    """The property that says the checksum."""

    @property
    def name(self) -> str:
        """The name of the file, as a file of sums has it."""
        if self.path is not None:
            return self.path.rpartition("/")[2]
        return unquote(urlsplit(self.url or "").path).rpartition("/")[2]

    def verifier(self, work: Work) -> images.Verifier | None:
        """What the image is hashed by, None without a checksum. Raises what is wrong with a file of sums."""
        if not self.checksum:
            return None
        promise = images.parse_promise(self.checksum)
        allow = self.allow_private_redirects
        return images.Verifier(images.looked_up(promise, self.name, work, allow_private_redirects=allow))


@dataclass(frozen=True)
class Opened:
    """An image that is one, and about to be moved."""

    info: images.ImageInfo
    packed: bool
    verifier: images.Verifier | None
    """What is still to be hashed: the checksum of a packed image is of the archive."""
    _source: images.Source

    @property
    def length(self) -> int | None:
        """Of the image's file; None when it shows only at its end."""
        return self._source.total_bytes

    def segments(self) -> Iterator[images.Segment]:
        return self._source.segments()


@contextlib.contextmanager
def opened(work: Work, pool: handles.StoragePool | None, origin: Origin, where: Path) -> Iterator[Opened]:
    """The image of `origin`, to be put into `pool` (None: where there is room for anything).

    Raises what is wrong with it at the property `where`, NoSpace.
    """
    if pool is not None:
        pool_kind.require(pool, "upload", ("pool",))
    free = lookup.free_bytes(pool) if pool is not None else sys.maxsize
    verifier = at(origin.checksum_at, lambda: origin.verifier(work))
    with at(where, lambda: _open(work, origin, free)) as source:
        raw = origin.format == "raw"
        # Only by its name: the bytes of a disk may begin as an archive's do.
        packed = not raw or images.named_as_packed(origin.name)
        inside = (
            at(where, lambda: images.unpacked(source, limit_bytes=free, verifier=verifier, raw=raw)) if packed else None
        )
        image = inside or source
        info = at(where, lambda: images.inspect(image.head(), image.total_bytes, raw=raw))
        needed = _allocated(origin.path) if origin.path is not None else source.total_bytes
        if pool is not None and needed is not None and needed > free:
            raise NoSpace(
                f'storage pool "{pool.name()}" has {free} bytes left, and the image takes {needed}', path=("pool",)
            )
        yield Opened(info, inside is not None, verifier if inside is None else None, image)


def at(path: Path, call: Callable[[], T]) -> T:
    """The result of `call`; an error that names no property is put on `path`."""
    try:
        return call()
    except JvpError as error:
        error.path = error.path or path
        raise


def uploaded(work: Work, checksum: str, where: Path) -> str:
    """The file of an uploaded image. Raises Rejected where this call has none."""
    found = work.uploads.get(checksum)
    if found is None:
        raise Rejected(
            f"there is no upload {checksum}: upload the image to the REST API, and declare it there",
            path=where,
        )
    return found


def _open(work: Work, origin: Origin, limit: int) -> images.Source:
    if origin.path is not None:
        return images.open_path(origin.path, work)
    allow = origin.allow_private_redirects
    return images.open_url(origin.url or "", work, limit_bytes=limit, allow_private_redirects=allow)


def _allocated(path: str) -> int:
    """What a file takes on a disk, holes left out; 0 for a device, whose holes only reading shows."""
    try:
        return FilePath(path).stat().st_blocks * 512
    except OSError:
        return 0


def verify(work: Work, origin: Origin) -> None:
    """Raises Invalid when a file that is in the pool already does not hash to what is declared now."""
    verifier = at(("source", "checksum"), lambda: origin.verifier(work))
    assert verifier is not None

    def read() -> None:
        with images.open_path(origin.path or "", work) as opened_:
            for segment in opened_.segments():
                verifier.update(segment)
        verifier.check()

    at(("source", "path"), read)

"""Images that come packed: by gzip, xz, bzip2 or zstd, in a tar or zip archive, unpacked while they stream.

A published checksum is of the file as it is published, so it is checked here, before unpacking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Final, Protocol, Self

from jvp.core.errors import Invalid
from jvp.images.archives import Judge, from_tar, from_zip
from jvp.images.checksum import Verifier
from jvp.images.formats import inspect
from jvp.images.segments import DATA_MAX, HEAD_BYTES, Data, Segment, punched, rechunked, size_text
from jvp.images.source import Source

_XZ_MEMORY: Final = 256 * 1024 * 1024
"""`xz -9` needs 65 MiB to unpack; a header may ask for 4 GiB."""
_ZSTD_WINDOW: Final = 128 * 1024 * 1024
"""What the command `zstd` takes without being asked to take more."""
_ZSTD_STEP: Final = 1024
"""So little is fed at once: four bytes may stand for 128 KiB, and the decoder cannot be told to stop."""


_SKIPPABLE: Final = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
"""A frame of zstd that stands for nothing, as pzstd writes before each of its own."""
_SUFFIXES: Final = (".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz2", ".zst", ".tzst", ".tar", ".zip")
_MAGIC_BYTES: Final = 6
_LAYERS_MAX: Final = 3
"""disk.raw in a tar archive, compressed, in a zip archive."""
_Unpack = Callable[[Iterator[bytes]], Iterator[bytes]]


class Decoder(Protocol):
    """One stream of one format, in the manner of `lzma.LZMADecompressor`."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """`zlib`'s decoder with the manners of the others."""

    def __init__(self) -> None:
        import zlib

        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = len(out) < max_length
        return out


class _Zstd:
    """zstandard's decoder with the manners of the others; what it gives at once may be more than was asked for."""

    def __init__(self) -> None:
        import zstandard

        self._inner = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        self._held = b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + self._held

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._held += data
        parts: list[bytes] = []
        length = at = 0
        while at < len(self._held) and length < max_length and not self._inner.eof:
            parts.append(self._inner.decompress(self._held[at : at + _ZSTD_STEP]))
            length += len(parts[-1])
            at += _ZSTD_STEP
        self._held = self._held[at:]
        self.needs_input = not self._held
        return b"".join(parts)


def _decoder(head: bytes) -> tuple[str, Decoder] | None:
    """A fresh decoder for what starts with `head`; None when that is not compressed. New formats go here."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip", _Gzip()
    if head.startswith(b"\xfd7zXZ\x00"):
        import lzma

        return "xz", lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    if head.startswith(b"BZh"):
        import bz2

        return "bzip2", bz2.BZ2Decompressor()
    if head.startswith(b"\x28\xb5\x2f\xfd") or _SKIPPABLE.match(head):
        return "zstd", _Zstd()
    return None


def _step(name: str, decoder: Decoder, data: bytes) -> bytes:
    try:
        return decoder.decompress(data, DATA_MAX)
    except Exception as error:  # each library has its own, and bz2 uses OSError
        raise Invalid(f"the {name} archive is broken: {str(error).lower().rstrip('.')}") from error


class UnpackedSource:
    """Another source's image, unpacked. Its length is known to nobody before the end."""

    def __init__(self, packed: Source, unpack: _Unpack, verifier: Verifier | None = None) -> None:
        self._packed, self._unpack, self._verifier = packed, unpack, verifier
        self.total_bytes: int | None = None
        self._chunks = rechunked(self._all_of_it())
        self._first: list[bytes] = []

    def head(self) -> bytes:
        """Raises as `segments` does."""
        while sum(map(len, self._first)) < HEAD_BYTES:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._first.append(chunk)
        return b"".join(self._first)[:HEAD_BYTES]

    def segments(self) -> Iterator[Segment]:
        """Raises what the packed source raises, and Invalid: broken, too long, not the promised checksum."""
        yield from punched(self._all())

    def _all(self) -> Iterator[bytes]:
        while self._first:
            yield self._first.pop(0)
        yield from self._chunks

    def _compressed(self) -> Iterator[bytes]:
        for segment in self._packed.segments():
            if self._verifier is not None:
                self._verifier.update(segment)
            if isinstance(segment, Data):
                yield segment.data
            else:
                for start in range(0, segment.length, DATA_MAX):
                    yield bytes(min(DATA_MAX, segment.length - start))

    def _all_of_it(self) -> Iterator[bytes]:
        packed = self._compressed()
        yield from self._unpack(packed)
        for _ in packed:  # what follows the end is part of what was published
            pass
        if self._verifier is not None:
            self._verifier.check()

    def close(self) -> None:
        self._chunks.close()
        self._packed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _decompressed(head: bytes, limit_bytes: int, packed: Iterator[bytes]) -> Iterator[bytes]:
    found = _decoder(head)
    assert found is not None
    name, decoder = found
    out = 0
    ended = False  # between two streams, or after the last: only zeros and further streams may follow
    held = b""  # what came after the end and is too short to say what it is
    for data in packed:
        if ended:
            data, held = (held + data).lstrip(b"\0"), b""
            if len(data) < _MAGIC_BYTES:
                held = data
                continue
            following = _following(name, data)
            if following is None:
                return
            ended, decoder = False, following
        while True:
            piece = _step(name, decoder, data)
            out += len(piece)
            if out > limit_bytes:
                raise Invalid(f"the {name} archive holds more than the limit of {size_text(limit_bytes)}")
            if piece:
                yield piece
            data = b""
            if decoder.eof:
                data = decoder.unused_data.lstrip(b"\0")
                if len(data) < _MAGIC_BYTES:
                    held, ended = data, True
                    break
                following = _following(name, data)
                if following is None:
                    return
                decoder = following
            elif decoder.needs_input:
                break
    if held:
        _refuse_rest(name)
    if not ended:
        raise Invalid(f"the {name} archive ends early; it is cut off")


def _following(name: str, data: bytes) -> Decoder | None:
    """The decoder of a further stream; None where nothing is to be made of what follows. Raises Invalid."""
    found = _decoder(data)
    if found is not None and found[0] == name:
        return found[1]
    _refuse_rest(name)
    return None


def _refuse_rest(name: str) -> None:
    """Raise Invalid for what follows the last stream, but not of gzip: images of routers carry their metadata there,
    and the command `gzip` only warns of it."""
    if name != "gzip":
        raise Invalid(f"the {name} archive is broken: something else follows it")


def named_as_packed(name: str) -> bool:
    """Whether a file is called as one that is compressed, or an archive."""
    return name.lower().endswith(_SUFFIXES)


def _no_image(head: bytes, size: int | None, *, raw: bool) -> str | None:
    """Why this is no image; what is packed may hold one."""
    if _decoder(head) is not None:
        return None
    try:
        inspect(head, size, raw=raw)
    except Invalid as error:
        return error.message
    return None


def _unpacker(head: bytes, limit_bytes: int, judge: Judge) -> _Unpack | None:
    """How to unpack what begins so; None when it is not packed."""
    if _decoder(head) is not None:
        return partial(_decompressed, head, limit_bytes)
    if head.startswith(b"ustar", 257):
        return lambda packed: from_tar(packed, limit_bytes, judge)
    if head.startswith(b"PK\x03\x04"):
        return lambda packed: from_zip(packed, limit_bytes, judge)
    return None


def _all_layers(limit_bytes: int, judge: Judge, chunks: Iterator[bytes], layers: int = _LAYERS_MAX) -> Iterator[bytes]:
    """What is in the innermost of several layers."""
    chunks = rechunked(chunks)  # a decoder may give 32 MiB at once
    head = b""
    while len(head) < HEAD_BYTES and (chunk := next(chunks, None)) is not None:
        head += chunk
    unpack = _unpacker(head, limit_bytes, judge) if layers else None
    whole = chain((head,) if head else (), chunks)
    if unpack is None:
        yield from whole
        return
    yield from _all_layers(limit_bytes, judge, unpack(whole), layers - 1)
    for _ in whole:  # so that what follows an archive is unpacked, and judged, too
        pass


def unpacked(source: Source, *, limit_bytes: int, verifier: Verifier | None = None, raw: bool = False) -> Source | None:
    """The image inside a packed source, of at most `limit_bytes`; None when the source is not packed.

    verifier: checks the packed bytes; do not give it to `fill` then. raw: any file in an archive may be the image.
    The result owns `source`.
    """
    judge = partial(_no_image, raw=raw)
    if _unpacker(source.head(), limit_bytes, judge) is None:
        return None
    return UnpackedSource(source, partial(_all_layers, limit_bytes, judge), verifier)


def without_encoding(source: Source, encoding: str, *, limit_bytes: int) -> Source:
    """The body of an answer that came compressed, though nobody had asked for that. Raises Invalid.

    The result owns `source`.
    """
    known = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
    if encoding not in known:
        raise Invalid(f"the server sends it in the encoding {encoding[:40]!r}, which was not asked for")
    head = source.head()
    found = _decoder(head)
    if found is None or found[0] != known[encoding]:
        return source  # the header is not true
    return UnpackedSource(source, partial(_decompressed, head, limit_bytes))

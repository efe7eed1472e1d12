"""Images that come compressed: gzip, xz, bzip2, zstd, unpacked while they stream.

A published checksum is of the file as it is published, so it is checked here, before unpacking.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, Self

from jvp.core.errors import Invalid
from jvp.images.checksum import Verifier
from jvp.images.segments import DATA_MAX, HEAD_BYTES, Data, Segment, punched, rechunked, size_text
from jvp.images.source import Source

_XZ_MEMORY: Final = 256 * 1024 * 1024
"""`xz -9` needs 65 MiB to unpack; a header may ask for 4 GiB."""
_ZSTD_WINDOW: Final = 128 * 1024 * 1024
"""What the command `zstd` takes without being asked to take more."""
_ZSTD_STEP: Final = 1024
"""So little is fed at once: four bytes may stand for 128 KiB, and the decoder cannot be told to stop."""


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
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd", _Zstd()
    return None


def _step(name: str, decoder: Decoder, data: bytes) -> bytes:
    try:
        return decoder.decompress(data, DATA_MAX)
    except Exception as error:  # each library has its own, and bz2 uses OSError
        raise Invalid(f"the {name} archive is broken: {str(error).lower().rstrip('.')}") from error


class UnpackedSource:
    """Another source's image, unpacked. Its length is known to nobody before the end."""

    def __init__(self, packed: Source, limit_bytes: int, verifier: Verifier | None) -> None:
        self._packed, self._limit, self._verifier = packed, limit_bytes, verifier
        self.total_bytes: int | None = None
        self._chunks = rechunked(self._unpack())
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

    def _unpack(self) -> Iterator[bytes]:
        found = _decoder(self._packed.head())
        assert found is not None
        name, decoder = found
        out = 0
        ended = False  # between two streams, or after the last: only zeros and further streams may follow
        held = b""  # what came after the end and is too short to say what it is
        for data in self._compressed():
            if ended:
                data, held = (held + data).lstrip(b"\0"), b""
                if len(data) < 6:
                    held = data
                    continue
                ended, decoder = False, self._next(name, data)
            while True:
                piece = _step(name, decoder, data)
                out += len(piece)
                if out > self._limit:
                    raise Invalid(f"the {name} archive holds more than the limit of {size_text(self._limit)}")
                if piece:
                    yield piece
                data = b""
                if decoder.eof:
                    data = decoder.unused_data.lstrip(b"\0")
                    if len(data) < 6:
                        held, ended = data, True
                        break
                    decoder = self._next(name, data)
                elif decoder.needs_input:
                    break
        if held:
            raise self._rest(name)
        if not ended:
            raise Invalid(f"the {name} archive ends early; it is cut off")
        if self._verifier is not None:
            self._verifier.check()

    def _next(self, name: str, data: bytes) -> Decoder:
        found = _decoder(data)
        if found is None or found[0] != name:
            raise self._rest(name)
        return found[1]

    def _rest(self, name: str) -> Invalid:
        return Invalid(f"the {name} archive is broken: something else follows it")

    def close(self) -> None:
        self._chunks.close()
        self._packed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def unpacked(source: Source, *, limit_bytes: int, verifier: Verifier | None = None) -> Source | None:
    """The image inside a compressed source, of at most `limit_bytes`; None when the source is not compressed.

    verifier: checks the compressed bytes; do not give it to `fill` then. The result owns `source`.
    """
    if _decoder(source.head()) is None:
        return None
    return UnpackedSource(source, limit_bytes, verifier)

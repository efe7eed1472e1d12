"""Two questions about an image's bytes: are they the promised ones, and the same as before?"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from jvp.core.errors import Invalid
from jvp.images.segments import BLOCK, Data, Segment

_HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}
_ZEROS: Final = bytes(1024 * 1024)
_ZERO_BLOCK: Final = bytes(BLOCK)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the publisher of an image says that its file hashes to."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def parse_checksum(text: str) -> Checksum:
    """Read `sha256:<hex>`, `sha512:<hex>`, or the bare hex digits of either. Raises Invalid."""
    name, colon, digits = text.strip().rpartition(":")
    name, digits = name.strip().lower().replace("sha-", "sha"), digits.strip().lower()
    if not colon:
        name = next((known for known, length in _HEX_LENGTH.items() if length == len(digits)), "")
        if not name or not re.fullmatch(r"[0-9a-f]+", digits):
            raise Invalid("not a checksum: write sha256: with 64 hexadecimal digits, or sha512: with 128")
    if name not in _HEX_LENGTH:
        raise Invalid(f"checksums by {name or 'no name'!r} are not known; use sha256 or sha512")
    if len(digits) != _HEX_LENGTH[name] or not re.fullmatch(r"[0-9a-f]+", digits):
        raise Invalid(f"a {name} checksum has {_HEX_LENGTH[name]} hexadecimal digits; this one is not that")
    return Checksum(name, digits)


class Verifier:
    """Hashes an image as it passes by. Holes are hashed as the zeros that they stand for."""

    def __init__(self, expected: Checksum) -> None:
        self._expected = expected
        self._hash = hashlib.new(expected.algorithm)

    def update(self, segment: Segment) -> None:
        if isinstance(segment, Data):
            self._hash.update(segment.data)
            return
        left = segment.length
        while left > 0:
            self._hash.update(_ZEROS if left >= len(_ZEROS) else _ZEROS[:left])
            left -= len(_ZEROS)

    def check(self) -> None:
        """After the last segment. Raises Invalid with what was expected and what was found."""
        found = Checksum(self._expected.algorithm, self._hash.hexdigest())
        if found != self._expected:
            raise Invalid(f"the image's checksum does not match: expected {self._expected}, found {found}")


class ContentDigest:
    """A digest of an image that does not depend on which of its zeros are holes, and costs nothing for holes.

    Defined as SHA-256 over, for every block of 64 KiB that is not all zeros: its index (8 bytes, big-endian)
    and its bytes; then 8 bytes of ones and the length (8 bytes, big-endian). The last block may be shorter.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._part = bytearray()  # the begun block up to `_size`; empty also when that is all hole

    def update(self, segment: Segment) -> None:
        if isinstance(segment, Data):
            self._data(segment.data)
        else:
            self._hole(segment.length)

    def _data(self, data: bytes) -> None:
        at = 0
        inside = self._size % BLOCK
        if inside:
            at = min(BLOCK - inside, len(data))
            if not self._part:
                self._part = bytearray(inside)  # a hole until here
            self._part += data[:at]
            self._size += at
            if len(self._part) == BLOCK:
                self._flush()
        view = memoryview(data)
        while at + BLOCK <= len(data):
            if not data.startswith(_ZERO_BLOCK, at):
                self._hash.update((self._size // BLOCK).to_bytes(8, "big"))
                self._hash.update(view[at : at + BLOCK])
            at += BLOCK
            self._size += BLOCK
        if at < len(data):
            self._part += data[at:]
            self._size += len(data) - at

    def _hole(self, length: int) -> None:
        if self._part:
            fill = min(BLOCK - len(self._part), length)
            self._part += bytes(fill)
            self._size += fill
            length -= fill
            if len(self._part) == BLOCK:
                self._flush()
        self._size += length

    def _flush(self) -> None:
        if self._part.strip(b"\0"):
            self._hash.update(((self._size - 1) // BLOCK).to_bytes(8, "big"))
            self._hash.update(self._part)
        self._part = bytearray()

    def hexdigest(self) -> str:
        """After the last segment, once: 64 hexadecimal digits."""
        self._flush()
        self._hash.update(struct.pack(">8sQ", b"\xff" * 8, self._size))
        return self._hash.hexdigest()


def content_digest(segments: Iterable[Segment]) -> str:
    """The `ContentDigest` of a whole image."""
    digest = ContentDigest()
    for segment in segments:
        digest.update(segment)
    return digest.hexdigest()

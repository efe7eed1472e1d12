"""The disk inside a qcow2 image, read here and there. Source: QEMU, docs/interop/qcow2.txt."""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict
from typing import Final

from jvp.images import qcow2
from jvp.images.ranged import Budget, GaveUp, Read, exactly

_OFFSET: Final = (1 << 56) - 512
"""Bits 9 to 55: where a table or a cluster is."""
_COMPRESSED, _ZERO = 1 << 62, 1
_KEPT: Final = 8
"""Clusters of up to 2 MiB."""


class Disk:
    """What a guest sees of an image without a backing file."""

    def __init__(self, file: Read, budget: Budget) -> None:
        """Raises GaveUp, Invalid for a header that cannot be."""
        head = file(0, 4096)
        header = qcow2.parse(head)
        qcow2.refuse_unusable(header, None)
        self._zstd = header.version == 3 and int.from_bytes(head[100:104]) > 104 and head[104:105] == b"\x01"
        if header.extended_l2:
            raise GaveUp("sub-clusters")
        self.size = header.virtual_bytes
        self._file, self._budget, self._header = file, budget, header
        self._cluster = header.cluster_bytes
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        """As `Read` does. Raises GaveUp."""
        self._budget.spend(length)
        end = min(offset + length, self.size)
        parts = []
        while 0 <= offset < end:
            number, within = divmod(offset, self._cluster)
            wanted = min(self._cluster - within, end - offset)
            parts.append(self._part(number, within, wanted))
            offset += wanted
        return b"".join(parts)

    def _part(self, number: int, within: int, length: int) -> bytes:
        entry = self._entry(number)
        if entry & _COMPRESSED:
            return self._unpacked(number, entry)[within : within + length]
        place = entry & _OFFSET
        if entry & _ZERO or not place:
            return bytes(length)
        return exactly(self._file, place + within, length)

    def _entry(self, number: int) -> int:
        one, two = divmod(number, self._cluster // 8)
        if one >= self._header.l1_entries:
            raise GaveUp("beyond the L1 table")
        table = self._number(self._header.l1_offset + 8 * one) & _OFFSET
        return self._number(table + 8 * two) if table else 0

    def _number(self, offset: int) -> int:
        return int(struct.unpack(">Q", exactly(self._file, offset, 8))[0])

    def _unpacked(self, number: int, entry: int) -> bytes:
        found = self._kept.pop(number, None)
        if found is None:
            self._budget.spend(self._cluster)
            bits = 62 - (self._cluster.bit_length() - 1 - 8)
            place, sectors = entry & ((1 << bits) - 1), (entry & (_COMPRESSED - 1)) >> bits
            packed = self._file(place, (sectors + 1) * 512 - place % 512)
            found = (_zstd if self._zstd else _deflated)(packed, self._cluster)
            if len(found) != self._cluster:
                raise GaveUp("a cluster that does not unpack")
        self._kept[number] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


def _deflated(packed: bytes, length: int) -> bytes:
    try:
        return zlib.decompressobj(-15).decompress(packed, length)
    except zlib.error:
        raise GaveUp("a cluster that does not unpack") from None


def _zstd(packed: bytes, length: int) -> bytes:
    import zstandard

    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 24).stream_reader(packed)
        return reader.read(length)
    except zstandard.ZstdError:
        raise GaveUp("a cluster that does not unpack") from None

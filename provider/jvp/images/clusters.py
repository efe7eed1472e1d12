"""Which parts of an image hold nothing but zeros, and a qcow2 layer that says so of the image below it.

Such a layer holds no data: each of its clusters is either a zero or not there. Merged into the image below, with
discard, it gives the room of these clusters back, and all reads as before.

Source: QEMU, docs/interop/qcow2.txt.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from jvp.core.errors import Invalid
from jvp.images.qcow2 import MAGIC, Qcow2

HOLE, ZEROS, DATA = 0, 1, 2
"""What a cluster of a file is: not stored, stored as zeros, anything else."""
RAW_CLUSTER: Final = 64 * 1024
"""So much of a raw image is given back or not, as of a qcow2 one that was made without further words."""
MOST: Final = 1 << 28
"""So many clusters of an image are looked at, whatever it claims: each takes a byte of memory."""
_COMPRESSED, _ZERO, _OFFSET = 1 << 62, 1, 0x00FFFFFFFFFFFE00
_STEP: Final = 64 * 1024
_NOUGHT: Final = bytes(_STEP)
Read = Callable[[int, int], bytes]
"""The bytes of a file, from an offset on, so many."""


class Contents:
    """What each cluster of a file is, learned from its pieces in order; a number is a hole of that length."""

    def __init__(self, length: int, cluster: int) -> None:
        """Raises Invalid for more clusters than can be looked at."""
        self.cluster, self._at = cluster, 0
        count = -(-length // cluster)
        _refuse_more(count, cluster)
        self.kinds = bytearray(count)
        self.stored = 0
        """Bytes that are no holes."""

    def feed(self, piece: bytes | int) -> None:
        """The next piece."""
        if isinstance(piece, int):
            self._at += piece
            return
        start, length = 0, len(piece)
        while start < length:
            inside = self._at % self.cluster
            step = min(length - start, self.cluster - inside, _STEP)
            nought = _NOUGHT if step == _STEP else _NOUGHT[:step]
            kind = ZEROS if piece.startswith(nought, start) else DATA
            place = self._at // self.cluster
            if place < len(self.kinds) and self.kinds[place] < kind:
                self.kinds[place] = kind
            start += step
            self._at += step
        self.stored += length

    def of(self, offset: int) -> int:
        """What the cluster at an offset is; what lies beyond the end is a hole."""
        place = offset // self.cluster
        return self.kinds[place] if place < len(self.kinds) else HOLE


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster that a qcow2 image keeps of its own."""

    guest: int
    """Its place in the disk, in clusters."""
    host: int
    """Its place in the file in bytes; 0 where it has none."""
    zero: bool
    """Whether it reads as zeros, whatever is at its place in the file."""
    compressed: bool


def entries(image: Qcow2, read: Read) -> Iterator[Entry]:
    """The clusters that an image keeps itself, in the order of the disk. Raises Invalid where its tables are cut off,
    or have room for too many.

    Its header is usable, and tells of no subclusters.
    """
    per_table = image.cluster_bytes // 8
    first = _words(read, image.l1_offset, image.l1_entries)
    _refuse_more(sum(1 for entry in first if entry & _OFFSET) * per_table, image.cluster_bytes)
    for number, entry in enumerate(first):
        if not (at := entry & _OFFSET):
            continue
        for place, found in enumerate(_words(read, at, per_table), number * per_table):
            if found & _COMPRESSED:
                yield Entry(place, found & (_COMPRESSED - 1), zero=False, compressed=True)
            elif found:
                yield Entry(place, found & _OFFSET, zero=bool(found & _ZERO), compressed=False)


def _words(read: Read, at: int, count: int) -> tuple[int, ...]:
    found = read(at, 8 * count)
    if len(found) != 8 * count:
        raise Invalid(f"the image is cut off: a table of its clusters at byte {at} is not there")
    return struct.unpack(f">{count}Q", found)


def _refuse_more(count: int, cluster: int) -> None:
    if count > MOST:
        raise Invalid(f"the image has room for {count} clusters of {cluster} bytes, and {MOST} can be looked at")


@dataclass(frozen=True, slots=True)
class Idle:
    """The clusters of a disk that take room for nothing."""

    cluster: int
    tables: dict[int, bytearray]
    """A 1 for each cluster that reads as zeros and may be given back, by the tables that a layer has of them: all but
    those that would be empty."""


def idle_of_raw(size: int, found: Contents, *, holes: bool) -> Idle:
    """Those of a raw disk, and its `holes` where room is taken for them. A last cluster that is not whole stays."""
    told, per_table, whole = bytes([holes, 1, 0]) + bytes(253), found.cluster // 8, size // found.cluster
    tables: dict[int, bytearray] = {}
    for number, at in enumerate(range(0, whole, per_table)):
        zeros = found.kinds[at : min(at + per_table, whole)].translate(told)
        if any(zeros):
            tables[number] = zeros
    return Idle(found.cluster, tables)


def idle_of_qcow2(image: Qcow2, read: Read, found: Contents, *, holes: bool) -> Idle:
    """Those that a qcow2 image keeps itself: what it does not keep reads as the image below."""
    per_table, whole = image.cluster_bytes // 8, image.virtual_bytes // image.cluster_bytes
    tables: dict[int, bytearray] = {}
    for one in entries(image, read):
        if one.compressed or not one.host or one.guest >= whole:
            continue
        kind = found.of(one.host)
        if (one.zero or kind != DATA) and (holes or kind != HOLE):
            number, place = divmod(one.guest, per_table)
            if number not in tables:
                tables[number] = bytearray(per_table)
            tables[number][place] = 1
    return Idle(image.cluster_bytes, tables)


def layer(size: int, idle: Idle) -> Iterator[bytes]:
    """A qcow2 image of a disk of `size` bytes that holds the zeros of `idle`, in pieces of one cluster."""
    cluster = idle.cluster
    per_table = cluster // 8
    tables = sorted(idle.tables)
    l1_entries = max(1, -(-size // (cluster * per_table)))
    l1_clusters = -(-l1_entries * 8 // cluster)
    used = 1 + l1_clusters + len(tables)
    blocks, counts = _refcounts(used, cluster)
    l1_at, refs_at = cluster, used * cluster
    bits = cluster.bit_length() - 1
    head = MAGIC + struct.pack(">IQIIQIIQQIIQ", 3, 0, 0, bits, size, 0, l1_entries, l1_at, refs_at, counts, 0, 0)
    yield (head + struct.pack(">QQQII", 0, 0, 0, 4, 104) + bytes(8)).ljust(cluster, b"\0")
    l1 = bytearray(l1_clusters * cluster)
    for place, number in enumerate(tables):
        offset = (1 + l1_clusters + place) * cluster
        struct.pack_into(">Q", l1, number * 8, offset | 1 << 63)
    yield from _cut(l1, cluster)
    for number in tables:
        table, part = bytearray(cluster), idle.tables[number]
        table[7 : 8 * len(part) : 8] = part
        yield bytes(table)
    yield from _refcount_clusters(used, blocks, counts, cluster)


def _refcounts(used: int, cluster: int) -> tuple[int, int]:
    """How many clusters the reference counts take, and their table, where `used` others are to be counted."""
    blocks = counts = 0
    while True:
        enough = -(-(used + blocks + counts) // (cluster // 2))
        if (blocks, counts) == (enough, -(-8 * enough // cluster)):
            return blocks, counts
        blocks, counts = enough, -(-8 * enough // cluster)


def _refcount_clusters(used: int, blocks: int, counts: int, cluster: int) -> Iterator[bytes]:
    """The table, and the blocks after it: each cluster of the image is used once."""
    table = bytearray(counts * cluster)
    for number in range(blocks):
        struct.pack_into(">Q", table, number * 8, (used + counts + number) * cluster)
    yield from _cut(table, cluster)
    yield from _cut((b"\0\1" * (used + blocks + counts)).ljust(blocks * cluster, b"\0"), cluster)


def _cut(data: bytes | bytearray, cluster: int) -> Iterator[bytes]:
    for at in range(0, len(data), cluster):
        yield bytes(data[at : at + cluster])


def length_of(pieces: Iterable[bytes]) -> int:
    """What pieces are long together."""
    return sum(map(len, pieces))

"""Clusters that take room for nothing: what they cost to find, whatever an image claims."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

from jvp.core.errors import Invalid
from jvp.images import clusters, qcow2

pytestmark = pytest.mark.unit
CLUSTER = 65536


def image(path: Path, virtual: int, tables: dict[int, int]) -> qcow2.Qcow2:
    """A qcow2 file of a disk of this size, with tables of clusters at these places; each has one cluster of zeros."""
    entries = -(-virtual // (CLUSTER * CLUSTER // 8))
    head = qcow2.MAGIC + struct.pack(">IQIIQIIQQII", 3, 0, 0, 16, virtual, 0, entries, CLUSTER, 8 << 30, 1, 0)
    head += struct.pack(">QQQQII", 0, 0, 0, 0, 4, 104)
    with path.open("wb") as file:
        file.write(head)
        for number, at in tables.items():
            file.seek(CLUSTER + 8 * number)
            file.write(struct.pack(">Q", at | 1 << 63))
            file.seek(at)
            file.write(struct.pack(">Q", (at + CLUSTER) | 1 << 63).ljust(CLUSTER, b"\0"))
        file.truncate(256 << 20)
    return qcow2.parse(head.ljust(CLUSTER, b"\0"))


def test_a_disk_that_claims_to_be_huge_costs_what_it_keeps(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    header = image(path, 1 << 51, {0: 64 << 20, 4_000_000: 65 << 20})  # 2 PiB: as much as a header can say
    with path.open("rb") as file:

        def read(at: int, count: int) -> bytes:
            file.seek(at)
            return file.read(count)

        found = clusters.Contents(256 << 20, CLUSTER)
        found.feed(64 << 20)
        for _ in range(64):
            found.feed(bytes(CLUSTER))
        tracemalloc.start()
        try:
            idle = clusters.idle_of_qcow2(header, read, found, holes=False)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert {number: sum(table) for number, table in idle.tables.items()} == {0: 1, 4_000_000: 1}
    assert most < 256 << 20  # the table of its tables, and their numbers
    layer = clusters.layer(header.virtual_bytes, idle)
    assert qcow2.parse(next(layer)).virtual_bytes == 1 << 51
    tables = [piece for piece in layer if len(piece) == CLUSTER and piece[7] == 1 and piece.count(1) == 1]
    assert len(tables) == 2


def test_more_clusters_than_can_be_looked_at_are_refused() -> None:
    with pytest.raises(Invalid, match="the image has room for 268435457 clusters of 65536 bytes"):
        clusters.Contents((1 << 44) + 1, clusters.RAW_CLUSTER)
    header = qcow2.Qcow2(3, 1 << 51, CLUSTER, 1 << 22, CLUSTER, 0, 1, None, None, None, False, False, False, False, 0)
    with pytest.raises(Invalid, match="and 268435456 can be looked at"):  # all its tables are the same one
        next(clusters.entries(header, lambda at, count: struct.pack(">Q", 1 << 20) * (count // 8)))


def test_a_raw_disk_keeps_its_last_cluster_where_that_is_not_whole() -> None:
    found = clusters.Contents(3 * CLUSTER + 512, CLUSTER)
    for piece in (bytes(CLUSTER), b"x" * CLUSTER, CLUSTER, bytes(512)):
        found.feed(piece)
    assert clusters.idle_of_raw(3 * CLUSTER + 512, found, holes=False).tables == {0: bytearray((1, 0, 0))}
    assert clusters.idle_of_raw(3 * CLUSTER + 512, found, holes=True).tables == {0: bytearray((1, 0, 1))}

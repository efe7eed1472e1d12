"""XFS, read: enough of it to find a file and its content.

Source: XFS Algorithms & Data Structures, 3rd edition; Linux, fs/xfs/libxfs/xfs_format.h. The log is not played back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from jvp.images.file_tree import Node
from jvp.images.ranged import GaveUp, Read, exactly

_LOCAL, _EXTENTS, _TREE = 1, 2, 3
_FOLDER_END: Final = 32 * 1024**3
"""What of a folder lies behind that is its index."""
_FOLDER_MAX: Final = 4 * 1024 * 1024
_EXTENTS_MAX: Final = 10_000
_DEPTH_MAX: Final = 6
_BIG_COUNT: Final = 0x10
_V5_INCOMPAT: Final = 0xFF
"""What is known of the features without which nothing can be read."""


class Xfs:
    """The file system that begins at `start` of a disk."""

    def __init__(self, disk: Read, start: int) -> None:
        """Raises GaveUp where there is none."""
        block = exactly(disk, start, 264)
        if not block.startswith(b"XFSB"):
            raise GaveUp("no XFS")
        self._disk, self._start = disk, start
        (self._block,) = struct.unpack_from(">I", block, 4)
        (self._root,) = struct.unpack_from(">Q", block, 56)
        (self._group,) = struct.unpack_from(">I", block, 84)
        version, _sector, self._inode = struct.unpack_from(">HHH", block, 100)
        self._inodes_log, self._group_log = block[123], block[124]
        more, _same, _compat, _readable, incompat = struct.unpack_from(">IIIII", block, 200)
        self._five = version & 0xF == 5
        self._typed = int(bool(incompat & 1 if self._five else more & 0x200))
        self._folder_block = self._block << min(block[192], 7)
        whole = 512 <= self._block <= 65536 and 256 <= self._inode <= 2048 and self._folder_block <= 65536
        if not whole or self._inodes_log > 8 or self._group_log > 40 or (self._five and incompat & ~_V5_INCOMPAT):
            raise GaveUp("an XFS of a form that is not known")

    def root(self) -> Node:
        return self._node(self._root)

    def child(self, folder: Node, name: bytes) -> Node | None:
        if folder.body[5] == _LOCAL:
            number = self._short(self._fork(folder), name)
            return self._node(number) if number else None
        each = self._folder_block // self._block
        for index in range(min(folder.size, _FOLDER_MAX, _FOLDER_END) // self._folder_block + 1):
            block = b"".join(self._file_block(folder, index * each + one) for one in range(each))
            number = self._long(block, name)
            if number:
                return self._node(number)
        return None

    def content(self, node: Node, limit: int) -> bytes:
        length = min(node.size, limit)
        if node.body[5] == _LOCAL:
            return self._fork(node)[:length]
        found = b"".join(self._file_block(node, index) for index in range(-(-length // self._block)))
        is_link = node.mode & 0o170000 == 0o120000
        return found[56:][:length] if is_link and found.startswith(b"XSLM") else found[:length]

    def _short(self, fork: bytes, name: bytes) -> int:
        """The inode of a name in a folder that is kept in its own inode; 0 where it is none of it."""
        wide = 8 if fork[1] else 4
        at = 2 + wide
        for _ in range(fork[0]):
            length = fork[at]
            end = at + 3 + length + self._typed
            if fork[at + 3 : at + 3 + length] == name:
                return int.from_bytes(fork[end : end + wide], "big")
            at = end + wide
            if at >= len(fork):
                break
        return 0

    def _long(self, block: bytes, name: bytes) -> int:
        """The same in a block of a folder."""
        kind, end = block[:4], len(block)
        if kind in (b"XD2B", b"XDB3"):
            end -= 8 + 8 * int(struct.unpack_from(">I", block, end - 8)[0])
        elif kind not in (b"XD2D", b"XDD3"):
            return 0
        at = 64 if self._five else 16
        while 0 < at + 11 <= end:
            free, length = struct.unpack_from(">HH", block, at)
            if free == 0xFFFF:
                if length < 8:
                    break
                at += length
                continue
            named = block[at + 8]
            if named == len(name) and block[at + 9 : at + 9 + named] == name:
                return int(struct.unpack_from(">Q", block, at)[0])
            at += -(-(8 + 1 + named + self._typed + 2) // 8) * 8
        return 0

    def _node(self, number: int) -> Node:
        group, rest = divmod(number, 1 << (self._group_log + self._inodes_log))
        block, index = divmod(rest, 1 << self._inodes_log)
        body = self._read((group * self._group + block) * self._block + index * self._inode, self._inode)
        if not body.startswith(b"IN"):
            raise GaveUp(f"no inode {number}")
        return Node(number, struct.unpack_from(">H", body, 2)[0], struct.unpack_from(">Q", body, 56)[0], body)

    def _fork(self, node: Node) -> bytes:
        """What an inode has in itself of its content, or of where that is."""
        core = 176 if node.body[4] == 3 else 100
        end = core + 8 * node.body[82] if node.body[82] else len(node.body)
        return node.body[core:end]

    def _file_block(self, node: Node, index: int) -> bytes:
        for first, place, count in self._extents(node):
            if first <= index < first + count:
                group, block = divmod(place + index - first, 1 << self._group_log)
                return self._read((group * self._group + block) * self._block, self._block)
        return bytes(self._block)

    def _extents(self, node: Node) -> Iterator[tuple[int, int, int]]:
        """Of a file: the first block, where it is on the disk, and how many there are."""
        fork, kind = self._fork(node), node.body[5]
        if kind == _EXTENTS:
            big = node.body[4] == 3 and struct.unpack_from(">Q", node.body, 120)[0] & _BIG_COUNT
            count = struct.unpack_from(">Q", node.body, 24)[0] if big else struct.unpack_from(">I", node.body, 76)[0]
            yield from _records(fork, min(count, len(fork) // 16))
        elif kind == _TREE:
            level, count = struct.unpack_from(">HH", fork)
            yield from self._leaves(fork, 4, level, count, [_EXTENTS_MAX])
        else:
            raise GaveUp("a file that is kept in another way")

    def _leaves(self, block: bytes, at: int, level: int, count: int, left: list[int]) -> Iterator[tuple[int, int, int]]:
        """The records below a node of the tree of a file, of which so many are `left` to be looked at."""
        most = (len(block) - at) // 16
        if not 0 < level <= _DEPTH_MAX or count > most:
            raise GaveUp("a broken tree of extents")
        for (pointer,) in struct.iter_unpack(">Q", block[at + 8 * most : at + 8 * (most + count)]):
            group, number = divmod(pointer, 1 << self._group_log)
            below = self._read((group * self._group + number) * self._block, self._block)
            head = 72 if self._five else 24
            magic, deep, held = struct.unpack_from(">4sHH", below)
            left[0] -= 1 + held
            if magic not in (b"BMA3", b"BMAP") or deep != level - 1 or left[0] < 0:
                raise GaveUp("a broken tree of extents")
            if deep:
                yield from self._leaves(below, head, deep, held, left)
            else:
                yield from _records(below[head:], min(held, (len(below) - head) // 16))

    def _read(self, offset: int, length: int) -> bytes:
        return exactly(self._disk, self._start + offset, length)


def _records(raw: bytes, count: int) -> Iterator[tuple[int, int, int]]:
    for high, low in struct.iter_unpack(">QQ", raw[: 16 * count]):
        if not high >> 63:  # else it is not written yet
            yield high >> 9 & (1 << 54) - 1, (high & 0x1FF) << 43 | low >> 21, low & 0x1FFFFF

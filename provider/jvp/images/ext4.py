"""ext4 (and ext2, ext3), read: enough of it to find a file and its content.

Source: Linux, Documentation/filesystems/ext4. The journal is not played back: it is empty in an image that
was published.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from jvp.images.file_tree import Node
from jvp.images.ranged import GaveUp, Read, exactly

_ROOT: Final = 2
_64BIT, _EXTENTS_OF = 0x80, 0x80000
_UNKNOWN: Final = 0x1 | 0x8 | 0x10
"""Compression, a journal alone, descriptors in groups of their own."""
_ODD: Final = 0x800 | 0x10000000
"""Of a file: encrypted, or inside its inode."""
_FOLDER_MAX: Final = 4 * 1024 * 1024
_DEPTH_MAX: Final = 5


class Ext4:
    """The file system that begins at `start` of a disk."""

    def __init__(self, disk: Read, start: int) -> None:
        """Raises GaveUp where there is none."""
        block = exactly(disk, start + 1024, 264)
        if block[56:58] != b"\x53\xef":
            raise GaveUp("no ext4")
        self._disk, self._start = disk, start
        (self._inodes,) = struct.unpack_from("<I", block, 0)
        (scale,) = struct.unpack_from("<I", block, 24)
        (self._per_group,) = struct.unpack_from("<I", block, 40)
        (revision,) = struct.unpack_from("<I", block, 76)
        (features,) = struct.unpack_from("<I", block, 96)
        if scale > 6 or not self._per_group or features & _UNKNOWN:
            raise GaveUp("an ext4 of a form that is not known")
        self._block = 1024 << scale
        self._inode = struct.unpack_from("<H", block, 88)[0] if revision else 128
        self._descriptor = struct.unpack_from("<H", block, 254)[0] if features & _64BIT else 32
        if not 128 <= self._inode <= self._block or not 32 <= self._descriptor <= 1024:
            raise GaveUp("an ext4 of a form that is not known")
        self._groups_at = (2 if self._block == 1024 else 1) * self._block

    def root(self) -> Node:
        return self._node(_ROOT)

    def child(self, folder: Node, name: bytes) -> Node | None:
        for index in range(-(-min(folder.size, _FOLDER_MAX) // self._block)):
            number = self._entry(self._file_block(folder, index), name)
            if number:
                return self._node(number)
        return None

    def _entry(self, block: bytes, name: bytes) -> int:
        """The inode of a name in a block of a folder. What an index keeps there is an entry of no inode."""
        at = 0
        while at + 8 <= len(block):
            number, length, named = struct.unpack_from("<IHB", block, at)
            if length < 8:
                break
            if number and named == len(name) and block[at + 8 : at + 8 + named] == name:
                return int(number)
            at += length
        return 0

    def content(self, node: Node, limit: int) -> bytes:
        length = min(node.size, limit)
        is_link = node.mode & 0o170000 == 0o120000
        if is_link and node.size < 60 and not self._flags(node) & _EXTENTS_OF:
            return node.body[40 : 40 + length]
        blocks = (self._file_block(node, index) for index in range(-(-length // self._block)))
        return b"".join(blocks)[:length]

    def _node(self, number: int) -> Node:
        if not 0 < number <= self._inodes:
            raise GaveUp(f"no inode {number}")
        group, index = divmod(number - 1, self._per_group)
        where = self._read(self._groups_at + group * self._descriptor, self._descriptor)
        table = struct.unpack_from("<I", where, 8)[0]
        if self._descriptor >= 64:
            table |= struct.unpack_from("<I", where, 40)[0] << 32
        body = self._read(table * self._block + index * self._inode, 128)
        node = Node(
            number,
            struct.unpack_from("<H", body, 0)[0],
            struct.unpack_from("<I", body, 4)[0] | struct.unpack_from("<I", body, 108)[0] << 32,
            body,
        )
        if self._flags(node) & _ODD:
            raise GaveUp("a file that is kept in another way")
        return node

    def _flags(self, node: Node) -> int:
        return int(struct.unpack_from("<I", node.body, 32)[0])

    def _file_block(self, node: Node, index: int) -> bytes:
        place = self._extent(node.body[40:100], index) if self._flags(node) & _EXTENTS_OF else self._mapped(node, index)
        return self._read(place * self._block, self._block) if place else bytes(self._block)

    def _extent(self, tree: bytes, index: int) -> int:
        """The block of the disk that holds a block of a file; 0 for a hole."""
        for _ in range(_DEPTH_MAX + 1):
            magic, count, _most, depth = struct.unpack_from("<HHHH", tree, 0)
            if magic != 0xF30A or count > (len(tree) - 12) // 12:
                raise GaveUp("a broken extent tree")
            entries = [tree[12 + 12 * one : 24 + 12 * one] for one in range(count)]
            if not depth:
                return next(self._covering(entries, index), 0)
            below = [entry for entry in entries if struct.unpack_from("<I", entry)[0] <= index]
            if not below:
                return 0
            low, high = struct.unpack_from("<IH", below[-1], 4)
            tree = self._read((high << 32 | low) * self._block, self._block)
        raise GaveUp("an extent tree that is too deep")

    def _covering(self, entries: list[bytes], index: int) -> Iterator[int]:
        for entry in entries:
            first, count, high, low = struct.unpack("<IHHI", entry)
            if count <= 32768 and first <= index < first + count:  # a longer one is not written yet
                yield (high << 32 | low) + index - first

    def _mapped(self, node: Node, index: int) -> int:
        """The same where a file has a list of its blocks, as in ext2."""
        pointers = struct.unpack_from("<15I", node.body, 40)
        if index < 12:
            return int(pointers[index])
        index, each = index - 12, self._block // 4
        if index < each:
            return self._pointer(pointers[12], index)
        first, second = divmod(index - each, each)
        return self._pointer(self._pointer(pointers[13], first), second) if first < each else 0

    def _pointer(self, block: int, index: int) -> int:
        return struct.unpack("<I", self._read(block * self._block + 4 * index, 4))[0] if block else 0

    def _read(self, offset: int, length: int) -> bytes:
        return exactly(self._disk, self._start + offset, length)

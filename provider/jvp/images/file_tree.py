"""Files of a file system by their paths, links followed, whatever kind it is."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Final, Protocol

from jvp.images.ranged import GaveUp

_STEPS_MAX: Final = 100
"""Of one path, links and what they lead over included."""


@dataclass(frozen=True, slots=True)
class Node:
    """A file or folder."""

    number: int
    mode: int
    size: int
    body: bytes
    """Of its inode, in which the kind of file system finds the rest."""


class FileSystem(Protocol):
    """A file system that is read. All raise GaveUp."""

    def root(self) -> Node: ...

    def child(self, folder: Node, name: bytes) -> Node | None:
        """What is called so in a folder; None where nothing is."""
        ...

    def content(self, node: Node, limit: int) -> bytes:
        """The first bytes of a file, or where a link leads."""
        ...


def found(system: FileSystem, path: str) -> Node | None:
    """The file at an absolute path; None where there is none, or it is no file. Raises GaveUp."""
    folders, left = [system.root()], _parts(path.encode())
    for _ in range(_STEPS_MAX):
        if not left:
            return None
        name = left.pop()
        if name == b"..":
            folders = folders[:-1] or folders
            continue
        node = system.child(folders[-1], name) if name != b"." else folders[-1]
        if node is None:
            return None
        if stat.S_ISLNK(node.mode):
            to = system.content(node, 4096)
            folders = folders[:1] if to.startswith(b"/") else folders
            left += _parts(to)
        elif stat.S_ISDIR(node.mode):
            folders.append(node)
        else:
            return node if not left and stat.S_ISREG(node.mode) else None
    raise GaveUp("a path without end")


def _parts(path: bytes) -> list[bytes]:
    """The names of a path, the first one last."""
    return [part for part in reversed(path.split(b"/")) if part]

"""What operating system is on a disk, by what the disk says of itself. Nothing of it is run.

Read are the file systems ext2, ext3, ext4 and XFS of its partitions, and there `os-release` and the kind of a program.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from jvp.core.errors import Invalid
from jvp.core.text import shortened
from jvp.images import file_tree, partitions, qcow2, qcow2_clusters
from jvp.images.ext4 import Ext4
from jvp.images.file_tree import FileSystem
from jvp.images.ranged import Budget, GaveUp, Pages, Read, Spent
from jvp.images.xfs import Xfs

_PATHS: Final = ("/etc/os-release", "/usr/lib/os-release", "/lib/os-release")
"""The last one where /usr is a partition of its own."""
_PROGRAMS: Final = ("/bin/sh", "/usr/bin/env", "/sbin/init", "/bin/env")
_FILE_MAX: Final = 16 * 1024
_NAME_MAX: Final = 100
_WORD: Final = re.compile(r"[a-z0-9._-]{1,60}", re.ASCII)
_LINE: Final = re.compile(r"\s*(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*?)\s*", re.ASCII)
_MACHINES: Final = {0x03: "i686", 0x15: "ppc64", 0x16: "s390x", 0x28: "armv7l", 0x3E: "x86_64", 0xB7: "aarch64",
                    0xF3: "riscv64", 0x102: "loongarch64"}  # fmt: skip
"""As the kernel calls them. Source: elf.h."""
_KINDS: Final[tuple[Callable[[Read, int], FileSystem], ...]] = (Ext4, Xfs)


@dataclass(frozen=True, slots=True)
class System:
    """An operating system. What is not told is empty."""

    release: str
    """Its id and version: debian-12."""
    name: str
    """For a person: Debian GNU/Linux 12 (bookworm)."""
    architecture: str


def detected(read: Read, size: int, check: Callable[[], None] = lambda: None) -> System | None:
    """What is on the disk image of `size` bytes, raw or qcow2; None where that cannot be told.

    Raises what `read` and `check` raise.
    """
    budget = Budget(check)
    try:
        disk = _disk(Pages(read, size, budget).read, budget)
        for start in partitions.starts(disk):
            for kind in _KINDS:
                try:
                    if (found := _system(kind(disk, start))) is not None:
                        return found
                except Spent:
                    raise
                except (GaveUp, struct.error, IndexError):
                    continue
    except (GaveUp, Invalid, struct.error, IndexError):
        pass
    return None


def _disk(file: Read, budget: Budget) -> Read:
    return qcow2_clusters.Disk(file, budget).read if file(0, 4) == qcow2.MAGIC else file


def _system(system: FileSystem) -> System | None:
    for path in _PATHS:
        node = file_tree.found(system, path)
        if node is not None and (found := parsed(system.content(node, _FILE_MAX))) is not None:
            return System(*found, _architecture(system))
    return None


def parsed(text: bytes) -> tuple[str, str] | None:
    """The release and the name that an `os-release` tells; None where it tells no id. Source: os-release(5)."""
    known = dict(_pairs(text.decode("utf-8", "replace")))
    id_, version = (known.get(name, "").lower() for name in ("ID", "VERSION_ID"))
    if not _WORD.fullmatch(id_):
        return None
    release = f"{id_}-{version}" if _WORD.fullmatch(version) else id_
    return release, shortened(known.get("PRETTY_NAME", ""), _NAME_MAX)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            value = match["value"]
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            yield match["name"], re.sub(r"\\(.)", r"\1", value)


def _architecture(system: FileSystem) -> str:
    """For which processors its programs are; empty where none tells."""
    for path in _PROGRAMS:
        try:
            node = file_tree.found(system, path)
            head = system.content(node, 20) if node is not None else b""
        except Spent:
            return ""
        except (GaveUp, struct.error, IndexError):
            continue
        if len(head) == 20 and head.startswith(b"\x7fELF") and head[5] in (1, 2):
            machine = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
            name = _MACHINES.get(machine, "")
            return "ppc64le" if name == "ppc64" and head[5] == 1 else name
    return ""

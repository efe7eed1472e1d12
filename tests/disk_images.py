"""Disk images with an operating system, or what looks like one, as distributions publish them."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

TOOLS = ("mkfs.ext4", "mkfs.xfs", "qemu-img")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
_AT = 1 << 20
"""Where the one partition begins."""


def system(folder: Path, release: str, *, machine: int = 0x3E) -> Path:
    """The files of a system: os-release behind a link, as it is everywhere, among programs that fill a folder."""
    for name in ("etc", "usr/lib", "usr/bin"):
        (folder / name).mkdir(parents=True)
    (folder / "usr/lib/os-release").write_text(release)
    (folder / "etc/os-release").symlink_to("../usr/lib/os-release")
    (folder / "bin").symlink_to("/usr/bin")
    for number in range(400):
        (folder / f"usr/bin/a-program-of-a-long-name-{number}").touch()
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine)
    (folder / "usr/bin/dash").write_bytes(elf + bytes(100))
    (folder / "usr/bin/sh").symlink_to("dash")
    return folder


def ext4(folder: Path, image: Path, *options: str) -> Path:
    """A file system with what is in the folder."""
    subprocess.run(["mkfs.ext4", "-q", "-F", *options, "-d", folder, image, "8M"], check=True, capture_output=True)
    return image


def xfs(folder: Path, image: Path, *options: str) -> Path:
    """The same of XFS, which takes no less than 300 MiB; they are a hole."""
    proto = image.with_suffix(".proto")
    proto.write_text("\n".join(["none", "0 0", "d--755 0 0", *_lines(folder), "$", ""]))
    words = ["mkfs.xfs", "-q", "-f", "-d", f"file,name={image},size=400m", "-p", proto, *options]
    subprocess.run(words, check=True, capture_output=True)
    return image


def _lines(folder: Path) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        if entry.is_symlink():
            yield f"{entry.name} l--777 0 0 {Path(entry.path).readlink()}"
        elif entry.is_dir():
            yield f"{entry.name} d--755 0 0"
            yield from _lines(Path(entry.path))
            yield "$"
        else:
            yield f"{entry.name} ---755 0 0 {entry.path}"


def gpt(system: Path, disk: Path) -> Path:
    """A disk with a small first partition, and the file system in the second one."""
    size = system.stat().st_size
    first = struct.pack("<16s16sQQ16x", b"\2" * 16, b"\3" * 16, 64, 127)
    second = struct.pack("<16s16sQQ16x", b"\1" * 16, b"\4" * 16, _AT // 512, (_AT + size) // 512 - 1)
    table = b"EFI PART" + bytes(64) + struct.pack("<QII", 2, 128, 128)
    return _disk(system, disk, _boot_sector(0xEE, 1), table.ljust(512, b"\0") + first.ljust(128, b"\0") + second)


def mbr(system: Path, disk: Path) -> Path:
    """The same with a partition table of the old kind."""
    return _disk(system, disk, _boot_sector(0x83, _AT // 512))


def _boot_sector(kind: int, start: int) -> bytes:
    entry = struct.pack("<4xB3xII", kind, start, 1 << 20)
    return bytes(446) + entry.ljust(64, b"\0") + b"\x55\xaa"


def _disk(system: Path, disk: Path, *head: bytes) -> Path:
    disk.write_bytes(b"".join(head).ljust(_AT, b"\0") + system.read_bytes() + bytes(1 << 20))
    return disk


def qcow2(disk: Path, image: Path, *options: str) -> Path:
    """The same disk in the other format."""
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", *options, disk, image], check=True)
    return image

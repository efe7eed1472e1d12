"""What an image says of itself: read from disks that were made by the tools of distributions, and from hostile ones."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import disk_images

from jvp.images import System, detected
from jvp.images.os_release import parsed
from jvp.images.ranged import _PAGES_MAX, PAGE

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(bool(disk_images.MISSING), reason=f"not installed: {', '.join(disk_images.MISSING)}"),
]
RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
DEBIAN = System("debian-12", "Debian GNU/Linux 12 (bookworm)", "x86_64")
Patches = dict[int, bytes]


class Image:
    """An image with bytes changed, and what was read of it."""

    def __init__(self, path: Path, patches: Patches | None = None, size: int | None = None) -> None:
        self._file, self._patches = os.open(path, os.O_RDONLY), patches or {}
        self.size = path.stat().st_size if size is None else size
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        assert 0 <= offset < offset + length <= self.size
        found = bytearray(os.pread(self._file, length, offset))
        for place, data in self._patches.items():
            for at, byte in enumerate(data, place - offset):
                if 0 <= at < len(found):
                    found[at] = byte
        return bytes(found)

    def told(self) -> System | None:
        try:
            return detected(self.read, self.size)
        finally:
            os.close(self._file)
            assert len(self.reads) <= _PAGES_MAX
            assert sum(length for _, length in self.reads) <= _PAGES_MAX * PAGE


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("os")
    files = disk_images.system(folder / "debian", RELEASE)
    plain = disk_images.ext4(files, folder / "ext4")
    disk = disk_images.gpt(plain, folder / "gpt")
    images = [
        plain, disk, disk_images.mbr(plain, folder / "mbr"),
        disk_images.ext4(files, folder / "ext2", "-b", "1024", "-O", "^has_journal,^extent,^64bit"),
        disk_images.xfs(files, folder / "xfs"),
        disk_images.xfs(files, folder / "xfs4", "-m", "crc=0", "-n", "size=8192"),
        disk_images.qcow2(disk, folder / "qcow2"), disk_images.qcow2(disk, folder / "packed", "-c"),
        disk_images.qcow2(disk, folder / "zstd", "-c", "-o", "compression_type=zstd,cluster_size=4096"),
    ]  # fmt: skip
    return {image.name: image for image in images}


KINDS = ("ext4", "gpt", "mbr", "ext2", "xfs", "xfs4", "qcow2", "packed", "zstd")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_found_wherever_it_lies_and_however_it_is_packed(made: dict[str, Path], kind: str) -> None:
    image = Image(made[kind])
    assert image.told() == DEBIAN
    assert len(image.reads) < 40


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (RELEASE, ("debian-12", "Debian GNU/Linux 12 (bookworm)")),
        ("ID=arch\nPRETTY_NAME='Arch Linux'", ("arch", "Arch Linux")),
        ('\ufeff# a\r\n ID="opensuse-leap" \r\nVERSION_ID="15.6"\r\n', ("opensuse-leap-15.6", "")),
        ('ID=x\nPRETTY_NAME="a \\"b\\" \\$c"', ("x", 'a "b" $c')),
        ("ID=x\nVERSION_ID=../..", ("x", "")),
        ("ID=x\nPRETTY_NAME=\x1b[31m<{%red%}>\u202e", ("x", "\\x1b[31m<\\x7b%red%}>\\u202e")),
        ("ID=x\nPRETTY_NAME=" + "n" * 1000, ("x", "n" * 99 + "…")),
        ("ID=\nNAME=Debian", None),
        ("ID=a b", None),
        ("ID=" + "x" * 100, None),
        ("", None),
    ],
)
def test_os_release(text: str, means: tuple[str, str] | None) -> None:
    assert parsed(text.encode()) == means


@given(st.binary())
def test_no_os_release_is_anything_but_read(text: bytes) -> None:
    if (found := parsed(text)) is not None:
        assert found[0].isascii()
        assert found[1].isprintable()


def _folder(tmp_path: Path, change: Callable[[Path], object]) -> System | None:
    files = disk_images.system(tmp_path / "files", RELEASE)
    change(files)
    return Image(disk_images.ext4(files, tmp_path / "image")).told()


def _relinked(name: str, to: str) -> Callable[[Path], object]:
    def change(files: Path) -> None:
        (files / name).unlink()
        (files / name).symlink_to(to)

    return change


@pytest.mark.parametrize(
    ("change", "means"),
    [
        (lambda files: (files / "usr/lib/os-release").unlink(), None),
        (lambda files: (files / "etc/os-release").unlink(), DEBIAN),
        (_relinked("usr/lib/os-release", "/etc/os-release"), None),
        (_relinked("etc/os-release", "/../../.././usr/./lib/../lib//os-release"), DEBIAN),
        (_relinked("etc/os-release", "os-release/x"), None),
        (_relinked("etc/os-release", "/usr/" + 60 * "lib/../" + "lib/os-release"), None),
        (_relinked("usr/bin/sh", "sh"), System(DEBIAN.release, DEBIAN.name, "")),
        (lambda files: (files / "usr/bin/dash").write_bytes(b"#!/bin/sh"), System(DEBIAN.release, DEBIAN.name, "")),
    ],
)
def test_links_and_what_is_not_there(
    tmp_path: Path, change: Callable[[Path], object], means: System | None
) -> None:  # fmt: skip
    """A link that leads nowhere, or round in circles, is none; one that leads out of the disk does not leave it."""
    assert _folder(tmp_path, change) == means


def test_what_is_no_system_is_unknown(tmp_path: Path) -> None:
    for content in (bytes(1 << 20), b"\xff" * 70_000, b"QFI\xfb" + bytes(2000), b"x", bytes(510) + b"\x55\xaa"):
        (tmp_path / "image").write_bytes(content)
        assert Image(tmp_path / "image").told() is None
    assert detected(lambda offset, length: b"", 0) is None


@pytest.mark.parametrize("kind", ["ext4", "qcow2", "xfs"])
def test_what_is_cut_off_is_unknown_or_told_right(made: dict[str, Path], kind: str) -> None:
    for size in (1000, 1100, 5000, 70_000, 200_000, 1 << 20, (1 << 20) + 5000):
        assert Image(made[kind], size=size).told() in (None, DEBIAN)


HOSTILE: list[tuple[str, Patches]] = [
    # Counts and sizes of ext4 as large as can be, a group of no inodes, inodes larger than a block.
    ("ext4", {1024: b"\xff" * 8, 1024 + 40: b"\xff" * 4}),
    ("ext4", {1024 + 40: bytes(4)}),
    ("ext4", {1024 + 88: b"\xff\xff"}),
    ("ext4", {1024 + 24: b"\xff" * 4}),
    # GPT: entries without end, far away, of no length.
    ("gpt", {512 + 72: struct.pack("<QII", 2, 2**32 - 1, 128)}),
    ("gpt", {512 + 72: struct.pack("<QII", 2**63, 128, 4096)}),
    ("gpt", {512 + 72: struct.pack("<QII", 2, 128, 0)}),
    # qcow2: the table of tables is its own; clusters of no length; a size beyond all.
    ("qcow2", {40: struct.pack(">Q", 0)}),
    ("qcow2", {20: struct.pack(">I", 64)}),
    ("qcow2", {24: struct.pack(">Q", 2**62)}),
    # XFS: groups and blocks of no length, or larger than can be.
    ("xfs", {4: bytes(4)}),
    ("xfs", {84: b"\xff" * 4}),
    ("xfs", {123: b"\xff\xff"}),
]


@pytest.mark.parametrize(("kind", "patches"), HOSTILE)
def test_numbers_that_cannot_be_end_the_reading(made: dict[str, Path], kind: str, patches: Patches) -> None:
    assert Image(made[kind], patches).told() in (None, DEBIAN)


def test_a_disk_whose_tables_lead_to_themselves_is_left_in_the_end(made: dict[str, Path]) -> None:
    """Each cluster of the disk is the table of clusters itself."""
    raw = made["qcow2"].read_bytes()
    (table,) = struct.unpack_from(">Q", raw, 40)
    assert Image(made["qcow2"], {table: struct.pack(">Q", table | 1 << 63) * 64}).told() is None


@given(data=st.data())
def test_no_image_is_anything_but_read(made: dict[str, Path], data: st.DataObject) -> None:
    """Bytes changed at places that are read: an answer or none, never an error, and never more than is allowed."""
    path = made[data.draw(st.sampled_from(KINDS))]
    sound = Image(path)
    sound.told()
    places = st.sampled_from(sound.reads).flatmap(lambda one: st.integers(one[0], one[0] + one[1] - 1))
    values = st.one_of(
        st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f" + b"\xff" * 7])
    )
    found = Image(path, data.draw(st.dictionaries(places, values, min_size=1, max_size=8))).told()
    assert found is None or found.release.isascii()

from __future__ import annotations

import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.errors import Invalid
from jvp.images import HEAD_BYTES, inspect
from jvp.images.formats import _DISKS, _FOREIGN
from jvp.images.qcow2 import MAGIC

pytestmark = pytest.mark.unit

GIB = 2**30


def header(**change: Any) -> bytes:
    """A qcow2 version 3 header of 1 GiB, with `change` in its fields; `extensions` is what follows."""
    fields: dict[str, Any] = {
        "magic": MAGIC, "version": 3, "backing_at": 0, "backing_length": 0, "cluster_bits": 16, "size": GIB,
        "crypt": 0, "l1_entries": 2, "l1_at": 3 << 16, "refcount_at": 1 << 16, "refcount_clusters": 1,
        "snapshots": 0, "snapshots_at": 0, "features": 0, "compatible": 0, "autoclear": 0, "order": 4,
        "length": 104, "extensions": b"",
    }  # fmt: skip
    assert change.keys() <= fields.keys()
    fields |= change
    extensions = fields.pop("extensions")
    packed: bytes = struct.pack(">4sIQIIQIIQQIIQQQQII", *fields.values())
    whole: bytes = packed + extensions
    return whole.ljust(HEAD_BYTES, b"\0")


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">II", kind, len(content)) + content.ljust((len(content) + 7) // 8 * 8, b"\0")


def disk(*marks: tuple[int, bytes], size: int = HEAD_BYTES) -> bytes:
    head = bytearray(size)
    for offset, magic in marks:
        head[offset : offset + len(magic)] = magic
    return bytes(head)


def refusal(head: bytes, size: int | None = None) -> str:
    with pytest.raises(Invalid) as caught:
        inspect(head, size)
    assert caught.value.path == ()
    message = caught.value.message
    assert message[0].islower(), message
    assert not message.endswith("."), message
    return message


def test_a_sound_qcow2() -> None:
    info = inspect(header(), 4 << 16)
    assert (info.format, info.virtual_bytes, info.content) == ("qcow2", GIB, "qcow2 version 3")


def test_version_2_and_harmless_features_are_taken() -> None:
    assert inspect(header(version=2), None).format == "qcow2"
    assert inspect(header(features=0b1001), None).format == "qcow2"  # dirty, zstd clusters
    assert inspect(header(extensions=extension(0x6803F857, b"x" * 48)), None).format == "qcow2"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"backing_at": 512, "backing_length": 9}, "needs a backing file"),
        ({"features": 4}, "keeps its data in another file"),
        ({"features": 4, "extensions": extension(0x44415441, b"raw.img")}, "another file ('raw.img')"),
        ({"crypt": 1}, "is encrypted"),
        ({"crypt": 2}, "is encrypted"),
        ({"features": 2}, "marked as corrupt"),
        ({"features": 1 << 7}, "features that are not known here (bits 0x80)"),
        ({"version": 1}, "qcow version 1"),
        ({"version": 4}, "qcow version 4"),
        ({"cluster_bits": 8}, "clusters of 2^8"),
        ({"cluster_bits": 22}, "clusters of 2^22"),
        ({"size": 0}, "a disk of 0 bytes"),
        ({"size": 2**63}, "cannot be"),
        ({"size": 2**64 - 1}, "cannot be"),
        ({"size": 2 * GIB}, "needs 4 L1 entries, and it has 2"),
        ({"l1_entries": 2**32 - 1}, "L1 entries"),
        ({"l1_at": 0}, "L1 table cannot be at byte 0"),
        ({"l1_at": (3 << 16) + 1}, "L1 table cannot be"),
        ({"l1_at": 1 << 60}, "L1 table cannot be"),
        ({"l1_at": 4 << 16}, "cut off: its L1 table ends"),
        ({"refcount_at": 9 << 16}, "cut off: its refcount table"),
        ({"refcount_clusters": 0}, "refcount table cannot be"),
        ({"length": 80}, "claims to be 80 bytes"),
        ({"backing_at": 70000, "backing_length": 5}, "lies outside"),
        ({"backing_at": 512, "backing_length": 1024}, "lies outside"),
        ({"extensions": struct.pack(">II", 1, 2**31)}, "reaches beyond"),
    ],
)
def test_a_qcow2_that_cannot_be_used(change: dict[str, Any], says: str) -> None:
    assert says in refusal(header(**change), 4 << 16)


@pytest.mark.parametrize("length", [4, 71, 72, 103, 108])
def test_a_cut_off_header(length: int) -> None:
    assert "cut off" in refusal(header(extensions=extension(1, b"12345678"))[:length])


@given(st.binary(max_size=200), st.none() | st.integers(1, 2**40))
def test_no_header_is_anything_but_judged(rest: bytes, size: int | None) -> None:
    with suppress(Invalid):
        assert inspect(MAGIC + rest, size).format == "qcow2"


@given(st.binary(max_size=600))
def test_no_bytes_are_anything_but_judged(head: bytes) -> None:
    with suppress(Invalid):
        inspect(head, len(head))


@pytest.mark.parametrize(("offset", "magic", "name"), _DISKS)
def test_every_kind_of_disk(offset: int, magic: bytes, name: str) -> None:
    info = inspect(disk((offset, magic)), GIB)
    assert (info.format, info.virtual_bytes, info.content) == ("raw", GIB, name)


@pytest.mark.parametrize(("offset", "magic", "name"), _FOREIGN)
def test_every_foreign_kind(offset: int, magic: bytes, name: str) -> None:
    # a kernel and some archives carry a boot sector's signature too
    assert name in refusal(disk((510, b"\x55\xaa"), (offset, magic)), GIB)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><title>Not here</title>", "an HTML page"),
        (b"\n  <HTML><body>", "an HTML page"),
        (b"<!-- moved --><html>", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "an XML document"),
        (b'{"error": "no"}', "a JSON document"),
        (b"#!/bin/sh\necho", "a script"),
        (b"hello, world\n", "a text file"),
        ("grüße\n".encode(), "a text file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (bytes(512), "nothing but zeros"),
        (bytes(HEAD_BYTES), "an empty disk"),
        (b"\x00\x01\x02\x03" * 300, "the file does not look like a disk image: it has no format that is known, and"),
    ],
)
def test_what_is_no_image(head: bytes, says: str) -> None:
    assert says in refusal(head, len(head))


def test_archives_say_what_to_do() -> None:
    assert "unpack it first" in refusal(b"\x1f\x8b\x08" + bytes(600))
    assert "qemu-img convert" in refusal(b"KDMV" + bytes(600))


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "compat=1.1"], None),
        (["-o", "compat=0.10"], None),
        (["-o", "cluster_size=2M"], None),
        (["-o", "cluster_size=512"], None),
        (["-o", "extended_l2=on"], None),
        (["-o", "compression_type=zstd,lazy_refcounts=on"], None),
        (["-o", "data_file=DATA"], "another file"),
        (["-b", "BASE", "-F", "raw"], "backing file"),
        (["--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"], "encrypted"),
    ],
)
def test_images_that_qemu_made(tmp_path: Path, options: list[str], says: str | None) -> None:
    (tmp_path / "base").write_bytes(disk((510, b"\x55\xaa")))
    image = tmp_path / "image"
    options = [part.replace("DATA", str(tmp_path / "d")).replace("BASE", str(tmp_path / "base")) for part in options]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, image, "3G"], check=True)
    head, size = image.read_bytes()[:HEAD_BYTES], image.stat().st_size
    if says is None:
        info = inspect(head, size)
        assert (info.format, info.virtual_bytes) == ("qcow2", 3 * GIB)
        assert "cut off" in refusal(head, 70000 if size > 70000 else 600)
    else:
        assert says in refusal(head, size)


@pytest.mark.skipif(not shutil.which("mkfs.ext4"), reason="e2fsprogs is not installed")
def test_a_file_system_that_mkfs_made(tmp_path: Path) -> None:
    image = tmp_path / "fs"
    image.write_bytes(bytes(8 << 20))
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    assert inspect(image.read_bytes()[:HEAD_BYTES], 8 << 20).content.startswith("ext2")

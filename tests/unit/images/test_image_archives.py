"""The one image in an archive, as MikroTik (zip) and Debian (tar.xz) publish theirs."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import lzma
import os
import subprocess
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jvp.core.errors import Invalid, NoSpace
from jvp.core.work import Work
from jvp.images import Data, Segment, Source, Verifier, open_path, open_url, parse_checksum, unpacked
from jvp.images.segments import HEAD_BYTES

pytestmark = pytest.mark.unit

MIB = 1 << 20
DISK = bytes(510) + b"\x55\xaa" + os.urandom(300_000) + bytes(5 * MIB) + os.urandom(1000)
KINDS = ["tar", "zip"]


def flat(segments: Iterator[Segment]) -> bytes:
    return b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in segments)


def archive(kind: str, files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return made.getvalue()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content), tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def source_of(path: Path, content: bytes, *, limit: int = 100 * MIB, **options: Any) -> Source:
    path.write_bytes(content)
    made = unpacked(open_path(str(path), Work()), limit_bytes=limit, **options)
    assert made is not None
    return made


def read(path: Path, content: bytes, **options: Any) -> bytes:
    with source_of(path, content, **options) as source:
        return flat(source.segments())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "files",
    [
        {"chr.img": DISK},
        {"README": b"read me\n", "a/": b"", "a/../../disk.raw": DISK, "__MACOSX/._disk.raw": b"\0\5\x16\7" * 40},
        {"/etc/passwd": DISK, "sums": b"x" * (2 * HEAD_BYTES)},
    ],
)
def test_the_image_comes_out(tmp_path: Path, kind: str, files: dict[str, bytes]) -> None:
    packed = archive(kind, files)
    verifier = Verifier(parse_checksum(hashlib.sha256(packed).hexdigest()))
    with source_of(tmp_path / "a", packed, verifier=verifier) as source:
        assert source.head() == DISK[:HEAD_BYTES]
        assert flat(source.segments()) == DISK
    wrong = Verifier(parse_checksum("0" * 64))
    with pytest.raises(Invalid, match="does not match"):
        read(tmp_path / "a", packed, verifier=wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("packed", "raw"),
    [
        (lzma.compress(archive("tar", {"disk.raw": DISK})), False),
        (archive("zip", {"disk.raw.gz": gzip.compress(DISK)}), False),
        (archive("zip", {"data": b"anything"}), True),
        (gzip.compress(archive("tar", {"data": b"anything"})), True),
    ],
)
def test_layers_and_raw(tmp_path: Path, packed: bytes, raw: bool) -> None:
    assert read(tmp_path / "a", packed, raw=raw) == (b"anything" if raw else DISK)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"folder/": b""}, "holds no disk image$"),
        ({"a": DISK, "b": DISK}, "more than one disk image: 'a' and 'b'"),
        ({"a.vmdk": b"KDMV" * 999}, "holds no disk image .'a.vmdk': the file looks like a VMDK image; convert it"),
        ({"a\x1b[2J": b"text"}, r"'a\\x1b\[2J': the file looks like a text file"),
        ({str(n): b"text" for n in range(9)}, "'2': the file looks like a text file, not like a disk image; …"),
    ],
)
def test_what_holds_no_image_or_too_many(tmp_path: Path, kind: str, files: dict[str, bytes], says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        read(tmp_path / "a", archive(kind, files))
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("kind", KINDS)
def test_archives_that_are_broken(tmp_path: Path, kind: str) -> None:
    whole = archive(kind, {"disk": DISK})
    half = len(whole) // 2
    with pytest.raises(Invalid, match=f"the {kind} archive is broken"):
        read(tmp_path / "a", whole[:half])
    if kind == "zip":
        with pytest.raises(Invalid, match="the zip archive is broken"):
            read(tmp_path / "a", whole[:9999] + bytes([whole[9999] ^ 0xFF]) + whole[10_000:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_stopped(tmp_path: Path, kind: str) -> None:
    with pytest.raises(Invalid, match=r"holds more than the limit of 4\.0 MiB"):
        read(tmp_path / "a", archive(kind, {"disk": DISK + bytes(9 * MIB)}), limit=4 * MIB)


def test_a_header_takes_no_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.size, header.type = 1 << 32, tarfile.XHDTYPE
    (tmp_path / "a").write_bytes(header.tobuf())
    os.truncate(tmp_path / "a", 1 << 32)
    tracemalloc.start()
    source = unpacked(open_path(str(tmp_path / "a"), Work()), limit_bytes=1 << 40)
    assert source is not None
    with source, pytest.raises(Invalid, match="headers are too long"):
        flat(source.segments())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MIB


@pytest.mark.parametrize("options", [["-P", "secret"], ["-Z", "bzip2"]])
def test_zips_that_are_not_taken(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "disk").write_bytes(DISK)
    subprocess.run(["zip", "-q", *options, "a.zip", "disk"], cwd=tmp_path, check=True)
    with pytest.raises(Invalid, match="encrypted; unpack" if "-P" in options else "packed in a way"):
        read(tmp_path / "b", (tmp_path / "a.zip").read_bytes())


@pytest.mark.parametrize("format", ["gnu", "pax", "oldgnu", "ustar"])
def test_what_gnu_tar_makes_of_a_sparse_image(tmp_path: Path, format: str) -> None:
    (tmp_path / "disk").write_bytes(DISK[:400_000])
    os.truncate(tmp_path / "disk", 50 * MIB)
    with (tmp_path / "disk").open("r+b") as file:
        file.seek(20 * MIB)
        file.write(b"in the middle")
    (tmp_path / "link").symlink_to("/etc/passwd")
    sparse = [] if format == "ustar" else ["--sparse"]
    command = ["tar", "-c", *sparse, f"--format={format}", "-f", "a.tar", "link", "disk"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert read(tmp_path / "b", (tmp_path / "a.tar").read_bytes()) == (tmp_path / "disk").read_bytes()


def test_no_room_for_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    with pytest.raises(NoSpace, match="set TMPDIR to a folder that has"):
        read(tmp_path / "a", archive("zip", {"disk": DISK}))


def test_a_zip_from_an_address(server: Any) -> None:
    url = server.serve("/chr.img.zip", archive("zip", {"chr.img": DISK}))
    source = unpacked(open_url(url, Work(), limit_bytes=100 * MIB), limit_bytes=100 * MIB)
    assert source is not None
    with source:
        assert flat(source.segments()) == DISK


@settings(max_examples=200, deadline=None)
@example(kind="zip", flips=[(2731, 64)])
@given(kind=st.sampled_from(KINDS), flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 255)), max_size=8))
def test_no_archive_is_anything_but_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(archive(kind, {"note": b"n", "disk": DISK[:3000]}))
    for at, value in flips:
        if 4 < at < len(content) and not 256 < at < 263:
            content[at] ^= value
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(bytes(content))
    source = unpacked(open_path(str(path), Work()), limit_bytes=100 * MIB)
    assert source is not None
    with source, contextlib.suppress(Invalid):
        flat(source.segments())

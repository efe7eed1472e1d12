from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from jvp.core.errors import Invalid
from jvp.core.work import Work
from jvp.images import Data, Segment, Source, Verifier, open_path, open_url, parse_checksum, unpacked
from jvp.images.segments import BLOCK, HEAD_BYTES

pytestmark = pytest.mark.unit

MIB = 1 << 20
IMAGE = os.urandom(700_001) + bytes(9 * MIB) + os.urandom(300_000)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


FORMATS: list[Callable[[bytes], bytes]] = [gzip.compress, lzma.compress, bz2.compress, zstd]


def flat(segments: Iterator[Segment]) -> bytes:
    return b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in segments)


def opened(path: Path, content: bytes, *, limit: int = 100 * MIB, verifier: Verifier | None = None) -> Source:
    path.write_bytes(content)
    made = unpacked(open_path(str(path), Work()), limit_bytes=limit, verifier=verifier)
    assert made is not None
    return made


@pytest.mark.parametrize("pack", FORMATS)
@pytest.mark.parametrize("image", [IMAGE, b"", b"tiny", bytes(3 * MIB)])
def test_what_was_packed_comes_out(tmp_path: Path, pack: Callable[[bytes], bytes], image: bytes) -> None:
    packed = pack(image)
    verifier = Verifier(parse_checksum(hashlib.sha256(packed).hexdigest()))
    with opened(tmp_path / "a", packed, verifier=verifier) as source:
        assert source.head() == image[:HEAD_BYTES]
        assert source.total_bytes is None
        segments = list(source.segments())
    assert flat(iter(segments)) == image
    assert sum(s.length for s in segments if isinstance(s, Data)) <= MIB + 2 * BLOCK


@pytest.mark.parametrize("pack", FORMATS)
@pytest.mark.parametrize("padding", [0, 4, 70_000, 600_000])
def test_several_streams_and_padding(tmp_path: Path, pack: Callable[[bytes], bytes], padding: int) -> None:
    packed = pack(b"one") + pack(b"two" * 100) + bytes(padding)
    with opened(tmp_path / "a", packed) as source:
        assert flat(source.segments()) == b"one" + b"two" * 100
    with opened(tmp_path / "b", pack(b"one") + bytes(padding) + pack(b"two")) as source:
        assert flat(source.segments()) == b"onetwo"


@pytest.mark.parametrize("pack", FORMATS)
def test_archives_that_are_broken(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(IMAGE)
    half = len(whole) // 2
    cases = {
        "ends early": whole[:-9],
        "is broken": whole[:half] + bytes([whole[half] ^ 0xFF]) + whole[half + 1 :],
    }
    if pack is not gzip.compress:  # whose command only warns of it
        cases |= {"something else follows": whole + b"garbage", "else follows it": whole + b"g"}
    for says, content in cases.items():
        with opened(tmp_path / "a", content) as source, pytest.raises(Invalid, match=says):
            flat(source.segments())


@pytest.mark.parametrize("pack", FORMATS)
def test_a_bomb_is_stopped(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    with (
        opened(tmp_path / "a", pack(bytes(50 * MIB)), limit=4 * MIB) as source,
        pytest.raises(Invalid, match="limit"),
    ):
        flat(source.segments())


def test_a_bomb_of_blocks_takes_no_memory(tmp_path: Path) -> None:
    """Every four bytes of zstd may be 128 KiB: what is fed at once bounds what comes out."""
    packed = zstandard.ZstdCompressor(level=1).compress(bytes(512 * MIB))
    tracemalloc.start()
    with opened(tmp_path / "a", packed, limit=300 * MIB) as source, pytest.raises(Invalid, match="limit"):
        for _ in source.segments():
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * MIB


def test_a_wrong_checksum(tmp_path: Path) -> None:
    verifier = Verifier(parse_checksum(hashlib.sha256(IMAGE).hexdigest()))
    packed = gzip.compress(IMAGE)
    with (
        opened(tmp_path / "a", packed, verifier=verifier) as source,
        pytest.raises(Invalid, match="does not match"),
    ):
        flat(source.segments())


def test_a_plain_image_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(IMAGE)
    with open_path(str(tmp_path / "a"), Work()) as source:
        assert unpacked(source, limit_bytes=1) is None
        assert flat(source.segments()) == IMAGE


@pytest.mark.parametrize("rest", [b"g", b"garbage", b"\0\0{metadata}", os.urandom(700_000).replace(b"\x1f", b"a")])
def test_what_is_appended_to_gzip_is_left_out_and_hashed(tmp_path: Path, rest: bytes) -> None:
    """Images of OpenWrt carry their metadata so."""
    packed = gzip.compress(IMAGE) + rest
    verifier = Verifier(parse_checksum(hashlib.sha256(packed).hexdigest()))
    with opened(tmp_path / "a", packed, verifier=verifier) as source:
        assert flat(source.segments()) == IMAGE
    with (
        opened(tmp_path / "b", packed[:-1], verifier=Verifier(parse_checksum("0" * 64))) as source,
        pytest.raises(Invalid, match="does not match"),
    ):
        flat(source.segments())


def test_frames_that_are_skipped(tmp_path: Path) -> None:
    """As pzstd writes them before its own."""
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0size"
    with opened(tmp_path / "a", skipped + zstd(b"one") + b"\x5f\x2a\x4d\x18\0\0\0\0" + zstd(b"two")) as source:
        assert flat(source.segments()) == b"onetwo"
    with opened(tmp_path / "b", skipped + zstd(IMAGE)[:-9]) as source, pytest.raises(Invalid, match="ends early"):
        flat(source.segments())
    with opened(tmp_path / "c", skipped + b"garbage") as source, pytest.raises(Invalid, match="else follows"):
        flat(source.segments())


def test_from_an_address(server: Any) -> None:
    url = server.serve("/a.xz", lzma.compress(IMAGE))
    source = unpacked(open_url(url, Work(), limit_bytes=100 * MIB), limit_bytes=100 * MIB)
    assert source is not None
    with source:
        assert flat(source.segments()) == IMAGE


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("zstd", zstd)])
def test_a_server_that_compresses_unasked(server: Any, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    url = server.serve("/disk.raw", pack(IMAGE), Content_Encoding=encoding)
    with open_url(url, Work(), limit_bytes=100 * MIB) as source:
        assert source.total_bytes is None
        assert source.head() == IMAGE[:HEAD_BYTES]
        assert flat(source.segments()) == IMAGE
    with open_url(url, Work(), limit_bytes=MIB * 2) as source, pytest.raises(Invalid, match=r"limit of 2\.0 MiB"):
        flat(source.segments())


@pytest.mark.parametrize(
    ("name", "encoding"), [("/a.raw.zst", "zstd"), ("/a.img.xz", "x-xz"), ("/a.img.bz2", "x-bzip2"), ("/a.tgz", "gzip")]
)
def test_an_encoding_that_only_describes_the_file(server: Any, name: str, encoding: str) -> None:
    with open_url(server.serve(name, IMAGE, Content_Encoding=encoding), Work(), limit_bytes=len(IMAGE)) as source:
        assert flat(source.segments()) == IMAGE


def test_an_encoding_that_means_the_file_itself_or_is_not_true(server: Any) -> None:
    packed = gzip.compress(IMAGE)
    for path, body in (("/disk.raw.gz", packed), ("/disk.raw", IMAGE)):
        with open_url(server.serve(path, body, Content_Encoding="gzip"), Work(), limit_bytes=100 * MIB) as source:
            assert flat(source.segments()) == body
    with pytest.raises(Invalid, match="in the encoding 'br', which was not asked for"):
        open_url(server.serve("/a", b"x", Content_Encoding="br"), Work(), limit_bytes=100)


def test_an_encoded_answer_that_is_kept(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    image = os.urandom(5 * MIB)
    url = server.serve("/disk.raw", gzip.compress(image), Content_Encoding="gzip", ETag='"v1"')
    for _ in range(2):
        with open_url(url, Work(), limit_bytes=100 * MIB) as source:
            assert flat(source.segments()) == image
    assert len(list((tmp_path / "jvp" / "images").iterdir())) == 2

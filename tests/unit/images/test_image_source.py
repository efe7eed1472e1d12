from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jvp.images.digest_cache as cache
from jvp.core.errors import Cancelled, Invalid, NotFound, Unreachable
from jvp.core.work import Work
from jvp.images import Data, Hole, content_digest, file_digest_cached, open_path
from jvp.images.segments import BLOCK, DATA_MAX, HEAD_BYTES, Segment

pytestmark = pytest.mark.unit

MIB = 1 << 20


def flat(segments: Iterator[Segment]) -> bytes:
    return b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in segments)


def sparse(path: Path, size: int, *pieces: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
    return path


def test_a_sparse_file(tmp_path: Path) -> None:
    path = sparse(tmp_path / "a", 64 * MIB + 5, (10 * MIB + 4096, b"x" * 5000), (40 * MIB, os.urandom(3 * MIB)))
    with open_path(str(path), Work()) as source:
        assert source.total_bytes == 64 * MIB + 5
        assert source.head() == bytes(HEAD_BYTES)
        segments = list(source.segments())
    assert flat(iter(segments)) == path.read_bytes()
    assert sum(s.length for s in segments if isinstance(s, Data)) <= 3 * MIB + 2 * BLOCK
    assert all(s.length <= DATA_MAX for s in segments if isinstance(s, Data))


@pytest.mark.parametrize("size", [0, 1, 511, BLOCK, BLOCK + 1, 3 * MIB + 17])
@pytest.mark.parametrize("filled", [False, True])
def test_any_size(tmp_path: Path, size: int, filled: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(size)) if filled else sparse(path, size)
    with open_path(str(path), Work()) as source:
        assert source.head() == path.read_bytes()[:HEAD_BYTES]
        assert flat(source.segments()) == path.read_bytes()


def test_written_zeros_become_holes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" + bytes(8 * MIB))
    with open_path(str(path), Work()) as source:
        segments = list(source.segments())
    assert [type(segment) for segment in segments][:2] == [Data, Hole]
    assert sum(s.length for s in segments if isinstance(s, Data)) <= BLOCK + 1


def test_a_file_system_without_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sparse(tmp_path / "a", MIB, (5000, b"x"))
    seek = os.lseek

    def plain(fd: int, at: int, whence: int) -> int:
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(22, "Invalid argument")
        return seek(fd, at, whence)

    monkeypatch.setattr(os, "lseek", plain)
    with open_path(str(path), Work()) as source:
        assert flat(source.segments()) == path.read_bytes()


@pytest.mark.parametrize("how", ["shrinks", "is written"])
def test_a_file_that_changes(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(2 * MIB))

    def meddled(segments: Iterator[Segment]) -> Iterator[Segment]:
        yield next(segments)
        with path.open("r+b") as file:
            file.truncate(MIB) if how == "shrinks" else file.write(b"new")
        os.utime(path)
        yield from segments

    with (
        open_path(str(path), Work()) as source,
        pytest.raises(Invalid, match="was changed while it was read"),
    ):
        flat(meddled(source.segments()))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        open_path(str(tmp_path / "no"), Work())
    with pytest.raises(NotFound):
        open_path(str(tmp_path / "no" / "no"), Work())
    with pytest.raises(Invalid, match="is a folder"):
        open_path(str(tmp_path), Work())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Invalid, match="is a pipe"):
        open_path(str(tmp_path / "pipe"), Work())
    with pytest.raises(Invalid, match="character device"):
        open_path("/dev/null", Work())
    with pytest.raises(Unreachable, match="/proc/self/mem cannot be read"):
        open_path("/proc/self/mem", Work())
    with pytest.raises(Invalid, match="cannot be opened"):
        open_path("a\0b", Work())
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(Invalid, match="too many levels"):
        open_path(str(tmp_path / "loop"), Work())


def test_cancel_and_deadline(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(2 * MIB))
    work = Work()
    with open_path(str(path), work) as source:
        segments = source.segments()
        next(segments)
        work.cancelled.set()
        with pytest.raises(Cancelled):
            next(segments)
    with open_path(str(path), Work(deadline=0)) as source, pytest.raises(Unreachable, match="did not end"):
        list(source.segments())


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    path = sparse(tmp_path / "a", MIB)
    for _ in range(3):
        with open_path(str(path), Work()) as source:
            list(source.segments())
            source.close()
        with pytest.raises(Invalid):
            open_path(str(tmp_path), Work())
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.exists()]
    assert not [target for target in opened if target.is_relative_to(tmp_path)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_SETTLED_NS", -1)
    return tmp_path / "cache" / "jvp" / "digests.json"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return sparse(tmp_path / "image", 4 * MIB, (MIB, b"data"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry per file that was really hashed."""
    seen: list[str] = []

    def counted(segments: Any) -> str:
        seen.append("read")
        return content_digest(segments)

    monkeypatch.setattr(cache, "content_digest", counted)
    return seen


def test_the_digest_is_remembered(image: Path, store: Path, reads: list[str], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(image)
    first = file_digest_cached(str(image))
    assert file_digest_cached(str(image)) == first
    assert file_digest_cached(str(tmp_path / "link")) == first
    assert len(reads) == 1
    with open_path(str(image), Work()) as source:
        assert first == content_digest(source.segments())


def test_a_changed_file_is_read_again(image: Path, store: Path, reads: list[str]) -> None:
    first = file_digest_cached(str(image))
    status = image.stat()
    with image.open("r+b") as file:
        file.write(b"y")
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))  # a copy tool that keeps times: ctime tells
    assert file_digest_cached(str(image)) != first
    assert len(reads) == 2
    assert len(json.loads(store.read_text())["files"]) == 1


def test_a_fresh_file_is_not_remembered(
    image: Path, store: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SETTLED_NS", 2_000_000_000)
    os.utime(image)
    assert file_digest_cached(str(image)) == file_digest_cached(str(image))
    assert len(reads) == 2
    assert not store.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"version": 2, "files": {}}', b'{"version": 1, "files": [1]}', b"\xff\xfe",
     b"[" * 100_000, b'{"version": 1, "files": {"IMAGE": [1]}}', b'{"version": 1, "files": {"IMAGE": []}}'],
)  # fmt: skip
def test_a_broken_cache_is_only_slower(image: Path, store: Path, reads: list[str], content: bytes) -> None:
    store.parent.mkdir(parents=True)
    store.write_bytes(content.replace(b"IMAGE", str(image).encode()))
    assert file_digest_cached(str(image)) == file_digest_cached(str(image))
    assert len(reads) == 1


def test_an_unwritable_cache_is_only_slower(image: Path, store: Path, reads: list[str]) -> None:
    store.parent.parent.write_bytes(b"a file where the folder should be")
    assert file_digest_cached(str(image)) == file_digest_cached(str(image))
    assert len(reads) == 2


def test_racing_writers_leave_a_whole_cache(store: Path, tmp_path: Path) -> None:
    images = [sparse(tmp_path / f"i{n}", MIB, (n * 100, b"z")) for n in range(8)]
    threads = [threading.Thread(target=file_digest_cached, args=(str(path),)) for path in images * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(store.read_text())["files"]
    assert [path.name for path in store.parent.iterdir()] == ["digests.json"]


def test_the_cache_stays_small(image: Path, store: Path) -> None:
    store.parent.mkdir(parents=True)
    store.write_text(json.dumps({"version": 1, "files": {f"/{n}": [] for n in range(2000)}}))
    file_digest_cached(str(image))
    files = json.loads(store.read_text())["files"]
    assert len(files) == 500
    assert str(image) in files

"""Images through a real libvirt stream into a real pool, beside libvirt's own tool."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import statistics
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests import extent

from jvp.core.errors import Cancelled, Invalid
from jvp.core.work import Work
from jvp.images import (
    ContentDigest,
    Data,
    Segment,
    Verifier,
    file_digest_cached,
    fill,
    inspect,
    open_path,
    open_url,
    parse_checksum,
)

pytestmark = pytest.mark.lab

libvirt = pytest.importorskip("libvirt")

MIB, GIB = 1 << 20, 1 << 30


class Stream:
    """The smallest upload over a libvirt stream."""

    def __init__(self, volume: Any, size: int) -> None:
        self.stream = volume.connect().newStream(0)
        volume.upload(self.stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)

    def send(self, data: bytes) -> int:
        return int(self.stream.send(data))

    def hole(self, length: int) -> None:
        self.stream.sendHole(length)

    def finish(self) -> None:
        self.stream.finish()

    def abort(self) -> None:
        self.stream.abort()


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        made = libvirt.open("qemu:///system")
    except libvirt.libvirtError as error:
        pytest.skip(f"no libvirt daemon: {error}")
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    # not tmp_path: that may be a tmpfs, and neither its holes nor its speed are a disk's
    made = Path("/var/tmp") / f"jvp-transfer-{uuid.uuid4().hex[:8]}"
    (made / "pool").mkdir(parents=True)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def pool(connection: Any, folder: Path) -> Iterator[Any]:
    xml = f"<pool type='dir'><name>{folder.name}</name><target><path>{folder}/pool</path></target></pool>"
    made = connection.storagePoolCreateXML(xml)
    yield made
    made.destroy()


def volume(pool: Any, size: int) -> Any:
    return pool.createXML(
        f"<volume><name>v</name><capacity>{size}</capacity><allocation>0</allocation>"
        "<target><format type='raw'/></target></volume>"
    )


def image(path: Path, size: int, data: int) -> Path:
    """A raw disk of `size` with `data` bytes in pieces of 1 MiB all over it, the rest holes."""
    with path.open("wb") as file:
        file.truncate(size)
        count = data // MIB
        for number in range(count):
            file.seek(number * (size // count) // 4096 * 4096)
            file.write(os.urandom(MIB))
        file.seek(510)
        file.write(b"\x55\xaa")
        file.flush()
        os.fsync(file.fileno())
    return path


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize(("size", "data"), [(2 * GIB, 64 * MIB), (300 * MIB, 200 * MIB)])
def test_a_local_image_moves_sparsely_and_as_fast_as_libvirt(
    pool: Any, folder: Path, size: int, data: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source = image(folder / "image", size, data)
    times: dict[str, list[float]] = {"virsh": [], "plain": [], "digest": []}
    for turn in range(extent.rounds(1, 2)):
        for how, taken in times.items():
            target = volume(pool, size)
            began = time.monotonic()
            if how == "virsh":
                command = ["virsh", "-q", "vol-upload", "--sparse", "--pool", pool.name(), "v", str(source)]
                subprocess.run(command, check=True)
            else:
                digest = ContentDigest() if how == "digest" else None
                with open_path(str(source), Work()) as opened:
                    assert inspect(opened.head(), opened.total_bytes).format == "raw"
                    filled = fill(opened.segments(), Stream(target, size), digest=digest, work=Work())
            taken.append(time.monotonic() - began)
            if turn == 0:
                assert filecmp.cmp(source, folder / "pool" / "v", shallow=False)
                assert allocated(folder / "pool" / "v") <= data + 2 * MIB
            target.delete()
        assert filled.total == size
    assert filled.digest == file_digest_cached(str(source))
    floor = statistics.median(times["virsh"])
    with capsys.disabled():
        for how, taken in times.items():
            median = statistics.median(taken)
            print(
                f"\n{size // MIB} MiB with {data // MIB}: {how} {median:.3f} s, {median / floor:.2f} virsh",
                end="",
            )


def test_an_image_from_an_address(pool: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = image(folder / "image", 300 * MIB, 100 * MIB)

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with source.open("rb") as file:
            expected = hashlib.file_digest(file, "sha256").hexdigest()
        target = volume(pool, 300 * MIB)
        began = time.monotonic()
        with open_url(f"http://127.0.0.1:{server.server_port}/image", Work(), limit_bytes=GIB) as opened:
            assert inspect(opened.head(), opened.total_bytes).virtual_bytes == 300 * MIB
            fill(
                opened.segments(),
                Stream(target, 300 * MIB),
                verifier=Verifier(parse_checksum(expected)),
                digest=ContentDigest(),
                work=Work(),
            )
        with capsys.disabled():
            print(f"\n300 MiB with 100 by http, sha256 checked: {time.monotonic() - began:.3f} s", end="")
        assert filecmp.cmp(source, folder / "pool" / "v", shallow=False)
        assert allocated(folder / "pool" / "v") <= 102 * MIB
        target.delete()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_aborted_fill_leaves_the_connection_usable(pool: Any, folder: Path) -> None:
    source = image(folder / "image", 64 * MIB, 32 * MIB)
    target = volume(pool, 64 * MIB)
    wrong = Verifier(parse_checksum("0" * 64))
    with open_path(str(source), Work()) as opened, pytest.raises(Invalid, match="does not match"):
        fill(opened.segments(), Stream(target, 64 * MIB), verifier=wrong, work=Work())
    work = Work()

    def cancelling(segments: Iterator[Segment]) -> Iterator[Segment]:
        for count, segment in enumerate(segments):
            if count == 20:
                work.cancelled.set()
            yield segment

    with open_path(str(source), work) as opened, pytest.raises(Cancelled):
        fill(cancelling(opened.segments()), Stream(target, 64 * MIB), digest=ContentDigest(), work=work)
    with open_path(str(source), Work()) as opened:
        fill(opened.segments(), Stream(target, 64 * MIB), work=Work())
    assert filecmp.cmp(source, folder / "pool" / "v", shallow=False)
    target.delete()


def test_more_than_the_volume_holds_is_libvirts_refusal(pool: Any) -> None:
    target = volume(pool, MIB)
    stream = Stream(target, MIB)
    with pytest.raises(libvirt.libvirtError):
        fill([Data(b"x" * MIB)] * 3, stream, work=Work())
    target.delete()

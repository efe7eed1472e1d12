"""A download is kept, and the same version is not fetched again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from jvp.core.errors import JvpError
from jvp.core.work import Work
from jvp.images import Data, download_cache, open_url
from jvp.images.segments import Segment

pytestmark = pytest.mark.unit

MIB = 1 << 20
IMAGE = os.urandom(2 * MIB) + bytes(3 * MIB)


def flat(segments: Iterator[Segment]) -> bytes:
    return b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in segments)


class Shop:
    """A server of one image that counts what it sends."""

    def __init__(self, server: Any) -> None:
        self.body, self.headers, self.cut = IMAGE, {"ETag": '"v1"'}, False
        self.sent = 0
        self.url = f"{server.url}/image"
        server.routes["/image"] = self._answer

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.body)))
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        body = self.body[: MIB if self.cut else None]
        for at in range(0, len(body), 1 << 16):
            request.wfile.write(body[at : at + (1 << 16)])
            request.wfile.flush()
            self.sent += 1 << 16

    def fetch(self) -> bytes:
        with open_url(self.url, Work(), limit_bytes=100 * MIB) as source:
            return flat(source.segments())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JVP_IMAGE_CACHE", raising=False)
    return tmp_path / "jvp" / "images"


@pytest.fixture
def shop(server: Any, store: Path) -> Shop:
    return Shop(server)


def files(store: Path) -> list[Path]:
    return sorted(path for path in store.iterdir() if path.suffix != ".json") if store.exists() else []


def test_the_same_version_is_not_fetched_again(shop: Shop, store: Path) -> None:
    assert shop.fetch() == IMAGE
    (file,) = files(store)
    assert file.stat().st_mode & 0o077 == 0
    file.write_bytes(IMAGE)  # the same; the server's own copy goes
    shop.body = bytes(len(IMAGE))
    assert shop.fetch() == IMAGE


def test_another_version_is_fetched_and_takes_its_place(shop: Shop, store: Path) -> None:
    shop.fetch()
    shop.body, shop.headers = bytes(5 * MIB), {"ETag": '"v2"'}
    assert shop.fetch() == shop.body
    assert [file.read_bytes() for file in files(store)] == [shop.body]


def test_a_kept_file_that_was_changed_is_fetched_again(shop: Shop, store: Path) -> None:
    shop.fetch()
    (file,) = files(store)
    file.write_bytes(bytes(len(IMAGE)))
    assert shop.fetch() == IMAGE
    assert [file.read_bytes() for file in files(store)] == [IMAGE]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_what_cannot_be_told_apart_is_not_kept(shop: Shop, store: Path, headers: dict[str, str]) -> None:
    shop.headers = headers
    shop.fetch()
    assert files(store) == []


def test_nothing_is_kept_of_a_cut_download(shop: Shop, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jvp.images.url_source._PAUSE_S", 0.01)
    shop.cut, shop.headers = True, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    with pytest.raises(JvpError):
        shop.fetch()
    assert files(store) == []


def test_nor_where_nobody_wants_it(shop: Shop, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JVP_IMAGE_CACHE", "off")
    assert shop.fetch() == IMAGE
    assert files(store) == []


def test_what_was_used_longest_ago_goes_first(shop: Shop, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_cache, "MOST", 8 * MIB)
    store.mkdir(parents=True)
    for number, name in enumerate(("old", "new")):
        (store / name).write_bytes(bytes(MIB))
        os.utime(store / name, (number + 1, number + 1))
    (store / "cut.1.part").write_bytes(b"x")
    os.utime(store / "cut.1.part", (1, 1))
    shop.body = bytes(7 * MIB)
    shop.fetch()
    assert {"old", "cut.1.part"}.isdisjoint(path.name for path in files(store))
    assert (store / "new").exists()


def test_a_full_disk_is_no_error(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "full"
    part.symlink_to("/dev/full")
    monkeypatch.setattr(download_cache, "_room", lambda _version: part)
    version = download_cache.Version("http://127.0.0.1/a", '"v1"', download_cache.LEAST)
    piece = b"so small that a buffer would hold it until the close"
    assert list(download_cache.keeping(version, (one for one in [piece]))) == [piece]
    assert files(store) == []
    assert not part.is_symlink()


def test_a_folder_that_cannot_be_written_is_no_error(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert shop.fetch() == IMAGE

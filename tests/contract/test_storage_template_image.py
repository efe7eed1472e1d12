"""The images of templates against a real daemon: where they come from, and what is refused."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.storage_support import (
    MARKER,
    MIB,
    Lines,
    Provider,
    key,
    raw_image,
    serving,
    template_spec,
    volume_spec,
)
from tests.unit.images.conftest import Server

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Invalid, JvpError, NoSpace, Rejected, Unreachable
from jvp.core.facts import Effect
from jvp.core.work import Work
from jvp.libvirt.storage import lookup
from jvp.resources.storage.template import Template
from jvp.resources.storage.volume import Volume

pytestmark = pytest.mark.usefixtures("leftovers")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return raw_image(tmp_path / "image.raw")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server over `tmp_path`; its address."""
    with serving(tmp_path) as address:
        yield address


@pytest.fixture
def web() -> Iterator[Server]:
    """A server that misbehaves on demand."""
    made = Server()
    yield made
    made.close()


def create(
    provider: Provider, pool: str, address: str = "t", name: str | None = "t", work: Work | None = None, **source: str
) -> Any:
    spec = template_spec(name=name, pool=pool, source=source)
    return provider.templates.create(work or Work(), key("template", address), spec)


def update(provider: Provider, pool: str, made: Any, **source: str) -> Any:
    spec = template_spec(name="t", pool=pool, source=source)
    return provider.templates.update(Work(), made.id, made.state, spec, ())


def drop(provider: Provider, made: Any) -> None:
    provider.templates.delete(Work(), made.id, made.state)


def overlay(provider: Provider, pool: str, name: str = "v") -> Any:
    spec = volume_spec(name=name, pool=pool, template=f"{pool}/t")
    return provider.volumes.create(Work(), key("volume", name), spec)


def uploaded_by_virsh(storage: Any, image: Path) -> float:
    """The seconds that libvirt's own tool takes for the same image."""
    volume = storage.createXML(
        f"<volume><name>floor</name><capacity>{image.stat().st_size}</capacity><allocation>0</allocation>"
        "<target><format type='raw'/></target></volume>"
    )
    began = time.monotonic()
    command = ["virsh", "-q", "vol-upload", "--sparse", "--pool", storage.name(), "floor", str(image)]
    subprocess.run(command, check=True)
    took = time.monotonic() - began
    volume.delete()
    return took


def test_big_sparse_image_moves_as_what_it_holds(
    provider: Provider, daemon: Any, pool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = raw_image(tmp_path / "big.raw", size=2048 * MIB, data=64 * MIB)
    floor = uploaded_by_virsh(daemon.storagePoolLookupByName(pool), image)
    began = time.monotonic()
    made = create(provider, pool, path=str(image))
    took = time.monotonic() - began
    with capsys.disabled():
        print(f"\n2 GiB raw holding 64 MiB: {took:.2f} s, digest of the file included; virsh {floor:.2f} s")
    assert Path(made.state.path).stat().st_size == 2048 * MIB
    assert Path(made.state.path).stat().st_blocks * 512 < 66 * MIB
    drop(provider, made)


def test_what_is_in_an_image_is_kept_with_it(provider: Provider, pool: str, image: Path) -> None:
    calls = Calls({"Template": provider.templates}, {})
    raw = {"name": "t", "pool": pool, "source": {"path": str(image)}}
    stored = calls.create("Template", key("template", "t"), check(Template, raw).inputs, Work()).stored
    for os in ("debian-12", "debian-13", None):
        inputs = check(Template, {**raw, **({"os": os} if os else {})}).inputs
        (change,) = calls.diff("Template", stored, inputs).changes
        assert (change.path, change.effect) == (("os",), Effect.LIVE)
        updated = calls.update("Template", stored, inputs, Work()).stored
        assert updated.state.get("os") == os
        assert (updated.state["path"], updated.state["createdAt"]) == (stored.state["path"], stored.state["createdAt"])
        assert calls.read("Template", updated, Work()) == updated
        imported = calls.import_("Template", f"{pool}/t", Work())
        assert imported is not None
        assert imported.inputs.get("os") == os
        stored = updated
    calls.delete("Template", stored, Work())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("where", ["path", "url"])
def test_checksum(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, image: Path, server: str, where: str, packed: bool
) -> None:
    published = image
    if packed:
        published = tmp_path / "image.raw.xz"
        published.write_bytes(lzma.compress(image.read_bytes(), preset=0))
    source = {where: str(published) if where == "path" else f"{server}/{published.name}"}
    wrong = "sha256:" + "0" * 64
    lines = Lines()
    with pytest.raises(Invalid, match="checksum does not match") as caught:
        create(provider, pool, work=lines.work(), checksum=wrong, **source)
    assert caught.value.path == ("source", where)
    assert {path.name for path in folder.iterdir()} == {MARKER}
    right = "sha512:" + hashlib.sha512(published.read_bytes()).hexdigest()
    made = create(provider, pool, checksum=right, **source)
    assert (folder / made.state.volume_name).read_bytes() == image.read_bytes()
    assert provider.templates.read(Work(), made.id, made.state) == made.state
    with pytest.raises(Invalid):
        update(provider, pool, made, checksum=wrong, **source)
    if where == "url":
        assert provider.templates.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


@pytest.mark.parametrize("how", ["truncated", "endless", "announced"])
def test_bodies_that_cannot_be_images_leave_nothing(
    provider: Provider, pool: str, folder: Path, image: Path, web: Server, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    body = image.read_bytes()

    def endless(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(body)
        while True:
            request.wfile.write(body[-MIB:])

    url = web.serve("/image", body, length=2 * len(body) if how == "truncated" else None)
    if how == "endless":
        web.routes["/image"] = endless
    if how != "truncated":
        monkeypatch.setattr(lookup, "free_bytes", lambda _pool: 10 * MIB if how == "endless" else MIB)
    with pytest.raises((Invalid, Unreachable), match="was cut after" if how == "truncated" else "limit") as caught:
        create(provider, pool, url=url)
    assert caught.value.path == ("source", "url")
    assert {path.name for path in folder.iterdir()} == {MARKER}


def test_a_cut_download_goes_on(provider: Provider, pool: str, folder: Path, image: Path, web: Server) -> None:
    body = image.read_bytes()

    def answer(request: Any) -> None:
        begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        request.send_response(206 if begin else 200)
        request.send_header("ETag", '"1"')
        request.send_header("Content-Length", str(len(body) - begin))
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        request.end_headers()
        request.wfile.write(body[begin : begin + 5 * MIB])

    web.routes["/image"] = answer
    made = create(provider, pool, url=f"{web.url}/image", checksum=f"sha256:{hashlib.sha256(body).hexdigest()}")
    assert len(web.seen) > 1
    assert (folder / made.state.volume_name).read_bytes() == body
    drop(provider, made)


@pytest.mark.parametrize("where", ["path", "url"])
def test_checksum_that_is_published_beside_the_image(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, image: Path, server: str, where: str
) -> None:
    source = {where: str(image) if where == "path" else f"{server}/{image.name}"}
    sums, address = tmp_path / "SHA512SUMS", f"sha512:{server.replace('//', '//joe:hunter2@')}/SHA512SUMS"
    for text, says in (
        (f"{'0' * 128}  {image.name}\n", "checksum does not match"),
        (f"{'0' * 128}  another.raw\n", f"has no sha512 checksum of a file '{image.name}'"),
        (None, "HTTP 404"),
    ):
        sums.write_text(text) if text else sums.unlink()
        with pytest.raises(Invalid, match=says):
            create(provider, pool, checksum=address, **source)
        assert {path.name for path in folder.iterdir()} == {MARKER}
    sums.write_text(f"{hashlib.sha512(image.read_bytes()).hexdigest()} *{image.name}\n")
    made = create(provider, pool, checksum=address, **source)
    assert made.state.source.checksum == address
    assert "hunter2" not in (folder / ".jvp-template@t.json").read_text()
    sums.unlink()
    # It is looked at when the image is fetched, and not again.
    assert provider.templates.read(Work(), made.id, made.state) == made.state
    assert update(provider, pool, made, checksum=address, **source).state == made.state
    drop(provider, made)


def test_url_is_fetched_once(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, image: Path, server: str
) -> None:
    url = f"{server}/{image.name}"
    made = create(provider, pool, url=url)
    content = image.read_bytes()
    raw_image(image)
    assert update(provider, pool, made, url=url).state == made.state
    other = f"{server}/./{image.name}"
    user = overlay(provider, pool)
    moved = update(provider, pool, made, url=other)
    assert moved.state.digest != made.state.digest
    image.unlink()
    back = update(provider, pool, moved, url=url)
    assert back.state.digest == made.state.digest
    assert (folder / back.state.volume_name).read_bytes() == content
    provider.volumes.delete(Work(), user.id, user.state)
    drop(provider, back)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_text("hello"), "text file"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: _qemu_img(path, "-b", "/etc/passwd", "-F", "raw"), "backing file"),
        (lambda path: _qemu_img(path, "-o", f"data_file={path}.data"), "another file"),
        (lambda path: None, "there is no file"),
        (lambda path: path.mkdir(), "folder"),
    ],
    ids=["text", "empty", "backing file", "data file", "missing", "folder"],
)
def test_refused_before_the_first_write(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, make: Any, says: str
) -> None:
    path = tmp_path / "image"
    make(path)
    with pytest.raises(JvpError, match=says) as caught:
        create(provider, pool, path=str(path))
    assert caught.value.path == ("source", "path")
    assert {path.name for path in folder.iterdir()} == {MARKER}


def test_larger_than_the_pool(provider: Provider, pool: str, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "free_bytes", lambda _pool: 1000)
    with pytest.raises(NoSpace, match="has 1000 bytes left") as caught:
        create(provider, pool, path=str(image))
    assert caught.value.path == ("pool",)


def test_failed_update_keeps_the_image_before(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, image: Path
) -> None:
    made = create(provider, pool, path=str(image))
    bad = tmp_path / "bad"
    bad.write_text("hello")
    with pytest.raises(Invalid):
        update(provider, pool, made, path=str(bad))
    other = raw_image(tmp_path / "other.raw")
    with pytest.raises(Invalid, match="checksum"):
        update(provider, pool, made, path=str(other), checksum="sha256:" + "0" * 64)
    assert provider.templates.read(Work(), made.id, made.state) == made.state
    assert {path.name for path in folder.iterdir()} == {MARKER, ".jvp-template@t.json", made.state.volume_name}
    drop(provider, made)


def test_password_of_an_address_is_not_kept_on_the_node(
    provider: Provider, pool: str, folder: Path, image: Path, server: str
) -> None:
    url = server.replace("http://", "http://joe:hunter2@") + f"/{image.name}?token=hunter2"
    made = create(provider, pool, url=url)
    assert made.state.source.url == url
    assert "hunter2" not in (folder / ".jvp-template@t.json").read_text()
    assert provider.templates.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


def _qemu_img(path: Path, *options: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, "8M"], check=True, cwd=path.parent)


def test_a_server_that_is_busy_at_first(
    provider: Provider, pool: str, web: Server, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jvp.images.url_source._PAUSE_S", 0.01)
    url = web.serve("/image", image.read_bytes())
    whole, turns = web.routes["/image"], [503, 502, 429]
    web.routes["/image"] = lambda request: request.send_error(turns.pop(0)) if turns else whole(request)
    told = Lines()
    made = create(provider, pool, work=told.work(), url=url)
    assert any("HTTP 429" in line and "attempt 4 of 6 follows" in line for line in told.statuses)
    assert Path(made.state.path).read_bytes() == image.read_bytes()
    drop(provider, made)


@pytest.mark.parametrize("name", ["data.tar", "data.zip"])
def test_the_image_of_an_archive_is_raw_where_that_is_said(
    provider: Provider, pool: str, web: Server, tmp_path: Path, name: str
) -> None:
    (tmp_path / "data").write_bytes(b"#!/bin/sh".ljust(MIB, b"\0"))
    shutil.make_archive(str(tmp_path / "data"), name.partition(".")[2], tmp_path, "data")
    url = web.serve(f"/{name}", (tmp_path / name).read_bytes())
    with pytest.raises(Invalid, match=r"holds no disk image .'data': the file does not look like a disk") as caught:
        create(provider, pool, url=url)
    assert caught.value.path == ("source", "url")
    with pytest.raises(Invalid, match='the image is raw: write "raw"') as caught:
        create(provider, pool, path=str(raw_image(tmp_path / "image.raw")), format="qcow2")
    assert caught.value.path == ("source", "format")
    made = create(provider, pool, url=url, format="raw")
    assert (made.state.format, Path(made.state.path).read_bytes()) == ("raw", (tmp_path / "data").read_bytes())
    drop(provider, made)


def test_what_was_uploaded_is_known_by_its_checksum_and_not_by_its_file(
    provider: Provider, pool: str, folder: Path, image: Path
) -> None:
    calls = Calls({"Template": provider.templates, "Volume": provider.volumes}, {})
    checksum = f"sha256:{hashlib.sha256(image.read_bytes()).hexdigest()}"
    declared = {
        "Template": {"name": "t", "pool": pool, "source": {"upload": checksum}},
        "Volume": {"name": "v", "pool": pool, "format": "raw", "imageUpload": checksum},
    }
    made = {}
    for token, raw in declared.items():
        inputs, named = (
            check({"Template": Template, "Volume": Volume}[token], raw).inputs,
            key(token.lower(), raw["name"]),
        )
        with pytest.raises(Rejected, match=f"there is no upload {checksum}: upload the image") as missing:
            calls.create(token, named, inputs, Work())
        assert missing.value.path == (("source", "upload") if token == "Template" else ("imageUpload",))
        made[token] = calls.create(token, named, inputs, Work(uploads={checksum: str(image)})).stored
        assert Path(made[token].state["path"]).read_bytes() == image.read_bytes()
        assert Path(made[token].state["path"]).stat().st_blocks * 512 < 2 * MIB
        # Nothing is uploaded again for what is there.
        assert calls.diff(token, made[token], inputs).changes == ()
        assert calls.create(token, named, inputs, Work(uploads={checksum: "/nowhere"})).stored.id == made[token].id
    # As who has no state reads it.
    template, volume = (handler.read(Work(looks=True), made[token].id, None) for token, handler in (
        ("Template", provider.templates), ("Volume", provider.volumes)))  # fmt: skip
    assert (template.source.upload, template.source.path, volume.image_upload) == (checksum, None, checksum)
    assert template.digest is not None
    for record in folder.glob(".jvp-*.json"):
        assert str(image.parent) not in record.read_text()
    # The same content from a file is another origin, and an update like each.
    inputs = check(Template, {**declared["Template"], "source": {"path": str(image)}}).inputs
    assert calls.update("Template", made["Template"], inputs, Work()).stored.state["digest"] == template.digest
    for token, stored in made.items():
        calls.delete(token, stored, Work())

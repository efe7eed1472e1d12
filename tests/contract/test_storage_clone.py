"""Volumes made from other volumes and from images on this machine, against a real daemon."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.storage_support import MARKER, MIB, Provider, key, raw_image, serving, template_spec, volume_spec

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Busy, Cancelled, Invalid, JvpError, NoSpace, NotFound, Rejected
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, put, sub, text_of
from jvp.libvirt.storage import copy_volume, lookup, volume_claim
from jvp.resources.storage.volume import Volume

pytestmark = pytest.mark.usefixtures("leftovers")


@pytest.fixture
def domain(daemon: Any, prefix: str) -> Iterator[Any]:
    """Makes a domain of somebody else with one disk."""
    made = []

    def make(path: str, format: str, *, start: bool = True, read_only: bool = False) -> Any:
        root = parse(
            "<domain type='qemu'><memory unit='MiB'>32</memory><os><type machine='q35'>hvm</type></os></domain>"
        )
        put(root, "name", f"{prefix}d")
        disk = sub(sub(root, "devices"), "disk", type="file", device="disk")
        sub(disk, "driver", name="qemu", type=format)
        sub(disk, "source", file=path)
        sub(disk, "target", dev="vda", bus="virtio")
        if read_only:
            sub(disk, "readonly")
        found = daemon.defineXML(text_of(root))
        made.append(found)
        if start:
            found.create()
        return found

    yield make
    for one in made:
        with contextlib.suppress(libvirt.libvirtError):
            one.destroy()
        one.undefine()


def create(provider: Provider, address: str = "v", **bag: Any) -> Any:
    return provider.volumes.create(Work(), key("volume", address), volume_spec(**bag))


def drop(provider: Provider, *made: Any) -> None:
    for one in made:
        provider.volumes.delete(Work(), one.id, one.state)


def packed(image: Path, format: str) -> Path:
    """The raw image as `format`: qcow2, or packed by gzip."""
    path = image.with_suffix(f".{format}")
    if format == "qcow2":
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", image, path], check=True)
    elif format == "gz":
        path.write_bytes(gzip.compress(image.read_bytes(), 1))
    else:
        return image
    return path


def same(one: Path, other: Path, format: str) -> bool:
    compare = ["qemu-img", "compare", "-f", "raw", "-F", format, one, other]
    return subprocess.run(compare, capture_output=True).returncode == 0


@pytest.mark.parametrize("size", [None, "9MiB"])
@pytest.mark.parametrize("format", ["raw", "qcow2", "gz"])
def test_from_an_image(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, format: str, size: str | None
) -> None:
    image = raw_image(tmp_path / "image.raw")
    kind = "raw" if format == "gz" else format
    bag = {"name": "v", "pool": pool, "imagePath": str(packed(image, format)), "format": kind}
    made = create(provider, **bag, **({"size": size} if size else {}))
    assert made.state.size_bytes == (9 if size else 8) * MIB
    assert (made.state.format, made.state.backing_file) == (kind, None)
    assert same(image, folder / "v", kind)
    assert (folder / "v").stat().st_blocks * 512 < 3 * MIB
    # Killed before the engine wrote it down: the image may be gone by now.
    Path(bag["imagePath"]).unlink()
    assert create(provider, **bag, **({"size": size} if size else {})).state == made.state
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


@pytest.mark.parametrize(("format", "to"), [("raw", "qcow2"), ("gz", "qcow2"), ("qcow2", "raw")])
def test_an_image_becomes_of_the_other_format_and_larger_in_one_step(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, format: str, to: str
) -> None:
    """From a file and from an address, also again after a kill between the two steps."""
    image = raw_image(tmp_path / "image.raw")
    kind = packed(image, format)
    checksum = f"sha256:{hashlib.sha256(kind.read_bytes()).hexdigest()}"
    with serving(tmp_path) as address:
        for source in ({"imagePath": str(kind)}, {"imageUrl": f"{address}/{kind.name}"}):
            bag = {"name": "v", "pool": pool, "format": to, "size": "9MiB", **source, "imageChecksum": checksum}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(copy_volume, "convert", die)
                patch.setattr(volume_claim, "undo_quietly", lambda *_: None)
                patch.setattr(lookup, "delete_volume", lambda *_: None)
                with pytest.raises(Died):
                    create(provider, **bag)
            assert any(path.name.startswith("jvp-copy-") for path in folder.iterdir())
            made = create(provider, **bag)
            assert {path.name for path in folder.iterdir()} == {MARKER, "v", ".jvp-v.json"}
            assert (made.state.format, made.state.size_bytes, made.state.backing_file) == (to, 9 * MIB, None)
            assert same(image, folder / "v", to)
            assert create(provider, **bag).state == made.state
            assert provider.volumes.read(Work(), made.id, made.state) == made.state
            wrong = {**bag, "name": "w", "imageChecksum": "sha256:" + "0" * 64}
            with pytest.raises(JvpError, match="sha256"):
                create(provider, "w", **wrong)
            assert {path.name for path in folder.iterdir()} == {MARKER, "v", ".jvp-v.json"}
            drop(provider, made)


class Died(BaseException):
    """The process is no more."""


def die(*_: Any, **__: Any) -> None:
    raise Died


@pytest.mark.parametrize("format", ["raw", "gz"])
def test_a_disk_has_whole_sectors(provider: Provider, pool: str, folder: Path, tmp_path: Path, format: str) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(510) + b"\x55\xaa" + b"x" * 700)
    made = create(provider, name="v", pool=pool, imagePath=str(packed(image, format)), format="raw")
    assert made.state.size_bytes == 1536
    assert (folder / "v").read_bytes() == image.read_bytes() + bytes(324)
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


@pytest.mark.parametrize(
    "begins", [b"", b"#!/bin/sh\n", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x7fELF", b"LUKS\xba\xbe\0\1"]
)
def test_raw_that_is_declared_as_raw_is_taken_whatever_its_bytes_are(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, begins: bytes
) -> None:
    image = tmp_path / "data"
    image.write_bytes(begins.ljust(MIB, b"\0"))
    made = create(provider, name="v", pool=pool, imagePath=str(image), format="raw")
    assert (folder / "v").read_bytes() == image.read_bytes()
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


@pytest.mark.parametrize(
    ("bag", "path", "says"),
    [
        ({"size": "4MiB"}, "size", "4194304 bytes, and the image has 8388608"),
        ({"imageChecksum": "sha256:" + "0" * 64, "size": "9MiB"}, "imagePath", "sha256"),
        ({"imagePath": "/no/such"}, "imagePath", "there is no file /no/such"),
        ({"imagePath": "VMDK"}, "imagePath", "looks like a VMDK image; convert it"),
        ({"imagePath": "/etc/passwd", "format": "qcow2"}, "imagePath", "text file"),
        ({"pool": "no-such"}, "pool", "there are: "),
    ],
)
def test_images_that_are_refused_before_the_first_write(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, bag: dict[str, Any], path: str, says: str
) -> None:
    image = raw_image(tmp_path / "image.raw")
    if bag.get("imagePath") == "VMDK":
        image.write_bytes(b"KDMV".ljust(MIB, b"\0"))
        bag = {}
    with pytest.raises(JvpError, match=says) as caught:
        create(provider, **{"name": "v", "pool": pool, "format": "raw", "imagePath": str(image), **bag})
    assert caught.value.path == (path,)
    assert {path.name for path in folder.iterdir()} == {MARKER}


@pytest.mark.parametrize(
    ("options", "says"), [(["-b", "/etc/passwd", "-F", "raw"], "backing file"), (["-o", "data_file=d"], "another file")]
)
def test_images_that_need_another_file(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, tmp_path / "image", "8M"]
    subprocess.run(command, check=True, cwd=tmp_path)
    with pytest.raises(Invalid, match=says) as caught:
        create(provider, name="v", pool=pool, imagePath=str(tmp_path / "image"))
    assert caught.value.path == ("imagePath",)
    assert {path.name for path in folder.iterdir()} == {MARKER}


def test_a_packed_image_that_is_too_large_is_taken_back(
    provider: Provider, pool: str, folder: Path, tmp_path: Path
) -> None:
    image = packed(raw_image(tmp_path / "image.raw"), "gz")
    with pytest.raises(Invalid, match="the image has 8388608") as caught:
        create(provider, name="v", pool=pool, imagePath=str(image), format="raw", size="4MiB")
    assert caught.value.path == ("size",)
    assert {path.name for path in folder.iterdir()} == {MARKER}


def test_more_than_the_pool_holds(
    provider: Provider, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = raw_image(tmp_path / "image.raw")
    made = create(provider, "o", name="o", pool=pool, imagePath=str(image), format="raw")
    monkeypatch.setattr(lookup, "free_bytes", lambda _pool: 1000)
    for source in ({"imagePath": str(image)}, {"volume": made.id}):
        with pytest.raises(NoSpace, match="has 1000 bytes left") as caught:
            create(provider, name="v", pool=pool, format="raw", **source)
        assert caught.value.path == ("pool",)
    drop(provider, made)


@pytest.mark.parametrize("size", [None, "9MiB"])
@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_clone(provider: Provider, pool: str, folder: Path, tmp_path: Path, format: str, size: str | None) -> None:
    image = raw_image(tmp_path / "image.raw")
    origin = create(provider, "o", name="o", pool=pool, imagePath=str(packed(image, format)), format=format)
    bag = {"name": "v", "pool": pool, "volume": f"{pool}/o", "format": format, **({"size": size} if size else {})}
    made = create(provider, **bag)
    assert made.state.size_bytes == (9 if size else 8) * MIB
    assert (made.state.volume_id, made.state.volume_pool) == (origin.id, pool)
    assert same(image, folder / "v", format)
    assert (folder / "v").stat().st_blocks * 512 < 3 * MIB
    assert create(provider, **bag).state == made.state
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    calls = Calls({"Volume": provider.volumes}, {})
    inputs = check(Volume, {**bag, "volume": origin.id}).inputs
    stored = calls.import_("Volume", made.id, Work())
    assert stored is not None
    assert calls.diff("Volume", stored, inputs).changes == ()
    assert calls.diff("Volume", stored, stored.inputs).changes == ()
    drop(provider, origin, made)


def test_clone_of_what_stands_on_a_template(provider: Provider, pool: str, folder: Path, tmp_path: Path) -> None:
    """The clone stores its differences too, and keeps the image that it stands on."""
    image = raw_image(tmp_path / "image.raw")
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    template = provider.templates.create(Work(), key("template", "t"), spec)
    origin = create(provider, "o", name="o", pool=pool, template=f"{pool}/t")
    subprocess.run(["qemu-io", "-c", "write -P 7 1M 64k", folder / "o"], check=True, capture_output=True)
    raw_image(image)
    renewed = provider.templates.update(Work(), template.id, template.state, template_spec(
        name="t", pool=pool, source={"path": str(image)}), ())  # fmt: skip
    made = create(provider, name="v", pool=pool, volume=f"{pool}/o", size="9MiB")
    assert made.state.backing_file == template.state.path
    assert made.state.template is None
    assert subprocess.run(["qemu-img", "compare", folder / "o", folder / "v"], capture_output=True).returncode == 0
    drop(provider, origin)
    assert (folder / template.state.volume_name).exists()
    drop(provider, made)
    assert not (folder / template.state.volume_name).exists()
    provider.templates.delete(Work(), renewed.id, renewed.state)


def test_clone_of_a_volume_of_somebody_else(provider: Provider, daemon: Any, pool: str, folder: Path) -> None:
    """Of an odd length, too: a disk has whole sectors."""
    (folder / "theirs").write_bytes(b"\x01" * 1000)
    daemon.storagePoolLookupByName(pool).refresh(0)
    before = (folder / "theirs").stat()
    made = create(provider, name="v", pool=pool, volume=str(folder / "theirs"), format="raw")
    assert (folder / "v").read_bytes() == b"\x01" * 1000 + bytes(24)
    assert made.state.size_bytes == 1024
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    after = (folder / "theirs").stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_ino) == (before.st_mtime_ns, before.st_mode, before.st_ino)
    (folder / "theirs").unlink()
    drop(provider, made)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("start", [False, True])
def test_only_what_nothing_writes_into_is_cloned(
    provider: Provider, prefix: str, pool: str, folder: Path, domain: Any, start: bool, read_only: bool
) -> None:
    origin = create(provider, "o", name="o", pool=pool, size="4MiB", format="raw")
    domain(origin.state.path, "raw", start=start, read_only=read_only)
    if start and not read_only:
        with pytest.raises(Rejected, match=f"in use by {prefix}d") as caught:
            create(provider, name="v", pool=pool, volume=origin.id, format="raw")
        assert caught.value.path == ("volume",)
        assert {path.name for path in folder.iterdir()} == {MARKER, "o", ".jvp-o.json"}
    else:
        drop(provider, create(provider, name="v", pool=pool, volume=origin.id, format="raw"))
    found = provider.node.connection.lookupByName(f"{prefix}d")
    with contextlib.suppress(libvirt.libvirtError):
        found.destroy()
    put(root := parse(found.XMLDesc(2)), "devices/disk/source/@file", "/none")
    provider.node.connection.defineXML(text_of(root))
    drop(provider, origin)


def test_what_is_taken_into_use_meanwhile_is_not_a_clone(
    provider: Provider, prefix: str, pool: str, folder: Path, domain: Any
) -> None:
    image = folder.parent / "big.raw"
    origin = create(provider, "o", name="o", pool=pool, imagePath=str(raw_image(image)), format="raw")
    image.unlink()
    found = domain(origin.state.path, "raw", start=False)
    work = Work()
    work.status = lambda _line: None if found.isActive() else found.create()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jvp.libvirt.storage.copy_volume._STATUS_S", -1.0)
        spec = volume_spec(name="v", pool=pool, volume=origin.id, format="raw")
        with pytest.raises(Busy, match="taken into use"):
            provider.volumes.create(work, key("volume", "v"), spec)
    assert {path.name for path in folder.iterdir()} == {MARKER, "o", ".jvp-o.json"}
    found.destroy()
    put(root := parse(found.XMLDesc(2)), "devices/disk/source/@file", "/none")
    provider.node.connection.defineXML(text_of(root))
    drop(provider, origin)


def evil(folder: Path, name: str, *options: str) -> None:
    """Write a qcow2 header over a raw disk, as its guest can."""
    path = folder.parent / "evil"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, "1G"], check=True, cwd=folder.parent)
    with (folder / name).open("r+b") as file:
        file.write(path.read_bytes())
    path.unlink()


@pytest.mark.parametrize("recorded", ["ours", "domain", "nowhere"])
def test_what_a_guest_made_look_like_qcow2_gives_no_file_of_the_host(
    provider: Provider, daemon: Any, pool: str, folder: Path, domain: Any, recorded: str
) -> None:
    origin = create(provider, "o", name="o", pool=pool, size="4MiB", format="raw")
    evil(folder, "o", "-b", "/etc/passwd", "-F", "raw")
    if recorded != "ours":
        (folder / ".jvp-o.json").unlink()
    if recorded == "domain":
        domain(origin.state.path, "raw", start=False)
    daemon.storagePoolLookupByName(pool).refresh(0)
    says = "is no template" if recorded == "nowhere" else "its content looks like qcow2"
    for format in ("raw", "qcow2"):
        with pytest.raises(Rejected, match=says):
            create(provider, name="v", pool=pool, volume=f"{pool}/o", format=format)
    assert not (folder / "v").exists()
    (folder / "o").unlink()
    (folder / ".jvp-o.json").unlink(missing_ok=True)


def test_a_header_that_names_a_data_file_is_read_before_it_is_copied(
    provider: Provider, daemon: Any, pool: str, folder: Path
) -> None:
    options = ["-f", "qcow2", "-o", f"data_file={folder.parent}/data"]
    subprocess.run(["qemu-img", "create", "-q", *options, folder / "o", "4M"], check=True)
    daemon.storagePoolLookupByName(pool).refresh(0)
    with pytest.raises(Rejected, match="keeps its data in another file") as caught:
        create(provider, name="v", pool=pool, volume=f"{pool}/o")
    assert caught.value.path == ("volume",)
    (folder / "o").unlink()
    (folder.parent / "data").unlink()


@pytest.mark.parametrize(
    ("bag", "path", "kind", "says"),
    [
        ({"volume": "{pool}/none"}, "volume", NotFound, "there are: o"),
        ({"volume": "none"}, "volume", NotFound, "names no volume"),
        ({"size": "2MiB"}, "size", Invalid, "has 4194304"),
    ],
)
def test_clones_that_are_refused(
    provider: Provider, pool: str, folder: Path, bag: dict[str, str], path: str, kind: type[JvpError], says: str
) -> None:
    origin = create(provider, "o", name="o", pool=pool, size="4MiB", format="raw")
    bag = {name: value.format(pool=pool) for name, value in bag.items()}
    with pytest.raises(kind, match=says) as caught:
        create(provider, **{"name": "v", "pool": pool, "volume": origin.id, "format": "raw", **bag})
    assert caught.value.path == (path,)
    assert {path.name for path in folder.iterdir()} == {MARKER, "o", ".jvp-o.json"}
    drop(provider, origin)


def test_a_volume_that_is_not_complete_is_not_cloned(provider: Provider, pool: str, folder: Path) -> None:
    origin = create(provider, "o", name="o", pool=pool, size="4MiB", format="raw")
    record = folder / ".jvp-o.json"
    kept = record.read_bytes()
    record.write_bytes(json.dumps({**json.loads(kept.rstrip(b"\0")), "phase": "filling"}).encode().ljust(len(kept)))
    with pytest.raises(Rejected, match="is not complete"):
        create(provider, name="v", pool=pool, volume=origin.id, format="raw")
    record.write_bytes(kept)
    drop(provider, origin)


def test_cancel_takes_back_a_clone(
    provider: Provider, pool: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = create(provider, "o", name="o", pool=pool, size="300MiB", format="raw")
    with (folder / "o").open("r+b") as file:
        for _ in range(200):
            file.write(os.urandom(MIB))
    work = Work()
    work.status = lambda line: work.cancelled.set() if "copying" in line else None
    spec = volume_spec(name="v", pool=pool, volume=origin.id, format="raw")
    monkeypatch.setattr("jvp.libvirt.storage.copy_volume._STATUS_S", 0.0)
    with pytest.raises(Cancelled):
        provider.volumes.create(work, key("volume", "v"), spec)
    assert {path.name for path in folder.iterdir()} == {MARKER, "o", ".jvp-o.json"}
    drop(provider, origin)

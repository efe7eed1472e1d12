"""Volumes, templates and pools that somebody changed in their folder: seen by the next plan, mended, or let be."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.kinds import IMAGE, image

from jvp.core.diff import consequences
from jvp.core.errors import NameTaken, Rejected
from jvp.core.stored import Stored

Act = Callable[[Bench, Path], None]


def record(path: Path) -> Path:
    return path.with_name(f".jvp-{path.name}.json")


def looked(bench: Bench) -> None:
    """As a pool that was refreshed, by the node's start say, knows its folder."""
    assert bench.pool is not None
    bench.connection.storagePoolLookupByUUIDString(bench.pool.id).refresh(0)


def run(*command: object) -> None:
    subprocess.run([str(one) for one in command], check=True, capture_output=True)


def _removed(_: Bench, path: Path) -> None:
    record(path).unlink()


def _garbage(_: Bench, path: Path) -> None:
    record(path).write_bytes(b"\x00garbage".ljust(4096))


def _anew(_: Bench, path: Path) -> None:
    """`virsh vol-delete` and `vol-create-as`: without the template."""
    path.unlink()
    run("qemu-img", "create", "-f", "qcow2", path, "2M")


def _raw(_: Bench, path: Path) -> None:
    path.write_bytes(b"somebody's data".ljust(2 * 1024**2))


def _rebased(bench: Bench, path: Path) -> None:
    base = path.with_name("other-base")
    run("qemu-img", "create", "-f", "qcow2", base, "2M")
    run("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base, path)


VOLUMES: dict[str, tuple[Act, str]] = {
    "record removed": (_removed, "has lost its record"),
    "record garbage": (_garbage, "has lost its record"),
    "made anew": (_anew, "stands on nothing and was made on"),
    "made anew as raw": (_raw, "was made as qcow2 and is raw now"),
    "its backing file changed": (_rebased, "other-base and was made on"),
}


@pytest.fixture(scope="module")
def template(furnished: Bench) -> Iterator[Stored]:
    assert furnished.pool is not None
    raw = {"name": furnished.name("base"), "pool": furnished.pool.id}
    made = furnished.create("Template", "base", {**raw, "source": {"path": image(furnished, "drift", IMAGE)}}).stored
    yield made
    furnished.delete("Template", made)


@pytest.mark.parametrize("what", VOLUMES)
def test_a_volume_that_may_be_another_is_told_and_never_written(bench: Bench, template: Stored, what: str) -> None:
    assert bench.pool is not None
    act, says = VOLUMES[what]
    raw: Bag = {"name": bench.name("odd"), "pool": bench.pool.id, "template": template.id, "size": "2MiB"}
    stored = bench.create("Volume", "odd", raw).stored
    path = Path(stored.state["path"])
    kept, whole = record(path).read_bytes(), path.read_bytes()
    act(bench, path)
    looked(bench)
    now = path.read_bytes()
    read = bench.read("Volume", stored)
    assert read is not None
    (line,) = consequences(bench.calls.diff("Volume", read, bench.inputs("Volume", raw)).changes)
    assert line.startswith("name: the volume ")
    assert says in line
    assert bench.plan("Volume", read, raw) == ["name"]
    with pytest.raises(Rejected, match=says):
        bench.update("Volume", read, {**raw, "size": "4MiB"})
    with pytest.raises(Rejected, match=says):
        bench.delete("Volume", read)
    assert path.read_bytes() == now
    path.write_bytes(whole)
    record(path).write_bytes(kept)
    path.with_name("other-base").unlink(missing_ok=True)
    looked(bench)
    read = bench.read("Volume", read)
    assert read is not None
    assert bench.plan("Volume", read, raw) == []
    bench.delete("Volume", read)
    assert not path.exists()


@pytest.mark.parametrize("packed", [False, True])
def test_an_image_that_was_cut_off_is_put_there_again(bench: Bench, packed: bool, tmp_path: Path) -> None:
    """Also under the volumes that stand on it, for it is the same to the byte."""
    assert bench.pool is not None
    source = tmp_path / "image"
    source.write_bytes(IMAGE)
    if packed:
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, tmp_path / "image.qcow2")
        source = tmp_path / "image.qcow2"
    raw = {"name": bench.name("cut"), "pool": bench.pool.id, "source": {"path": str(source)}}
    stored = bench.create("Template", "cut", raw).stored
    child = {"name": bench.name("child"), "pool": bench.pool.id, "template": stored.id}
    volume = bench.create("Volume", "child", child).stored
    path = Path(stored.state["path"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-4096])
    looked(bench)
    read = bench.read("Template", stored)
    assert read is not None
    (line,) = consequences(bench.calls.diff("Template", read, bench.inputs("Template", raw)).changes)
    bytes_ = f"{len(whole) - 4096} bytes of the {len(whole)}"
    assert line == f"source: its image has {bytes_} that were put there: it is put there again"
    stored = bench.update("Template", read, raw).stored
    assert path.read_bytes() == whole
    bench.converged("Template", stored, raw)
    bench.converged("Volume", volume, child)
    bench.delete("Volume", volume)
    bench.delete("Template", stored)


@pytest.mark.parametrize("act", [_removed, _garbage])
def test_a_template_without_its_record_is_not_made_over_what_is_there(bench: Bench, act: Act, tmp_path: Path) -> None:
    assert bench.pool is not None
    (tmp_path / "image").write_bytes(IMAGE + b"x" * 2 * 1024**2)
    raw = {"name": bench.name("bare"), "pool": bench.pool.id, "source": {"path": str(tmp_path / "image")}}
    stored = bench.create("Template", "bare", raw).stored
    path = Path(stored.state["path"])
    kept = path.with_name(f".jvp-template@{raw['name']}.json")
    text = kept.read_bytes()
    act(bench, path.with_name(f"template@{raw['name']}"))
    looked(bench)
    assert bench.read("Template", stored) is None
    with pytest.raises((Rejected, NameTaken)):
        bench.create("Template", "bare", raw)
    assert path.read_bytes() == (tmp_path / "image").read_bytes()
    kept.write_bytes(text)
    looked(bench)
    bench.converged("Template", stored, raw)
    bench.delete("Template", stored)


def test_a_pool_without_its_marker_is_marked_again_only_where_records_of_ours_lie(bench: Bench) -> None:
    raw = {"name": bench.name("bare"), "path": f"{bench.folder}/{bench.name('bare')}"}
    stored = bench.create("StoragePool", raw["name"], raw).stored
    volume = bench.create("Volume", "in-it", {"name": "in-it", "pool": stored.id, "size": "1MiB"}).stored
    pool, marker = bench.connection.storagePoolLookupByUUIDString(stored.id), Path(raw["path"]) / ".jvp-@pool.json"
    marker.unlink()
    pool.refresh(0)
    read = bench.read("StoragePool", stored)
    assert read is not None
    assert bench.plan("StoragePool", read, raw) == ["active"]
    stored = bench.update("StoragePool", read, raw).stored
    assert marker.exists()
    bench.converged("StoragePool", stored, raw)
    bench.delete("Volume", volume)
    text = marker.read_bytes()
    marker.unlink()
    pool.refresh(0)
    read = bench.read("StoragePool", stored)
    assert read is not None
    assert bench.plan("StoragePool", read, raw) == ["active"]
    with pytest.raises(Rejected, match="is not the one that it was"):
        bench.update("StoragePool", read, raw)
    marker.write_bytes(text)
    pool.refresh(0)
    bench.delete("StoragePool", read)


def test_what_libvirt_cannot_tell_is_as_the_readme_says(bench: Bench, template: Stored) -> None:
    """A volume's <key> is its path, and <capacity>, <format> and <backingStore> are all that is said of its content."""
    assert bench.pool is not None
    assert bench.network is not None
    raw: Bag = {"name": bench.name("same"), "pool": bench.pool.id, "size": "2MiB"}
    stored = bench.create("Volume", "same", raw).stored
    path = Path(stored.state["path"])
    before = bench.connection.storageVolLookupByPath(str(path))
    assert before.key() == str(path)
    path.unlink()
    run("qemu-img", "create", "-f", "qcow2", "-o", "compat=1.1", path, "2M")
    looked(bench)
    assert bench.connection.storageVolLookupByPath(str(path)).key() == before.key()
    read = bench.read("Volume", stored)
    assert read is not None
    assert bench.plan("Volume", read, raw) == []
    bench.delete("Volume", read)
    renamed = f"<network><name>{bench.name('other')}</name><uuid>{bench.network.id}</uuid></network>"
    with pytest.raises(libvirt.libvirtError) as caught:
        bench.connection.networkDefineXML(renamed)
    assert caught.value.get_error_code() == libvirt.VIR_ERR_OPERATION_FAILED
    image_path = Path(template.state["path"])
    whole = image_path.read_bytes()
    image_path.write_bytes(whole[:-1] + b"!")
    looked(bench)
    read = bench.read("Template", template)
    assert read is not None
    assert bench.plan("Template", read, template.inputs) == []
    image_path.write_bytes(whole)

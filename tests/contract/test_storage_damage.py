"""Root disks and images of templates whose file an accident changed: told and refused alone, or put there again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import IMAGE, image

from jvp.core.errors import NotFound, Rejected
from jvp.core.work import Work

Act = Callable[[Path], None]


def _cut(path: Path) -> None:
    os.truncate(path, 0)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "precious").touch()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _away(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def machine(bench: Bench, **more: Any) -> dict[str, Any]:
    return {"name": bench.name("i"), "memory": "32MiB", "powerState": "stopped", **more}


def looked(bench: Bench) -> None:
    assert bench.pool is not None
    bench.connection.storagePoolLookupByUUIDString(bench.pool.id).refresh(0)


ROOTS = [
    ("qcow2", _cut, "is no qcow2 image any more"),
    # Its size alone would be no mend: the guest would start from zeros, and nobody would be told why.
    ("raw", _cut, r"was cut to 0 bytes, and what was in it is lost: .*; put it back, or delete the file"),
    ("qcow2", _folder, "is a folder, and the root disk of "),
    ("raw", _folder, "is a folder, and the root disk of "),
]


@pytest.mark.parametrize(("format", "act", "says"), ROOTS)
def test_a_damaged_root_disk_is_told_and_never_written(bench: Bench, format: str, act: Act, says: str) -> None:
    assert bench.pool is not None
    raw = machine(bench, rootDisk={"pool": bench.pool.id, "size": "1MiB", "format": format})
    stored = bench.create("Instance", raw["name"], raw).stored
    path = Path(stored.state["rootDiskPath"])
    act(path)
    told: list[str] = []
    read = bench.calls.read("Instance", stored, Work(warn=told.append))
    assert read is not None
    assert bench.plan("Instance", read, raw) == ["rootDisk.size"]
    planned: list[str] = []
    bench.calls.preview_update("Instance", read, bench.inputs("Instance", raw), Work(warn=planned.append))
    assert f"{told[0]}: this will fail" in planned
    with pytest.raises(Rejected, match=says) as caught:
        bench.update("Instance", read, {**raw, "powerState": "running"})
    assert caught.value.path == ("rootDisk",)
    assert len(told) == 1
    assert str(caught.value).endswith(told[0])
    assert path.stat().st_size == 0 or (path / "precious").exists()
    _away(path)
    gone = bench.read("Instance", read)
    assert gone is not None
    assert gone.state.get("rootDisk") is None
    bench.delete("Instance", gone)


def test_a_missing_root_disk_is_seen_though_its_pool_has_not_looked(bench: Bench) -> None:
    assert bench.pool is not None
    raw = machine(bench, rootDisk={"pool": bench.pool.id, "size": "1MiB"})
    stored = bench.create("Instance", raw["name"], raw).stored
    Path(stored.state["rootDiskPath"]).unlink()
    with pytest.raises(NotFound, match="is gone; refresh the state and run again"):
        bench.update("Instance", stored, {**raw, "powerState": "running"})
    read = bench.read("Instance", stored)
    assert read is not None
    assert read.state.get("rootDisk") is None
    bench.delete("Instance", read)


@pytest.mark.parametrize("act", [_cut, _folder, _pipe])
def test_nothing_new_stands_on_a_damaged_image(bench: Bench, act: Act) -> None:
    assert bench.pool is not None
    raw = {"name": bench.name("t"), "pool": bench.pool.id, "source": {"path": image(bench, "damage", IMAGE)}}
    template = bench.create("Template", raw["name"], raw).stored
    path = Path(template.state["path"])
    act(path)
    child = machine(bench, template=template.id)
    volume = {"name": bench.name("v"), "pool": bench.pool.id, "template": template.id}
    says = "was cut off or replaced|is a FIFO|has lost its volume"
    with pytest.raises((Rejected, NotFound), match=says):
        bench.create("Instance", child["name"], child)
    for more in ({}, {"fullClone": True}):
        with pytest.raises((Rejected, NotFound), match=says):
            bench.create("Volume", volume["name"], {**volume, **more})
    if act is not _cut:
        with pytest.raises((Rejected, NotFound), match=r"is a folder, and the image of template|is a FIFO|is gone"):
            bench.update("Template", template, raw)
        assert path.is_fifo() or (path / "precious").exists()
        _away(path)
        looked(bench)
        template = bench.create("Template", raw["name"], raw).stored
    else:
        template = bench.update("Template", template, raw).stored
    assert path.read_bytes() == IMAGE
    bench.delete("Instance", bench.create("Instance", child["name"], child).stored)
    bench.delete("Template", template)


@pytest.mark.parametrize("act", [_cut, _folder, _pipe])
def test_a_template_whose_record_is_none_is_refused_alone(bench: Bench, act: Act) -> None:
    assert bench.pool is not None
    raw = {"name": bench.name("t"), "pool": bench.pool.id, "source": {"path": image(bench, "damage", IMAGE)}}
    template = bench.create("Template", raw["name"], raw).stored
    path = Path(template.state["path"])
    record = path.with_name(f".jvp-template@{raw['name']}.json")
    act(record)
    with pytest.raises(Rejected, match=r"has lost its record|is a FIFO"):
        bench.delete("Template", template)
    other = {**raw, "name": bench.name("t")}
    bench.delete("Template", bench.create("Template", other["name"], other).stored)
    _away(record)
    _away(path)
    looked(bench)

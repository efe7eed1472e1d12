"""Folders with what no program put there: names that are no text, and files that an accident changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contract.conftest import Bench

from jvp.core.errors import Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work

BASE = b"/b\xff<{%x%}>"
ABSURD = struct.pack(">4sIQIIQ", b"QFI\xfb", 2, 104, len(BASE), 16, 2**60).ljust(104, b"\0") + BASE
"""The head of a qcow2 image of 1 EiB that stands on a file whose name is no text."""


@pytest.fixture
def pool(bench: Bench) -> Iterator[Stored]:
    name = bench.name("strange")
    made = bench.create("StoragePool", name, {"name": name, "path": f"{bench.folder}/{name}"}).stored
    yield made
    bench.delete("StoragePool", made)


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "precious").touch()


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


MENDED = None
DAMAGES = [
    ("raw", _truncate, "was cut to 0 bytes, and what was in it is lost", MENDED),
    ("qcow2", _truncate, "is no qcow2 image any more", "was made as qcow2 and is raw now"),
    ("raw", _replace_by_folder, 'is a folder, and volume "', "looks like dir"),
    ("qcow2", _replace_by_folder, 'is a folder, and volume "', "was made as qcow2 and is dir now"),
]


@pytest.mark.parametrize(("format", "damage", "said", "refusal"), DAMAGES)
def test_a_damaged_file_is_told_and_mended_or_refused(
    bench: Bench, pool: Stored, format: str, damage: Callable[[Path], None], said: str, refusal: str | None
) -> None:
    raw = {"name": bench.name("v"), "pool": pool.id, "size": "1MiB", "format": format}
    volume = bench.create("Volume", raw["name"], raw).stored
    path = Path(volume.state["path"])
    damage(path)
    told: list[str] = []
    read = bench.calls.read("Volume", volume, Work(warn=told.append))
    assert read is not None
    assert read.state["sizeBytes"] == 0
    assert len(told) == 1
    assert said in told[0]
    assert bench.plan("Volume", read, raw) == (["name", "size"] if format == "qcow2" else ["size"])
    bench.calls.preview_update("Volume", read, bench.inputs("Volume", raw), Work())
    if refusal is MENDED:
        volume = bench.update("Volume", read, raw).stored
        bench.converged("Volume", volume, raw)
        assert path.stat().st_size == 2**20
    else:
        with pytest.raises(Rejected, match=refusal):
            bench.update("Volume", read, raw)
        assert not path.is_dir() or (path / "precious").exists()
        _remove(path)
        assert bench.read("Volume", volume) is None
        volume = bench.create("Volume", raw["name"], raw).stored
    bench.delete("Volume", volume)


@pytest.mark.parametrize("damage", [_truncate, _replace_by_folder, _replace_by_pipe])
def test_a_record_that_is_none_keeps_nobody_waiting(bench: Bench, pool: Stored, damage: Callable[[Path], None]) -> None:
    raw = {"name": bench.name("v"), "pool": pool.id, "size": "1MiB"}
    volume = bench.create("Volume", raw["name"], raw).stored
    path = Path(volume.state["path"])
    record = path.with_name(f".jvp-{path.name}.json")
    damage(record)
    with contextlib.suppress(Rejected):
        assert bench.read("Volume", volume) is not None
    with pytest.raises(Rejected, match=r"has lost its record|is a FIFO"):
        bench.delete("Volume", volume)
    other = {**raw, "name": bench.name("v")}
    bench.delete("Volume", bench.create("Volume", other["name"], other).stored)
    _remove(record)
    _remove(path)
    bench.connection.storagePoolLookupByUUIDString(pool.id).refresh(0)


def test_files_whose_names_are_no_text_stand_in_nobodys_way(bench: Bench, pool: Stored) -> None:
    folder = os.fsencode(pool.state["path"])
    strangers = [folder + b"/caf\xe9.img", os.fsencode(f"{pool.state['path']}/\ufffe.img")]
    for path in strangers:
        Path(os.fsdecode(path)).touch()
    strangers.append(folder + b"/head.qcow2")
    Path(os.fsdecode(strangers[-1])).write_bytes(ABSURD)
    raw = {"name": bench.name("v"), "pool": pool.id, "size": "1MiB"}
    volume = bench.create("Volume", raw["name"], raw).stored
    bench.converged("Volume", volume, raw)
    pipe = Path(pool.state["path"]) / "pipe.img"
    strangers.append(os.fsencode(pipe))
    pipe.touch()
    bench.connection.storagePoolLookupByUUIDString(pool.id).refresh(0)
    pipe.unlink()
    os.mkfifo(pipe)
    told, _ = bench.calls.invoke("getStoragePool", {"storagePool": pool.id}, Work())
    assert told is not None
    assert r"caf\xe9.img" in told["volumes"]
    assert any(one.name.endswith(r"caf\xe9.img") for one in bench.calls.list("Volume", Work()))
    head, _ = bench.calls.invoke("getVolume", {"volume": f"{pool.id}/head.qcow2"}, Work())
    assert head is not None
    assert head["sizeBytes"] == 2**60
    assert head["backingFile"].endswith(r"b\xff<\x7b%x%}>")
    with pytest.raises(Rejected, match="cannot be declared as it is, so it is not imported"):
        bench.calls.import_("Volume", f"{pool.id}/head.qcow2", Work())
    bench.delete("Volume", volume)
    said: list[str] = []
    bench.calls.delete("StoragePool", pool, Work(warn=said.append))
    assert any(r"caf\xe9.img" in line and "stays" in line for line in said)
    for path in strangers:
        Path(os.fsdecode(path)).unlink()
    Path(pool.state["path"]).rmdir()

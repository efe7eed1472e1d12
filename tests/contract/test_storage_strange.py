"""Folders with what no program put there: names that are no text, and files that an accident changed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.conftest import Bench

from jvp.core.calls import Stored
from jvp.core.errors import Rejected
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

"""What is done to a volume's record behind our back is seen by the next refresh, whatever its size and times are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench

from jvp.core.stored import Stored
from jvp.core.work import Work

Bag = dict[str, Any]


@pytest.fixture
def volume(bench: Bench) -> Iterator[tuple[Stored, Bag]]:
    assert bench.pool is not None
    raw = {"name": bench.name("v"), "pool": bench.pool.id, "size": "1MiB"}
    stored = bench.read("Volume", bench.create("Volume", raw["name"], raw).stored)
    assert stored is not None
    yield stored, raw
    bench.delete("Volume", stored)


def _record(stored: Stored) -> Path:
    path = Path(stored.state["path"])
    return path.with_name(f".jvp-{path.name}.json")


def _edited(path: Path) -> None:
    """Another nonce, in place, of the same length and with the same time."""
    before, text = path.stat(), path.read_bytes()
    path.write_bytes(
        json.dumps({**json.loads(text), "nonce": "0" * 16}, separators=(",", ":")).encode().ljust(len(text))
    )
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced(path: Path) -> None:
    """Another file under its name."""
    old = path.rename(path.with_name("old"))
    shutil.copy2(old, path)
    _edited(path)
    old.unlink()


@pytest.mark.parametrize("change", [_edited, _replaced])
def test_a_record_with_another_nonce_is_another_volumes(
    bench: Bench, volume: tuple[Stored, Bag], change: Callable[[Path], None]
) -> None:
    stored, _ = volume
    record = _record(stored)
    was = record.read_bytes()
    change(record)
    assert bench.read("Volume", stored) is None
    record.write_bytes(was)
    assert bench.read("Volume", stored) == stored


def test_a_record_that_is_gone_is_missed_by_the_refresh_and_told_by_the_plan(
    bench: Bench, volume: tuple[Stored, Bag]
) -> None:
    stored, raw = volume
    record = _record(stored)
    was = record.read_bytes()
    assert bench.read("Volume", stored) == stored
    record.unlink()
    read = bench.read("Volume", stored)
    assert read is not None
    (change,) = bench.calls.diff("Volume", read, bench.inputs("Volume", raw), Work()).changes
    assert "has lost its record" in change.note
    record.write_bytes(was)
    assert bench.pool is not None
    bench.connection.storagePoolLookupByUUIDString(bench.pool.id).refresh(0)
    assert bench.read("Volume", stored) == stored
    assert bench.plan("Volume", stored, raw) == []


def test_a_volume_that_was_made_anew_under_its_name_is_not_the_one_that_was_read(
    bench: Bench, volume: tuple[Stored, Bag]
) -> None:
    stored, raw = volume
    assert bench.read("Volume", stored) == stored
    bench.delete("Volume", stored)
    other = bench.create("Volume", "other", raw).stored
    assert bench.read("Volume", stored) is None
    bench.delete("Volume", other)

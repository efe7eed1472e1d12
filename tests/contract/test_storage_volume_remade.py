"""A volume that somebody removed under running guests and that is made again: they write to the removed file, told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench

from jvp.core.stored import Stored
from jvp.core.work import Work

THEIRS = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vda'/></disk></devices></domain>
"""


@pytest.fixture
def raw(bench: Bench) -> dict[str, Any]:
    assert bench.pool is not None
    return {"name": bench.name("remade"), "pool": bench.pool.id, "size": "1MiB"}


@pytest.fixture
def volume(bench: Bench, raw: dict[str, Any]) -> Iterator[Stored]:
    stored = bench.create("Volume", "remade", raw).stored
    yield stored
    # The one that was made again is not acknowledged yet: this gives it once more.
    bench.delete("Volume", bench.create("Volume", "remade", raw).stored)


def made_again(bench: Bench, volume: Stored, raw: dict[str, Any]) -> list[str]:
    """What is warned of when an engine makes the volume again that somebody removed."""
    bench.connection.storageVolLookupByPath(volume.state["path"]).delete(0)
    assert bench.read("Volume", volume) is None
    said: list[str] = []
    bench.create("Volume", "remade", raw, Work(warn=said.append))
    return said


def test_our_guest_waits_for_its_next_power_cycle(bench: Bench, volume: Stored, raw: dict[str, Any]) -> None:
    assert bench.pool is not None
    name = bench.name("writes")
    declared = {
        "name": name, "memory": "32MiB", "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "disks": [{"name": "data", "volume": volume.id}], "shutdownTimeout": "0s",
    }  # fmt: skip
    instance = bench.create("Instance", name, declared).stored
    try:
        (line,) = made_again(bench, volume, raw)
        assert line.startswith(f'"{name}" still writes to the removed file of volume "{raw["name"]}"')
        read = bench.read("Instance", instance)
        assert read is not None
        assert bench.plan("Instance", read, declared) == []
        # Another change leaves it waiting.
        instance = bench.update("Instance", read, {**declared, "autostart": True}).stored
        read = bench.converged("Instance", instance, {**declared, "autostart": True})
        assert read.state["pendingRestart"] is True
        assert [one.partition(": its volume was removed")[0] for one in read.state["pending"]] == ["disks.data"]
        domain = bench.connection.lookupByUUIDString(instance.id)
        domain.destroy()
        domain.create()
        read = bench.read("Instance", instance)
        assert read is not None
        assert read.state["pendingRestart"] is False
    finally:
        bench.delete("Instance", instance)


def test_a_guest_of_others_is_named_and_left_alone(bench: Bench, volume: Stored, raw: dict[str, Any]) -> None:
    name = bench.name("theirs")
    theirs = bench.connection.createXML(THEIRS.format(name=name, path=volume.state["path"]), 0)
    try:
        (line,) = made_again(bench, volume, raw)
        assert line.startswith(f'"{name}" still writes to the removed file')
        assert not theirs.isPersistent()
        assert "urn:jvp" not in theirs.XMLDesc(0)
    finally:
        theirs.destroy()


def test_a_volume_that_nothing_runs_from_is_made_again_in_silence(
    bench: Bench, volume: Stored, raw: dict[str, Any]
) -> None:
    assert made_again(bench, volume, raw) == []

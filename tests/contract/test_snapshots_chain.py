"""As many snapshots as a disk bears, in a pool of a file system on a device."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.loop_device import loop_device

from jvp.core.errors import Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, value
from jvp.libvirt.snapshots.record import MOST

PIECE = 65536


def io(domain: Any, words: str) -> str:
    """What qemu-io says of the disk as the next start has it."""
    disk = parse(domain.XMLDesc(2)).find("devices/disk")
    assert disk is not None
    command = ["qemu-io", "-f", str(value(disk, "driver/@type")), "-c", words, str(value(disk, "source/@file"))]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def holds(domain: Any, count: int) -> bool:
    """Whether the pieces up to this one were written, each with its number, and none after it."""
    expected = [*range(1, count + 1), 0]
    said = [io(domain, f"read -P {one} {place * PIECE} {PIECE}") for place, one in enumerate(expected)]
    return not any("verification failed" in text for text in said)


def test_a_chain_of_as_many_files_as_there_may_be(bench: Bench, leftovers: None, tmp_path: Path) -> None:
    name = bench.name("chain")
    with loop_device(tmp_path / "device") as device:
        pool = bench.create("StoragePool", name, {
            "name": name, "path": f"{bench.folder}/{name}", "type": "fs",
            "source": {"device": device, "format": "ext4"}}).stored  # fmt: skip
        stored = bench.create("Instance", name, {
            "name": name, "memory": "32MiB", "powerState": "stopped",
            "rootDisk": {"pool": pool.id, "size": "2MiB", "format": "raw"}}).stored  # fmt: skip
        domain = bench.connection.lookupByUUIDString(stored.id)
        taken: list[Stored] = []
        for number in range(1, MOST):
            io(domain, f"write -P {number} {(number - 1) * PIECE} {PIECE}")
            raw = {"name": f"s{number}", "instance": stored.id}
            taken.append(bench.create("Snapshot", f"{name}{number}", raw).stored)
        assert len(taken) == 15
        with pytest.raises(Rejected, match=r'the disk "root" of .* is made of 16 files, and 16 are the most'):
            bench.create("Snapshot", f"{name}16", {"name": "s16", "instance": stored.id})
        for place in (7, 13, 0):  # the middle, then what is the end by then, and the first
            bench.delete("Snapshot", taken.pop(place))
            assert holds(domain, 15)
        bench.calls.act("rollbackSnapshot", taken[3].id, {}, Work())
        assert holds(domain, 5)
        bench.delete("Instance", stored)
        bench.delete("StoragePool", pool)

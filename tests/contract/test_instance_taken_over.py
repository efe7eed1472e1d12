"""A running machine that somebody else made and a program imported: what an update, a restart, a delete do to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import foreign_volume

from jvp.core.calls import Stored
from jvp.core.work import Work

THEIRS = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<disk type='file'><source file='{path}'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><mac address='{mac}'/><source network='{network}'/><model type='virtio'/></interface>
</devices></domain>"""
MAC = "52:54:00:0d:2b:01"


@pytest.fixture
def network(bench: Bench) -> Iterator[Stored]:
    name = bench.name("lan")
    stored = bench.create("Network", name, {"name": name, "cidr": bench.cidr()}).stored
    yield stored
    bench.delete("Network", stored)


@pytest.fixture
def theirs(bench: Bench, network: Stored) -> Iterator[Any]:
    """A machine without a system, which runs on a disk of its own and answers nothing."""
    disk = foreign_volume(bench, {"name": bench.name("root")})
    text = THEIRS.format(name=bench.name("theirs"), path=disk.path(), mac=MAC, network=network.state["name"])
    found = bench.connection.defineXML(text)
    found.create()
    yield found
    for domain in bench.connection.listAllDomains(0):
        if domain.UUIDString() == found.UUIDString():
            domain.destroy()
            domain.undefine()
    disk.delete(0)


@pytest.fixture
def imported(bench: Bench, theirs: Any) -> Stored:
    stored = bench.calls.import_("Instance", theirs.name(), Work())
    assert stored is not None
    return stored


def test_a_guest_whose_disk_is_kept_may_shut_down_before_it_is_cut_off(
    bench: Bench, imported: Stored, theirs: Any
) -> None:
    raw = {**imported.inputs, "shutdownTimeout": "1s"}
    stored = bench.update("Instance", imported, raw).stored
    said: list[str] = []
    bench.calls.delete("Instance", stored, Work(status=said.append))
    assert [line for line in said if line.startswith("waiting for the guest to shut down")]
    assert bench.read("Instance", stored) is None


def test_one_whose_disk_goes_with_it_is_not_waited_for(bench: Bench, network: Stored) -> None:
    assert bench.pool is not None
    raw = {
        "name": bench.name("own"), "memory": "32MiB", "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "nics": [{"name": "eth0", "network": network.id}], "cloudInit": {"hostname": "a"},
    }  # fmt: skip
    stored = bench.create("Instance", "own", raw).stored
    said: list[str] = []
    bench.calls.delete("Instance", stored, Work(status=said.append))
    assert not [line for line in said if line.startswith("waiting for the guest to shut down")]

"""A running machine that somebody else made and a program imported: what an update, a restart, a delete do to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import foreign_volume

from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link.xml import parse

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


def restart(bench: Bench, network: Stored) -> None:
    """As `virsh net-destroy` and `net-start` do: the new bridge has no ports."""
    found = bench.connection.networkLookupByUUIDString(network.id)
    found.destroy()
    found.create()


def on_the_bridge(bench: Bench, network: Stored) -> list[str]:
    """The MACs of the cards on the network's bridge, as the kernel has it."""
    bridge = bench.connection.networkLookupByUUIDString(network.id).bridgeName()
    ports = Path(f"/sys/class/net/{bridge}/brif").iterdir()
    return ["52:" + (one / "../address").resolve().read_text().strip()[3:] for one in ports]


def program(imported: Stored) -> dict[str, Any]:
    return {**imported.inputs, "shutdownTimeout": "0s"}


@pytest.mark.parametrize("how", ["network restarted", "unplugged by hand"])
def test_a_card_on_no_bridge_is_drift_that_an_update_mends(
    bench: Bench, network: Stored, imported: Stored, theirs: Any, how: str
) -> None:
    raw = program(imported)
    life = theirs.ID()
    assert on_the_bridge(bench, network) == [MAC]
    if how == "network restarted":
        restart(bench, network)
    else:
        tap = parse(theirs.XMLDesc(0)).find("devices/interface/target").get("dev")
        subprocess.run(["ip", "link", "set", tap, "nomaster"], check=True)
    assert on_the_bridge(bench, network) == []
    read = bench.read("Instance", imported)
    assert read is not None
    assert bench.plan("Instance", read, raw) == ["nics[0].network", "shutdownTimeout"]
    stored = bench.update("Instance", read, raw).stored
    assert on_the_bridge(bench, network) == [MAC]
    assert theirs.ID() == life
    assert stored.state["pending"] == []
    bench.converged("Instance", stored, raw)


def test_the_restart_of_a_network_plugs_in_what_a_program_has_taken_over(
    bench: Bench, network: Stored, imported: Stored, theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "UNPLUG_S", 1.0)
    stored = bench.update("Instance", imported, program(imported)).stored
    said: list[str] = []
    raw = {"name": network.state["name"], "cidr": network.state["cidr"], "mtu": 1400}
    bench.update("Network", network, raw, Work(warn=said.append))
    # It has no system to let go of its card.
    assert [line.partition(" to be plugged")[0] for line in said] == [
        f'"{theirs.name()}" does not let go of its card "{MAC.replace(":", "-")}"'
    ]
    read = bench.read("Instance", stored)
    assert read is not None
    assert [line.partition(":")[0] for line in read.state["pending"]] == [f"nics.{MAC.replace(':', '-')}"]
    raw = {**program(imported), "autostart": True}
    stored = bench.update("Instance", read, raw).stored
    assert on_the_bridge(bench, network) == [MAC]
    assert stored.state["pending"] == []
    bench.converged("Instance", stored, raw)

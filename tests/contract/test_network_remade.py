"""A network that somebody removed under running guests and that is made again: they are on its new bridge, or told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench

from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network.restart import Restart

THEIRS = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<interface type='network'><source network='{network}'/></interface></devices></domain>"""


@pytest.fixture
def raw(bench: Bench) -> dict[str, Any]:
    return {"name": bench.name("remade"), "cidr": bench.cidr()}


@pytest.fixture
def network(bench: Bench, raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    monkeypatch.setattr(devices, "UNPLUG_S", 1.0)
    stored = bench.create("Network", "remade", raw).stored
    yield stored
    bench.delete("Network", stored)


@pytest.fixture
def instance(bench: Bench, network: Stored) -> Iterator[Stored]:
    """A machine without a system: it never lets go of its card."""
    assert bench.pool is not None
    stored = bench.create("Instance", "on", {
        "name": bench.name("on"), "memory": "32MiB", "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "nics": [{"name": "eth0", "network": network.id}], "shutdownTimeout": "0s",
    }).stored  # fmt: skip
    yield stored
    bench.delete("Instance", stored)


@pytest.fixture
def theirs(bench: Bench, network: Stored) -> Iterator[Any]:
    text = THEIRS.format(name=bench.name("theirs"), network=network.state["name"])
    found = bench.connection.createXML(text, 0)
    yield found
    found.destroy()


def remove(bench: Bench, network: Stored) -> None:
    found = bench.connection.networkLookupByUUIDString(network.id)
    found.destroy()
    found.undefine()


def pending(bench: Bench, instance: Stored) -> list[str]:
    read = bench.read("Instance", instance)
    assert read is not None
    return [one.partition(":")[0] for one in read.state["pending"]]


def test_guests_of_a_network_that_is_made_again_are_plugged_in_or_told(
    bench: Bench, raw: dict[str, Any], network: Stored, instance: Stored, theirs: Any
) -> None:
    remove(bench, network)
    said: list[str] = []
    again = bench.create("Network", "remade", raw, Work(warn=said.append)).stored
    assert again.id == network.id
    assert pending(bench, instance) == ["nics.eth0"]
    assert [line.partition(" of others")[0] for line in said if " of others on network" in line] == [theirs.name()]
    bench.converged("Network", again, raw)


def test_also_when_making_it_again_was_cut_off(
    bench: Bench, raw: dict[str, Any], network: Stored, instance: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(bench, network)
    with monkeypatch.context() as killed:
        killed.setattr(Restart, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr(NetworkApi, "remove", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            bench.create("Network", "remade", raw)
    assert bench.connection.networkLookupByUUIDString(network.id).isActive()
    again = bench.create("Network", "remade", raw).stored
    assert again.id == network.id
    assert pending(bench, instance) == ["nics.eth0"]
    bench.converged("Network", again, raw)

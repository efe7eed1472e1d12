"""Many reservations of a network that runs: by a restart where nobody is on it, else one by one, until told to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.conftest import Bench

from jvp.core.errors import Busy, Cancelled
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse

GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<interface type='network'><source network='{network}'/></interface></devices></domain>"""
MANY = 12


def declaration(name: str, cidr: str, stem: str) -> dict[str, Any]:
    base = cidr.rpartition(".")[0]
    mac = "52:54:00:0d:2d:{:02x}"
    kept = [{"name": f"{stem}{n}", "mac": mac.format(n), "address": f"{base}.{n + 10}"} for n in range(MANY)]
    return {"name": name, "cidr": cidr, "reservations": kept}


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """These are about addresses and ranges, not about the way out."""
    return replace(bench, mode="isolated")


@pytest.fixture
def raw(bench: Bench) -> dict[str, Any]:
    return declaration(bench.name("many"), bench.cidr(), "a")


@pytest.fixture
def network(bench: Bench, raw: dict[str, Any]) -> Iterator[Stored]:
    stored = bench.create("Network", raw["name"], raw).stored
    yield stored
    bench.delete("Network", stored)


@pytest.fixture
def guest(bench: Bench, network: Stored) -> Iterator[Any]:
    found = bench.connection.createXML(GUEST.format(name=bench.name("on"), network=network.state["name"]), 0)
    yield found
    found.destroy()


def running(bench: Bench, network: Stored) -> list[str]:
    """The names in the running network, by their MACs."""
    root = parse(bench.connection.networkLookupByUUIDString(network.id).XMLDesc(0))
    return [one.get("name", "") for one in sorted(root.iterfind(".//host"), key=lambda one: str(one.get("mac")))]


def test_with_nobody_on_the_network_it_is_restarted_at_once(bench: Bench, network: Stored, raw: dict[str, Any]) -> None:
    said: list[str] = []
    new = declaration(raw["name"], raw["cidr"], "b")
    stored = bench.update("Network", network, new, Work(status=said.append)).stored
    assert not [line for line in said if line.startswith("keeping addresses")]
    assert running(bench, network) == [f"b{number}" for number in range(MANY)]
    bench.converged("Network", stored, new)


def test_under_a_guest_each_is_back_before_the_next_goes_until_told_to_stop(
    bench: Bench, network: Stored, raw: dict[str, Any], guest: Any
) -> None:
    new = declaration(raw["name"], raw["cidr"], "b")
    work = Work()
    least = [MANY]

    def step(line: str) -> None:
        if line.startswith("keeping addresses"):
            least.append(len(running(bench, network)))
        if line.startswith("keeping addresses, 7 of 24"):
            work.cancelled.set()

    work.status = step
    with pytest.raises(Cancelled):
        bench.update("Network", network, new, work)
    assert min(least) == MANY - 1
    assert running(bench, network)[:5] == ["b0", "b1", "b2", "b3", "a4"]
    with pytest.raises(Busy, match=r"0 of 16 steps to the addresses that it keeps are taken; run again to go on"):
        bench.update("Network", network, new, Work(deadline=time.monotonic()))
    read = bench.read("Network", network)
    assert read is not None
    assert bench.plan("Network", read, new) != []
    stored = bench.update("Network", read, new).stored
    assert running(bench, network) == [f"b{number}" for number in range(MANY)]
    bench.converged("Network", stored, new)
    assert guest.isActive()

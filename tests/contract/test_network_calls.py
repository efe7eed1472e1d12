"""How often libvirt is asked for one network beside thirty others: each is read once by a create, and by no read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench
from tests.contract.counted import counting

from jvp.core.outlook import Asked
from jvp.core.work import Work

OTHERS = 30
ONCE = {"virNetworkLookupByUUIDString": 1, "virNetworkGetXMLDesc": 2, "virNetworkIsActive": 1,
        "virNetworkGetAutostart": 1}  # fmt: skip
"""A read: the definition as it will be, and as it runs."""


@pytest.fixture
def alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node lists the networks of this run only: others come and go meanwhile."""
    every = libvirt.virConnect.listAllNetworks

    def ours(connection: libvirt.virConnect, flags: int = 0) -> list[libvirt.virNetwork]:
        return [network for network in every(connection, flags) if network.name().startswith(bench.prefix)]

    monkeypatch.setattr(libvirt.virConnect, "listAllNetworks", ours)


@pytest.fixture
def crowd(bench: Bench) -> Iterator[None]:
    """Others' networks, which stand."""
    made = [
        bench.connection.networkDefineXML(f"<network><name>{bench.name('crowd')}</name></network>")
        for _ in range(OTHERS)
    ]
    yield
    for network in made:
        network.undefine()


def networks(asked: Any) -> dict[str, int]:
    """The calls about networks: guests of others on the node are asked too."""
    return {name: count for name, count in asked.items() if "Network" in name}


@pytest.mark.usefixtures("alone", "crowd")
def test_one_network_beside_thirty_others(bench: Bench) -> None:
    name = bench.name("one")
    raw = {"name": name, "cidr": bench.cidr()}
    inputs, key = bench.inputs("Network", raw), bench.key("Network", name)
    there = len(bench.connection.listAllNetworks())
    assert there >= OTHERS

    with counting() as asked:
        bench.calls.preview_create("Network", inputs, Work(), Asked(lambda: key))
    looked = {"virNetworkLookupByUUIDString": 1, "virConnectListAllNetworks": 1, "virNetworkGetXMLDesc": there}
    assert networks(asked) == looked

    with counting() as asked:
        stored = bench.create("Network", name, raw).stored
    try:
        assert networks(asked) == {
            **looked, "virNetworkDefineXML": 1, "virNetworkSetAutostart": 1, "virNetworkCreate": 1,
            "virNetworkGetXMLDesc": there + 2, "virNetworkIsActive": 1, "virNetworkGetAutostart": 1,
        }  # fmt: skip
        assert asked["virConnectListAllDomains"] == 1

        with counting() as asked:
            first = bench.read("Network", stored)
        assert first is not None
        assert asked == {**ONCE, "virNetworkDefineXML": 1}, "the first read acknowledges"
        with counting() as asked:
            again = bench.read("Network", first)
        assert again is not None
        assert again.state == first.state
        assert asked == ONCE
    finally:
        with counting() as asked:
            bench.delete("Network", stored)
    assert networks(asked) == {
        "virNetworkLookupByUUIDString": 2, "virNetworkGetXMLDesc": 1, "virNetworkIsActive": 1, "virNetworkDestroy": 1,
        "virNetworkIsPersistent": 1, "virNetworkUndefine": 1,
    }  # fmt: skip

"""The same under the real engine: its plugin is killed in an `up` and in a `destroy`, and the next run converges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.scenes import image
from hosts.daemon import SystemHost
from hosts.engine import Resources, Stack
from hosts.inventory import difference, inventory

SHIM = Path(__file__).with_name("shim")
pytestmark = pytest.mark.usefixtures("pulumi_cli")

# The resource and, of its writing calls, those at which it dies in the up and in the destroy.
POINTS = {
    "net": ((1, 3), (1,)),
    "pool": ((1, 6), (3, 4)),
    "image": ((2, 9), (5,)),
    "data": ((1, 5), (2,)),
    "vm": ((1, 2), (2, 3)),
}


class Node:
    """A node, and the program over it: one of everything."""

    def __init__(self, host: SystemHost) -> None:
        self.host = host
        self.source = image(host.folder / "engine.raw", b"engine")

    def program(self, *names: str) -> Resources:
        pool = {"pool": "${pool.id}"}
        vm = {"memory": "64MiB", "template": "${image.id}", "disks": [{"name": "data", "volume": "${data.id}"}],
              "nics": [{"name": "eth0", "network": "${net.id}"}], "shutdownTimeout": "0s"}  # fmt: skip
        everything: dict[str, tuple[str, dict[str, Any]]] = {
            "net": ("Network", {"cidr": "192.168.97.0/24"}),
            "pool": ("StoragePool", {"path": str(self.host.pools / "engine")}),
            "image": ("Template", {**pool, "source": {"path": str(self.source)}}),
            "data": ("Volume", {**pool, "size": "8MiB"}),
            "vm": ("Instance", vm),
        }
        return {name: everything[name] for name in everything if name in names}

    def inventory(self) -> dict[str, str]:
        return inventory(self.host.uri, self.host.pools)


NEEDS = {"net": (), "pool": (), "image": ("pool",), "data": ("pool",), "vm": ("net", "pool", "image", "data")}


@pytest.fixture(scope="module")
def place(fault_node: SystemHost) -> Node:
    return Node(fault_node)


@pytest.fixture
def stack(place: Node, hosts_folder: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    before = place.inventory()
    stack = Stack(hosts_folder / f"engine-{request.node.callspec.id}", place.host.uri)
    yield stack
    if stack.resources():
        stack.destroy()
    assert difference(before, place.inventory()) == ""


def cut(number: int) -> dict[str, str]:
    """The environment in which a plugin dies after its writing call of this number."""
    return {"PYTHONPATH": str(SHIM), "JVP_CUT": f"after:{number}"}


@pytest.mark.parametrize("name", POINTS)
def test_killed_and_run_again(place: Node, stack: Stack, name: str) -> None:
    """No lock stays: the CLI lives on when its plugin dies, and says that it did."""
    creates, deletes = POINTS[name]
    base, whole = place.program(*NEEDS[name]), place.program(*NEEDS[name], name)
    stack.declare(base).up().expect()
    stack.up().expect()
    reference = None
    for number in creates:
        stack.declare(whole).up(**cut(number)).fails()
        stack.up().expect()
        stack.settled()
        assert name in stack.resources()
        names = set(place.inventory())
        assert names == (reference or names), "not what the first run made"
        reference = names
        stack.declare(base).up().expect()
    stack.declare(whole).up().expect()
    assert set(place.inventory()) == reference, "not what a run makes that nobody kills"
    stack.up().expect()
    for number in deletes:
        stack.declare(base).up(**cut(number)).fails()
        stack.up().expect()
        assert name not in stack.resources()
        stack.declare(whole).up().expect()
        assert set(place.inventory()) == reference, "something of the first life is left"
        stack.up().expect()
    stack.destroy().expect()

"""The same under the real engine: its plugin is killed in an `up` and in a `destroy`, and the next run converges.

Warm or plain, the plugin comes from the installed launcher. A warm start has two more that can be killed: the launcher
and the warm process. The plugin dies with either, at this very call.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import extent
from tests.starting import Start, warm_up

from faults import armed
from faults.scenes import image
from hosts.daemon import SystemHost
from hosts.engine import Resources, Stack
from hosts.inventory import difference, inventory

pytestmark = [pytest.mark.usefixtures("pulumi_cli"), pytest.mark.both_ways]

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
def stack(place: Node, hosts_folder: Path, request: pytest.FixtureRequest, started: Start) -> Iterator[Stack]:
    before = place.inventory()
    stack = Stack(hosts_folder / f"engine-{request.node.callspec.id}", place.host.uri)
    armed.install(stack.folder / "bin", "pulumi")
    stack.environment["PATH"] = f"{stack.folder / 'bin'}:{stack.environment['PATH']}"
    yield stack
    if stack.resources():
        stack.destroy()
    assert difference(before, place.inventory()) == ""


def dies(stack: Stack, started: Start, number: int, victim: str) -> None:
    """An up whose plugin is killed after its writing call of this number, or the one who dies with it."""
    if started.is_warm:
        warm_up(armed.COMMAND, armed.SELF)
    log = stack.folder / "killed"
    stack.up(**armed.place(number, victim, log)).fails()
    assert armed.killed(log) == [started.way]


@pytest.mark.parametrize("name", extent.sample(tuple(POINTS), "killed under the engine", share=0.6))
def test_killed_and_run_again(place: Node, stack: Stack, started: Start, name: str) -> None:
    """No lock stays: the CLI lives on when its plugin dies, and says that it did."""
    # Each costs seven commands; test_kill_points.py tries many more without an engine.
    creates, deletes = (extent.sample(points, f"killed {name}", share=0.5, least=1) for points in POINTS[name])
    victims = itertools.islice(itertools.cycle(armed.VICTIMS), list(POINTS).index(name), None)
    base, whole = place.program(*NEEDS[name]), place.program(*NEEDS[name], name)
    stack.declare(base).up().expect()
    stack.up().expect()
    reference = None
    for number in creates:
        dies(stack.declare(whole), started, number, next(victims))
        stack.up().expect()
        stack.settled()
        assert name in stack.resources()
        names = set(place.inventory())
        assert names == (reference or names), "not what the first run made"
        reference = names
        stack.declare(base).up().expect()
    stack.declare(whole).up().expect()
    assert set(place.inventory()) == reference, "not what a run makes that nobody kills"
    for number in deletes:
        stack.up().expect()  # the read that acknowledges what was made
        dies(stack.declare(base), started, number, next(victims))
        stack.up().expect()
        assert name not in stack.resources()
        stack.declare(whole).up().expect()
        assert set(place.inventory()) == reference, "something of the first life is left"
    stack.destroy().expect()

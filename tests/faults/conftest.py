from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.forks import Forks
from hosts.daemon import SystemHost
from hosts.fixtures import hosts_folder, node, pulumi_cli
from hosts.inventory import inventory, remove

__all__ = ["hosts_folder", "node", "pulumi_cli"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def fault_host(hosts_folder: Path) -> Iterator[SystemHost]:
    with contextlib.closing(SystemHost(hosts_folder / "faults", f"{hosts_folder.name}-faults")) as host:
        yield host


@pytest.fixture(scope="session")
def bare(fault_host: SystemHost) -> dict[str, str]:
    """What that node holds before any test."""
    return inventory(fault_host.uri, fault_host.pools)


@pytest.fixture(scope="module")
def fault_node(fault_host: SystemHost, bare: dict[str, str]) -> SystemHost:
    """A node on which nobody else works, so that all of it can be compared; what failed tests left is gone."""
    left = [name for name in inventory(fault_host.uri, fault_host.pools) if name not in bare]
    remove(fault_host.uri, left)
    return fault_host


@pytest.fixture(scope="module")
def forks(fault_node: SystemHost) -> Iterator[Forks]:
    with contextlib.closing(Forks(fault_node.uri, impatient=True)) as found:
        yield found

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.forks import Forks
from hosts.daemon import SystemHost
from hosts.fixtures import hosts_folder, node, pulumi_cli

__all__ = ["hosts_folder", "node", "pulumi_cli"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def fault_node(hosts_folder: Path) -> Iterator[SystemHost]:
    """A node on which nobody else works, so that all of it can be compared."""
    with contextlib.closing(SystemHost(hosts_folder / "faults", f"{hosts_folder.name}-faults")) as host:
        yield host


@pytest.fixture(scope="session")
def forks(fault_node: SystemHost) -> Iterator[Forks]:
    with contextlib.closing(Forks(fault_node.uri)) as found:
        yield found

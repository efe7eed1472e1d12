"""Fixtures: stacks under the real CLI, on the node's own daemon, each with a prefix and a folder that are this run's.

Most tests boot nothing: an instance with an empty disk runs at once. The guest is booted by few of them.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import engine_stack
import pytest
import tofu_stack
from engine_stack import Stack
from tests.conftest import sweep
from tests.starting import PROVIDER_COMMANDS, Start
from tofu_stack import Tofu

EXAMPLES = engine_stack.ROOT / "examples" / "terraform"
IMAGE = engine_stack.ROOT / "build" / "guest" / "micro.qcow2"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engines)


@pytest.fixture(scope="session")
def engine() -> None:
    """Skips where the CLI is not."""
    if (why := engine_stack.missing()) is not None:
        pytest.skip(why)


@pytest.fixture(scope="session")
def image() -> Path:
    """The micro guest's disk."""
    if not IMAGE.exists():
        pytest.skip("the micro guest is not built: `make setup` builds it")
    return IMAGE


@pytest.fixture
def make_stack(
    engine: None,
    tmp_path: Path,
    prefix: str,
    run_folder: Path,
    cidrs: Callable[[], str],
    daemon: Any,
    leftovers: None,
    started: Start,
) -> Iterator[Callable[[], Stack]]:
    """Makes stacks. What a test did not destroy is taken away through libvirt, which is quicker.

    At the end the counter of the warm processes shows that the provider was started in the test's way.

    A program finds `P` (what its names begin with), `FOLDER` (for its pool) and `CIDR` (for its network).
    """
    made: list[Stack] = []

    def make() -> Stack:
        number = next(_numbers)
        folder = run_folder / f"e{number}"
        names = {"P": f"{prefix}e{number}-", "FOLDER": str(folder), "CIDR": cidrs()}
        made.append(Stack(tmp_path / f"stack{number}", names, after=started.launches))
        return made[-1]

    yield make
    for stack in made:
        sweep(daemon, stack.names["P"])
        shutil.rmtree(stack.names["FOLDER"], ignore_errors=True)
    runs = [run for stack in made if stack.has_plugin for run in stack.runs]
    started.assert_kept(sum(run.words[0] in PROVIDER_COMMANDS for run in runs))


@pytest.fixture
def stack(make_stack: Callable[[], Stack]) -> Stack:
    """One stack."""
    return make_stack()


@pytest.fixture
def domain(daemon: Any, stack: Stack) -> Callable[[str], Any]:
    """A domain of the stack by the end of its name."""
    return lambda name: daemon.lookupByName(stack.names["P"] + name)


@pytest.fixture
def make_module(
    tmp_path: Path,
    prefix: str,
    run_folder: Path,
    cidrs: Callable[[], str],
    daemon: Any,
    leftovers: None,
    started: Start,
) -> Iterator[Callable[..., Tofu]]:
    """Makes root modules for OpenTofu or Terraform: of an example, or empty ones. Swept as stacks are.

    At the end none of the programs may have complained of the provider, not even in its log, and it was started in
    the test's way.

    A configuration finds `local.P`, `local.FOLDER` and `local.CIDR`; an example its variables in `given`.
    """
    if (why := tofu_stack.missing()) is not None:
        pytest.skip(why)
    made: list[Tofu] = []

    def make(example: str | None = None, program: str | None = None) -> Tofu:
        number = next(_numbers)
        folder = run_folder / f"t{number}"
        names = {"P": f"{prefix}t{number}", "FOLDER": str(folder), "CIDR": cidrs()}
        one = Tofu(tmp_path / f"module{number}", names, program, after=started.launches)
        made.append(one)
        if example is not None:
            one.example(EXAMPLES / example)
            one.given = {"prefix": names["P"], "cidr": names["CIDR"]}
        return one

    yield make
    for one in made:
        sweep(daemon, one.names["P"])
        shutil.rmtree(one.names["FOLDER"], ignore_errors=True)
        shutil.rmtree(f"/var/lib/jvp/{one.names['P']}-pool", ignore_errors=True)
    for one in made:
        # A test that cares whether something changed under a refresh says so itself.
        one.assert_no_complaints(drift=True)
    started.assert_kept(sum(run.words[1] in PROVIDER_COMMANDS for one in made for run in one.runs))

"""Guests that are not simply on or off: renamed while they run, crashed, saved to disk, undefined while they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.kinds import running

from jvp.core.calls import Stored


def bare(bench: Bench, stem: str, **more: Any) -> Bag:
    """A running machine with nothing to wait for."""
    return {**running(bench, bench.name(stem)), "nics": [], "disks": [], "cloudInit": None, **more}


@pytest.mark.parametrize(("paused", "after"), [(False, "running"), (True, "stopped")])
def test_a_rename_gives_a_guest_whose_power_nobody_manages_back_as_it_was(
    bench: Bench, made: Callable[[Bag], Stored], paused: bool, after: str
) -> None:
    raw = bare(bench, "unmanaged")
    stored = made(raw)
    if paused:
        domain_of(bench, stored).suspend()
    raw |= {"name": bench.name("other"), "powerState": "unmanaged"}
    stored = bench.update("Instance", stored, raw).stored
    assert (stored.state["name"], stored.state["state"]) == (raw["name"], after)
    bench.converged("Instance", stored, raw)

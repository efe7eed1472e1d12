"""`updatePolicy: restart`: what a running guest cannot take is applied by a stop and a start, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import Guest


@pytest.fixture
def guest(lab: Bench, leftovers: None) -> Iterator[Guest]:
    """A machine without a system: it runs at once and never answers."""
    assert lab.pool is not None
    raw: dict[str, Any] = {
        "name": lab.name("restart"), "memory": "32MiB", "rootDisk": {"pool": lab.pool.id, "size": "1MiB"},
        "cloudInit": {"hostname": "a"}, "shutdownTimeout": "1s",
    }  # fmt: skip
    found = Guest(lab, "restart", raw)
    found.create()
    yield found
    found.close()


def test_only_what_is_pending_restarts(guest: Guest) -> None:
    life = guest.domain.ID()
    guest.update(maxCpus=2, updatePolicy="restart")
    assert guest.state["pending"] == []
    assert guest.domain.isActive()
    assert guest.domain.ID() != life
    life = guest.domain.ID()
    assert guest.plan(cpus=2, maxCpus=4) == {"cpus": "live", "maxCpus": "power off"}
    guest.update(autostart=True)
    guest.update(updatePolicy="live")
    assert guest.domain.ID() == life
    guest.update(cloudInit={"hostname": "b"})
    # A later change of something else does not make the guest read its seed.
    guest.update(autostart=False)
    assert [one.partition(":")[0] for one in guest.state["pending"]] == ["cloudInit"]
    assert guest.domain.ID() == life
    assert guest.plan(updatePolicy="restart") == {"updatePolicy": "power off"}
    guest.update(updatePolicy="restart")
    assert guest.domain.ID() != life
    assert guest.state["pendingRestart"] is False


def test_a_guest_whose_power_nobody_manages_is_started_again(guest: Guest) -> None:
    life = guest.domain.ID()
    guest.update(maxCpus=4, updatePolicy="restart", powerState="unmanaged")
    assert guest.domain.isActive()
    assert guest.domain.ID() != life


def test_a_paused_guest_keeps_what_it_holds(guest: Guest) -> None:
    guest.update(powerState="paused")
    life = guest.domain.ID()
    guest.update(maxCpus=4, updatePolicy="restart")
    assert guest.domain.ID() == life
    assert [one.partition(":")[0] for one in guest.state["pending"]] == ["maxCpus"]

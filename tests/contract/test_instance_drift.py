"""Drift of every property of a stopped instance, changed as virsh would: seen and mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench, steady
from tests.contract.drift import CARD, INSTANCE, Drift

from jvp.core.stored import Stored


def declaration(bench: Bench, name: str, drift: Drift) -> dict[str, Any]:
    assert bench.pool is not None
    assert bench.network is not None
    base = bench.network.state["cidr"].rpartition(".")[0]
    return {
        **(KERNEL if drift.property == "directKernel" else {}), "shutdownTimeout": "0s",
        "name": name, "powerState": "stopped", "cpus": 1, "maxCpus": 4, "memory": "32MiB", "maxMemory": "64MiB",
        "machine": "pc-q35-7.1", "cpuMode": "Westmere", "iso": bench.volumes[2].id,
        "rootDisk": {"pool": bench.pool.id, "size": "1MiB", "bus": "virtio"}, "autostart": True,
        "disks": [{"name": "data", "volume": bench.volumes[0].id, "bus": "virtio", "serial": "data"}],
        "cloudInit": {"hostname": "drift"},
        "nics": [{"name": "eth0", "network": bench.network.id, "mac": CARD.upper(), "address": f"{base}.7",
                  "hostname": "own"}],
    }  # fmt: skip


KERNEL = {"directKernel": {"kernel": "/k", "cmdline": "quiet"}}
"""A file that is not there: enough for an instance that is never started."""


@pytest.fixture
def instance(bench: Bench, drift: Drift) -> Iterator[Stored]:
    name = bench.name("drift")
    stored = bench.create("Instance", name, declaration(bench, name, drift)).stored
    yield stored
    bench.delete("Instance", stored)


@pytest.mark.parametrize("drift", INSTANCE, ids=lambda drift: f"{drift.property} {drift.label}".strip())
def test_drift_is_seen_and_mended(bench: Bench, instance: Stored, drift: Drift) -> None:
    raw = declaration(bench, instance.state["name"], drift)
    drift.act(bench, bench.connection.lookupByUUIDString(instance.id))
    read = bench.read("Instance", instance)
    assert read is not None
    changed = {path.partition(".")[0].partition("[")[0] for path in bench.plan("Instance", read, raw)}
    assert drift.property in changed
    assert changed <= drift.paths
    mended = bench.update("Instance", read, raw).stored
    assert steady(bench.converged("Instance", mended, raw).state) == steady(instance.state)

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
    # libvirt takes half a second for each address that comes or goes.
    kept = {"address": f"{base}.7", "hostname": "own"} if drift.property == "nics" else {}
    return {
        **(KERNEL if drift.property == "directKernel" else {}), "shutdownTimeout": "0s",
        "name": name, "powerState": "stopped", "cpus": 1, "maxCpus": 4, "memory": "32MiB", "maxMemory": "64MiB",
        "machine": "pc-q35-7.1", "cpuMode": "Westmere",
        **({"cpu": {"features": {"x2apic": "disable"}, "topology": {"cores": 4}}} if drift.property == "cpu" else {}),
        "cpuset": "0",
        # A node gives no guest huge pages or locked memory just so, and one of these starts.
        "memoryBacking": {"hugePages": "2MiB", "shared": True, "locked": True} if drift.property == "memoryBacking"
                         else {"shared": True},
        "clock": {"offset": "localtime", "timers": [{"name": "hpet", "present": False}]}, "iso": bench.volumes[2].id,
        "rootDisk": {"pool": bench.pool.id, "size": "1MiB", "bus": "virtio"} | tuned(bench, drift, "rootDisk"),
        "autostart": True, "description": "A guest\nof the drift test", "tags": {"team": "web"},
        "xml": {"features/kvm/hidden/@state": "on"},
        "filesystems": [{"tag": "src", "source": str(bench.folder)}],
        "tpm": {}, "watchdog": {}, "rng": {"rate": 4096},
        "smbios": {"system": {"serial": "S-1"}, "oemStrings": ["one"]},
        "disks": [{"name": "data", "volume": bench.volumes[0].id, "bus": "virtio", "serial": "data"}
                  | tuned(bench, drift, "disks")],
        "cloudInit": {"hostname": "drift"},
        "nics": [{"name": "eth0", "network": bench.network.id, "mac": CARD.upper(), **kept}],
    }  # fmt: skip


def tuned(bench: Bench, drift: Drift, of: str) -> dict[str, Any]:
    """What the drift of a disk's options needs of it."""
    if drift.property != of or drift.label != "options":
        shares = (of, drift.label) == ("disks", "shareable")
        return {"volume": bench.volumes[3].id, "shareable": True} if shares else {}
    serial = {"serial": "ROOT"} if of == "rootDisk" else {}
    return {
        "bus": "scsi", "cache": "none", "io": "native", "discard": "unmap", "detectZeroes": "unmap", **serial,
        "wwn": "5000c50015ea71ab", "iops": {"read": 5, "write": 6, "writeMax": 7}, "bandwidth": {"total": "1MB"},
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

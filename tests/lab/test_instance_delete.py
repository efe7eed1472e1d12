"""Deleting an instance from whatever state it is in leaves nothing of it, and its volumes alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench

from jvp.core.work import Work


def killed(domain: Any) -> None:
    """End QEMU as the kernel does when memory is short."""
    for path in Path("/run/libvirt/qemu").glob("*.pid"):
        if path.stem == domain.name():
            os.kill(int(path.read_text()), signal.SIGKILL)
    Work().until(lambda: not domain.isActive(), limit_s=60, every_s=0.05, what="libvirt does not notice QEMU's end")


STATES: dict[str, Callable[[Any], Any]] = {
    "running": lambda domain: None,
    "stopped": lambda domain: domain.destroy(),
    "paused": lambda domain: domain.suspend(),
    "managed save": lambda domain: domain.managedSave(0),
    "killed": killed,
    "undefined but running": lambda domain: domain.undefine(),
}


@pytest.mark.parametrize("state", sorted(STATES))
def test_delete(lab: Bench, leftovers: None, state: str) -> None:
    assert lab.pool is not None
    volume = lab.create("Volume", "kept", {"name": lab.name("kept"), "pool": lab.pool.id, "size": "1MiB"}).stored
    raw = {
        "name": lab.name("delete"), "memory": "32MiB", "rootDisk": {"pool": lab.pool.id, "size": "1MiB"},
        "firmware": "bios" if state == "undefined but running" else "uefi",  # libvirt does not undefine UEFI so plainly
        "cloudInit": {"hostname": "a"}, "disks": [{"name": "data", "volume": volume.id}], "shutdownTimeout": "0s",
    }  # fmt: skip
    stored = lab.create("Instance", "delete", raw).stored
    try:
        STATES[state](lab.connection.lookupByUUIDString(stored.id))
    finally:
        lab.delete("Instance", stored)
    assert lab.read("Instance", stored) is None
    assert lab.read("Volume", volume) is not None
    lab.delete("Instance", stored)
    lab.delete("Volume", volume)

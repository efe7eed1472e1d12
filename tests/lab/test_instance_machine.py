"""Firmware, machine type and CPU of a machine without a system, which runs at once under emulation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import Guest

from jvp.core.errors import Rejected
from jvp.libvirt.domain import domains
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import drop, value
from jvp.libvirt.link.xml import parse as parsed
from jvp.resources.instance.definition import comparable
from jvp.resources.instance.machine import firmware_of


def raw(lab: Bench) -> dict[str, Any]:
    assert lab.pool is not None
    return {
        "name": lab.name("machine"), "memory": "64MiB", "rootDisk": {"pool": lab.pool.id, "size": "1MiB"},
        "shutdownTimeout": "0s",
    }  # fmt: skip


@pytest.fixture
def guest(lab: Bench, leftovers: None) -> Iterator[Guest]:
    found = Guest(lab, "machine", raw(lab))
    found.create()
    yield found
    found.close()


def pending(guest: Guest) -> list[str]:
    return [one.partition(":")[0] for one in guest.state["pending"]]


def cycle(guest: Guest) -> None:
    guest.domain.destroy()
    guest.domain.create()
    guest.stored = guest.read()
    assert guest.state["pending"] == []
    guest.settled()


def variables(guest: Guest) -> Path:
    return Path(value(parsed(guest.domain.XMLDesc(2)), "os/nvram") or "/none")


def test_uefi_comes_with_the_next_boot_and_leaves_nothing(guest: Guest, lab: Bench) -> None:
    assert guest.state["firmware"] == "bios"
    assert guest.plan(firmware="uefi") == {"firmware": "next boot"}
    guest.update(firmware="uefi")
    assert pending(guest) == ["firmware"]
    assert firmware_of(parsed(guest.domain.XMLDesc(0))) == "bios"
    cycle(guest)
    assert firmware_of(parsed(guest.domain.XMLDesc(0))) == "uefi"
    assert variables(guest).stat().st_size > 0
    # A rename takes the variables along, because they are named after the id.
    kept = variables(guest)
    guest.update(name=lab.name("renamed"))
    assert variables(guest) == kept
    assert kept.exists()
    guest.update(firmware="bios")
    assert pending(guest) == ["firmware"]
    guest.update(firmware="uefi")
    assert pending(guest) == []
    guest.update(firmware="bios", updatePolicy="restart")
    assert pending(guest) == []
    assert firmware_of(parsed(guest.domain.XMLDesc(0))) == "bios"
    assert kept.exists()  # until the instance goes


def test_uefi_from_the_start_goes_with_the_instance(lab: Bench, leftovers: None) -> None:
    assert lab.pool is not None
    declared = {**raw(lab), "firmware": "uefi"}
    stored = lab.create("Instance", "uefi", declared).stored
    try:
        domain = lab.connection.lookupByUUIDString(stored.id)
        assert "secboot" not in (value(parsed(domain.XMLDesc(0)), "os/loader") or "")
        stored = lab.converged("Instance", stored, declared)
        # A pool that has seen the variables must not list them when they are gone.
        lab.connection.storagePoolLookupByUUIDString(lab.pool.id).refresh(0)
    finally:
        lab.delete("Instance", stored)


def test_a_node_without_uefi_is_an_error_before_anything_is_made(
    guest: Guest, lab: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = domains.DomainApi.capabilities

    def without(api: domains.DomainApi, *arguments: Any) -> Any:
        root = offered(api, *arguments)
        drop(root, "os/enum")
        return root

    monkeypatch.setattr(domains.DomainApi, "capabilities", without)
    with pytest.raises(Rejected, match="no UEFI firmware"):
        lab.create("Instance", "none", {**raw(lab), "firmware": "uefi"})
    guest.read()  # which acknowledges it
    before = guest.domain.XMLDesc(2)
    with pytest.raises(Rejected, match="no UEFI firmware"):
        guest.update(firmware="uefi")
    assert guest.domain.XMLDesc(2) == before


def test_machine_and_cpu_come_with_the_next_boot(guest: Guest) -> None:
    made = guest.state
    root = parsed(guest.domain.XMLDesc(2))
    assert marks.edited(root, comparable(root)) == set()
    assert made["machine"].startswith("pc-q35-")
    assert made["cpuMode"]
    assert guest.plan(machine="q35", cpuMode=made["cpuMode"]) == {}
    assert guest.plan(machine="pc-q35-6.1", cpuMode="Nehalem") == {"machine": "next boot", "cpuMode": "next boot"}
    assert guest.plan(machine="virt") == {"machine": "replace"}
    guest.update(machine="pc-q35-6.1", cpuMode="Nehalem")
    assert pending(guest) == ["cpuMode", "machine"]
    guest.update(autostart=True)
    assert pending(guest) == ["cpuMode", "machine"]
    cycle(guest)
    live = parsed(guest.domain.XMLDesc(0))
    assert (value(live, "os/type/@machine"), value(live, "cpu/model")) == ("pc-q35-6.1", "Nehalem")
    guest.update(cpuMode="host-model")
    assert pending(guest) == ["cpuMode"]
    cycle(guest)
    guest.update(cpuMode="maximum", updatePolicy="restart")
    assert value(parsed(guest.domain.XMLDesc(0)), "cpu/@mode") == "maximum"
    # What the program stops saying stays.
    guest.raw = {name: item for name, item in guest.raw.items() if name not in ("machine", "cpuMode")}
    assert guest.plan() == {}
    assert guest.state["cpuMode"] == "maximum"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"machine": "pc-q35-1.0"}, "has no machine type"),
        ({"machine": "pc"}, "has no PCI Express"),
        ({"cpuMode": "Z80"}, "there is no CPU model"),
        ({"cpuMode": "host-passthrough"}, "does not work with qemu"),
    ],
)
def test_what_the_node_cannot_build_is_refused_before_anything_is_made(
    lab: Bench, leftovers: None, change: dict[str, Any], part: str
) -> None:
    with pytest.raises(Rejected, match=part) as caught:
        lab.create("Instance", "refused", {**raw(lab), **change})
    assert caught.value.path == tuple(change)

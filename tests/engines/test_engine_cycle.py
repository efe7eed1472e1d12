"""The life of a stack: up, nothing more to do, drift of every kind, changes in place, replacements, destroy."""

from __future__ import annotations

import re
from typing import Any

import libvirt
import pytest
from engine_stack import Run, Stack

CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
net = jvp.Network("net", name=P + net_name, cidr=CIDR, autostart=False)
data = jvp.Volume("data", name=P + "data", pool=pool.id, size=data_size, format=data_format)
spare = jvp.Volume("spare", name=P + "spare", pool=pool.name, size="1MiB")
vm = jvp.Instance(
    "vm",
    name=P + vm_name,
    memory=memory,
    max_memory="64MiB",
    cpus=1,
    virt_type="qemu",
    root_disk={"pool": pool.id, "size": "8MiB"},
    disks=[{"name": "data", "volume": data.id}],
    nics=[{"name": "eth0", "network": net.id}] + ([{"name": "eth1", "network": net.name}] if second else []),
    power_state=power,
    shutdown_timeout="0s",
)
pulumi.export("uuid", vm.uuid)
pulumi.export("path", data.path)
"""
VALUES: dict[str, Any] = {
    "net_name": "net", "data_size": "4MiB", "data_format": "qcow2", "memory": "64MiB", "vm_name": "vm", "second": False,
    "power": "running",
}  # fmt: skip


def dhcp_range(network: Any) -> tuple[str, str]:
    (found,) = re.findall(r"<range start='([\d.]+)' end='([\d.]+)'", network.XMLDesc(0))
    return found


@pytest.fixture
def cycle(stack: Stack) -> Stack:
    stack.write(PROGRAM, **VALUES)
    stack.up()
    return stack


def assert_promised(plan: Run, state: dict[str, Any]) -> None:
    """What a plan says it knows, and the up then makes otherwise, would be a lie."""
    for name, one in state.items():
        promised = plan.planned(name)
        known = {key: value for key, value in promised.items() if "04da6b54" not in str(value)}
        assert known.keys() >= {"name"}, name
        assert {key: one["outputs"].get(key) for key in known} == known, name


def test_after_an_up_there_is_nothing_to_do_and_after_a_destroy_nothing_is_left(stack: Stack, daemon: Any) -> None:
    stack.write(PROGRAM, **VALUES)
    planned = stack.preview()
    assert planned.ops == {name: ["create"] for name in ("pool", "net", "data", "spare", "vm")}
    before = {one.UUIDString() for one in daemon.listAllDomains(0)}
    done = stack.up()
    assert done.ops == planned.ops
    assert stack.outputs()["uuid"] in {one.UUIDString() for one in daemon.listAllDomains(0)} - before
    stack.settle()
    state = stack.state()
    assert_promised(planned, state)
    refreshed = stack.refresh("--expect-no-changes")
    assert refreshed.ops == {}
    assert {name: one["outputs"] for name, one in stack.state().items()} == {
        name: one["outputs"] for name, one in state.items()
    }
    assert stack.up("--expect-no-changes").ops == {}
    stack.destroy()
    assert stack.state() == {}


def test_drift_of_every_kind_is_seen_by_a_preview_and_mended_by_an_up(cycle: Stack, daemon: Any) -> None:
    prefix = cycle.names["P"]
    network, vm = daemon.networkLookupByName(prefix + "net"), daemon.lookupByName(prefix + "vm")
    pool = daemon.storagePoolLookupByName(prefix + "pool")
    # Everything at once: one preview must see all of it.
    start, end = dhcp_range(network)
    delete, section = libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE
    network.update(delete, section, -1, f"<range start='{start}' end='{end}'/>", LIVE | CONFIG)
    network.setAutostart(1)
    pool.setAutostart(0)
    pool.storageVolLookupByName(prefix + "spare").delete(0)
    vm.setAutostart(1)
    vm.setMemoryFlags(32 * 1024, CONFIG)
    vm.destroy()
    card = re.search(r"<interface.*?</interface>", vm.XMLDesc(2), re.DOTALL)
    disk = next(one for one in re.findall(r"<disk .*?</disk>", vm.XMLDesc(2), re.DOTALL) if "ua-jvp-disk-data" in one)
    assert card is not None
    vm.detachDeviceFlags(card[0], CONFIG)
    vm.detachDeviceFlags(disk, CONFIG)

    seen = cycle.preview()
    assert seen.ops == {"net": ["update"], "pool": ["update"], "spare": ["create"], "vm": ["update"]}
    assert {path.partition(".")[0] for path in seen.diff("net")} == {"autostart", "dhcp"}
    assert set(seen.diff("pool")) == {"autostart"}
    changed = {re.split(r"[.\[]", path)[0] for path in seen.diff("vm")}
    assert changed == {"autostart", "memory", "powerState", "nics", "disks"}

    cycle.up()
    cycle.settle()
    assert dhcp_range(network) == (start, end)
    assert [bool(one.autostart()) for one in (network, pool, vm)] == [False, True, False]
    assert vm.isActive()
    assert "ua-jvp-disk-data" in vm.XMLDesc(0)
    assert "ua-jvp-nic-eth0" in vm.XMLDesc(0)


def test_a_refresh_takes_drift_into_the_state(cycle: Stack, daemon: Any) -> None:
    vm = daemon.lookupByName(cycle.names["P"] + "vm")
    vm.suspend()
    cycle.refresh()
    assert cycle.state()["vm"]["outputs"]["powerState"] == "paused"
    assert cycle.preview().diff("vm") == {"powerState": "update"}
    cycle.up()
    assert vm.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    cycle.settle()


def test_a_stopped_pool_and_a_stopped_network_are_started_again(stack: Stack, daemon: Any) -> None:
    program = """
        pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER, active=active)
        jvp.Volume("data", name=P + "data", pool=pool.id, size=size)
        jvp.Network("net", name=P + "net", cidr=CIDR)
    """
    stack.write(program, active=True, size="1MiB")
    stack.up()
    pool = daemon.storagePoolLookupByName(stack.names["P"] + "pool")
    network = daemon.networkLookupByName(stack.names["P"] + "net")
    pool.destroy()
    network.destroy()
    seen = stack.preview()
    assert {name: set(seen.diff(name)) for name in seen.ops} == {"pool": {"active"}, "net": {"active"}}
    stack.up()
    assert pool.isActive()
    assert network.isActive()
    stack.settle()
    # Stopped by the program it can be started by it again, and what is in it changes after that.
    stack.write(program, active=False, size="1MiB")
    stack.up()
    stack.settle()
    stack.write(program, active=True, size="2MiB")
    assert stack.up().ops == {"pool": ["update"], "data": ["update"]}
    stack.settle()


def test_what_was_removed_behind_our_back_is_made_again(cycle: Stack, daemon: Any) -> None:
    prefix = cycle.names["P"]
    uuid = cycle.outputs()["uuid"]
    vm = daemon.lookupByName(prefix + "vm")
    vm.destroy()
    vm.undefineFlags(1 | 4)
    network = daemon.networkLookupByName(prefix + "net")
    network.destroy()
    network.undefine()
    assert cycle.preview().ops == {"net": ["create"], "vm": ["create"]}
    cycle.up()
    cycle.settle()
    # The uuid is derived: the same resource is the same machine.
    assert cycle.outputs()["uuid"] == uuid


def test_changes_in_place_reach_the_running_guest(cycle: Stack, daemon: Any) -> None:
    vm = daemon.lookupByName(cycle.names["P"] + "vm")
    life = vm.ID()
    cycle.write(PROGRAM, **{**VALUES, "data_size": "6MiB", "second": True})
    plan = cycle.preview()
    assert plan.ops == {"data": ["update"], "vm": ["update"]}
    assert plan.diff("data") == {"size": "update"}
    assert plan.diff("vm") == {"nics[1]": "add"}
    # What the change does not touch stays known to whatever depends on it.
    assert plan.planned("vm")["uuid"] == cycle.outputs()["uuid"]
    cycle.up()
    cycle.settle()
    assert vm.ID() == life
    assert vm.blockInfo("vdb")[0] == 6 * 1024**2
    assert "ua-jvp-nic-eth1" in vm.XMLDesc(0)
    cycle.write(PROGRAM, **{**VALUES, "data_size": "6MiB"})
    assert cycle.preview().diff("vm") == {"nics[1]": "delete"}


def test_a_rename_keeps_the_machine_and_its_disk(cycle: Stack, daemon: Any) -> None:
    before = cycle.state()["vm"]["outputs"]
    cycle.write(PROGRAM, **{**VALUES, "vm_name": "other"})
    assert cycle.preview().ops == {"vm": ["update"]}
    cycle.up()
    cycle.settle()
    renamed = daemon.lookupByName(cycle.names["P"] + "other")
    assert renamed.UUIDString() == before["uuid"]
    assert renamed.isActive()
    assert cycle.state()["vm"]["outputs"]["rootDiskPath"] == before["rootDiskPath"]


def test_what_cannot_change_in_place_is_replaced_and_its_users_follow(stack: Stack, daemon: Any) -> None:
    """Off, because a guest without a system never lets go of a device."""
    stack.write(PROGRAM, **{**VALUES, "power": "stopped"})
    stack.up()
    uuid = stack.outputs()["uuid"]
    stack.write(PROGRAM, **{**VALUES, "power": "stopped", "data_format": "raw", "net_name": "lan"})
    plan = stack.preview()
    assert plan.diff("data") == {"format": "update-replace"}
    assert plan.diff("net") == {"name": "update-replace"}
    assert "create-replacement" in plan.ops["data"]
    assert plan.ops["vm"] == ["update"]
    stack.up()
    stack.settle()
    xml = daemon.lookupByUUIDString(uuid).XMLDesc(0)
    assert re.search(r"type='raw'[^>]*/>\s*<source file='[^']*data'", xml)
    assert f"network='{stack.names['P']}lan'" in xml

"""Networks on an interface of the node (macvtap) and of virtual functions (SR-IOV); VLANs of cards."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench, domain_of
from tests.contract.kinds import running, stopped

from jvp.core.errors import Invalid, JvpError, dotted
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, value

INACTIVE = 2


@pytest.fixture
def wire(bench: Bench) -> Iterator[str]:
    """One end of a wire."""
    name = f"kw{bench.prefix[-8:-1]}"
    made = subprocess.run(["ip", "link", "add", name, "type", "veth"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no wire can be made here: {made.stderr.strip()}")
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=False)


def source(bench: Bench, stored: Any) -> dict[str, str | None]:
    found = parse(domain_of(bench, stored).XMLDesc(0)).find("devices/interface/source")
    assert found is not None
    return {name: found.get(name) for name in ("dev", "mode")}


def test_the_wire_of_an_interface(bench: Bench, wire: str) -> None:
    raw = {"name": bench.name("macvtap"), "mode": "macvtap", "device": wire}
    stored = bench.create("Network", "macvtap", raw).stored
    found = bench.connection.networkLookupByUUIDString(stored.id)
    guest = None
    try:
        assert (stored.state.get("deviceMode"), stored.state.get("bridge")) == (None, None)
        assert bench.plan("Network", bench.read("Network", stored), raw) == []
        assert bench.calls.invoke("getNetworks", {"mode": "macvtap", "details": True}, Work())
        name = bench.name("wired")
        machine = {**running(bench, name), "disks": [], "nics": [{"name": "eth0", "network": stored.id}]}
        guest = bench.create("Instance", name, machine).stored
        assert source(bench, guest) == {"dev": wire, "mode": "bridge"}
        assert bench.plan("Instance", bench.read("Instance", guest), machine) == []

        vepa = {**raw, "deviceMode": "vepa"}
        assert bench.plan("Network", stored, vepa) == ["deviceMode"]
        stored = bench.converged("Network", bench.update("Network", stored, vepa).stored, vepa)
        assert "mode='vepa'" in found.XMLDesc(0)
        read = bench.read("Instance", guest)
        (waits,) = read.state["pending"]  # nothing in this guest lets go of a card
        assert waits.startswith("nics.eth0: its network was restarted")
        assert bench.plan("Instance", read, machine) == []
        bench.delete("Instance", guest)
        guest = None
        bench.connection.networkDefineXML(found.XMLDesc(1).replace("mode='vepa'", "mode='private'"))
        read = bench.read("Network", stored)
        assert bench.plan("Network", read, vepa) == ["deviceMode"]
        stored = bench.converged("Network", bench.update("Network", read, vepa).stored, vepa)

        isolated = {"name": raw["name"], "mode": "isolated"}
        stored = bench.converged("Network", bench.update("Network", stored, isolated).stored, isolated)
        assert stored.state["bridge"]
        passed = {**raw, "deviceMode": "passthrough", "vlan": 42}
        stored = bench.converged("Network", bench.update("Network", stored, passed).stored, passed)
        assert "<tag id='42'/>" in found.XMLDesc(0)
    finally:
        if guest is not None:
            bench.delete("Instance", guest)
        bench.delete("Network", stored)


def test_virtual_functions_that_are_not_there(bench: Bench, wire: str) -> None:
    """There is no such adapter here: what is defined and read back, and what is refused, which leaves nothing."""
    raw = {"name": bench.name("sriov"), "mode": "hostdev", "device": wire, "vlan": 42, "active": False}
    stored = bench.create("Network", "sriov", raw).stored
    try:
        found = bench.connection.networkLookupByUUIDString(stored.id)
        assert f"<pf dev='{wire}'/>" in found.XMLDesc(0)
        assert value(parse(found.XMLDesc(0)), "forward/@managed") == "yes"
        assert bench.plan("Network", bench.read("Network", stored), raw) == []
        with pytest.raises(JvpError, match=f"No usable Vf's present on SRIOV PF {wire}"):
            bench.update("Network", stored, {**raw, "active": True})
    finally:
        bench.delete("Network", stored)
    for more, path, says in (
        ({"device": "nosuch0"}, "device", 'the node has no interface "nosuch0"'),
        ({"device": None, "hostDevices": ["0000:7f:10.1"]}, "", "is not an SR-IOV Virtual Function"),
        ({"active": True}, "", "No usable Vf's present"),
    ):
        name = bench.name("nofunction")
        with pytest.raises(JvpError, match=says) as refused:
            bench.create("Network", name, {**raw, "name": name, **more})
        assert dotted(refused.value.path) == path
        with pytest.raises(libvirt.libvirtError):
            bench.connection.networkLookupByName(name)


def test_vlans_and_ports_of_a_card(bench: Bench) -> None:
    """No Open vSwitch is here: what is defined, read back, changed and taken out."""
    name = bench.name("port")
    card: dict[str, Any] = {"name": "eth0", "bridge": "ovs0", "virtualPort": "openvswitch", "vlan": 42}
    raw = {**stopped(bench, name), "disks": [], "nics": [card]}
    stored = bench.create("Instance", name, raw).stored
    try:
        for more in ({"trunk": [47, 48]}, {"vlan": 43}, {"vlan": None, "trunk": [47]}, {"virtualPort": None}):
            raw = {**raw, "nics": [{**card, **more}]}
            stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
            (told,) = stored.state["nics"]
            assert {key: told.get(key) or None for key in more} == more
        root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
        assert root.find("devices/interface/virtualport") is None
        assert value(root, "devices/interface/vlan/tag/@id") == "42"
        raw = {**raw, "nics": [{"name": "eth0", "device": "eth9", "deviceMode": "passthrough", "vlan": 7}]}
        stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
        root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
        assert value(root, "devices/interface/source/@mode") == "passthrough"
        with pytest.raises(Invalid, match='the node has no interface "eth9"'):
            bench.update("Instance", stored, {**raw, "powerState": "running"})
    finally:
        bench.delete("Instance", stored)

"""Cards on a bridge of the node, and on an interface of it (macvtap), named directly."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench, domain_of
from tests.contract.drift import domain_edited
from tests.contract.kinds import running, stopped

from jvp.core.errors import Invalid, dotted
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, put, sub, text_of, value


@pytest.fixture
def interfaces(bench: Bench) -> Iterator[tuple[str, str, str]]:
    """Two bridges, and one end of a wire."""
    stem = bench.prefix[-8:-1]
    names = (f"ka{stem}", f"kb{stem}", f"kd{stem}")
    for name, kind in zip(names, ("bridge", "bridge", "veth"), strict=True):
        made = subprocess.run(["ip", "link", "add", name, "type", kind], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no {kind} can be made here: {made.stderr.strip()}")
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield names
    for name in names:
        subprocess.run(["ip", "link", "del", name], check=False)


def card(bench: Bench, stored: Any, flags: int = 0) -> dict[str, str | None]:
    device = parse(domain_of(bench, stored).XMLDesc(flags)).find("devices/interface")
    assert device is not None
    return {"type": device.get("type"), **dict(device.find("source").attrib)}  # type: ignore[union-attr]


def test_a_card_moves_from_a_network_to_bridges_and_comes_by_an_interface(
    bench: Bench, interfaces: tuple[str, str, str]
) -> None:
    one, two, wire = interfaces
    name = bench.name("nodecard")
    raw = running(bench, name)
    stored = bench.create("Instance", name, raw).stored
    try:
        for bridge in (one, two):  # in place: nobody in this guest lets go of a card
            raw = {**raw, "nics": [{"name": "eth0", "bridge": bridge}]}
            stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
            assert card(bench, stored) == card(bench, stored, 2) == {"type": "bridge", "bridge": bridge}
            assert stored.state["pending"] == []
        edit = domain_edited(lambda _, root: put(root, "devices/interface/source/@bridge", one))
        edit(bench, domain_of(bench, stored))
        read = bench.read("Instance", stored)
        assert read is not None
        assert [path.partition("[")[0] for path in bench.plan("Instance", read, raw)] == ["nics"]
        stored = bench.converged("Instance", bench.update("Instance", read, raw).stored, raw)
        raw = {**raw, "nics": [*raw["nics"], {"name": "wire", "device": wire}]}
        stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
        macvtap = parse(domain_of(bench, stored).XMLDesc(0)).find("devices/interface[@type='direct']/source")
        assert macvtap is not None
        assert dict(macvtap.attrib) == {"dev": wire, "mode": "bridge"}
    finally:
        bench.delete("Instance", stored)


@pytest.mark.parametrize(
    ("card", "path", "says"),
    [
        ({"bridge": "nosuch0"}, "nics[0].bridge", 'the node has no bridge "nosuch0"'),
        ({"bridge": "lo"}, "nics[0].bridge", "and no bridge"),
        ({"device": "nosuch0"}, "nics[0].device", 'the node has no interface "nosuch0"'),
    ],
)
def test_what_the_node_has_not_is_told_at_the_plan_and_refused(
    bench: Bench, card: dict[str, str], path: str, says: str
) -> None:
    raw = {**running(bench, bench.name("nocard")), "nics": [{"name": "eth0", **card}]}
    with pytest.raises(Invalid, match=says) as caught:
        bench.create("Instance", "nocard", raw)
    assert dotted(caught.value.path) == path


def test_hand_made_cards_are_imported_and_those_with_a_port_of_their_own_are_left(bench: Bench) -> None:
    name = bench.name("handcard")
    stored = bench.create("Instance", name, {**stopped(bench, name), "disks": []}).stored
    domain = domain_of(bench, stored)
    root = parse(domain.XMLDesc(2))
    drop(root, "metadata")
    devices = root.find("devices")
    assert devices is not None
    drop(devices, "interface")
    for number, (kind, source, port) in enumerate(
        [("bridge", {"bridge": "br0"}, None), ("direct", {"dev": "eth7", "mode": "vepa"}, None),
         ("direct", {"dev": "eth8", "mode": "passthrough"}, "802.1Qbh"),
         ("bridge", {"bridge": "ovs0"}, "openvswitch")]
    ):  # fmt: skip
        device = sub(devices, "interface", type=kind)
        sub(device, "mac", address=f"52:54:00:0d:5a:0{number}")
        sub(device, "source", **source)
        if port is not None:
            port_of = sub(device, "virtualport", type=port)
            if port == "802.1Qbh":
                sub(port_of, "parameters", profileid="p")
            else:
                sub(sub(device, "vlan"), "tag", id="42")
    try:
        domain.undefine()
        found = bench.connection.defineXML(text_of(root))
        imported = bench.calls.import_("Instance", name, Work())
        assert imported is not None
        assert [{key: one.get(key) for key in ("name", "bridge", "device")} for one in imported.inputs["nics"]] == [
            {"name": "52-54-00-0d-5a-00", "bridge": "br0", "device": None},
            {"name": "52-54-00-0d-5a-01", "bridge": None, "device": "eth7"},
            {"name": "52-54-00-0d-5a-03", "bridge": "ovs0", "device": None},
        ]
        on_switch, vepa = imported.inputs["nics"][2], imported.inputs["nics"][1]
        assert (on_switch["virtualPort"], on_switch["vlan"], vepa["deviceMode"]) == ("openvswitch", 42, "vepa")
        assert "nic 52-54-00-0d-5a-02" in imported.state["undeclared"]
        assert bench.plan("Instance", imported, imported.inputs) == []
        bench.update("Instance", imported, {**imported.inputs, "autostart": True})
        assert value(parse(found.XMLDesc(2)), "devices/interface[@type=direct]/source/@mode") == "vepa"
    finally:
        bench.connection.lookupByName(name).undefine()
        bench.delete("Instance", stored)

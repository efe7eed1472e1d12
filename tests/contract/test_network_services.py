"""Routes of a network, what its DHCP tells guests beside addresses, and options of its dnsmasq."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.test_network import effects, six_of

from jvp.core.errors import Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work

BEHIND, BEHIND_6 = "198.51.100.0/25", "fd99:99::/64"
"""What is behind a guest. Source: RFC 5737; nobody else here uses it."""


@pytest.fixture
def plain(bench: Bench) -> Iterator[tuple[Stored, dict[str, Any]]]:
    name, cidr = bench.name("service"), bench.cidr()
    raw = {"name": name, "cidr": cidr, "ipv6": {"cidr": f"{six_of(cidr)}::/64"}}
    stored = bench.create("Network", name, raw).stored
    yield stored, raw
    bench.delete("Network", stored)


def kernel(version: int, cidr: str) -> str:
    command = ["ip", f"-{version}", "route", "show", cidr]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def configuration(name: str) -> list[str]:
    return Path(f"/var/lib/libvirt/dnsmasq/{name}.conf").read_text().splitlines()


def test_routes_lead_to_guests(bench: Bench, plain: tuple[Stored, dict[str, Any]]) -> None:
    stored, raw = plain
    base, six = raw["cidr"].rpartition(".")[0], six_of(raw["cidr"])
    routes = [{"cidr": BEHIND, "gateway": f"{base}.9", "metric": 7}, {"cidr": BEHIND_6, "gateway": f"{six}::9"}]
    routed = {**raw, "routes": routes}
    assert set(effects(bench, stored, routed).values()) == {"network restart"}
    stored = bench.converged("Network", bench.update("Network", stored, routed).stored, routed)
    bridge = stored.state["bridge"]
    assert kernel(4, BEHIND).split()[:5] == [BEHIND, "via", f"{base}.9", "dev", bridge]
    assert f"{BEHIND_6} via {six}::9 dev {bridge}" in kernel(6, BEHIND_6)
    stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
    assert kernel(4, BEHIND) == ""


def test_what_dhcp_tells_and_what_dnsmasq_is_told(bench: Bench, plain: tuple[Stored, dict[str, Any]]) -> None:
    stored, raw = plain
    base = raw["cidr"].rpartition(".")[0]
    told = {
        **raw,
        "boot": {"file": "pxelinux.0", "server": f"{base}.9"},
        "dhcpOptions": {"ntp-server": f"{base}.9", "domain-search": "lab.example,example", "150": f"{base}.9"},
        "dnsmasqOptions": ["dhcp-ignore=tag:!known", "log-queries"],
    }
    stored = bench.converged("Network", bench.update("Network", stored, told).stored, told)
    lines = set(configuration(raw["name"]))
    assert lines >= {
        f"dhcp-boot=pxelinux.0,,{base}.9", f"dhcp-option=option:ntp-server,{base}.9", f"dhcp-option=150,{base}.9",
        "dhcp-option=option:domain-search,lab.example,example", "dhcp-ignore=tag:!known", "log-queries",
    }  # fmt: skip
    none = {**raw, "dnsmasqOptions": [], "dhcpOptions": {}, "routes": []}
    stored = bench.converged("Network", bench.update("Network", stored, none).stored, none)
    assert not lines & {line for line in configuration(raw["name"]) if line.startswith(("dhcp-option", "dhcp-boot"))}


def test_an_option_that_dnsmasq_does_not_know_leaves_the_network_as_it_was(
    bench: Bench, plain: tuple[Stored, dict[str, Any]]
) -> None:
    stored, raw = plain
    found = bench.connection.networkLookupByUUIDString(stored.id)
    for name, wrong in (("dnsmasqOptions", ["no-such-option"]), ("dhcpOptions", {"no-such-option": "x"})):
        with pytest.raises(Rejected, match="dnsmasq does not take one of these: bad") as caught:
            bench.update("Network", stored, {**raw, name: wrong})
        assert caught.value.path == (name,)
    assert found.isActive()
    assert "no-such-option" not in found.XMLDesc(1)


def test_a_hand_made_network_keeps_what_no_program_declares(bench: Bench) -> None:
    name, base = bench.name("hand"), bench.cidr().rpartition(".")[0]
    found = bench.connection.networkDefineXML(
        f"""<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>{name}</name>
        <bridge name='jo{bench.prefix[-8:-1]}'/>
        <ip address='{base}.1' netmask='255.255.255.0'><tftp root='/srv'/>
        <dhcp><range start='{base}.9' end='{base}.99'/><bootp file='x.0'/></dhcp></ip>
        <route address='198.51.100.0' netmask='255.255.255.0' gateway='{base}.9'/>
        <dnsmasq:options><dnsmasq:option value='dhcp-option=option:ntp-server,{base}.9'/>
        <dnsmasq:option value='log-queries'/></dnsmasq:options></network>"""
    )
    try:
        stored = bench.calls.import_("Network", name, Work())
        assert stored is not None
        assert {one: stored.inputs[one] for one in ("routes", "boot", "dhcpOptions", "dnsmasqOptions")} == {
            "routes": [{"cidr": "198.51.100.0/24", "gateway": f"{base}.9"}],
            "boot": {"file": "x.0", "tftpRoot": "/srv"},
            "dhcpOptions": {"ntp-server": f"{base}.9"}, "dnsmasqOptions": ["log-queries"],
        }  # fmt: skip
        least = {"name": name, "mode": "isolated", "cidr": f"{base}.0/24", "active": False, "autostart": False}
        least["dhcp"] = {"start": f"{base}.9", "end": f"{base}.99"}
        for raw in (stored.inputs, least):
            assert bench.plan("Network", stored, raw) == []
        before = found.XMLDesc(1)
        bench.update("Network", stored, {**least, "domain": "lab.example"})
        after = found.XMLDesc(1)
        assert all(line in after for line in before.splitlines() if not line.startswith("<network"))
    finally:
        found.undefine()


def test_an_open_network_has_no_rules_and_comes_from_nat_and_goes_back(
    bench: Bench, plain: tuple[Stored, dict[str, Any]]
) -> None:
    stored, raw = plain
    found = bench.connection.networkLookupByUUIDString(stored.id)
    opened = {**raw, "mode": "open"}
    assert effects(bench, stored, opened) == {"mode": "network restart"}
    stored = bench.converged("Network", bench.update("Network", stored, opened).stored, opened)
    assert "<forward mode='open'/>" in found.XMLDesc(0)
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    assert stored.state["bridge"] not in "".join(line for line in rules.splitlines() if "REJECT" in line)
    stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
    assert "<forward mode='nat'>" in found.XMLDesc(0)


def test_a_vlan_of_an_open_vswitch(bench: Bench) -> None:
    """None is here: what is defined, read back and mended. A guest on it would not start, in libvirt's words."""
    name, bridge = bench.name("vlan"), f"ks{bench.prefix[-8:-1]}"
    made = subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no bridge can be made here: {made.stderr.strip()}")
    raw = {"name": name, "mode": "bridge", "bridge": bridge, "virtualPort": "openvswitch", "vlan": 42}
    try:
        stored = bench.create("Network", name, raw).stored
        try:
            found = bench.connection.networkLookupByUUIDString(stored.id)
            assert "<virtualport type='openvswitch'" in found.XMLDesc(1)
            assert "<tag id='42'/>" in found.XMLDesc(1)
            bench.connection.networkDefineXML(found.XMLDesc(1).replace("id='42'", "id='43'"))
            read = bench.read("Network", stored)
            assert read is not None
            assert bench.plan("Network", read, raw) == ["vlan"]
            stored = bench.converged("Network", bench.update("Network", read, raw).stored, raw)
            moved = {**raw, "vlan": 9}
            stored = bench.converged("Network", bench.update("Network", stored, moved).stored, moved)
            assert "<tag id='9'/>" in found.XMLDesc(0)
        finally:
            bench.delete("Network", stored)
    finally:
        subprocess.run(["ip", "link", "del", bridge], check=False)

"""A network's XML: golden files, round trips, and patches that keep what is foreign."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.resources.golden.files import same_as_golden

from jvp.core.check import check
from jvp.core.diff import diff
from jvp.core.model import plain
from jvp.libvirt.xml import parse, same_xml, text_of, value
from jvp.resources.network import Network, _new_root, _patch, _read

UUID = "6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10"
HERE = Path(__file__).parent

GOLDEN: dict[str, dict[str, Any]] = {
    "network-nat": {"name": "web", "cidr": "192.168.50.0/24"},
    "network-full": {
        "name": "web", "mode": "nat", "cidr": "10.1.0.0/16", "gateway": "10.1.255.254", "bridge": "br-web",
        "dhcp": {"enabled": True, "start": "10.1.0.10", "end": "10.1.0.99", "leaseTime": "2h"},
    },
    "network-isolated": {"name": "web", "mode": "isolated"},
    "network-isolated-cidr": {
        "name": "web", "mode": "isolated", "cidr": "192.168.50.0/24", "dhcp": {"enabled": False},
    },
}  # fmt: skip


def spec_of(raw: dict[str, Any]) -> Network:
    checked = check(Network, raw)
    assert checked.spec is not None, checked.failures
    return checked.spec


def read(text: str) -> dict[str, Any]:
    return {
        Network.model_fields[name].alias or name: item for name, item in _read(parse(text)).items() if name != "uuid"
    }


def made(spec: Network) -> Any:
    root = _new_root(UUID)
    _patch(root, spec, UUID)
    return root


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden(name: str) -> None:
    same_as_golden(name, made(spec_of(GOLDEN[name])))


@st.composite
def raws(draw: Any) -> dict[str, Any]:
    """Declarations of every form, all valid."""
    raw: dict[str, Any] = {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)),
        "mode": draw(st.sampled_from(["nat", "isolated"])),
    }
    if draw(st.booleans()):
        raw["bridge"] = draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", fullmatch=True))
    if raw["mode"] == "isolated" and draw(st.booleans()):
        return raw
    first = draw(st.integers(1, 2**24)) << 8
    net = ipaddress.ip_network((first % (126 << 24) + (1 << 24), draw(st.integers(16, 29))), strict=False)
    hosts = list(range(int(net.network_address) + 1, int(net.network_address) + 6))
    raw["cidr"] = draw(st.sampled_from([str(net), f"{net.network_address}/{net.netmask}"]))
    if draw(st.booleans()):
        raw["gateway"] = str(ipaddress.ip_address(hosts[0]))
    kind = draw(st.sampled_from(["none", "off", "default", "range"]))
    if kind == "off":
        raw["dhcp"] = {"enabled": False}
    elif kind != "none":
        raw["dhcp"] = {"leaseTime": draw(st.sampled_from(["1h", "60m", "90s", "1h30m", "168h"]))}
    if kind == "range":
        start, end = sorted(draw(st.tuples(st.sampled_from(hosts[1:]), st.sampled_from(hosts[1:]))))
        raw["dhcp"] |= {"start": str(ipaddress.ip_address(start)), "end": str(ipaddress.ip_address(end))}
    return raw


@given(raws())
def test_what_is_written_reads_as_the_same_meaning(raw: dict[str, Any]) -> None:
    inputs = check(Network, raw).inputs
    state = {name: plain(item) for name, item in read(text_of(made(spec_of(raw)))).items()}
    assert diff(Network, {**inputs, **state}, inputs, inputs) == []


@given(raws(), raws())
def test_a_patch_is_as_good_as_new(before: dict[str, Any], after: dict[str, Any]) -> None:
    root = made(spec_of(before))
    spec = spec_of(after)
    _patch(root, spec, UUID)
    inputs = check(Network, after).inputs
    state = {name: plain(item) for name, item in read(text_of(root)).items()}
    assert diff(Network, {**inputs, **state}, inputs, inputs) == []
    again = parse(text_of(root))
    _patch(again, spec, UUID)
    assert same_xml(again, root)


FOREIGN = """<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0' ipv6='yes'>
  <name>old</name><uuid>6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10</uuid>
  <metadata><x:y xmlns:x='urn:x'>kept</x:y></metadata>
  <forward mode='nat' dev='eth0'><nat><port start='1024' end='65535'/></nat></forward>
  <bridge name='virbr7' stp='on' delay='3'/><mac address='52:54:00:00:00:07'/><mtu size='9000'/>
  <domain name='lan' localOnly='yes'/>
  <dns><host ip='10.9.0.9'><hostname>box</hostname></host></dns>
  <ip address='10.9.0.1' netmask='255.255.255.0'><tftp root='/x'/>
    <dhcp><range start='10.9.0.5' end='10.9.0.9'/><host mac='52:54:00:00:00:08' ip='10.9.0.77'/></dhcp></ip>
  <ip family='ipv6' address='fd00::1' prefix='64'/>
  <dnsmasq:options><dnsmasq:option value='foo'/></dnsmasq:options></network>"""


@given(raws())
def test_a_patch_keeps_what_is_foreign(raw: dict[str, Any]) -> None:
    root = parse(FOREIGN)
    spec = spec_of(raw)
    _patch(root, spec, UUID)
    assert root.get("ipv6") == "yes"
    assert root.findtext("metadata/{urn:x}y") == "kept"
    kept = {
        "mac/@address": "52:54:00:00:00:07", "mtu/@size": "9000", "domain/@localOnly": "yes", "bridge/@stp": "on",
        "dns/host/hostname": "box", "ip[@family=ipv6]/@address": "fd00::1",
    }  # fmt: skip
    assert {path: value(root, path) for path in kept} == kept
    assert len(root.findall("{http://libvirt.org/schemas/network/dnsmasq/1.0}options")) == 1
    if spec.mode == "nat":
        assert value(root, "forward/@dev") == "eth0"
        assert value(root, "forward/nat/port/@end") == "65535"
    if spec.cidr is not None:
        assert value(root, "ip/tftp/@root") == "/x"
        assert value(root, "ip/dhcp/host/@ip") == "10.9.0.77"
        assert value(root, "ip/@netmask") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<network><name>a</name></network>", {"mode": "isolated", "cidr": None, "gateway": None, "dhcp": None}),
        ("<network><name>a</name><forward/></network>", {"mode": "nat"}),
        (FOREIGN, {"name": "old", "mode": "nat", "cidr": "10.9.0.0/24", "gateway": "10.9.0.1", "bridge": "virbr7"}),
        ("<network><ip address='10.0.0.9' prefix='30'/></network>", {"cidr": "10.0.0.8/30", "gateway": "10.0.0.9"}),
        ("<network><ip family='ipv6' address='fd00::1' prefix='64'/></network>", {"cidr": None, "dhcp": None}),
    ],
)  # fmt: skip
def test_networks_of_others_are_read(text: str, expected: dict[str, Any]) -> None:
    found = read(text)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("lease", "expected"),
    [("", "1h"), ("<lease expiry='2' unit='hours'/>", "2h"), ("<lease expiry='30'/>", "30m"),
     ("<lease expiry='90' unit='seconds'/>", "90s"), ("<lease expiry='3600' unit='seconds'/>", "1h")],
)  # fmt: skip
def test_lease_times_of_others(lease: str, expected: str) -> None:
    one = f"<range start='10.0.0.2' end='10.0.0.3'>{lease}</range>"
    text = f"<network><ip address='10.0.0.1' prefix='24'><dhcp>{one}</dhcp></ip></network>"
    assert read(text)["dhcp"].bag() == {"enabled": True, "start": "10.0.0.2", "end": "10.0.0.3", "leaseTime": expected}

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
from jvp.libvirt.link.xml import parse, same_xml, text_of, value
from jvp.libvirt.network.reservations import hosts_of
from jvp.resources.network.definition import Ours, hosts_in, kept, own_bridge, patch, skeleton
from jvp.resources.network.definition import read as read_xml
from jvp.resources.network.forms import OF_THE_NODE
from jvp.resources.network.model import Network

UUID = "6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10"
HERE = Path(__file__).parent

GOLDEN: dict[str, dict[str, Any]] = {
    "network-nat": {"name": "web", "cidr": "192.168.50.0/24"},
    "network-full": {
        "name": "web", "mode": "nat", "cidr": "10.1.0.0/16", "gateway": "10.1.255.254", "bridge": "br-web",
        "dhcp": {"enabled": True, "start": "10.1.0.10", "end": "10.1.0.99", "leaseTime": "2h"},
        "domain": "web.example", "mtu": 1400,
        "dns": {
            "enabled": True,
            "hosts": [{"address": "10.1.0.7", "names": ["db", "sql"]}, {"address": "fd00:1::7", "names": ["db6"]}],
            "txt": [{"name": "_key.web.example", "value": "v=1"}],
            "srv": [
                {
                    "name": "_ldap._tcp",
                    "targets": [{"name": "db.web.example", "port": 389, "priority": 1, "weight": 2}],
                },
                {"name": "_sip._udp.web.example", "targets": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]},
            ],
            "forwarders": ["192.0.2.53"],
            "zones": [
                {"name": "corp.example", "forwarders": ["192.0.2.54", "192.0.2.55"]}, {"name": "own.example"},
            ],
        },
        "routes": [
            {"cidr": "10.99.0.0/16", "gateway": "10.1.0.7", "metric": 5},
            {"cidr": "fd99::/48", "gateway": "fd00:1::7"},
        ],
        "boot": {"file": "pxelinux.0", "server": "10.1.0.8", "tftpRoot": "/srv/tftp"},
        "dhcpOptions": {"ntp-server": "10.1.0.9", "119": "web.example,example"},
        "dnsmasqOptions": ["log-queries", "dhcp-ignore=tag:!known"],
        "reservations": [
            {"name": "db", "mac": "52:54:00:AB:CD:01", "address": "10.1.0.7"},
            {"name": "52-54-00-ab-cd-02", "mac": "52:54:00:AB:CD:02", "address": "10.1.0.8"},
        ],
        "ipv6": {
            "cidr": "fd00:1::/64", "gateway": "fd00:1::ffff",
            "dhcp": {"enabled": True, "start": "fd00:1::10", "end": "fd00:1::20", "leaseTime": "2h"},
            "reservations": [{"name": "db6", "duid": "00:03:00:01:52:54:00:ab:cd:01", "address": "fd00:1::7"},
                             {"name": "web6", "address": "fd00:1::8"}],
        },
    },
    "network-route": {"name": "web", "mode": "route", "ipv6": {"cidr": "fd00:1::/64"}},
    "network-open": {"name": "web", "mode": "open", "cidr": "192.168.50.0/24"},
    "network-bridge": {"name": "web", "mode": "bridge", "bridge": "br0"},
    "network-vlan": {
        "name": "web", "mode": "bridge", "bridge": "ovs0", "virtualPort": "openvswitch", "vlan": 42,
    },
    "network-trunk": {
        "name": "web", "mode": "bridge", "bridge": "ovs0", "virtualPort": "openvswitch", "vlan": 42, "trunk": [47, 48],
    },
    "network-macvtap": {"name": "web", "mode": "macvtap", "device": "eth1"},
    "network-passthrough": {
        "name": "web", "mode": "macvtap", "device": "eth1", "deviceMode": "passthrough", "vlan": 42,
    },
    "network-hostdev": {"name": "web", "mode": "hostdev", "device": "eth1", "vlan": 42},
    "network-functions": {"name": "web", "mode": "hostdev", "hostDevices": ["0000:03:10.1", "0000:03:10.3"]},
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
    found = read_everything(parse(text))
    return {Network.model_fields[name].alias or name: item for name, item in found.items() if name != "uuid"}


def read_everything(root: Any) -> dict[str, Any]:
    """Every host counts as the network's own."""
    return read_xml(root, Ours.of(hosts_of(root)))


def made(spec: Network) -> Any:
    root = skeleton(UUID)
    patch(root, spec, Ours())
    return root


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden(name: str) -> None:
    same_as_golden(name, made(spec_of(GOLDEN[name])))


@st.composite
def raws(draw: Any) -> dict[str, Any]:
    """Declarations of every form, all valid."""
    raw: dict[str, Any] = {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)),
        "mode": draw(st.sampled_from(["nat", "route", "open", "isolated", "bridge", "macvtap", "hostdev"])),
    }
    if raw["mode"] == "macvtap":
        forms = [{}, {"deviceMode": "vepa"}, {"deviceMode": "passthrough", "vlan": 42}]
        return {**raw, "device": "eth1", **draw(st.sampled_from(forms))}
    if raw["mode"] == "hostdev":
        forms = [{"device": "eth1"}, {"device": "eth1", "vlan": 42}, {"hostDevices": ["0000:03:10.1"]}]
        return raw | draw(st.sampled_from(forms))
    if raw["mode"] == "bridge" or draw(st.booleans()):
        raw["bridge"] = draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", fullmatch=True))
    if raw["mode"] == "bridge":
        return raw | draw(
            st.sampled_from(
                [
                    {},
                    {"virtualPort": "openvswitch", "vlan": 42},
                    {"virtualPort": "openvswitch", "vlan": 42, "trunk": [7, 8]},
                    {"virtualPort": "openvswitch", "trunk": [7]},
                ]
            )
        )
    if draw(st.booleans()):
        raw["mtu"] = draw(st.integers(1280, 65535))
    if raw["mode"] == "isolated" and draw(st.booleans()):
        return raw
    if draw(st.booleans()):
        raw["ipv6"] = {"cidr": f"fd00:{draw(st.integers(1, 9))}::/{draw(st.sampled_from([64, 64, 80]))}"}
        raw["ipv6"] |= draw(st.sampled_from([{}, {"dhcp": {}}, {"dhcp": {"leaseTime": "2h"}}]))
    if draw(st.booleans()):
        raw["domain"] = draw(st.sampled_from(["lan", "lab.example", "a-b.c"]))
    if draw(st.booleans()):
        raw["dns"] = draw(st.sampled_from([{"enabled": False}, GOLDEN["network-full"]["dns"]]))
        if raw["dns"].get("enabled"):
            names = draw(st.sets(st.sampled_from(["forwarders", "hosts", "srv", "txt", "zones"]), min_size=1))
            raw["dns"] = {name: raw["dns"][name] for name in names}
    first = draw(st.integers(1, 2**24)) << 8
    net = ipaddress.ip_network((first % (126 << 24) + (1 << 24), draw(st.integers(16, 29))), strict=False)
    hosts = list(range(int(net.network_address) + 1, int(net.network_address) + 6))
    raw["cidr"] = draw(st.sampled_from([str(net), f"{net.network_address}/{net.netmask}"]))
    if draw(st.booleans()):
        raw["gateway"] = str(ipaddress.ip_address(hosts[0]))
    more = GOLDEN["network-full"]
    if draw(st.booleans()):
        raw |= {"boot": draw(st.sampled_from([more["boot"], {"file": "x"}])), "dnsmasqOptions": more["dnsmasqOptions"]}
    if draw(st.booleans()):
        raw |= {"dhcpOptions": draw(st.sampled_from([{}, more["dhcpOptions"]]))}
        raw |= {"routes": [{"cidr": "10.99.0.0/16", "gateway": str(ipaddress.ip_address(hosts[1]))}]}
    numbers = draw(st.sets(st.integers(1, 4), max_size=4))
    if numbers:
        raw["reservations"] = [
            {"name": f"h{number}", "mac": f"52:54:00:00:00:A{number}", "address": str(ipaddress.ip_address(host))}
            for number, host in zip(sorted(numbers), hosts[1:], strict=False)
        ]
    kind = draw(st.sampled_from(["none", "off", "default", "range"]))
    if kind == "off":
        raw["dhcp"] = {"enabled": False}
        raw.pop("boot", None)
    elif kind != "none":
        raw["dhcp"] = {"leaseTime": draw(st.sampled_from(["1h", "60m", "150s", "1h30m", "168h"]))}
    if kind == "range":
        start, end = sorted(draw(st.tuples(st.sampled_from(hosts[1:]), st.sampled_from(hosts[1:]))))
        raw["dhcp"] |= {"start": str(ipaddress.ip_address(start)), "end": str(ipaddress.ip_address(end))}
    return raw


@given(raws())
def test_what_is_written_reads_as_the_same_meaning(raw: dict[str, Any]) -> None:
    inputs = check(Network, raw).whole
    text = text_of(made(spec_of(raw)))
    state = {name: plain(item) for name, item in read(text).items()}
    assert diff(Network, {**inputs, **state}, inputs, inputs) == []
    assert (value(parse(text), "forward/nat/@ipv6") == "yes") is (raw["mode"] == "nat" and "ipv6" in raw)


@given(raws(), raws())
def test_a_patch_is_as_good_as_new(before: dict[str, Any], after: dict[str, Any]) -> None:
    root = made(spec_of(before))
    spec = spec_of(after)
    ours = Ours.of(hosts_in([*spec_of(before).reservations, *spec.reservations]))
    patch(root, spec, ours)
    inputs = check(Network, after).whole
    state = {name: plain(item) for name, item in read(text_of(root)).items()}
    assert diff(Network, {**inputs, **state}, inputs, inputs) == []
    again = parse(text_of(root))
    patch(again, spec, ours)
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


def found(root: Any, paths: dict[str, str]) -> dict[str, str | None]:
    return {path: value(root, path) for path in paths}


@given(raws())
def test_a_patch_keeps_what_is_foreign(raw: dict[str, Any]) -> None:
    root = parse(FOREIGN)
    spec = kept(spec_of(raw), read_xml(root, Ours()), set())
    patch(root, spec, Ours())
    assert root.get("ipv6") == "yes"
    assert root.findtext("metadata/{urn:x}y") == "kept"
    if "dns" not in raw:
        assert value(root, "dns/host/hostname") == "box"
    assert len(root.findall("{http://libvirt.org/schemas/network/dnsmasq/1.0}options")) == 1
    if spec.mode == "nat":
        # The range was there without NAT, and nobody asked for any.
        assert value(root, "forward/nat/@ipv6") is None
        assert value(root, "forward/@dev") == "eth0"
        assert value(root, "forward/nat/port/@end") == "65535"
    if spec.mode in OF_THE_NODE:
        # libvirt has none of these where the bridge is the node's own.
        assert [one.tag for one in root if one.tag in ("ip", "mac", "domain", "mtu")] == []
        return
    theirs = {
        "mac/@address": "52:54:00:00:00:07", "domain/@localOnly": "yes", "bridge/@stp": "on",
        "ip/tftp/@root": "/x", "ip/dhcp/host/@ip": "10.9.0.77",
    }  # fmt: skip
    if "boot" in raw:
        del theirs["ip/tftp/@root"]
    assert found(root, theirs) == theirs
    assert value(root, "ip[@family=ipv6]/@address") == (spec.ipv6.gateway if raw.get("ipv6") else "fd00::1")
    assert value(root, "mtu/@size") == str(raw.get("mtu", 9000))
    assert value(root, "domain/@name") == raw.get("domain", "lan")
    if spec.cidr != "10.9.0.0/24":
        assert value(root, "ip/@netmask") is None


def test_what_means_the_same_is_not_written_anew() -> None:
    """A netmask, a lease time that is nowhere said, a second range: as a hand-made network has them."""
    text = FOREIGN.replace("<host mac", "<range start='10.9.0.20' end='10.9.0.30'/><host mac")
    root = parse(text)
    values = {name: plain(item) for name, item in read(text).items() if item is not None}
    ours = Ours.of(hosts_of(root))
    patch(root, spec_of(values), ours)
    assert same_xml(root, parse(text))
    patch(root, spec_of({**values, "dhcp": {**values["dhcp"], "end": "10.9.0.12"}}), ours)
    assert same_xml(root, parse(text.replace("end='10.9.0.9'", "end='10.9.0.12'")))


def test_what_the_program_gave_up_is_taken_out() -> None:
    root = parse(FOREIGN)
    spec = spec_of({"name": "old", "cidr": "10.9.0.0/24"})
    patch(root, kept(spec, read_everything(root), {"domain", "mtu", "ipv6"}), Ours.of(hosts_of(root)))
    assert [one for one in ("domain", "mtu", "ip[@family='ipv6']", "ip/dhcp/host") if root.find(one) is not None] == []


def test_a_network_that_leaves_the_nodes_bridge_gets_one_of_its_own() -> None:
    root = made(spec_of(GOLDEN["network-bridge"]))
    patch(root, spec_of({"name": "web", "cidr": "10.9.0.0/24"}), Ours())
    assert value(root, "bridge/@name") == own_bridge(UUID)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<network><name>a</name></network>", {"mode": "isolated", "cidr": None, "gateway": None, "dhcp": None}),
        ("<network><name>a</name><forward/></network>", {"mode": "nat"}),
        (FOREIGN, {"name": "old", "mode": "nat", "cidr": "10.9.0.0/24", "gateway": "10.9.0.1", "bridge": "virbr7"}),
        ("<network><ip address='10.0.0.9' prefix='30'/></network>", {"cidr": "10.0.0.8/30", "gateway": "10.0.0.9"}),
        ("<network><ip family='ipv6' address='fd00::1' prefix='64'/></network>", {"cidr": None, "dhcp": None}),
        ("<network><ip address='10.0.0.9' prefix='30'/><ip address='10.1.0.9' prefix='30'/></network>",
         {"cidr": "10.0.0.8/30", "gateway": "10.0.0.9"}),
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


def test_hosts_and_ipv6_of_others_are_read() -> None:
    found = read(FOREIGN)
    assert [one.bag() for one in found["reservations"]] == [
        {"name": "52-54-00-00-00-08", "mac": "52:54:00:00:00:08", "address": "10.9.0.77"}
    ]
    assert found["ipv6"].bag() == {
        "cidr": "fd00::/64", "gateway": "fd00::1", "dhcp": {"enabled": False, "leaseTime": "1h"},
        "reservations": [],
    }  # fmt: skip


def test_a_host_is_changed_in_its_place_and_others_are_left() -> None:
    text = """<network><ip address='10.9.0.1' prefix='24'><dhcp><host mac='52:54:00:00:00:0A' name='a' ip='10.9.0.5'>
      <lease expiry='0'/></host><host name='nomac' ip='10.9.0.6'/><host mac='52:54:00:00:00:0b' ip='10.9.0.7'/></dhcp>
      </ip></network>"""
    root = parse(text)
    spec = spec_of({"mode": "isolated", "cidr": "10.9.0.0/24", "dhcp": {"enabled": False}, "reservations": [
        {"name": "a", "mac": "52:54:00:00:00:0A", "address": "10.9.0.8"},
    ]})  # fmt: skip
    patch(root, spec, Ours(names=frozenset({"a"})))
    assert same_xml(root, parse(text.replace("10.9.0.5", "10.9.0.8")))


def test_an_address_that_is_none_is_read_all_the_same() -> None:
    """Anybody may have written the definition."""
    root = parse(
        "<network><name>a</name><forward mode='hostdev'><address type='pci' domain='0x0000' bus=' ' slot='0x1g'/>"
        "</forward><vlan trunk='yes'><tag id='x'/><tag id='7'/></vlan></network>"
    )
    found = read_everything(root)
    assert (found["host_devices"], found["trunk"], found["vlan"]) == (["0000:00:00.0"], [7], None)

"""What a network may be declared with: the rules, and what follows from what."""

from __future__ import annotations

import copy
import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.resources import test_network_xml

from jvp.core.check import check
from jvp.core.diff import diff
from jvp.core.errors import Path, dotted
from jvp.core.facts import Effect
from jvp.core.model import load
from jvp.core.values import UNKNOWN, walk
from jvp.libvirt.link.node import Node
from jvp.resources.network.handler import Networks
from jvp.resources.network.model import Network, NetworkState

NET = "192.168.50.0/24"
SIX = {"cidr": "fd00::/64"}
KEPT = {"name": "db", "mac": "52:54:00:00:00:0a", "address": "192.168.50.7"}
OTHER = {"name": "web", "mac": "52:54:00:00:00:0b", "address": "192.168.50.8"}


def dns(**given: Any) -> dict[str, Any]:
    """A network with this DNS."""
    return {"cidr": NET, "dns": given}


def forward(**given: Any) -> dict[str, Any]:
    """A network with a reservation and this forward."""
    return {"cidr": NET, "reservations": [KEPT], "portForwards": [{"name": "web", "hostPort": 8080, **given}]}


def kept6(*items: Any) -> dict[str, Any]:
    """A network with these addresses kept by DHCPv6."""
    return {"mode": "route", "ipv6": {**SIX, "reservations": list(items)}}


def failures(raw: dict[str, Any]) -> dict[str, str]:
    return {dotted(failure.path): failure.message for failure in check(Network, raw).failures}


@pytest.mark.parametrize(
    ("raw", "path", "part"),
    [
        ({}, "cidr", 'required for a network in mode "nat"'),
        ({"cidr": NET, "vlan": 42}, "vlan", 'is for mode "bridge"'),
        ({"mode": "bridge", "bridge": "br0", "vlan": 4095}, "vlan", "at most 4094"),
        ({"mode": "bridge", "bridge": "br0", "trunk": [7]}, "trunk", "is for a bridge of Open vSwitch"),
        ({"mode": "bridge", "bridge": "o", "virtualPort": "openvswitch", "trunk": [7, 7]}, "trunk[1]", "given twice"),
        ({"mode": "bridge", "bridge": "o", "virtualPort": "openvswitch", "vlan": 7, "trunk": [7]}, "trunk[0]",
         "7 is the vlan already"),
        ({"mode": "bridge", "bridge": "br0", "device": "eth1"}, "device", 'is for mode "macvtap" or "hostdev"'),
        ({"cidr": NET, "deviceMode": "vepa"}, "deviceMode", 'is for mode "macvtap"'),
        ({"mode": "macvtap"}, "device", 'is required for a network in mode "macvtap"'),
        ({"mode": "macvtap", "device": "eth1", "cidr": NET}, "cidr", 'the business of the wire; leave it out in mode'),
        ({"mode": "macvtap", "device": "eth1", "bridge": "br0"}, "bridge", "is for mode"),
        ({"mode": "macvtap", "device": "eth1", "vlan": 7}, "vlan", 'is for deviceMode "passthrough"'),
        ({"mode": "macvtap", "device": "eth1", "hostDevices": ["0000:03:10.1"]}, "hostDevices", 'is for mode'),
        ({"mode": "hostdev"}, "device", "a physical function, or hostDevices"),
        ({"mode": "hostdev", "device": "eth1", "hostDevices": ["0000:03:10.1"]}, "hostDevices", "cannot be given"),
        ({"mode": "hostdev", "hostDevices": ["eth1"]}, "hostDevices[0]", '"eth1" is not a PCI address'),
        ({"mode": "hostdev", "hostDevices": ["0000:03:10.1", "0000:03:10.1"]}, "hostDevices[1]", "is given twice"),
        ({"mode": "open"}, "cidr", 'required for a network in mode "open"'),
        ({"mode": "isolated", "gateway": "10.0.0.1"}, "gateway", "needs a cidr"),
        ({"mode": "isolated", "dhcp": {}}, "dhcp", "needs a cidr"),
        ({"cidr": "fd00::/64"}, "cidr", "not an IPv4 network"),
        ({"cidr": "10.0.0.0/31"}, "cidr", "no room for a gateway and a guest"),
        ({"cidr": "10.0.0.0/32"}, "cidr", "no room"),
        ({"cidr": "127.0.0.0/8"}, "cidr", "not a range that guests can use"),
        ({"cidr": "224.0.0.0/8"}, "cidr", "not a range that guests can use"),
        ({"cidr": "0.0.0.0/8"}, "cidr", "not a range that guests can use"),
        ({"cidr": "0.0.0.0/0"}, "cidr", "not a range that guests can use"),
        ({"cidr": NET, "gateway": "192.168.51.1"}, "gateway", "is outside of 192.168.50.0/24"),
        ({"cidr": NET, "gateway": "fe80::1"}, "gateway", "is outside of"),
        ({"cidr": NET, "gateway": "192.168.50.0"}, "gateway", "network or broadcast address"),
        ({"cidr": NET, "gateway": "192.168.50.255"}, "gateway", "network or broadcast address"),
        ({"cidr": NET, "dhcp": {"start": "192.168.51.9"}}, "dhcp.start", "is outside of"),
        ({"cidr": NET, "dhcp": {"end": "192.168.50.255"}}, "dhcp.end", "network or broadcast address"),
        ({"cidr": NET, "dhcp": {"start": "192.168.50.9", "end": "192.168.50.8"}}, "dhcp.end", "before the start"),
        ({"cidr": NET, "dhcp": {"start": "192.168.50.1"}}, "dhcp", "holds the gateway 192.168.50.1"),
        ({"cidr": NET, "gateway": "192.168.50.20", "dhcp": {"start": "192.168.50.9", "end": "192.168.50.30"}},
         "dhcp", "holds the gateway"),
        ({"cidr": NET, "dhcp": {"enabled": False, "start": "192.168.50.9"}}, "dhcp", "mean nothing while"),
        ({"cidr": NET, "dhcp": {"enabled": False, "leaseTime": "2h"}}, "dhcp", "mean nothing while"),
        ({"cidr": "10.0.0.0/8", "dhcp": {"start": "10.0.0.2", "end": "10.1.0.0"}}, "dhcp", "ends at 10.0.255.255 at"),
        ({"cidr": "240.0.0.0/24"}, "cidr", "not a range that guests can use"),
        ({"cidr": NET, "dhcp": {"leaseTime": "119s"}}, "dhcp.leaseTime", "must be at least 2m"),
        ({"cidr": NET, "ipv6": {**SIX, "dhcp": {"leaseTime": "1s"}}}, "ipv6.dhcp.leaseTime", "must be at least 2m"),
        ({"cidr": NET, "bridge": "all"}, "bridge", "what the kernel calls all interfaces"),
        ({"cidr": NET, "bridge": "a" * 16}, "bridge", "at most 15 letters"),
        ({"cidr": NET, "bridge": "../x"}, "bridge", "is not an interface name"),
        ({"cidr": NET, "bridge": "a b"}, "bridge", "is not an interface name"),
        ({"cidr": NET, "bridge": "a\n"}, "bridge", "is not an interface name"),
        ({"cidr": NET, "mode": "private"}, "mode", "must be one of"),
        ({"mode": "route"}, "cidr", 'required for a network in mode "route"'),
        ({"mode": "isolated", "domain": "lan"}, "domain", "needs a cidr"),
        ({"mode": "bridge"}, "bridge", 'required for a network in mode "bridge"'),
        ({"mode": "bridge", "bridge": "br0", "cidr": NET}, "cidr", "the business of the node's bridge"),
        ({"mode": "bridge", "bridge": "br0", "gateway": "10.0.0.1"}, "gateway", "the business of the node's bridge"),
        ({"mode": "bridge", "bridge": "br0", "dhcp": {}}, "dhcp", "the business of the node's bridge"),
        ({"mode": "bridge", "bridge": "br0", "domain": "lan"}, "domain", "the business of the node's bridge"),
        ({"mode": "bridge", "bridge": "br0", "mtu": 1500}, "mtu", "the business of the node's bridge"),
        ({"mode": "bridge", "bridge": "br0", "ipv6": SIX}, "ipv6", "the business of the node's bridge"),
        ({"mode": "bridge", "bridge": "br0", "reservations": [KEPT]}, "reservations", "business of the node's bridge"),
        ({"mode": "isolated", "reservations": [KEPT]}, "reservations", "needs a cidr"),
        ({"cidr": NET, "reservations": [{**KEPT, "address": "10.0.0.1"}]}, "reservations[0].address", "is outside of"),
        ({"cidr": NET, "reservations": [{**KEPT, "address": "fd00::1"}]}, "reservations[0].address", "is outside of"),
        ({"cidr": NET, "reservations": [{**KEPT, "address": "192.168.50.1"}]}, "reservations[0].address",
         "is the gateway"),
        ({"cidr": NET, "reservations": [{**KEPT, "address": "192.168.50.255"}]}, "reservations[0].address",
         "network or broadcast"),
        ({"cidr": NET, "reservations": [{**KEPT, "address": "x"}]}, "reservations[0].address", "not an IP address"),
        ({"cidr": NET, "reservations": [{**KEPT, "mac": "01:00:00:00:00:00"}]}, "reservations[0].mac", "multicast"),
        ({"cidr": NET, "reservations": [{**KEPT, "mac": "x"}]}, "reservations[0].mac", "is not a MAC address"),
        ({"cidr": NET, "reservations": [{**KEPT, "name": "a b"}]}, "reservations[0].name", "is not a domain name"),
        ({"cidr": NET, "reservations": [{**KEPT, "name": "9a"}]}, "reservations[0].name", "begin with a letter"),
        ({"cidr": NET, "reservations": [KEPT, {**OTHER, "name": "DB"}]}, "reservations[1].name", "given twice"),
        ({"cidr": NET, "reservations": [KEPT, {**OTHER, "mac": KEPT["mac"].upper()}]}, "reservations[1].mac", "twice"),
        ({"cidr": NET, "reservations": [KEPT, {**OTHER, "address": KEPT["address"]}]}, "reservations[1].address",
         "given twice"),
        ({"mode": "route", "ipv6": {"cidr": NET}}, "ipv6.cidr", "is not an IPv6 network"),
        (forward(to="nobody"), "portForwards[0].to", '"nobody" is the name of no reservation of the network'),
        (forward(to="db", hostAddress="fd01::1"), "portForwards[0].to", '"db" is the name of no reservation'),
        (forward(to="10.0.0.256"), "portForwards[0].to", "is neither an IP address nor the name of a reservation"),
        (forward(to="a b"), "portForwards[0].to", "is neither an IP address nor the name of a reservation"),
        (kept6({"name": "a", "address": "fd01::9"}), "ipv6.reservations[0].address", "is outside of fd00::/64"),
        (kept6({"name": "a", "address": "fd00::1"}), "ipv6.reservations[0].address", '"fd00::1" is the gateway'),
        (kept6({"name": "9a", "address": "fd00::9"}), "ipv6.reservations[0].name", "must begin with a letter"),
        (kept6({"name": "a", "duid": "web", "address": "fd00::9"}), "ipv6.reservations[0].duid", "is not a DUID"),
        (kept6({"name": "a", "address": "fd00::9"}, {"name": "b", "address": "fd00:0::9"}),
         "ipv6.reservations[1].address", "is given twice"),
        ({"mode": "route", "ipv6": {"cidr": "fd00::1/64"}}, "ipv6.cidr", "has host bits set"),
        ({"mode": "route", "ipv6": {"cidr": "fd00::/63"}}, "ipv6.cidr", "must be a /64"),
        ({"mode": "route", "ipv6": {"cidr": "fd00::/127"}}, "ipv6.cidr", "must be a /64"),
        ({"mode": "route", "ipv6": {"cidr": "fe80::/64"}}, "ipv6.cidr", "is link-local"),
        ({"mode": "route", "ipv6": {"cidr": "ff00::/64"}}, "ipv6.cidr", "not a range that guests can use"),
        ({"mode": "route", "ipv6": {"cidr": "4000::/64"}}, "ipv6.cidr", "not a range that guests can use"),
        ({"mode": "route", "ipv6": {**SIX, "gateway": "fd01::1"}}, "ipv6.gateway", "is outside of"),
        ({"mode": "route", "ipv6": {**SIX, "gateway": "fd00::"}}, "ipv6.gateway", "is the address of fd00::/64 itself"),
        ({"mode": "route", "ipv6": {**SIX, "dhcp": {"start": "10.0.0.1"}}}, "ipv6.dhcp.start", "is outside of"),
        ({"mode": "route", "ipv6": {**SIX, "dhcp": {"start": "fd00::9", "end": "fd00::8"}}}, "ipv6.dhcp.end", "before"),
        ({"mode": "route", "ipv6": {**SIX, "dhcp": {"start": "fd00::1"}}}, "ipv6.dhcp", "holds the gateway"),
        ({"mode": "route", "ipv6": {}}, "ipv6.cidr", "is required"),
        ({"mode": "route", "ipv6": SIX, "gateway": "fd00::1"}, "gateway", "needs a cidr"),
        ({"cidr": NET, "ipv6": SIX, "mtu": 1279}, "mtu", "IPv6 needs at least 1280"),
        ({"cidr": NET, "mtu": 67}, "mtu", "at least 68"),
        ({"cidr": NET, "mtu": 65536}, "mtu", "at most 65535"),
        ({"cidr": NET, "mtu": "big"}, "mtu", "must be a whole number"),
        ({"cidr": NET, "domain": ""}, "domain", "is not a domain name"),
        ({"cidr": NET, "domain": "a b"}, "domain", "is not a domain name"),
        ({"cidr": NET, "domain": "-a.b"}, "domain", "is not a domain name"),
        ({"cidr": NET, "domain": "a..b"}, "domain", "is not a domain name"),
        ({"cidr": NET, "domain": "a" * 64}, "domain", "is not a domain name"),
        ({"cidr": NET, "domain": "a.\n"}, "domain", "is not a domain name"),
        ({"cidr": NET, "name": "../x"}, "name", "is not a name"),
        ({"mode": "bridge", "bridge": "br0", "dns": {}}, "dns", "the business of the node's bridge"),
        ({"mode": "isolated", "dns": {"hosts": []}}, "dns", "needs a cidr"),
        ({"cidr": NET, "routes": [{"cidr": "0.0.0.0/0", "gateway": "192.168.50.7"}]},
         "routes[0].cidr", "every address"),
        ({"cidr": NET, "routes": [{"cidr": "10.0.0.0/255.0.0.0", "gateway": "192.168.50.7"}]},
         "routes[0].cidr", 'is written "10.0.0.0/8"'),
        ({"cidr": NET, "routes": [{"cidr": "10.0.0.0/8", "gateway": "10.0.0.1"}]},
         "routes[0].gateway", "is outside of"),
        ({"cidr": NET, "routes": [{"cidr": "10.0.0.0/8", "gateway": "192.168.50.1"}]},
         "routes[0].gateway", "is the node itself"),
        ({"cidr": NET, "routes": [{"cidr": "fd99::/64", "gateway": "fd00::1"}]}, "routes[0].gateway", "it has no IPv6"),
        ({"cidr": NET, "routes": [{"cidr": "fd99::/64", "gateway": "192.168.50.7"}]},
         "routes[0].gateway", "is not an IPv6 address"),
        ({"mode": "isolated", "routes": [{"cidr": "10.0.0.0/8", "gateway": "10.0.0.1"}]}, "routes", "needs a cidr"),
        ({"cidr": NET, "dhcpOptions": {"NTP": "x"}}, "dhcpOptions.NTP", "is no DHCP option"),
        ({"cidr": NET, "dhcpOptions": {"255": "x"}}, "dhcpOptions.255", "they go from 1 to 254"),
        ({"cidr": NET, "dhcpOptions": {"3": "x\ny"}}, "dhcpOptions.3", "control characters"),
        ({"cidr": NET, "dnsmasqOptions": ["a\nb"]}, "dnsmasqOptions[0]", "control characters"),
        ({"cidr": NET, "dnsmasqOptions": ["dhcp-option=3,1.2.3.4"]}, "dnsmasqOptions[0]", "belongs into dhcpOptions"),
        ({"cidr": NET, "boot": {"file": "x"}, "dhcp": {"enabled": False}}, "boot", "while dhcp.enabled is false"),
        ({"cidr": NET, "boot": {"file": "x", "tftpRoot": "srv"}}, "boot.tftpRoot", "is not an absolute path"),
        ({"mode": "bridge", "bridge": "br0", "boot": {"file": "x"}}, "boot", "the business of the node's bridge"),
        (dns(enabled=False, forwarders=["192.0.2.1"]), "dns.forwarders", "while dns.enabled is false"),
        (dns(hosts=[{"address": "FD00::1", "names": ["a"]}]), "dns.hosts[0].address", 'is written "fd00::1"'),
        (dns(hosts=[{"address": "fd00::1", "names": []}]), "dns.hosts[0].names", "must not be empty"),
        (dns(hosts=[{"address": "fd00::1", "names": ["a", "A"]}]), "dns.hosts[0].names", '"a" is given twice'),
        (dns(hosts=[{"address": "10.0.0.1", "names": ["a"]}, {"address": "10.0.0.1", "names": ["b"]}]),
         "dns.hosts[1].address", "is given twice"),
        (dns(hosts=[{"address": "10.0.0.1", "names": ["a\n"]}]), "dns.hosts[0].names[0]", "is not a domain name"),
        (dns(txt=[{"name": "a b", "value": "x"}]), "dns.txt[0].name", "is not the name of a record"),
        (dns(txt=[{"name": "a", "value": "x\nserver=/#/192.0.2.1"}]), "dns.txt[0].value", "control characters"),
        (dns(txt=[{"name": "a", "value": "x" * 256}]), "dns.txt[0].value", "longer than the 255 bytes"),
        (dns(srv=[{"name": "ldap", "targets": []}]), "dns.srv[0].name", "is not a service"),
        (dns(srv=[{"name": "_a._tcp", "targets": []}]), "dns.srv[0].targets", "must not be empty"),
        (dns(srv=[{"name": "_a._tcp", "targets": [{"name": "a", "port": 0}]}]),
         "dns.srv[0].targets[0].port", "at least 1"),
        (dns(zones=[{"name": "a"}, {"name": "A"}]), "dns.zones[1].name", "is given twice"),
    ],
)  # fmt: skip
def test_refused(raw: dict[str, Any], path: str, part: str) -> None:
    found = failures(raw)
    assert path in found, found
    assert part in found[path]


@pytest.mark.parametrize(
    ("raw", "gateway", "dhcp"),
    [
        ({"cidr": NET}, "192.168.50.1", ("192.168.50.2", "192.168.50.254")),
        ({"cidr": "10.0.0.0/30"}, "10.0.0.1", ("10.0.0.2", "10.0.0.2")),
        ({"cidr": NET, "gateway": "192.168.50.254"}, "192.168.50.254", ("192.168.50.1", "192.168.50.253")),
        ({"cidr": NET, "gateway": "192.168.50.100"}, "192.168.50.100", ("192.168.50.101", "192.168.50.254")),
        ({"cidr": NET, "gateway": "192.168.50.200"}, "192.168.50.200", ("192.168.50.1", "192.168.50.199")),
        ({"cidr": NET, "dhcp": {"start": "192.168.50.100"}}, "192.168.50.1", ("192.168.50.100", "192.168.50.254")),
        ({"cidr": NET, "dhcp": {"end": "192.168.50.9"}}, "192.168.50.1", ("192.168.50.2", "192.168.50.9")),
        ({"cidr": "10.0.0.0/8"}, "10.0.0.1", ("10.0.0.2", "10.0.255.255")),
        ({"cidr": "10.0.0.0/8", "dhcp": {"end": "10.9.0.9"}}, "10.0.0.1", ("10.9.0.0", "10.9.0.9")),
        ({"cidr": "10.0.0.0/8", "dhcp": {"start": "10.9.0.9"}}, "10.0.0.1", ("10.9.0.9", "10.9.255.255")),
        ({"cidr": "10.0.0.0/255.255.255.0"}, "10.0.0.1", ("10.0.0.2", "10.0.0.254")),
    ],
)  # fmt: skip
def test_gateway_and_range_follow_from_the_cidr(raw: dict[str, Any], gateway: str, dhcp: tuple[str, str]) -> None:
    checked = check(Network, raw)
    assert checked.failures == ()
    assert checked.whole["gateway"] == gateway
    assert (checked.whole["dhcp"]["start"], checked.whole["dhcp"]["end"]) == dhcp


cidrs = st.builds(
    lambda number, length: str(ipaddress.ip_network((number, length), strict=False)),
    st.integers(int(ipaddress.ip_address("1.0.0.0")), int(ipaddress.ip_address("126.255.255.255"))),
    st.integers(1, 30),
).filter(lambda text: not text.startswith("0."))


@given(cidrs, st.data())
def test_whatever_follows_is_valid_itself(cidr: str, data: st.DataObject) -> None:
    net = ipaddress.ip_network(cidr)
    host = data.draw(st.none() | st.integers(int(net.network_address) + 1, int(net.broadcast_address) - 1))
    raw = {"cidr": cidr, **({"gateway": str(ipaddress.ip_address(host))} if host else {})}
    checked = check(Network, raw)
    assert checked.failures == ()
    dhcp = checked.whole["dhcp"]
    start, end = (ipaddress.ip_address(dhcp[name]) for name in ("start", "end"))
    assert start in net
    assert end in net
    assert int(start) <= int(end)
    assert int(start) >> 16 == int(end) >> 16
    assert not int(start) <= int(ipaddress.ip_address(checked.whole["gateway"])) <= int(end)
    again = check(Network, checked.whole)
    assert again.failures == ()
    assert again.whole == checked.whole


@pytest.mark.parametrize(
    "raw",
    [
        {"cidr": UNKNOWN}, {"cidr": NET, "gateway": UNKNOWN}, {"cidr": NET, "dhcp": UNKNOWN}, {"mode": UNKNOWN},
        {"mode": UNKNOWN, "cidr": UNKNOWN, "dhcp": {"start": UNKNOWN, "end": UNKNOWN, "enabled": UNKNOWN}},
        {"cidr": NET, "dhcp": {"start": UNKNOWN, "end": "192.168.50.9"}}, {"cidr": NET, "bridge": UNKNOWN},
        {"cidr": NET, "dhcp": {"leaseTime": UNKNOWN}}, {"cidr": NET, "autostart": UNKNOWN, "active": UNKNOWN},
        {"mode": "bridge", "bridge": "br0", "mtu": UNKNOWN},
        {"cidr": NET, "dhcp": {"enabled": False, "start": UNKNOWN}},
        {"cidr": NET, "dhcp": {"enabled": False, "leaseTime": UNKNOWN}}, {"cidr": NET, "dhcp": {"enabled": UNKNOWN}},
    ],
)  # fmt: skip
def test_unknown_anywhere_is_neither_an_error_nor_lost(raw: dict[str, Any]) -> None:
    checked = check(Network, raw)
    assert checked.failures == ()
    for name, value in raw.items():
        if value is UNKNOWN:
            assert checked.inputs[name] is UNKNOWN


FULL: dict[str, Any] = {
    **test_network_xml.GOLDEN["network-full"],  # with what else a network may have
    "name": "a", "mode": "nat", "cidr": NET, "gateway": "192.168.50.1", "bridge": "br9", "autostart": True,
    "active": True, "dhcp": {"enabled": True, "start": "192.168.50.9", "end": "192.168.50.10", "leaseTime": "2h"},
    "domain": "lab.example", "mtu": 1400, "reservations": [KEPT],
    "ipv6": {
        **SIX, "gateway": "fd00::1",
        "dhcp": {"enabled": True, "start": "fd00::9", "end": "fd00::10", "leaseTime": "2h"},
        "reservations": [{"name": "db", "duid": "00:03:00:01", "address": "fd00::20"}],
    },
    "routes": [{"cidr": "10.99.0.0/16", "gateway": "192.168.50.7", "metric": 5}],
    "portForwards": [
        {
            "name": "web", "protocol": "tcp", "hostAddress": "192.0.2.1", "hostPort": 8080, "to": "192.168.50.9",
            "port": 80,
        },
        {"name": "calls", "protocol": "udp", "hostPorts": "7000-7010", "to": "fd00::9"},
    ],
}  # fmt: skip


@given(st.sets(st.sampled_from([path for path, _ in walk(FULL)])))
def test_any_of_it_may_be_unknown(paths: set[Path]) -> None:
    raw = copy.deepcopy(FULL)
    for path in paths:
        holder: Any = raw
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = UNKNOWN
    assert check(Network, raw).failures == ()


@pytest.mark.parametrize(
    ("raw", "open_"),
    [
        ({"cidr": UNKNOWN}, {("gateway",), ("dhcp",)}),
        (
            {"cidr": UNKNOWN, "gateway": "192.168.50.1", "dhcp": {"leaseTime": "2h"}},
            {("dhcp", "start"), ("dhcp", "end")},
        ),
        ({"cidr": UNKNOWN, "dhcp": {"enabled": False}}, {("gateway",)}),
        ({"cidr": NET, "gateway": UNKNOWN}, {("dhcp",)}),
        ({"cidr": NET, "dhcp": {"enabled": UNKNOWN}}, {("dhcp", "start"), ("dhcp", "end")}),
        ({"cidr": NET, "dhcp": {"start": UNKNOWN}}, {("dhcp", "end")}),
        ({"ipv6": {"cidr": UNKNOWN}}, {("ipv6", "gateway"), ("ipv6", "dhcp")}),
        ({"ipv6": {**SIX, "gateway": UNKNOWN, "dhcp": {}}}, {("ipv6", "dhcp", "start"), ("ipv6", "dhcp", "end")}),
    ],
)
def test_what_follows_from_something_unknown_is_unknown(raw: dict[str, Any], open_: set[Path]) -> None:
    given = {path for path, value in walk(raw) if value is UNKNOWN}
    found = {path for path, value in walk(check(Network, raw).whole) if value is UNKNOWN}
    assert found - given == open_


@pytest.mark.parametrize("path", ["ipv6", "reservations", "dhcp"])
def test_whole_objects_may_be_unknown(path: str) -> None:
    assert check(Network, {**FULL, path: UNKNOWN}).inputs[path] is UNKNOWN


@pytest.mark.parametrize(
    ("raw", "gateway", "dhcp"),
    [
        (SIX, "fd00::1", None),
        ({**SIX, "gateway": "fd00::ff"}, "fd00::ff", None),
        ({**SIX, "dhcp": {}}, "fd00::1", ("fd00::2", "fd00::ffff")),
        ({**SIX, "dhcp": {"start": "fd00::100", "end": "fd00::1ff"}}, "fd00::1", ("fd00::100", "fd00::1ff")),
        ({"cidr": "fd00::/126", "dhcp": {}}, "fd00::1", ("fd00::2", "fd00::3")),
    ],
)
def test_ipv6_hands_out_addresses_only_when_told_to(
    raw: dict[str, Any], gateway: str, dhcp: tuple[str, str] | None
) -> None:
    found = check(Network, {"mode": "nat", "ipv6": raw}).whole["ipv6"]
    assert found["gateway"] == gateway
    assert found["dhcp"]["enabled"] is (dhcp is not None)
    assert dhcp is None or (found["dhcp"]["start"], found["dhcp"]["end"]) == dhcp


@pytest.mark.parametrize(
    ("old", "new", "effects"),
    [
        ({"cidr": NET}, {"cidr": "192.168.50.0/255.255.255.0"}, set()),
        ({"cidr": NET}, {"cidr": NET, "dhcp": {"leaseTime": "60m"}}, set()),
        ({"cidr": NET}, {"cidr": NET, "dhcp": {"leaseTime": "2h"}}, {("dhcp.leaseTime", Effect.LIVE)}),
        ({"cidr": NET}, {"cidr": NET, "dhcp": {"start": "192.168.50.9"}}, {("dhcp.start", Effect.LIVE)}),
        ({"cidr": NET}, {"cidr": NET, "mode": "isolated"}, {("mode", Effect.NETWORK_RESTART)}),
        ({"cidr": NET}, {"cidr": NET, "bridge": "br9"}, {("bridge", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "bridge": "br9"}, {"cidr": NET}, set()),
        ({"cidr": NET}, {"cidr": NET, "domain": "lan"}, {("domain", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "domain": "lan"}, {"cidr": NET}, {("domain", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "domain": "lan"}, {"cidr": NET, "domain": "LAN"}, set()),
        ({"cidr": NET, "mtu": 1400}, {"cidr": NET, "mtu": 1500}, {("mtu", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "mtu": 1400}, {"cidr": NET}, {("mtu", Effect.NETWORK_RESTART)}),
        ({"cidr": NET}, {"cidr": NET, "reservations": [KEPT]}, {("reservations[0]", Effect.LIVE)}),
        ({"cidr": NET, "reservations": [KEPT]}, {"cidr": NET}, {("reservations[0]", Effect.LIVE)}),
        ({"cidr": NET, "reservations": [KEPT, OTHER]}, {"cidr": NET, "reservations": [OTHER, KEPT]}, set()),
        ({"cidr": NET, "reservations": [KEPT]},
         {"cidr": NET, "reservations": [{**KEPT, "mac": KEPT["mac"].upper(), "address": "192.168.50.9"}]},
         {("reservations[0].address", Effect.LIVE)}),
        ({"cidr": NET}, {"cidr": NET, "ipv6": SIX}, {("ipv6", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "ipv6": SIX}, {"cidr": NET}, {("ipv6", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "ipv6": SIX}, {"cidr": NET, "ipv6": {"cidr": "fd00:0::/64"}}, set()),
        ({"cidr": NET, "ipv6": SIX}, {"cidr": NET, "ipv6": {**SIX, "gateway": "fd00::2"}},
         {("ipv6.gateway", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "ipv6": SIX}, {"cidr": NET, "ipv6": {**SIX, "dhcp": {}}},
         {("ipv6.dhcp.enabled", Effect.LIVE), ("ipv6.dhcp.start", Effect.LIVE), ("ipv6.dhcp.end", Effect.LIVE)}),
        ({"cidr": NET}, {"cidr": NET, "mode": "route"}, {("mode", Effect.NETWORK_RESTART)}),
        ({"cidr": NET, "name": "a"}, {"cidr": NET, "name": "b"}, {("name", Effect.REPLACE)}),
        ({"cidr": NET, "autostart": False}, {"cidr": NET}, {("autostart", Effect.LIVE)}),
        ({"cidr": NET, "active": False}, {"cidr": NET}, {("active", Effect.LIVE)}),
    ],
)  # fmt: skip
def test_effects(old: dict[str, Any], new: dict[str, Any], effects: set[tuple[str, Effect]]) -> None:
    before, after = check(Network, old).whole, check(Network, new).whole
    state = load(NetworkState, before)
    changes = Networks(Node(None)).effects(diff(Network, {"bridge": "x", **before}, before, after), state, after)
    assert {(dotted(change.path), change.effect) for change in changes} == effects

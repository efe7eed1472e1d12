"""The scenarios of the parity suite that are about a network's modes and services. Read by test_parity.py."""

from __future__ import annotations

from tests.contract import kinds
from tests.contract.columns import Told
from tests.contract.scenes import Scene, scenario


def _changed(*names: str) -> Told:
    """What a door tells of an update of these."""
    return Told("update", frozenset(names))


@scenario
def what_a_network_serves(scene: Scene) -> None:
    """Routes, DHCP's and dnsmasq's options, network boot, and mode open."""
    raw = kinds.network(scene.bench, scene.name)
    guest = f"{raw['cidr'].rpartition('.')[0]}.9"
    full = {
        **raw,
        "routes": [{"cidr": "198.51.100.0/25", "gateway": guest}],
        "dhcpOptions": {"ntp-server": guest},
        "dnsmasqOptions": ["log-queries"],
        "boot": {"file": "pxelinux.0", "server": guest},
    }
    assert scene.up("Network", full).action == "create"
    for again in (full, {**full, "routes": [{**full["routes"][0], "metric": None}]}):
        assert scene.up("Network", again).action == "none"
    full |= {"mode": "open", "dhcpOptions": {"ntp-server": guest, "150": guest}}
    assert scene.up("Network", full) == Told("update", frozenset({"mode", "dhcpOptions"}))
    assert scene.up("Network", full).action == "none"
    assert (scene.outputs["mode"], scene.outputs["boot"]["server"]) == ("open", guest)
    wrong = {**full, "routes": [{"cidr": "198.51.100.0/25", "gateway": "192.0.2.1"}]}
    assert scene.plan("Network", wrong).action == "refused"
    bare = {**raw, "routes": [], "dhcpOptions": {}, "dnsmasqOptions": [], "mode": "nat", "boot": full["boot"]}
    assert "routes" in scene.up("Network", bare).changed
    assert scene.up("Network", bare).action == "none"


@scenario
def networks_on_what_the_node_has(scene: Scene) -> None:
    """In each mode for which libvirt makes no bridge; none of them runs."""
    raw = {"name": scene.name, "active": False}
    switch = {**raw, "mode": "bridge", "bridge": "ovs0", "virtualPort": "openvswitch", "vlan": 42}
    own = {**raw, "mode": "isolated", "bridge": f"kp{scene.name[-6:]}"}
    scene.up("Network", own)
    assert scene.up("Network", {**raw, "mode": "macvtap", "device": "lo"}).changed >= {"mode", "device"}
    assert scene.up("Network", {**raw, "mode": "macvtap", "device": "lo"}).action == "none"
    vepa = {**raw, "mode": "macvtap", "device": "lo", "deviceMode": "vepa"}
    assert scene.up("Network", vepa) == _changed("deviceMode")
    assert scene.up("Network", {**vepa, "vlan": 42}).action == "refused"
    assert scene.up("Network", {**raw, "mode": "hostdev", "device": "lo", "vlan": 42}).changed >= {"mode", "vlan"}
    assert scene.up("Network", {**raw, "mode": "hostdev"}).action == "refused"
    assert scene.up("Network", own).changed >= {"mode", "device", "vlan"}
    assert scene.up("Network", own).action == "none"
    assert scene.up("Network", {**switch, "trunk": [47, 47]}).action == "refused"


@scenario
def cards_on_what_the_node_has(scene: Scene) -> None:
    """A machine that does not run, with cards on a bridge, a switch and an interface of the node."""
    bare = {**kinds.stopped(scene.bench, scene.name), "disks": []}
    card = {"name": "eth0", "bridge": "ovs0", "virtualPort": "openvswitch", "vlan": 42, "trunk": [47]}
    wire = {"name": "eth1", "device": "eth9"}
    scene.up("Instance", {**bare, "nics": [card, wire]})
    assert scene.up("Instance", {**bare, "nics": [wire, card]}).action == "none"
    assert scene.up("Instance", {**bare, "nics": [card, {**wire, "deviceMode": "private"}]}) == _changed("nics")
    assert scene.up("Instance", {**bare, "nics": [{"name": "eth0", "bridge": "br9"}]}) == _changed("nics")
    assert scene.up("Instance", {**bare, "nics": [{"name": "eth0", "network": "n", "vlan": 4}]}).action == "refused"
    assert scene.up("Instance", {**bare, "nics": [{"name": "eth0", "bridge": "br9"}]}).action == "none"


@scenario
def addresses_that_dhcpv6_keeps(scene: Scene) -> None:
    """On a network that does not run."""
    six = {"cidr": "fd5a:1:2:3::/64", "dhcp": {"enabled": True}}
    db = {"name": "db", "duid": "00:03:00:01:52:54:00:ab:cd:01", "address": "fd5a:1:2:3::9"}
    web = {"name": "web", "address": "fd5a:1:2:3::8"}
    raw = {"name": scene.name, "active": False, "mode": "isolated"}
    scene.up("Network", {**raw, "ipv6": {**six, "reservations": [db, web]}})
    assert scene.up("Network", {**raw, "ipv6": {**six, "reservations": [web, db]}}).action == "none"
    assert scene.up("Network", {**raw, "ipv6": {**six, "reservations": [web]}}) == _changed("ipv6")
    wrong = {**raw, "ipv6": {**six, "reservations": [{**web, "address": "fd00::1"}]}}
    assert scene.up("Network", wrong).action == "refused"
    assert scene.up("Network", {**raw, "ipv6": six}) == _changed("ipv6")
    assert scene.up("Network", {**raw, "ipv6": six}).action == "none"

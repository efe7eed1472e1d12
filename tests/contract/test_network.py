"""Networks beside the suite over every kind: drift of every property, what overlaps, live DHCP ranges."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.drift import INACTIVE, NETWORK, Drift

from jvp.core.check import check
from jvp.core.errors import Invalid, Rejected, dotted
from jvp.core.stored import Stored
from jvp.core.types import network_of
from jvp.core.values import UNKNOWN
from jvp.core.work import Work
from jvp.host import running
from jvp.libvirt.link.xml import parse
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network.model import Network


@pytest.fixture
def network(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    """One without port forwards: no command runs on the node for it but the look of a plan for rivals."""
    run = running._run

    def ran(*words: Any, **options: Any) -> Any:
        assert ["nft", "-j", "list", "chains"] in words, words
        return run(*words, **options)

    monkeypatch.setattr(running, "_run", ran)
    name = bench.name("net")
    stored = bench.create("Network", name, {"name": name, "cidr": bench.cidr()}).stored
    yield stored
    bench.delete("Network", stored)


def six_of(cidr: str) -> str:
    """The IPv6 prefix that goes with an IPv4 range of a test's own."""
    _, second, third, _ = cidr.split(".")
    return f"fd77:{int(second):x}:{int(third):x}"


def declaration(name: str, cidr: str) -> dict[str, Any]:
    """A network with everything said that can drift."""
    base, six = cidr.rpartition(".")[0], six_of(cidr)
    return {
        "name": name, "cidr": cidr, "bridge": f"jd{name[-6:]}", "domain": "lab.example", "mtu": 1400,
        "reservations": [{"name": "db", "mac": "52:54:00:0D:1F:0A", "address": f"{base}.7"}],
        "ipv6": {"cidr": f"{six}::/64", "dhcp": {"start": f"{six}::10", "end": f"{six}::20"}},
        "dns": {
            "hosts": [{"address": f"{base}.7", "names": ["db2"]}], "txt": [{"name": "key", "value": "v=1"}],
            "forwarders": ["192.0.2.53"],
        },
        "routes": [{"cidr": "198.51.100.0/24", "gateway": f"{base}.7", "metric": 3}],
        "boot": {"file": "pxelinux.0", "server": f"{base}.8"},
        "dhcpOptions": {"ntp-server": f"{base}.9"}, "dnsmasqOptions": ["log-queries"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def drifting(furnished: Bench) -> Iterator[tuple[Stored, dict[str, Any]]]:
    """A network with everything said, which every test leaves as it was."""
    bench = furnished
    name, cidr = bench.name("drift"), bench.cidr()
    raw = declaration(name, cidr)
    stored = bench.create("Network", name, raw).stored
    yield bench.converged("Network", stored, raw), raw
    bench.delete("Network", stored)


@pytest.mark.parametrize("drift", NETWORK, ids=lambda drift: f"{drift.property} {drift.label}".strip())
def test_drift_is_seen_and_mended(bench: Bench, drifting: tuple[Stored, dict[str, Any]], drift: Drift) -> None:
    network, raw = drifting
    drift.act(bench, bench.connection.networkLookupByUUIDString(network.id))
    read = bench.read("Network", network)
    assert read is not None
    changed = {path.partition(".")[0].partition("[")[0] for path in bench.plan("Network", read, raw)}
    again = bench.read("Network", read)
    assert again is not None
    seen = bench.plan("Network", again, raw)
    mended = bench.update("Network", read, raw).stored
    assert bench.converged("Network", mended, raw).state == network.state
    assert drift.property in changed
    assert changed <= drift.paths
    assert seen == bench.plan("Network", read, raw), "a second refresh sees something else"


def test_a_network_that_was_deleted_out_of_band_is_gone(bench: Bench) -> None:
    name = bench.name("gone")
    stored = bench.create("Network", name, {"name": name, "mode": "isolated"}).stored
    found = bench.connection.networkLookupByUUIDString(stored.id)
    found.destroy()
    found.undefine()
    assert bench.read("Network", stored) is None
    bench.delete("Network", stored)


def test_another_network_of_the_same_range_is_refused_by_name(bench: Bench, network: Stored) -> None:
    inside = str(next(network_of(network.state["cidr"]).subnets(new_prefix=28)))
    with pytest.raises(Invalid) as caught:
        bench.create("Network", "overlap", {"name": bench.name("overlap"), "cidr": inside})
    assert caught.value.path == ("cidr",)
    assert network.state["name"] in caught.value.message


def test_the_same_bridge_is_refused_by_name(bench: Bench, network: Stored) -> None:
    raw = {"name": bench.name("bridge"), "cidr": bench.cidr(), "bridge": network.state["bridge"]}
    with pytest.raises(Invalid) as caught:
        bench.create("Network", "bridge", raw)
    assert caught.value.path == ("bridge",)
    assert network.state["name"] in caught.value.message


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"mode": "bridge", "bridge": "lo"}, '"lo" is an interface of another kind'),
        ({"mode": "isolated", "bridge": "lo"}, 'the node has an interface "lo" already'),
    ],
)
def test_a_bridge_is_there_or_is_not_as_the_mode_needs_it(bench: Bench, raw: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        bench.create("Network", "interface", {"name": bench.name("interface"), **raw})
    assert caught.value.path == ("bridge",)


def test_a_range_that_the_host_uses_is_undone(bench: Bench) -> None:
    """The loopback is no network of libvirt's: only its start refuses, and the definition is taken back."""
    rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    used = [
        row
        for row in rows
        if int(row[7], 16).bit_count() in range(8, 31) and not row[0].startswith(("virbr", "jvp", "jt"))
    ]
    if not used:
        pytest.skip("the host has no route beside the default one")
    address = ".".join(str(byte) for byte in bytes.fromhex(used[0][1])[::-1])
    name = bench.name("host")
    cidr = f"{address}/{int(used[0][7], 16).bit_count()}"
    with pytest.raises((Rejected, Invalid)) as caught:
        bench.create("Network", "host", {"name": name, "cidr": cidr})
    assert caught.value.path == ("cidr",)


def test_a_network_that_does_not_start_as_it_should_be_runs_on_as_it_was(
    bench: Bench, network: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lo` is an interface of the node: where the daemon tells of none, libvirt finds out at the start, when the
    network is down already."""
    monkeypatch.setattr(NetworkApi, "interface", lambda _self, _name: None)
    found = bench.connection.networkLookupByUUIDString(network.id)
    definition = found.XMLDesc(INACTIVE)
    with pytest.raises(Rejected, match="lo"):
        bench.update("Network", network, {"name": network.state["name"], "cidr": network.state["cidr"], "bridge": "lo"})
    assert found.isActive()
    assert found.XMLDesc(INACTIVE) == definition.replace('acknowledged="no"', 'acknowledged="yes"')
    read = bench.read("Network", network)
    assert read is not None
    assert read.state["active"] is True
    assert bench.plan("Network", read, {"name": network.state["name"], "cidr": network.state["cidr"]}) == []


def test_what_follows_from_an_unknown_range_is_unknown() -> None:
    checked = check(Network, {"cidr": UNKNOWN})
    assert checked.failures == ()
    assert (checked.whole["gateway"], checked.whole["dhcp"]) == (UNKNOWN, UNKNOWN)


def test_a_dhcp_range_changes_without_a_restart(bench: Bench, network: Stored) -> None:
    base = network.state["cidr"].rpartition(".")[0]
    found = bench.connection.networkLookupByUUIDString(network.id)
    bridge = found.bridgeName()
    index = f"/sys/class/net/{bridge}/ifindex"
    before = Path(index).read_text()
    raw = {
        "name": network.state["name"],
        "cidr": network.state["cidr"],
        "dhcp": {"start": f"{base}.100", "leaseTime": "5m"},
    }
    mended = bench.update("Network", network, raw).stored
    bench.converged("Network", mended, raw)
    assert f"start='{base}.100'" in found.XMLDesc(0)
    assert Path(index).read_text() == before
    raw["dhcp"] = {"enabled": False}
    bench.converged("Network", bench.update("Network", mended, raw).stored, raw)
    assert "<range" not in found.XMLDesc(0)
    assert Path(index).read_text() == before


def test_what_others_wrote_into_the_definition_survives_an_update(bench: Bench, network: Stored) -> None:
    found = bench.connection.networkLookupByUUIDString(network.id)
    text = found.XMLDesc(1).replace("<ip ", "<dns><host ip='10.255.0.9'><hostname>box</hostname></host></dns><ip ", 1)
    bench.connection.networkDefineXML(text)
    raw = {"name": network.state["name"], "cidr": bench.cidr()}
    read = bench.read("Network", network)
    assert read is not None
    bench.converged("Network", bench.update("Network", read, raw).stored, raw)
    assert "<hostname>box</hostname>" in found.XMLDesc(1)


@pytest.mark.parametrize("way", ["autostart", "active"])
def test_switches(bench: Bench, network: Stored, way: str) -> None:
    found = bench.connection.networkLookupByUUIDString(network.id)
    stored = network
    for value in (False, True):
        raw = {"name": network.state["name"], "cidr": network.state["cidr"], way: value}
        stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
        assert bool(found.autostart() if way == "autostart" else found.isActive()) is value


def test_route_domain_and_mtu_come_with_a_restart_and_go_again(bench: Bench, network: Stored) -> None:
    plain = {name: network.state[name] for name in ("name", "cidr")}
    found = bench.connection.networkLookupByUUIDString(network.id)
    raw = {**plain, "mode": "route", "domain": "lab.example", "mtu": 1400}
    assert effects(bench, network, raw) == dict.fromkeys(("mode", "domain", "mtu"), "network restart")
    stored = bench.converged("Network", bench.update("Network", network, raw).stored, raw)
    assert Path(f"/sys/class/net/{found.bridgeName()}/mtu").read_text() == "1400\n"
    for text in ("<domain name='lab.example' localOnly='yes'/>", "<forward mode='route'/>"):
        assert text in found.XMLDesc(0)
    stored = bench.converged("Network", bench.update("Network", stored, plain).stored, plain)
    assert Path(f"/sys/class/net/{found.bridgeName()}/mtu").read_text() == "1500\n"
    assert "<domain" not in found.XMLDesc(0)


def test_a_stopped_network_is_changed_without_a_restart(bench: Bench, network: Stored) -> None:
    plain = {name: network.state[name] for name in ("name", "cidr")}
    raw = {**plain, "domain": "lab.example", "active": False}
    assert effects(bench, network, raw) == {"domain": "live", "active": "live"}
    stored = bench.converged("Network", bench.update("Network", network, raw).stored, raw)
    raw = {**raw, "domain": "other.example"}
    assert effects(bench, stored, raw) == {"domain": "live"}
    # Somebody starts it between the plan and its apply.
    found = bench.connection.networkLookupByUUIDString(network.id)
    found.create()
    raw |= {"active": True}
    stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
    assert "<domain name='other.example'" in found.XMLDesc(0)
    bench.converged("Network", bench.update("Network", stored, plain).stored, plain)


def test_what_nobody_declared_stays_when_something_else_changes(bench: Bench, network: Stored) -> None:
    found = bench.connection.networkLookupByUUIDString(network.id)
    bench.connection.networkDefineXML(found.XMLDesc(1).replace("<ip ", "<domain name='theirs'/><ip ", 1))
    raw = {"name": network.state["name"], "cidr": network.state["cidr"], "autostart": False}
    read = bench.read("Network", network)
    assert read is not None
    assert bench.plan("Network", read, raw) == ["autostart"]
    bench.update("Network", read, raw)
    assert "<domain name='theirs'/>" in found.XMLDesc(1)


def test_a_bridge_of_the_node_may_serve_several_networks(bench: Bench, network: Stored) -> None:
    bridge = network.state["bridge"]  # any bridge that is there will do
    theirs = bench.connection.networkDefineXML(
        f"<network><name>{bench.name('theirs')}</name><forward mode='bridge'/><bridge name='{bridge}'/></network>"
    )
    with pytest.raises(Invalid, match="the bridge of the network"):
        bench.create("Network", "shared", {"name": bench.name("br"), "mode": "bridge", "bridge": bridge})
    theirs.undefine()


def test_a_bridge_that_the_node_lacks_is_refused(bench: Bench) -> None:
    with pytest.raises(Invalid, match='the node has no bridge "no-such"') as caught:
        bench.create("Network", "lost", {"name": bench.name("br"), "mode": "bridge", "bridge": "no-such"})
    assert caught.value.path == ("bridge",)


@pytest.fixture
def host_bridge(bench: Bench) -> Iterator[str]:
    """A bridge that the node has already, as its administrator would make it."""
    name = f"jb{bench.prefix[-8:-1]}"
    made = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no bridge can be made here: {made.stderr}")
    yield name
    subprocess.run(["ip", "link", "delete", name], check=True)


def test_from_a_bridge_of_its_own_to_the_nodes_and_back(bench: Bench, network: Stored, host_bridge: str) -> None:
    plain = {name: network.state[name] for name in ("name", "cidr")}
    found = bench.connection.networkLookupByUUIDString(network.id)
    raw = {"name": plain["name"], "mode": "bridge", "bridge": host_bridge}
    stored = bench.update("Network", network, {**plain, "domain": "lab.example", "mtu": 1400}).stored
    stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
    assert found.bridgeName() == host_bridge
    assert "<ip" not in found.XMLDesc(0)
    # A second network on the same bridge is nothing unusual.
    other = {**raw, "name": bench.name("other")}
    second = bench.create("Network", "other", other).stored
    bench.delete("Network", bench.converged("Network", second, other))
    told = bench.calls.preview_update("Network", stored, bench.inputs("Network", plain), Work())
    stored = bench.converged("Network", bench.update("Network", stored, plain).stored, plain)
    assert stored.state["bridge"] == told["bridge"] == network.state["bridge"]
    assert Path(f"/sys/class/net/{host_bridge}").exists()


def test_reservations_come_and_go_without_a_restart(bench: Bench, network: Stored) -> None:
    base = network.state["cidr"].rpartition(".")[0]
    plain = {name: network.state[name] for name in ("name", "cidr")}
    found = bench.connection.networkLookupByUUIDString(network.id)
    section, both = 4, 3
    found.update(3, section, -1, f"<host mac='52:54:00:0d:1f:77' name='theirs' ip='{base}.77'/>", both)
    index = Path(f"/sys/class/net/{found.bridgeName()}/ifindex").read_text()

    def kept() -> list[list[tuple[str | None, ...]]]:
        roots = (parse(found.XMLDesc(flags)) for flags in (0, 1))
        return [
            sorted((one.get("name"), one.get("mac"), one.get("ip")[len(base) :]) for one in root.iterfind(".//host"))
            for root in roots
        ]

    theirs = ("theirs", "52:54:00:0d:1f:77", ".77")
    one, two = ({"name": name, "mac": f"52:54:00:0D:1F:0{end}", "address": f"{base}.{end}"}
                for name, end in (("one", 1 + 6), ("two", 2 + 6)))  # fmt: skip
    steps = {
        "added": [one, two],
        "swapped": [{**one, "address": two["address"]}, {**two, "address": one["address"]}],
        "renamed": [{**one, "name": "three"}],
        "gone": [],
    }
    stored = network
    for step, items in steps.items():
        raw = {**plain, "reservations": items}
        changes = bench.calls.diff("Network", stored, bench.inputs("Network", raw)).changes
        assert {change.effect.words for change in changes} == {"live"}, step
        stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
        wanted = sorted([theirs, *((i["name"], i["mac"].lower(), i["address"][len(base) :]) for i in items)])
        assert kept() == [wanted, wanted], step
    assert Path(f"/sys/class/net/{found.bridgeName()}/ifindex").read_text() == index


@pytest.mark.parametrize("taken", ["mac", "name", "address"])
def test_what_somebody_else_keeps_is_refused(bench: Bench, network: Stored, taken: str) -> None:
    base = network.state["cidr"].rpartition(".")[0]
    found = bench.connection.networkLookupByUUIDString(network.id)
    found.update(3, 4, -1, f"<host mac='52:54:00:0d:1f:77' name='theirs' ip='{base}.77'/>", 3)
    before = found.XMLDesc(1)
    theirs = {"mac": "52:54:00:0d:1f:77", "name": "theirs", "address": f"{base}.77"}
    item = {"name": "ours", "mac": "52:54:00:0d:1f:08", "address": f"{base}.8", taken: theirs[taken]}
    raw = {**{name: network.state[name] for name in ("name", "cidr")}, "reservations": [item]}
    with pytest.raises(Invalid, match="is kept already in this network, for theirs") as caught:
        bench.update("Network", network, raw)
    assert caught.value.path == ("reservations", 0, taken)
    assert found.XMLDesc(1) == before


def test_ipv6_comes_by_a_restart_and_its_dhcp_live(bench: Bench, network: Stored) -> None:
    plain = {name: network.state[name] for name in ("name", "cidr")}
    six = six_of(network.state["cidr"])
    found = bench.connection.networkLookupByUUIDString(network.id)
    stored, raw = network, {**plain, "ipv6": {"cidr": f"{six}::/64"}}
    assert effects(bench, stored, raw) == {"ipv6": "network restart"}
    stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
    assert stored.state["ipv6"] == {"cidr": f"{six}::/64", "gateway": f"{six}::1",
                                    "dhcp": {"enabled": False, "leaseTime": "1h"}, "reservations": []}  # fmt: skip
    assert "<nat ipv6='yes'>" in found.XMLDesc(0)
    index = Path(f"/sys/class/net/{found.bridgeName()}/ifindex").read_text()
    raw["ipv6"]["dhcp"] = {"start": f"{six}::10", "end": f"{six}::20"}
    assert set(effects(bench, stored, raw).values()) == {"live"}
    stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
    assert f"<range start='{six}::10' end='{six}::20'>" in found.XMLDesc(0)
    assert Path(f"/sys/class/net/{found.bridgeName()}/ifindex").read_text() == index
    with pytest.raises(Invalid, match=f'overlaps {six}::/64 of the network "{plain["name"]}"') as caught:
        bench.create("Network", "six", {"name": bench.name("six"), "mode": "isolated", "ipv6": {"cidr": f"{six}::/64"}})
    assert caught.value.path == ("ipv6", "cidr")
    bench.converged("Network", bench.update("Network", stored, plain).stored, plain)
    assert "family='ipv6'" not in found.XMLDesc(0)
    assert "<nat ipv6" not in found.XMLDesc(0)


def test_a_network_of_ipv6_alone(bench: Bench) -> None:
    six = six_of(bench.cidr())
    raw = {"name": bench.name("six"), "mode": "route", "ipv6": {"cidr": f"{six}::/64", "dhcp": {}}}
    stored = bench.create("Network", "six", raw).stored
    assert stored.state["ipv6"]["dhcp"]["end"] == f"{six}::ffff", "libvirt takes no longer range"
    bench.delete("Network", bench.converged("Network", stored, raw))


def effects(bench: Bench, stored: Stored, raw: dict[str, Any]) -> dict[str, str]:
    changes = bench.calls.diff("Network", stored, bench.inputs("Network", raw)).changes
    return {dotted(change.path): change.effect.words for change in changes}

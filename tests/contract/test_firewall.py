"""Firewalls on the real daemon: what somebody else wrote into one, and who may not lose it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.drift import FIREWALL, Drift
from tests.contract.kinds import firewall, foreign_firewall, stopped

from jvp.core.errors import NotFound, Rejected, dotted
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, text_of
from jvp.resources.firewall.model import FirewallType

RULES = [
    {"name": "ssh", "protocol": "tcp", "ports": ["22", "8000-8100"], "cidr": "10.0.0.0/8"},
    {"name": "six", "action": "reject", "cidr": "fd00::/8"},
    {"name": "any", "protocol": "udp", "ports": [53], "cidr": "0.0.0.0/0"},
    {"name": "ping", "protocol": "icmp", "cidr": "0.0.0.0/0"},
    {"name": "ping6", "protocol": "icmpv6", "cidr": "::/0"},
    {"name": "mail", "direction": "out", "action": "drop", "protocol": "tcp", "ports": ["25"], "priority": 7},
]


@pytest.fixture(scope="module")
def drifting(furnished: Bench) -> Iterator[tuple[Stored, Bag]]:
    raw = {"name": furnished.name("drift"), "rules": RULES, "antiSpoofing": True}
    stored = furnished.create("Firewall", "drift", raw).stored
    yield furnished.converged("Firewall", stored, raw), raw
    furnished.delete("Firewall", stored)


@pytest.mark.parametrize("drift", FIREWALL, ids=lambda drift: f"{drift.property} {drift.label}".strip())
def test_drift_is_seen_and_mended(bench: Bench, drifting: tuple[Stored, Bag], drift: Drift) -> None:
    stored, raw = drifting
    drift.act(bench, bench.connection.nwfilterLookupByUUIDString(stored.id))
    read = bench.read("Firewall", stored)
    assert read is not None
    changed = {path.partition(".")[0].partition("[")[0] for path in bench.plan("Firewall", read, raw)}
    assert drift.property in changed
    assert changed <= drift.paths
    mended = bench.update("Firewall", read, raw).stored
    assert bench.converged("Firewall", mended, raw).state == stored.state


def edited(bench: Bench, stored: Stored, change: Any) -> None:
    root = parse(bench.connection.nwfilterLookupByUUIDString(stored.id).XMLDesc(0))
    change(root)
    bench.connection.nwfilterDefineXML(text_of(root))


def test_what_others_wrote_stays_and_is_told_and_what_every_firewall_has_is_written_again(
    bench: Bench, drifting: tuple[Stored, Bag]
) -> None:
    stored, raw = drifting
    theirs = (
        "<rule action='accept' direction='in' priority='-999'><tcp dstportstart='99'/></rule>",
        "<filterref filter='no-ip-multicast'/>",
    )
    edited(bench, stored, lambda root: root.extend(map(parse, theirs)))
    read = bench.read("Firewall", stored)
    assert read is not None
    told = ["accept in tcp dstportstart=99", "the filter no-ip-multicast"]
    assert (read.state["undeclared"], bench.plan("Firewall", read, raw)) == (told, [])
    less = {**raw, "rules": RULES[:1], "antiSpoofing": False}
    updated = bench.update("Firewall", read, less).stored
    assert updated.state["undeclared"] == told
    # The end of the rules is taken out: all that no rule is about would pass.
    edited(bench, stored, lambda root: [root.remove(one) for one in root.findall("rule[@priority='900']")])
    read = bench.read("Firewall", updated)
    assert read is not None
    assert "written again" in " ".join(read.unfinished)
    mended = bench.converged("Firewall", bench.update("Firewall", read, less).stored, less)
    assert mended.unfinished == ()
    for path in ("rule[@priority='-999']", "filterref[@filter='no-ip-multicast']"):
        edited(bench, stored, partial(drop, path=path))
    assert bench.converged("Firewall", bench.update("Firewall", mended, raw).stored, raw).state == stored.state


def test_of_another_tools_filter_an_import_keeps_every_rule(bench: Bench) -> None:
    name = bench.name("theirs")
    theirs = foreign_firewall(bench, {"name": name})
    try:
        stored = bench.calls.import_("Firewall", name, Work())
        assert stored is not None
        assert (stored.state["inbound"], stored.state["undeclared"]) == ("accept", ["drop in all comment=foreign"])
        more = {**stored.inputs, "inbound": "drop", "rules": [{"name": "ssh", "protocol": "tcp", "ports": ["22"]}]}
        updated = bench.update("Firewall", stored, more).stored
        assert updated.state["undeclared"] == stored.state["undeclared"]
        bench.converged("Firewall", updated, more)
        assert "comment='foreign'" in theirs.XMLDesc(0)
    finally:
        theirs.undefine()


DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type>hvm</type><kernel>/no/kernel</kernel></os><devices>
<interface type='network'><source network='{network}'/><filterref filter='{filter}'>
<parameter name='DHCPSERVER' value='10.0.0.1'/><parameter name='IP' value='10.0.0.7'/></filterref></interface>
</devices></domain>"""


def parameters(domain: Any) -> dict[str, str]:
    return {one.get("name"): one.get("value") for one in parse(domain.XMLDesc(2)).iter("parameter")}


def test_one_that_a_guest_has_is_not_deleted_and_an_import_of_the_guest_keeps_what_it_says_of_it(bench: Bench) -> None:
    assert bench.network is not None
    name = bench.name("used")
    stored = bench.create("Firewall", name, firewall(bench, name)).stored
    domain = bench.connection.defineXML(DOMAIN.format(name=name, network=bench.network.state["name"], filter=name))
    try:
        with pytest.raises(Rejected, match=f'firewall "{name}" is in use by {name}; take it out of'):
            bench.delete("Firewall", stored)
        found, _ = bench.calls.invoke("getFirewall", {"firewall": name}, Work())
        assert found is not None
        assert (found["id"], found["instances"]) == (stored.id, [name])
        imported = bench.calls.import_("Instance", name, Work())
        assert imported is not None
        more = {**imported.inputs, "autostart": True}
        bench.converged("Instance", bench.update("Instance", imported, more).stored, more)
        assert parameters(domain) == {"DHCPSERVER": "10.0.0.1", "IP": "10.0.0.7", "JVP": "imported"}
    finally:
        domain.undefine()
        bench.delete("Firewall", stored)
    assert bench.read("Firewall", stored) is None


def test_another_name_is_another_firewall_and_the_old_one_stays_as_long_as_it_is_used(bench: Bench) -> None:
    """The marks say of none that a state has it: while guests run behind it no read notes that."""
    assert bench.network is not None
    label, network = bench.name("renamed"), bench.network.state["name"]

    def make(stem: str) -> Stored:
        return bench.create("Firewall", label, firewall(bench, f"{label}-{stem}")).stored

    def there() -> set[str]:
        return {one.name() for one in bench.connection.listAllNWFilters(0) if one.name().startswith(label)}

    make("killed")
    old = make("a")
    assert there() == {f"{label}-a"}
    domain = bench.connection.defineXML(DOMAIN.format(name=label, network=network, filter=f"{label}-a"))
    try:
        warned = list[str]()
        plan = bench.calls.diff("Firewall", old, firewall(bench, f"{label}-b"), Work(warn=warned.append))
        assert plan.replaces
        assert not FirewallType.deletes_first(["name"])
        assert f'firewall "{label}-a" is deleted only when these name the new one: {label}; Terraform' in warned[-1]
        new = make("b")
        assert (make("b").id, there()) == (new.id, {f"{label}-a", f"{label}-b"})
    finally:
        domain.undefine()
        bench.delete("Firewall", old)
        bench.delete("Firewall", new)
    assert there() == set()


def test_a_card_is_behind_the_one_that_it_names(bench: Bench) -> None:
    """Stopped: what a running guest's neighbours notice is in tests/hosts/test_firewall_traffic.py."""
    assert bench.network is not None
    one, two = (bench.name(stem) for stem in ("one", "two"))
    walls = [bench.create("Firewall", name, firewall(bench, name)).stored for name in (one, two)]
    base = bench.network.state["cidr"].rpartition(".")[0]
    raw = {**stopped(bench, bench.name("behind")), "disks": []}
    card = {**raw["nics"][0], "address": f"{base}.77", "firewall": walls[0].id}
    raw["nics"] = [card]
    with pytest.raises(NotFound, match='there is no firewall "no-such" on the node; there are: ') as caught:
        bench.create("Instance", "none", {**raw, "nics": [{**card, "firewall": "no-such"}]})
    assert dotted(caught.value.path) == "nics[0].firewall"
    made = bench.converged("Instance", bench.create("Instance", raw["name"], raw).stored, raw)
    try:
        domain = bench.connection.lookupByUUIDString(made.id)
        ref = parse(domain.XMLDesc(2)).find("devices/interface/filterref")
        assert ref is not None
        assert ref.get("filter") == one
        assert {part.get("name"): part.get("value") for part in ref} == {"IP": f"{base}.77", "JVP": "declared"}
        # By its name it is the same one.
        named = {**raw, "nics": [{**card, "firewall": one}]}
        assert bench.plan("Instance", made, named) == []
        with pytest.raises(Rejected, match=f"is in use by {raw['name']}; take it out of nics"):
            bench.delete("Firewall", walls[0])
        for theirs in ("", "<filterref filter='clean-traffic'/>"):
            root = parse(domain.XMLDesc(2))
            drop(root, "devices/interface/filterref")
            if theirs:
                root.find("devices/interface").append(parse(theirs))  # type: ignore[union-attr]
            bench.connection.defineXML(text_of(root))
            read = bench.read("Instance", made)
            assert read is not None
            assert "nics[0].firewall" in bench.plan("Instance", read, raw)
            made = bench.converged("Instance", bench.update("Instance", read, raw).stored, raw)
        other = {**raw, "nics": [{**card, "firewall": two}]}
        made = bench.converged("Instance", bench.update("Instance", made, other).stored, other)
        bench.delete("Firewall", walls.pop(0))
        bare = {**raw, "nics": [{name: value for name, value in card.items() if name != "firewall"}]}
        bench.converged("Instance", bench.update("Instance", made, bare).stored, bare)
        assert "filterref" not in domain.XMLDesc(2)
    finally:
        bench.delete("Instance", made)
        for wall in walls:
            bench.delete("Firewall", wall)

"""Addresses that networks keep for an instance's cards: they come and go with it, and nobody else's are touched."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import running

from jvp.core.errors import Invalid, JvpError, NotFound, Rejected, dotted
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse

MAC = "52:54:00:0d:2a:0"
THEIRS = "52:54:00:0d:2a:99"


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """These are about addresses and ranges, not about the way out."""
    return replace(bench, mode="isolated")


@pytest.fixture
def network(bench: Bench) -> Iterator[Stored]:
    """A network with somebody else's host in it, and one that it declared."""
    name, cidr = bench.name("kept"), bench.cidr()
    base = cidr.rpartition(".")[0]
    raw = {
        "name": name, "cidr": cidr,
        "reservations": [{"name": "own", "mac": f"{MAC}9", "address": f"{base}.9"}],
    }  # fmt: skip
    stored = bench.create("Network", name, raw).stored
    update(bench, stored, f"<host mac='{THEIRS}' ip='{base}.99'/>")
    bare = hosts(bench, stored)
    yield stored
    assert hosts(bench, stored) == bare
    bench.delete("Network", bench.converged("Network", stored, raw))


def update(bench: Bench, network: Stored, text: str) -> None:
    found = bench.connection.networkLookupByUUIDString(network.id)
    found.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, text, 3)


def hosts(bench: Bench, network: Stored) -> list[dict[str, str]]:
    """What the network keeps, by MAC and the address's last part; running and defined are the same."""
    found = bench.connection.networkLookupByUUIDString(network.id)
    running, defined = (
        {one.get("mac", ""): one.get("ip", "").rpartition(".")[2] for one in parse(text).iterfind(".//host")}
        for text in (found.XMLDesc(0), found.XMLDesc(1))
    )
    assert running == defined
    return [running]


def own(bench: Bench, network: Stored) -> dict[str, str]:
    """What it keeps beside what it kept before: a card's number and the address's end."""
    (found,) = hosts(bench, network)
    return {mac[-1]: address for mac, address in found.items() if mac not in (THEIRS, f"{MAC}9")}


def declaration(bench: Bench, network: Stored, cards: dict[str, str | None]) -> dict[str, Any]:
    base = network.state["cidr"].rpartition(".")[0]
    return {
        "name": f"{network.state['name']}vm", "powerState": "stopped", "memory": "32MiB",
        "directKernel": {"kernel": "/k"},
        "nics": [
            {"name": f"eth{card}", "network": network.id, "mac": f"{MAC}{card}"}
            | ({"address": f"{base}.{end}"} if end else {})
            for card, end in cards.items()
        ],
    }  # fmt: skip


def test_addresses_come_change_and_go_with_the_instance(bench: Bench, network: Stored) -> None:
    raw = declaration(bench, network, {"1": "11", "2": "12", "3": None})
    stored = bench.create("Instance", "kept", raw).stored
    try:
        stored = bench.converged("Instance", stored, raw)
        assert own(bench, network) == {"1": "11", "2": "12"}
        assert bench.read("Network", network) == network, "the network sees no drift"
        steps: list[dict[str, str | None]] = [
            {"1": "12", "2": "11"}, {"1": "13", "2": None}, {"1": None, "3": "14"}, {"2": "15"},
        ]  # fmt: skip
        for cards in steps:
            raw = declaration(bench, network, cards)
            changes = bench.calls.diff("Instance", stored, bench.inputs("Instance", raw)).changes
            assert {change.effect.words for change in changes} == {"live"}
            stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
            assert own(bench, network) == {card: end for card, end in cards.items() if end}
        assert bench.read("Network", network) == network
    finally:
        bench.delete("Instance", stored)
    assert own(bench, network) == {}


def test_an_address_goes_with_its_network_and_comes_back(bench: Bench, network: Stored) -> None:
    """The network was made anew under its name: what the instance has declared is put into it again."""
    name, cidr = bench.name("twice"), bench.cidr()
    first = bench.create("Network", name, {"name": name, "cidr": cidr}).stored
    raw = declaration(bench, first, {"1": "11"})
    raw["nics"][0]["network"] = name
    stored = bench.create("Instance", "twice", raw).stored
    bench.delete("Network", first)
    second = bench.create("Network", name, {"name": name, "cidr": cidr}).stored
    read = bench.read("Instance", stored)
    assert read is not None
    stored = bench.converged("Instance", bench.update("Instance", read, raw).stored, raw)
    assert own(bench, second) == {"1": "11"}
    bench.delete("Network", second)
    bench.delete("Instance", stored)


def test_a_range_that_leaves_an_instances_address_outside_is_warned_of_in_the_plan(
    bench: Bench, network: Stored
) -> None:
    name, cidr = bench.name("moved"), bench.cidr()
    base, other = cidr.rpartition(".")[0], bench.cidr()
    before = {"name": name, "cidr": cidr, "reservations": [{"name": "o", "mac": f"{MAC}8", "address": f"{base}.8"}]}
    moved = bench.create("Network", name, before).stored
    raw = declaration(bench, moved, {"1": "11", "2": None, "3": "200"})
    stored = bench.create("Instance", "moved", raw).stored

    def told(cidr: str) -> list[str]:
        said: list[str] = []
        bench.calls.preview_update(
            "Network", moved, bench.inputs("Network", {"name": name, "cidr": cidr}), Work(warn=said.append)
        )
        return [line for line in said if "outside" in line]

    def line(end: str, card: str, net: str) -> str:
        return (
            f'cidr: {base}.{end}, which instance "{raw["name"]}" declares for its card "{card}", is outside of {net}: '
            "the guest gets another address until nics[].address there is one of these"
        )

    try:
        assert told(other) == [line("11", "eth1", other), line("200", "eth3", other)]
        half = cidr.replace("/24", "/25")
        assert told(half) == [line("200", "eth3", half)]
        assert told(cidr) == []
        # The network changes first, then the instance, as in one apply.
        moved = bench.update("Network", moved, {"name": name, "cidr": other}).stored
        raw = declaration(bench, moved, {"1": "11", "2": None, "3": "200"}) | {"name": raw["name"]}
        stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
        assert own(bench, moved) == {"1": "11", "3": "200"}
        assert told(other) == []
    finally:
        bench.delete("Instance", stored)
        bench.delete("Network", moved)


REFUSED = [
    ("1", "1", "is the gateway of the network"),
    ("1", "255", "is no address for a guest in"),
    ("1", "0", "is no address for a guest in"),
    ("1", "99", "for 52-54-00-0d-2a-99 already"),
    ("1", "9", "for own already"),
    ("9", "10", "for this card in its reservations"),
]
"""A card, the address's end, and a part of the sentence."""


def test_what_cannot_be_kept_is_refused_before_anything_is_made(bench: Bench, network: Stored) -> None:
    for card, end, part in REFUSED:
        raw = declaration(bench, network, {card: end})
        with pytest.raises(JvpError) as caught:
            bench.create("Instance", "refused", raw)
        assert dotted(caught.value.path) == "nics[0].address"
        assert part in caught.value.message
        assert network.state["name"] in caught.value.message
        with pytest.raises(libvirt.libvirtError):
            bench.connection.lookupByName(raw["name"])


def test_instances_that_are_made_at_once_do_not_both_get_an_address(bench: Bench, network: Stored) -> None:
    """Each finds it free; the one that comes later hears it from us, whenever it comes."""

    def make(card: str) -> Stored | Invalid | Rejected:
        raw = declaration(bench, network, {card: "11"})
        try:
            return bench.create("Instance", f"both{card}", raw | {"name": f"{raw['name']}{card}"}).stored
        except (Invalid, Rejected) as error:
            return error

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(make, "1234"))
    made = [one for one in found if isinstance(one, Stored)]
    for stored in made:
        bench.delete("Instance", stored)
    assert len(made) == 1
    for one in found:
        if isinstance(one, JvpError):
            assert dotted(one.path) == "nics[0].address"
            assert "is given to another instance now" in one.message or "keeps" in one.message


def test_what_another_instance_has_is_told_with_its_name_and_the_way_out(bench: Bench, network: Stored) -> None:
    """An engine changes both at once, and deletes last: an exchange takes two runs."""
    first = declaration(bench, network, {"1": "11"})
    second = declaration(bench, network, {"2": "12"}) | {"name": f"{network.state['name']}vm2"}
    one, two = bench.create("Instance", "one", first).stored, bench.create("Instance", "two", second).stored
    way_out = f'a card of "{first["name"]}"; where that one is to give it up, or to go, apply that first, alone'
    try:
        second["nics"][0]["address"] = first["nics"][0]["address"]
        with pytest.raises(Invalid, match=f"for 52-54-.*, {way_out}"):
            bench.update("Instance", two, second)
        second["nics"][0]["mac"] = first["nics"][0]["mac"]
        with pytest.raises(Rejected, match=f"is the MAC of {way_out}"):
            bench.update("Instance", two, second)
        item = {"name": "kept", "mac": first["nics"][0]["mac"], "address": first["nics"][0]["address"]}
        wanted = {name: network.state[name] for name in ("name", "cidr")} | {"reservations": [item]}
        with pytest.raises(Invalid, match=f"with {item['address']}, {way_out}"):
            bench.update("Network", network, wanted)
    finally:
        bench.delete("Instance", two)
        bench.delete("Instance", one)


def test_an_address_of_another_range_and_a_network_without_dhcp(bench: Bench, network: Stored) -> None:
    raw = declaration(bench, network, {"1": "11"})
    raw["nics"][0]["address"] = "203.0.113.7"
    with pytest.raises(JvpError, match=r"203\.0\.113\.7.* is no address for a guest in 10\."):
        bench.create("Instance", "outside", raw)
    name = bench.name("quiet")
    quiet = bench.create("Network", name, {"name": name, "mode": "isolated"}).stored
    raw["nics"][0]["network"] = quiet.id
    with pytest.raises(JvpError, match="hands out no IPv4 addresses") as caught:
        bench.create("Instance", "quiet", raw)
    assert dotted(caught.value.path) == "nics[0].address"
    bench.delete("Network", quiet)


def test_a_missing_network_is_still_the_networks_fault(bench: Bench, network: Stored) -> None:
    raw = declaration(bench, network, {"1": "11"})
    raw["nics"][0]["network"] = "no-such"
    with pytest.raises(NotFound) as caught:
        bench.create("Instance", "missing", raw)
    assert dotted(caught.value.path) == "nics[0].network"


def test_a_machine_that_is_off_needs_no_network_that_runs(bench: Bench) -> None:
    """A whole lab that is parked: neither the network nor what is in it runs."""
    name, cidr = bench.name("parked"), bench.cidr()
    net = {"name": name, "cidr": cidr, "active": False}
    stored_net = bench.create("Network", name, net).stored
    card = {"name": "eth0", "network": stored_net.id, "address": f"{cidr.rpartition('.')[0]}.11"}
    raw = {**running(bench, name), "nics": [card], "disks": [], "cloudInit": None, "powerState": "stopped"}
    stored = bench.create("Instance", name, raw).stored
    try:
        raw |= {"memory": "48MiB"}
        stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
        with pytest.raises(Rejected, match="is not active; start it") as caught:
            bench.update("Instance", stored, raw | {"powerState": "running"})
        assert dotted(caught.value.path) == "nics[0].network"
        stored_net = bench.update("Network", stored_net, net | {"active": True}).stored
        raw |= {"powerState": "running"}
        stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
    finally:
        bench.delete("Instance", stored)
        bench.delete("Network", stored_net)


def test_an_import_leaves_each_its_own(bench: Bench, network: Stored) -> None:
    """A network that somebody made, with a host of an instance of ours in it."""
    name, cidr = bench.name("hand"), bench.cidr()
    base = cidr.rpartition(".")[0]
    made = bench.connection.networkDefineXML(
        f"<network><name>{name}</name><ip address='{base}.1' prefix='24'><dhcp><range start='{base}.2' end='{base}.9'/>"
        f"<host mac='{THEIRS}' name='box' ip='{base}.99'/></dhcp></ip></network>"
    )
    made.create()
    raw = declaration(bench, network, {"1": "11"})
    raw["nics"][0] |= {"network": name, "address": f"{base}.11"}
    stored = bench.create("Instance", "hand", raw).stored
    found = bench.calls.import_("Network", name, Work())
    assert found is not None
    assert [one["name"] for one in found.state["reservations"]] == ["box"]
    again = bench.calls.import_("Instance", stored.id, Work())
    assert again is not None
    assert again.state["nics"][0]["address"] == f"{base}.11"
    bench.delete("Instance", stored)
    assert made.XMLDesc(1).count("<host ") == 1
    bench.delete("Network", found)


def names(bench: Bench, network: Stored) -> dict[str, str | None]:
    """The names that the network has for cards, by the card's number; running and defined are the same."""
    found = bench.connection.networkLookupByUUIDString(network.id)
    running, defined = (
        {one.get("mac", "")[-1]: one.get("name") for one in parse(text).iterfind(".//host") if one.get("mac") != THEIRS}
        for text in (found.XMLDesc(0), found.XMLDesc(1))
    )
    assert running == defined
    return {number: name for number, name in running.items() if number != "9"}


def test_host_names_come_change_and_go_with_the_address(bench: Bench, network: Stored) -> None:
    raw = declaration(bench, network, {"1": "11", "2": "12"})
    first, second = raw["nics"]
    raw = {**raw, "nics": [{**first, "hostname": "one"}, {**second, "hostname": "two"}]}
    stored = bench.create("Instance", "named", raw).stored
    try:
        bench.converged("Instance", stored, raw)
        found = bench.calls.import_("Instance", stored.id, Work())
        assert found is not None
        assert [nic["hostname"] for nic in found.inputs["nics"]] == ["one", "two"]
        for one, two in (("two", "one"), ("one", None), (None, "one")):
            raw = {**raw, "nics": [{**first, "hostname": one}, {**second, "hostname": two}]}
            stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
            assert names(bench, network) == {"1": one, "2": two}
        taken = {**raw, "nics": [{**first, "hostname": "own"}, second]}
        with pytest.raises(Invalid, match='keeps "own" for own already') as refused:
            bench.update("Instance", stored, taken)
        assert dotted(refused.value.path) == "nics[0].hostname"
    finally:
        bench.delete("Instance", stored)


def test_a_name_that_somebody_gave_to_the_card_stays(bench: Bench, network: Stored) -> None:
    base = network.state["cidr"].rpartition(".")[0]
    update(bench, network, f"<host mac='{MAC}1' name='theirs' ip='{base}.11'/>")
    raw = declaration(bench, network, {"1": "12"})
    stored = bench.create("Instance", "kept", raw).stored
    try:
        assert own(bench, network) == {"1": "12"}
        assert names(bench, network) == {"1": "theirs"}
        stored = bench.converged("Instance", stored, raw)
        raw = declaration(bench, network, {"1": "13"})
        stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
        assert names(bench, network) == {"1": "theirs"}
    finally:
        bench.delete("Instance", stored)

"""What one object of a program gives up and another one is to have, in one run: addresses, ranges, names.

An engine calls for each object alone, in any order, several at once, and Pulumi deletes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench

from jvp.core import going
from jvp.core.errors import Invalid, NameTaken
from jvp.core.identity import Key
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse
from jvp.resources.instance import cards
from jvp.resources.network import collisions

Raw = dict[str, Any]
PATIENCE_S = going.BEGINS_S
Orders = Callable[[list[Callable[[], Any]]], list[Any]]


def one_by_one(calls: list[Callable[[], Any]]) -> list[Any]:
    return [call() for call in calls]


def all_at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor() as workers:
        return [one.result() for one in [workers.submit(call) for call in calls]]


class Program:
    """A program's objects of one kind, as its engine calls for them."""

    def __init__(self, bench: Bench, token: str) -> None:
        self.bench, self.token, self.kept = bench, token, dict[str, Stored]()

    def create(self, name: str, raw: Raw, *, program: str = "program") -> Stored:
        inputs = self.bench.inputs(self.token, raw)
        key = Key(f"{self.bench.prefix}{program}", self.token, name, name)
        self.kept[name] = self.bench.calls.create(self.token, key, inputs, Work()).stored
        return self.kept[name]

    def update(self, name: str, raw: Raw, warn: Callable[[str], None] = lambda _: None) -> Stored:
        """Read first, as engines do."""
        read = self.bench.read(self.token, self.kept[name])
        assert read is not None
        self.kept[name] = self.bench.update(self.token, read, raw, Work(warn=warn)).stored
        return self.kept[name]

    def delete(self, name: str) -> None:
        self.bench.delete(self.token, self.kept.pop(name))

    def close(self) -> None:
        for name in list(self.kept):
            self.delete(name)


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """These are about addresses and ranges, not about the way out."""
    return replace(bench, mode="isolated")


@pytest.fixture(autouse=True)
def patient(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in life: here others do delete what has the name."""
    monkeypatch.setattr(going, "BEGINS_S", PATIENCE_S)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((cards, "HAD_S"), (collisions, "GIVE_UP_S"), (going, "BEGINS_S")):
        monkeypatch.setattr(module, name, 1.0)


@pytest.fixture
def instances(bench: Bench) -> Iterator[Program]:
    program = Program(bench, "Instance")
    yield program
    program.close()


@pytest.fixture
def networks(bench: Bench) -> Iterator[Program]:
    program = Program(bench, "Network")
    yield program
    program.close()


def machine(bench: Bench, name: str, end: int) -> Raw:
    """One that has no guest: enough to have an address."""
    assert bench.network is not None
    base = bench.network.state["cidr"].rpartition(".")[0]
    return {
        "name": f"{bench.prefix}{name}", "powerState": "stopped", "memory": "32MiB", "directKernel": {"kernel": "/k"},
        "nics": [{"name": "eth0", "network": bench.network.id, "address": f"{base}.{end}", "hostname": f"vm{end}"}],
    }  # fmt: skip


def addresses(bench: Bench) -> list[int]:
    assert bench.network is not None
    root = parse(bench.connection.networkLookupByUUIDString(bench.network.id).XMLDesc(0))
    return sorted(int(one.get("ip", "").rpartition(".")[2]) for one in root.iterfind(".//host"))


@pytest.mark.parametrize("order", [one_by_one], ids=lambda order: order.__name__)
def test_addresses_that_follow_an_index(bench: Bench, instances: Program, order: Orders) -> None:
    """The second of five goes, which Pulumi deletes last; then one comes at the head."""
    for index, name in enumerate("abcde"):
        instances.create(name, machine(bench, name, 10 + index))
    raws = {name: machine(bench, name, 10 + index) for index, name in enumerate("acde")}
    order([lambda name=name: instances.update(name, raws[name]) for name in "cde"])  # type: ignore[misc]
    instances.delete("b")
    for name, raw in raws.items():
        bench.converged("Instance", instances.kept[name], raw)
    assert addresses(bench) == [10, 11, 12, 13]
    raws = {name: machine(bench, name, 10 + index) for index, name in enumerate("xacde")}
    order([
        lambda: instances.create("x", raws["x"]),
        *(lambda name=name: instances.update(name, raws[name]) for name in "acde"),  # type: ignore[misc]
    ])  # fmt: skip
    for name, raw in raws.items():
        bench.converged("Instance", instances.kept[name], raw)
    assert addresses(bench) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("order", [all_at_once], ids=lambda order: order.__name__)
def test_two_that_exchange_addresses(bench: Bench, instances: Program, order: Orders) -> None:
    for name, end in (("a", 10), ("b", 11)):
        instances.create(name, machine(bench, name, end))
    raws = {"a": machine(bench, "a", 11), "b": machine(bench, "b", 10)}
    order([lambda name=name: instances.update(name, raws[name]) for name in "ab"])  # type: ignore[misc]
    for name, raw in raws.items():
        bench.converged("Instance", instances.kept[name], raw)


@pytest.mark.usefixtures("impatient")
def test_who_only_finds_its_own_address_gone_says_who_declares_it_too(bench: Bench, instances: Program) -> None:
    raw = machine(bench, "a", 10)
    instances.create("a", raw)
    other = instances.create("b", machine(bench, "b", 10))
    with pytest.raises(Invalid, match=rf'declares? too.*"|is what the instance "{other.state["name"]}" declares too'):
        instances.update("a", raw)
    # Another program's are never taken over.
    with pytest.raises(Invalid, match="apply that first"):
        instances.create("c", machine(bench, "c", 10), program="another")
    assert addresses(bench) == [10]


@pytest.mark.parametrize("order", [one_by_one, all_at_once], ids=lambda order: order.__name__)
def test_two_networks_that_exchange_ranges(bench: Bench, networks: Program, order: Orders) -> None:
    ranges = {name: bench.cidr() for name in "ab"}
    for name, cidr in ranges.items():
        networks.create(name, {"name": f"{bench.prefix}{name}", "cidr": cidr})
    raws = {name: {"name": f"{bench.prefix}{name}", "cidr": ranges[other]} for name, other in ("ab", "ba")}
    order([lambda name=name: networks.update(name, raws[name]) for name in "ab"])  # type: ignore[misc]
    for name, raw in raws.items():
        bench.converged("Network", networks.kept[name], raw)


def test_ranges_that_follow_an_index(bench: Bench, networks: Program) -> None:
    ranges = [bench.cidr() for _ in range(4)]
    for name, cidr in zip("abcd", ranges, strict=True):
        networks.create(name, {"name": f"{bench.prefix}{name}", "cidr": cidr})
    said: list[str] = []
    raws = {name: {"name": f"{bench.prefix}{name}", "cidr": cidr} for name, cidr in zip("acd", ranges, strict=False)}
    bench.calls.preview_update(
        "Network", networks.kept["c"], bench.inputs("Network", raws["c"]), Work(warn=said.append)
    )
    whose = f'{ranges[1]} overlaps {ranges[1]} of the network "{bench.prefix}b"'
    assert f"cidr: {whose}, which is stopped where it does not give that up first" in said
    said.clear()
    for name in "cd":
        networks.update(name, raws[name], said.append)
    assert said[0] == f'the network "{bench.prefix}b" has {ranges[1]}, and is stopped to give it up'
    networks.delete("b")
    for name, raw in raws.items():
        bench.converged("Network", networks.kept[name], raw)


@pytest.mark.usefixtures("impatient")
def test_who_only_finds_its_own_range_taken_says_who_declares_it_too(bench: Bench, networks: Program) -> None:
    ranges = {name: bench.cidr() for name in "ab"}
    for name, cidr in ranges.items():
        networks.create(name, {"name": f"{bench.prefix}{name}", "cidr": cidr})
    with pytest.raises(Invalid, match=f'overlaps {ranges["a"]} of the network "{bench.prefix}a"$'):
        networks.create("c", {"name": f"{bench.prefix}c", "cidr": ranges["a"]})
    networks.update("b", {"name": f"{bench.prefix}b", "cidr": ranges["a"]})
    with pytest.raises(Invalid, match=f'overlaps {ranges["a"]} of the network "{bench.prefix}b", which declares it'):
        networks.update("a", {"name": f"{bench.prefix}a", "cidr": ranges["a"]})


@pytest.mark.parametrize("token", ["Instance", "Network", "Volume", "StoragePool"])
def test_a_name_that_is_going(bench: Bench, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A create with the name of what is being deleted in the same run waits for that."""
    assert bench.pool is not None
    name = f"{bench.prefix}going"
    raw: Raw = {
        "Instance": machine(bench, "going", 20), "Network": {"name": name, "cidr": bench.cidr()},
        "Volume": {"name": name, "pool": bench.pool.id, "size": "1MiB"},
        "StoragePool": {"name": name, "path": f"{bench.folder}/going"},
    }[token]  # fmt: skip
    program = Program(bench, token)
    program.create("old", raw)
    new = all_at_once([lambda: program.create("new", raw), lambda: program.delete("old")])[0]
    bench.converged(token, new, raw)
    monkeypatch.setattr(going, "BEGINS_S", 0.5)
    with pytest.raises((NameTaken, Invalid)):
        program.create("third", raw)
    program.close()


def test_a_rename_to_a_name_that_is_going(bench: Bench, instances: Program) -> None:
    for name, end in (("a", 10), ("b", 11)):
        instances.create(name, machine(bench, name, end))
    raw = machine(bench, "b", 10)
    all_at_once([lambda: instances.update("a", raw), lambda: instances.delete("b")])
    bench.converged("Instance", instances.kept["a"], raw)


@pytest.mark.usefixtures("impatient")
def test_what_no_instance_noted_is_not_taken_over(bench: Bench, instances: Program, networks: Program) -> None:
    """Neither a host that somebody else put there for an instance's card, nor one that the network declared for it."""
    cidr = bench.cidr()
    base, macs = cidr.rpartition(".")[0], [f"52:54:00:0d:2b:0{end}" for end in range(3)]
    declared = {"name": "declared", "mac": macs[1], "address": f"{base}.51"}
    network = networks.create("net", {"name": f"{bench.prefix}net", "cidr": cidr, "reservations": [declared]})
    found = bench.connection.networkLookupByUUIDString(network.id)

    def keep(mac: str, end: int, command: int = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST) -> None:
        text = f"<host mac='{mac}' name='printer' ip='{base}.{end}'/>"
        found.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, text, 3)

    def raw(name: str, **card: str) -> Raw:
        nics = [{"name": "eth0", "network": network.id, **card}]
        return {**machine(bench, name, 0), "nics": nics}

    for name, mac in zip("ab", macs, strict=False):
        instances.create(name, raw(name, mac=mac))
    instances.create("c", raw("c", mac=macs[2], address=f"{base}.52"))
    keep(macs[0], 50)
    # The administrator moved what is kept for the third one.
    found.update(
        libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1,
        f"<host mac='{macs[2]}'/>", 3,
    )  # fmt: skip
    try:
        for end, whom in ((50, "printer already"), (51, "declared already")):
            with pytest.raises(Invalid, match=rf"keeps \"{base}\.{end}\" for {whom}"):
                instances.create("new", raw("new", address=f"{base}.{end}"))
        keep(macs[0], 50, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE)
        keep(macs[2], 53)
        with pytest.raises(Invalid, match=rf'keeps "{base}\.53" for printer, a card of "{bench.prefix}c"; .* first'):
            instances.create("new", raw("new", address=f"{base}.53"))
        kept = [one.get("ip") for one in parse(found.XMLDesc(0)).iterfind(".//host")]
        assert kept == [f"{base}.51", f"{base}.53"]
    finally:
        instances.close()
        networks.close()


@pytest.mark.usefixtures("impatient")
def test_of_two_that_overlap_one_stands_and_both_can_be_changed(bench: Bench, networks: Program) -> None:
    """As two that were imported."""
    ranges = {name: bench.cidr() for name in "ab"}
    for name, cidr in ranges.items():
        networks.create(name, {"name": f"{bench.prefix}{name}", "cidr": cidr, "active": name == "a"})
    other = bench.connection.networkLookupByUUIDString(networks.kept["b"].id)
    base, taken = (ranges[name].rpartition(".")[0] for name in "ba")
    bench.connection.networkDefineXML(other.XMLDesc(1).replace(f"{base}.", f"{taken}."))
    for name in "ba":
        raw = {"name": f"{bench.prefix}{name}", "cidr": ranges["a"], "active": name == "a", "domain": "lab.example"}
        networks.update(name, raw)
        bench.converged("Network", networks.kept[name], raw)
    with pytest.raises(Invalid, match="which declares it too"):
        networks.update("b", {"name": f"{bench.prefix}b", "cidr": ranges["a"], "active": True})

"""A network that somebody made by hand: imported without a change, and then only what is declared changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench

from jvp.core.stored import Stored
from jvp.core.work import Work

NUMBERS = itertools.count(1)
TEXT = """<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>{name}</name>
  <forward mode='nat'><nat><port start='2048' end='65535'/></nat></forward>
  <bridge name='{bridge}' stp='on' delay='3'/>
  <dns><host ip='{base}.250'><hostname>box</hostname></host></dns>
  <ip address='{base}.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='{base}.10' end='{base}.20'/>
      <range start='{base}.30' end='{base}.40'/>
      <host mac='52:54:00:0d:3a:01' name='one' ip='{base}.101'/>
      <host mac='52:54:00:0d:3a:02' ip='{base}.102'/>
      <bootp file='x.0'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='{six}::1' prefix='64'/>
  <dnsmasq:options><dnsmasq:option value='log-queries'/></dnsmasq:options>
</network>"""


THEIRS = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<interface type='network'><source network='{network}'/></interface></devices></domain>"""


@pytest.fixture
def changed(bench: Bench, made: Any) -> Iterator[Any]:
    """A running machine that somebody made by hand, on the network, and that was imported and changed."""
    text = THEIRS.format(name=bench.name("changed"), network=made.name())
    disk = f"<disk type='file'><source file='{bench.volumes[0].state['path']}'/><target dev='vda'/></disk>"
    found = bench.connection.defineXML(text.replace("<interface", f"{disk}<interface"))
    found.create()
    stored = bench.calls.import_("Instance", found.name(), Work())
    assert stored is not None
    bench.update("Instance", stored, {**stored.inputs, "autostart": True})
    yield found
    found.destroy()
    found.undefine()


@pytest.fixture
def made(bench: Bench) -> Iterator[Any]:
    base = bench.cidr().rpartition(".")[0]
    _, second, third = base.split(".")
    six = f"fd78:{int(second):x}:{int(third):x}"
    text = TEXT.format(name=bench.name("hand"), bridge=f"jh{bench.prefix[-8:-1]}{next(NUMBERS)}", base=base, six=six)
    found = bench.connection.networkDefineXML(text)
    found.create()
    yield found
    if found.isActive():
        found.destroy()
    found.undefine()


def imported(bench: Bench, made: Any) -> Stored:
    before = made.XMLDesc(1)
    found = bench.calls.import_("Network", made.name(), Work())
    assert found is not None
    assert made.XMLDesc(1) == before
    return found


def test_what_was_imported_is_what_there_is_and_nothing_changes(bench: Bench, made: Any) -> None:
    stored = imported(bench, made)
    state = stored.state
    base = state["gateway"].rpartition(".")[0]
    assert (state["cidr"], state["dhcp"]["start"], state["dhcp"]["end"]) == (f"{base}.0/24", f"{base}.10", f"{base}.20")
    assert [(one["name"], one["address"]) for one in state["reservations"]] == [
        ("52-54-00-0d-3a-02", f"{base}.102"), ("one", f"{base}.101"),
    ]  # fmt: skip
    assert state["ipv6"]["dhcp"] == {"enabled": False, "leaseTime": "1h"}
    # The program that an import writes, and the least that a person would write.
    for raw in (stored.inputs, {"name": state["name"], "cidr": state["cidr"], "dhcp": state["dhcp"]}):
        assert bench.plan("Network", bench.read("Network", stored) or stored, raw) == []


def test_an_update_changes_only_what_is_declared(bench: Bench, made: Any) -> None:
    stored = imported(bench, made)
    base, gateway = stored.state["gateway"].rpartition(".")[0], stored.state["ipv6"]["gateway"]
    wanted = made.XMLDesc(1)
    theirs, one = stored.state["reservations"]
    steps: list[tuple[str, Any, str, str]] = [
        ("reservations", [{**one, "address": f"{base}.103"}, theirs], f"{base}.101", f"{base}.103"),
        ("domain", "lab.example", "<dns>", "<domain name='lab.example' localOnly='yes'/>\n  <dns>"),
        ("dhcp", {**stored.state["dhcp"], "end": f"{base}.21"}, f"end='{base}.20'", f"end='{base}.21'"),
        ("ipv6", {"cidr": stored.state["ipv6"]["cidr"], "gateway": f"{gateway}9"}, f"'{gateway}'", f"'{gateway}9'"),
    ]
    raw = {name: stored.state[name] for name in ("name", "cidr", "dhcp")}
    for name, value, old, new in steps:
        raw = {**raw, name: value}
        read = bench.read("Network", stored)
        assert read is not None
        assert {path.partition(".")[0].partition("[")[0] for path in bench.plan("Network", read, raw)} == {name}
        stored = bench.update("Network", read, raw).stored
        wanted = wanted.replace(old, new)
        assert made.XMLDesc(1).split("\n") == wanted.split("\n"), name
        again = bench.read("Network", stored)
        assert again is not None
        assert bench.plan("Network", again, raw) == []


def test_guests_on_an_imported_network_are_plugged_in_again_and_those_of_others_named(
    bench: Bench, made: Any, changed: Any
) -> None:
    """None of these guests has a system that lets go of its card: the restart says what became of each."""
    stored = imported(bench, made)
    name = bench.name("on")
    raw = {
        "name": name, "memory": "32MiB", "rootDisk": {"pool": bench.pool.id if bench.pool else "", "size": "1MiB"},
        "nics": [{"name": card, "network": stored.id} for card in ("eth0", "eth1")], "shutdownTimeout": "0s",
    }  # fmt: skip
    instance = bench.create("Instance", name, raw).stored
    theirs = bench.connection.createXML(THEIRS.format(name=bench.name("theirs"), network=made.name()), 0)
    said: list[str] = []
    try:
        program = {"name": made.name(), "cidr": stored.state["cidr"], "dhcp": stored.state["dhcp"], "mtu": 1400}
        bench.calls.preview_update("Network", stored, bench.inputs("Network", program), Work(warn=said.append))
        assert said == ["mtu: restarts the network; only guests that jvp manages are plugged in again"]
        stored = bench.update("Network", stored, program, Work(warn=said.append)).stored
        assert any(line.startswith(f"{theirs.name()} of others on network") for line in said), said
        # What a program has imported and changed is as good as made.
        assert any(line.startswith(f'"{changed.name()}" does not let go of its card') for line in said), said
        for card in ("eth0", "eth1"):
            begin = f'"{name}" does not let go of its card "{card}" to be plugged into'
            assert len([line for line in said if line.startswith(begin)]) == 1, said
        assert "urn:jvp" not in made.XMLDesc(1)
        read = bench.read("Instance", instance)
        assert read is not None
        assert [one.partition(":")[0] for one in read.state["pending"]] == ["nics.eth0", "nics.eth1"]
    finally:
        theirs.destroy()
        bench.delete("Instance", instance)

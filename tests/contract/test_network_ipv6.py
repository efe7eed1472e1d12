"""IPv6 of a network: addresses that DHCPv6 keeps, given to real clients, changed while it runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.conftest import Bench

from jvp.core.facts import Effect
from jvp.libvirt.link.xml import drop, parse, text_of

CLIENT = Path(__file__).with_name("asking_dhcp6.py")
DUID = "00030001525400abcd01"
DUID_WORDS = "00:03:00:01:52:54:00:ab:cd:01"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def six(bench: Bench) -> str:
    """A range of its own."""
    words = bench.prefix.removeprefix("jvpt").rstrip("-").zfill(8)[-8:]
    return f"fd5a:{words[:4]}:{words[4:]}:{next(bench.numbers):x}::"


@pytest.fixture
def client(bench: Bench) -> Iterator[str]:
    """A namespace with a free end of a wire, `in0`; the other end has the namespace's name."""
    name = f"k6{bench.prefix[-8:-1]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no namespace can be made here: {made.stderr.strip()}")
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "in0", "netns", name)
        ip("link", "set", name, "up")
        subprocess.run(["ip", "netns", "exec", name, "ip", "link", "set", "in0", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
        ip("netns", "del", name)


def asked(client: str, duid: str, name: str, patience: int = 10) -> str:
    """The address that the client is offered."""
    words = ["ip", "netns", "exec", client, sys.executable, "-S", str(CLIENT), "in0", duid, name, str(patience)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_n8_the_first_and_the_last_address_restart_a_network_without_a_range(
    bench: Bench, six: str, client: str
) -> None:
    ours = {"name": "db", "duid": DUID_WORDS, "address": f"{six}9"}
    none = {"name": bench.name("six"), "mode": "isolated", "ipv6": {"cidr": f"{six}/64"}}
    raw = {**none, "ipv6": {**none["ipv6"], "reservations": [ours]}}
    stored = bench.create("Network", "six", none).stored
    found = bench.connection.networkLookupByUUIDString(stored.id)
    try:
        for declared, offered in ((raw, ours["address"]), (none, "")):
            changes = bench.calls.diff("Network", stored, bench.inputs("Network", declared)).changes
            assert {one.effect for one in changes} == {Effect.NETWORK_RESTART}
            stored = bench.converged("Network", bench.update("Network", stored, declared).stored, declared)
            ip("link", "set", client, "master", found.bridgeName())
            assert asked(client, DUID, "other", 3 if not offered else 10) == offered
    finally:
        bench.delete("Network", stored)


def test_n8_addresses_that_dhcpv6_keeps(bench: Bench, six: str, client: str) -> None:
    ours = {"name": "db", "duid": DUID_WORDS, "address": f"{six}9"}
    named = {"name": "web", "address": f"{six}8"}
    raw = {
        "name": bench.name("six"), "mode": "isolated",
        "ipv6": {"cidr": f"{six}/64", "dhcp": {"start": f"{six}100", "end": f"{six}1ff"},
                 "reservations": [ours, named]},
    }  # fmt: skip
    stored = bench.create("Network", "six", raw).stored
    found = bench.connection.networkLookupByUUIDString(stored.id)
    try:
        assert bench.plan("Network", bench.read("Network", stored), raw) == []
        ip("link", "set", client, "master", found.bridgeName())
        assert asked(client, DUID, "other") == ours["address"]
        assert asked(client, "00030001525400abcd02", "web") == named["address"]
        assert asked(client, "00030001525400abcd03", "nobody").startswith(f"{six}1")

        moved = {**ours, "address": f"{six}7"}
        raw = {**raw, "ipv6": {**raw["ipv6"], "reservations": [moved]}}
        stored = bench.converged("Network", bench.update("Network", stored, raw).stored, raw)
        assert asked(client, DUID, "other") == moved["address"]
        assert asked(client, "00030001525400abcd04", "web").startswith(f"{six}1")

        root = parse(found.XMLDesc(1))
        drop(root, "ip/dhcp/host")
        bench.connection.networkDefineXML(text_of(root))
        read = bench.read("Network", stored)
        assert bench.plan("Network", read, raw) == ["ipv6.reservations[0]"]
        stored = bench.converged("Network", bench.update("Network", read, raw).stored, raw)
        assert asked(client, DUID, "other") == moved["address"]
    finally:
        bench.delete("Network", stored)

"""The DNS of a network: what its records answer, and which changes a running network takes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.asking_dns import SRV, TXT, addresses, answering, answers, comes
from tests.contract.conftest import Bench
from tests.contract.test_network import effects, six_of

from jvp.core.stored import Stored
from jvp.core.work import Work

ELSEWHERE = "127.0.0.77"
"""Where a server of a test listens."""


@pytest.fixture
def made(bench: Bench) -> Iterator[tuple[Stored, dict[str, Any]]]:
    name, cidr = bench.name("dns"), bench.cidr()
    raw: dict[str, Any] = {
        "name": name, "cidr": cidr, "domain": "lab.example", "ipv6": {"cidr": f"{six_of(cidr)}::/64"},
        "dns": {
            "hosts": [{"address": "10.255.0.1", "names": ["old.lab.example", "db"]}],
            "txt": [{"name": "_key.lab.example", "value": "v=1; p=x"}],
            "srv": [{"name": "_ldap._tcp", "targets": [
                {"name": "one.lab.example", "port": 389, "priority": 1, "weight": 2},
                {"name": "two.lab.example", "port": 390},
            ]}],
        },
    }  # fmt: skip
    stored = bench.create("Network", name, raw).stored
    yield stored, raw
    bench.delete("Network", stored)


def test_records_come_change_and_go_while_it_runs(bench: Bench, made: tuple[Stored, dict[str, Any]]) -> None:
    stored, raw = made
    bench.converged("Network", stored, raw)
    gateway, index = stored.state["gateway"], Path(f"/sys/class/net/{stored.state['bridge']}/ifindex")
    before = index.read_text()
    assert comes(gateway, "db", ["10.255.0.1"])
    assert comes(gateway, "old.lab.example", ["10.255.0.1"])
    assert answers(gateway, "_key.lab.example", TXT) == [b"\x08v=1; p=x"]
    told = {struct.unpack("!3H", one[:6]) for one in answers(gateway, "_ldap._tcp.lab.example", SRV)}
    assert told == {(1, 2, 389), (0, 0, 390)}

    dns = {
        "hosts": [
            {"address": "10.255.0.1", "names": ["db", "sql"]},
            {"address": "10.255.0.2", "names": ["web.lab.example"]},
        ],
        "txt": [{"name": "_key.lab.example", "value": "v=2"}],
        "srv": [{"name": "_ldap._tcp", "targets": [{"name": "two.lab.example", "port": 391}]}],
    }
    changed = {**raw, "dns": dns}
    assert set(effects(bench, stored, changed).values()) == {"live"}
    stored = bench.converged("Network", bench.update("Network", stored, changed).stored, changed)
    assert comes(gateway, "sql", ["10.255.0.1"])
    assert comes(gateway, "web.lab.example", ["10.255.0.2"])
    assert comes(gateway, "old.lab.example", [])
    assert answers(gateway, "_key.lab.example", TXT) == [b"\x03v=2"]
    assert [struct.unpack("!3H", one[:6]) for one in answers(gateway, "_ldap._tcp.lab.example", SRV)] == [(0, 0, 391)]

    none = {name: value for name, value in raw.items() if name != "dns"}
    assert effects(bench, stored, none) == {"dns": "live"}
    bench.converged("Network", bench.update("Network", stored, none).stored, none)
    assert comes(gateway, "sql", [])
    assert index.read_text() == before


def test_a_name_of_several_addresses_takes_a_restart(bench: Bench, made: tuple[Stored, dict[str, Any]]) -> None:
    stored, raw = made
    hosts = [{"address": address, "names": ["both.lab.example"]} for address in ("10.255.0.9", "fd77::9")]
    changed = {**raw, "dns": {**raw["dns"], "hosts": hosts}}
    assert set(effects(bench, stored, changed).values()) == {"network restart"}
    stored = bench.converged("Network", bench.update("Network", stored, changed).stored, changed)
    assert comes(stored.state["gateway"], "both.lab.example", ["10.255.0.9"])
    assert addresses(stored.state["gateway"], "both.lab.example", socket.AF_INET6) == ["fd77::9"]


def test_other_servers_are_asked_about_a_zone_and_about_the_rest(
    bench: Bench, made: tuple[Stored, dict[str, Any]]
) -> None:
    stored, raw = made
    changed = {**raw, "dns": {"zones": [{"name": "corp.example", "forwarders": [ELSEWHERE]}]}}
    assert effects(bench, stored, changed)["dns.zones[0]"] == "network restart"
    with answering(ELSEWHERE, "10.255.0.44") as asked:
        stored = bench.converged("Network", bench.update("Network", stored, changed).stored, changed)
        assert comes(stored.state["gateway"], "www.corp.example", ["10.255.0.44"])
        assert not any(b"elsewhere" in one for one in asked)
        changed["dns"] = {"forwarders": [ELSEWHERE]}
        stored = bench.converged("Network", bench.update("Network", stored, changed).stored, changed)
        assert comes(stored.state["gateway"], "www.elsewhere.example", ["10.255.0.44"])
    changed["dns"] = {"enabled": False}
    stored = bench.converged("Network", bench.update("Network", stored, changed).stored, changed)
    assert addresses(stored.state["gateway"], "www.elsewhere.example") == []


def test_what_a_hand_made_network_answers_is_imported_and_stays(bench: Bench) -> None:
    name, base = bench.name("hand"), bench.cidr().rpartition(".")[0]
    found = bench.connection.networkDefineXML(
        f"""<network><name>{name}</name><bridge name='jn{bench.prefix[-8:-1]}'/>
        <dns forwardPlainNames='yes'><forwarder addr='192.0.2.53'/><forwarder domain='x.example'/>
        <txt name='a' value='b,c'/>
        <host ip='{base}.9'><hostname>a</hostname><hostname>b</hostname></host>
        <srv service='s' protocol='udp' domain='d.example' target='t' port='9'/></dns>
        <ip address='{base}.1' prefix='24'/></network>"""
    )
    try:
        stored = bench.calls.import_("Network", name, Work())
        assert stored is not None
        assert stored.inputs["dns"] == {
            "enabled": True, "hosts": [{"address": f"{base}.9", "names": ["a", "b"]}],
            "txt": [{"name": "a", "value": "b,c"}], "forwarders": ["192.0.2.53"],
            "srv": [{"name": "_s._udp.d.example", "targets": [{"name": "t", "port": 9, "priority": 0, "weight": 0}]}],
            "zones": [{"name": "x.example", "forwarders": []}],
        }  # fmt: skip
        before = found.XMLDesc(1)
        least = {"name": name, "mode": "isolated", "cidr": f"{base}.0/24", "active": False, "autostart": False}
        least["dhcp"] = {"enabled": False}
        for raw in (stored.inputs, least):
            assert bench.plan("Network", stored, raw) == []
        stored = bench.update("Network", stored, {**least, "domain": "lab.example"}).stored
        assert before.partition("<dns")[2].partition("</dns>")[0] in found.XMLDesc(1)
    finally:
        found.undefine()

"""Functions: questions to the node, about objects of anybody."""

from __future__ import annotations

import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import foreign_domain, foreign_network, stopped

from jvp.core.errors import NotFound
from jvp.core.work import Work


def test_get_instance_by_name_and_id(bench: Bench) -> None:
    assert bench.network is not None
    name = bench.name("ask")
    stored = bench.create("Instance", name, stopped(bench, name)).stored
    try:
        for reference in (name, stored.id):
            found, failures = bench.calls.invoke("getInstance", {"instance": reference}, Work())
            assert failures == ()
            assert found is not None
            assert (found["id"], found["name"], found["state"]) == (stored.id, name, "stopped")
            assert found["memory"] == "32MiB"
            assert [nic["name"] for nic in found["nics"]] == ["eth0"]
            assert found["rootDiskBytes"] == 1024**2
            assert "not-to-be-shown" not in repr(found)
    finally:
        bench.delete("Instance", stored)


def test_get_instance_of_somebody_else(bench: Bench) -> None:
    name = bench.name("theirs")
    domain = foreign_domain(bench, {"name": name})
    before = domain.XMLDesc(2)
    try:
        found, _ = bench.calls.invoke("getInstance", {"instance": name}, Work())
        assert found is not None
        assert found["id"] == domain.UUIDString()
        assert found["cpus"] == 1
        assert domain.XMLDesc(2) == before
    finally:
        domain.undefine()


def test_get_network_by_name_and_id(bench: Bench) -> None:
    assert bench.network is not None
    for reference in (bench.network.id, bench.network.state["name"]):
        found, failures = bench.calls.invoke("getNetwork", {"network": reference}, Work())
        assert failures == ()
        assert found == {**bench.network.state, "id": bench.network.id}
        assert (found["state"], found["instances"]) == ("active", [])


def test_get_network_of_somebody_else_with_what_it_keeps(bench: Bench) -> None:
    name = bench.name("theirs")
    theirs = bench.connection.networkDefineXML(
        f"<network><name>{name}</name><forward mode='open'/><bridge name='jt-none'/>"
        "<ip address='203.0.113.1' prefix='24'><dhcp>"
        "<host mac='52:54:00:00:00:01' name='box' ip='203.0.113.9'/></dhcp></ip></network>"
    )
    before = theirs.XMLDesc(1)
    try:
        found, _ = bench.calls.invoke("getNetwork", {"network": name}, Work())
        assert found is not None
        assert {key: found[key] for key in ("id", "mode", "cidr", "state", "active", "dhcp", "reservations")} == {
            "id": theirs.UUIDString(), "mode": "open", "cidr": "203.0.113.0/24", "state": "inactive", "active": False,
            "dhcp": {"enabled": False, "leaseTime": "1h"},
            "reservations": [{"name": "box", "mac": "52:54:00:00:00:01", "address": "203.0.113.9"}],
        }  # fmt: skip
        assert theirs.XMLDesc(1) == before
    finally:
        theirs.undefine()


def test_leases_of_a_network_without_any(bench: Bench) -> None:
    assert bench.network is not None
    for reference in (bench.network.id, bench.network.state["name"]):
        found, failures = bench.calls.invoke("getNetworkLeases", {"network": reference}, Work())
        assert (found, failures) == ({"leases": []}, ())


def test_leases_of_a_network_that_is_stopped(bench: Bench) -> None:
    name = bench.name("off")
    network = foreign_network(bench, {"name": name})
    try:
        found, _ = bench.calls.invoke("getNetworkLeases", {"network": name}, Work())
        assert found == {"leases": []}
    finally:
        network.undefine()


@pytest.mark.parametrize(
    ("token", "argument"), [("getInstance", "instance"), ("getNetwork", "network"), ("getNetworkLeases", "network")]
)
def test_what_is_missing_names_what_there_is(bench: Bench, token: str, argument: str) -> None:
    with pytest.raises(NotFound, match="there are: ") as caught:
        bench.calls.invoke(token, {argument: "no-such"}, Work())
    assert caught.value.path == (argument,)


@pytest.mark.parametrize(
    ("token", "argument"), [("getInstance", "instance"), ("getNetwork", "network"), ("getNetworkLeases", "network")]
)
@pytest.mark.parametrize("value", ["", "a\x00", "a\n", 7, None])
def test_wrong_arguments_are_failures_at_their_place(bench: Bench, token: str, argument: str, value: object) -> None:
    found, failures = bench.calls.invoke(token, {argument: value}, Work())
    assert found is None
    assert [failure.path for failure in failures] == [(argument,)]

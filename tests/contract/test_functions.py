"""Functions: questions to the node, about objects of anybody."""

from __future__ import annotations

import datetime
import os
import socket
from pathlib import Path

import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import (
    changed_template,
    foreign_domain,
    foreign_network,
    foreign_pool,
    foreign_volume,
    stopped,
    template,
)

from jvp.core.errors import NotFound
from jvp.core.work import Work

ASKED = [
    ("getFirewall", "firewall"),
    ("getInstance", "instance"),
    ("getInstanceConsole", "instance"),
    ("getInstanceScreenshot", "instance"),
    ("getInstanceXml", "instance"),
    ("getNetwork", "network"),
    ("getNetworkLeases", "network"),
    ("getStoragePool", "storagePool"),
    ("getTemplate", "template"),
    ("getVolume", "volume"),
]


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
            assert found["node"] == stored.state["node"] == socket.gethostname()
            made = datetime.datetime.fromisoformat(found["createdAt"])
            assert datetime.timedelta(0) <= datetime.datetime.now(datetime.UTC) - made < datetime.timedelta(minutes=5)
            assert stored.state["createdAt"] == found["createdAt"]
            assert "console" not in found
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
        assert (found["cpus"], found["node"]) == (1, socket.gethostname())
        assert "createdAt" not in found
        assert domain.XMLDesc(2) == before
    finally:
        domain.undefine()


def test_get_instance_xml_is_what_virsh_prints(bench: Bench) -> None:
    """Running, stopped and transient; with no password that libvirt knows."""
    name = bench.name("words")
    graphics = "<graphics type='vnc' listen='127.0.0.1' passwd='hushhush'/>"
    define = f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><os><type>hvm</type></os>
        <devices>{graphics}</devices></domain>"""

    def asked() -> dict[str, str]:
        found, failures = bench.calls.invoke("getInstanceXml", {"instance": name}, Work())
        assert failures == ()
        assert found is not None
        assert "hushhush" not in repr(found)
        return found

    domain = bench.connection.createXML(define.replace(graphics, ""), 0)
    try:
        assert asked() == {"id": domain.UUIDString(), "live": domain.XMLDesc(0)}
    finally:
        domain.destroy()
    domain = bench.connection.defineXML(define)
    try:
        assert asked() == {"id": domain.UUIDString(), "persistent": domain.XMLDesc(2)}
        domain.create()
        found = asked()
        assert found == {"id": domain.UUIDString(), "live": domain.XMLDesc(0), "persistent": domain.XMLDesc(2)}
        assert found["live"] != found["persistent"]
        domain.destroy()
    finally:
        domain.undefine()


def test_get_node(bench: Bench) -> None:
    found, failures = bench.calls.invoke("getNode", {}, Work())
    assert failures == ()
    assert found is not None
    assert (found["hostname"], found["arch"]) == (socket.gethostname(), os.uname().machine)
    assert found["cpus"] == os.cpu_count()
    memory = bench.connection.getInfo()[1] << 20
    assert found["memoryBytes"] == memory
    assert found["freeMemoryBytes"] > 0
    assert f"<uuid>{found['uuid']}</uuid>" in bench.connection.getCapabilities()
    version = found["libvirtVersion"].split(".")
    assert [int(part) for part in version] == [bench.connection.getLibVersion() // 10**n % 1000 for n in (6, 3, 0)]
    assert (found["hypervisor"], found["session"]) == ("QEMU", False)


def test_get_network_by_name_and_id(bench: Bench) -> None:
    assert bench.network is not None
    for reference in (bench.network.id, bench.network.state["name"]):
        found, failures = bench.calls.invoke("getNetwork", {"network": reference}, Work())
        assert failures == ()
        assert found == {**bench.network.state, "id": bench.network.id, "instances": []}
        assert found["state"] == "active"


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


@pytest.mark.parametrize(("token", "argument"), ASKED)
def test_what_is_missing_names_what_there_is(bench: Bench, token: str, argument: str) -> None:
    with pytest.raises(NotFound, match="there are: ") as caught:
        bench.calls.invoke(token, {argument: missing(bench, token)}, Work())
    assert caught.value.path == (argument,)


def missing(bench: Bench, token: str) -> str:
    """A reference to nothing."""
    assert bench.pool is not None
    return f"{bench.pool.state['name']}/no-such" if token == "getVolume" else "no-such"


@pytest.mark.parametrize(("token", "argument"), ASKED)
@pytest.mark.parametrize("value", ["", "a\x00", "a\n", 7, None])
def test_wrong_arguments_are_failures_at_their_place(
    furnished: Bench, token: str, argument: str, value: object
) -> None:
    found, failures = furnished.calls.invoke(token, {argument: value}, Work())
    assert found is None
    assert [failure.path for failure in failures] == [(argument,)]


def test_get_storage_pool_of_ours_and_of_somebody_else(bench: Bench) -> None:
    assert bench.pool is not None
    for reference in (bench.pool.id, bench.pool.state["name"]):
        found, failures = bench.calls.invoke("getStoragePool", {"storagePool": reference}, Work())
        assert failures == ()
        assert found is not None
        assert (found["id"], found["type"], found["state"]) == (bench.pool.id, "dir", "running")
        # A guest that another test keeps for all of its file has a disk there, too.
        named = [name for name in found["volumes"] if not name.startswith("jvp-")]
        assert named == sorted(one.state["name"] for one in bench.volumes)
        assert found["volumes"] == sorted(found["volumes"])
        assert found["capacityBytes"] > found["availableBytes"] > 0
    pool = foreign_pool(bench, {"name": bench.name("theirs")})
    before = pool.XMLDesc(0)
    try:
        found, _ = bench.calls.invoke("getStoragePool", {"storagePool": pool.name()}, Work())
        assert found is not None
        assert (found["id"], found["active"], found["volumes"]) == (pool.UUIDString(), False, [])
        assert "capacityBytes" not in found
        assert pool.XMLDesc(0) == before
    finally:
        pool.undefine()


def test_get_volume_tells_who_uses_it(bench: Bench) -> None:
    assert bench.pool is not None
    volume, pool = bench.volumes[0], bench.pool.state["name"]
    name = bench.name("user")
    stored = bench.create("Instance", name, stopped(bench, name)).stored
    try:
        for reference in (volume.id, f"{pool}/{volume.state['name']}", volume.state["path"]):
            found, failures = bench.calls.invoke("getVolume", {"volume": reference}, Work())
            assert failures == ()
            assert found is not None
            assert (found["id"], found["attachedTo"], found["baseOf"]) == (volume.id, [name], [])
            assert (found["format"], found["sizeBytes"], found["poolName"]) == ("qcow2", 1024**2, pool)
            assert 0 < found["allocationBytes"] < 1024**2
    finally:
        bench.delete("Instance", stored)
    found, _ = bench.calls.invoke("getVolume", {"volume": volume.id}, Work())
    assert found is not None
    assert found["attachedTo"] == []


def test_get_volume_of_somebody_else(bench: Bench) -> None:
    foreign = foreign_volume(bench, {"name": bench.name("theirs")})
    try:
        found, _ = bench.calls.invoke("getVolume", {"volume": foreign.path()}, Work())
        assert found is not None
        assert (found["name"], found["format"], found["sizeBytes"]) == (foreign.name(), "raw", 4096)
    finally:
        foreign.delete(0)


def test_get_template_tells_what_stands_on_it(bench: Bench) -> None:
    assert bench.pool is not None
    name, pool = bench.name("image"), bench.pool.state["name"]
    raw = {**template(bench, name), "os": "debian-12"}
    made = bench.create("Template", name, raw).stored
    users = [
        bench.create("Volume", bench.name("over"), {"name": f"{name}-over", "pool": pool, "template": made.id}).stored
    ]
    try:
        # What stands on the image before counts too.
        renewed = bench.update("Template", made, changed_template(raw)).stored
        for reference in (made.id, f"{pool}/{name}", name):
            found, failures = bench.calls.invoke("getTemplate", {"template": reference}, Work())
            assert failures == ()
            assert found is not None
            assert (found["id"], found["type"], found["format"]) == (made.id, "path", "raw")
            assert found["os"] == "debian-12"
            assert found["digest"] == renewed.state["digest"]
            assert found["users"] == [f"{pool}/{name}-over"]
            assert found["allocationBytes"] <= found["sizeBytes"] == 1024**2
            assert found["createdAt"].endswith("Z")
    finally:
        for one in users:
            bench.delete("Volume", one)
        bench.delete("Template", made)
        for path in Path("/var/tmp").glob(f"{bench.prefix}image-*"):
            path.unlink()

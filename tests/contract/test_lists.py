"""Lists: all objects of a kind by one look, and what filters take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench
from tests.contract.counted import counting
from tests.contract.kinds import (
    KINDS,
    Kind,
    changed_template,
    foreign_domain,
    foreign_network,
    foreign_volume,
    running,
    stopped,
    template,
)

from jvp.core.errors import NotFound, Rejected, Stopped
from jvp.core.identity import DeclaredBy, Key
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.resources.instance.handler import Instances
from jvp.resources.instance.items import InstanceFilters
from jvp.resources.provider import Provider
from jvp.resources.registry import FUNCTIONS, TYPES

Bag = dict[str, Any]
ITEMS = {"StoragePool": "storagePools", "Template": "templates", "Volume": "volumes", "Network": "networks",
         "Instance": "instances", "Snapshot": "snapshots", "Firewall": "firewalls"}  # fmt: skip


def listed(bench: Bench, token: str, **filters: Any) -> list[Bag]:
    found, failures = bench.calls.invoke(f"get{token}s", filters, Work())
    assert failures == ()
    assert found is not None
    items: list[Bag] = found[ITEMS[token]]
    return items


def names(items: list[Bag]) -> list[str]:
    return [item["name"] for item in items]


def declared(bench: Bench, token: str, label: str, raw: Bag) -> Stored:
    """Made by a program that tells who it is."""
    handler = bench.calls.handlers[token]
    by = DeclaredBy.of("pulumi", f"shop/{bench.prefix}", "urn:pulumi:dev::shop::x")
    key = Key("", handler.kind, f"{bench.prefix}/{label}", label, by)
    return bench.calls.create(token, key, bench.inputs(token, raw), Work()).stored


def test_every_kind_has_a_list() -> None:
    others = ("getNetworkLeases", "getInstanceMetrics")
    assert [token for token in FUNCTIONS if token.endswith("s") and token not in others] == sorted(
        f"get{token}s" for token in TYPES
    )


@pytest.mark.parametrize("kind", [one for one in KINDS if one.id != "stopped instance"], ids=lambda one: one.id)
def test_ours_and_theirs_are_listed_and_told_apart(bench: Bench, kind: Kind) -> None:
    name = bench.name("mine")
    made = declared(bench, kind.token, name, kind.minimal(bench, name))
    theirs = kind.foreign(bench, {"name": bench.name("theirs")}) if kind.foreign is not None else None
    by = f"pulumi:shop/{bench.prefix}"
    mine: Bag = {"name": f"{bench.prefix}mine*"}
    try:
        (plain,) = listed(bench, kind.token, **mine)
        assert (plain["id"], plain["name"]) == (made.id, name)
        assert "declaredBy" not in plain
        (told,) = listed(bench, kind.token, details=True, **mine)
        assert told["declaredBy"] == by
        assert plain.items() <= told.items()
        for filters in ({"ours": True}, {"declaredBy": "pulumi:shop/*"}, {"declaredBy": by, "ours": True}):
            assert names(listed(bench, kind.token, **mine, **filters)) == [name]
        for filters in ({"ours": False}, {"declaredBy": "terraform:*"}, {"name": f"{bench.prefix}nobody"}):
            assert listed(bench, kind.token, **{**mine, **filters}) == []
        if theirs is not None:
            other: Bag = {"name": theirs.name(), "details": True}
            (found,) = listed(bench, kind.token, **other)
            assert "declaredBy" not in found
            assert names(listed(bench, kind.token, ours=False, **other)) == [theirs.name()]
            assert listed(bench, kind.token, ours=True, **other) == []
        ids = [item["id"] for item in listed(bench, kind.token)]
        assert sorted(ids) == sorted({one.id for one in bench.calls.list(kind.token, Work())})
    finally:
        if theirs is not None:
            theirs.delete(0) if kind.token == "Volume" else theirs.undefine()
        bench.delete(kind.token, made)


def test_instances_by_state_network_and_template(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    assert bench.network is not None
    one, two, three = (bench.name("by") for _ in range(3))
    image = bench.create("Template", "by", template(bench, bench.name("image"))).stored
    try:
        made(running(bench, one) | {"disks": []})
        made({**stopped(bench, two), "nics": [], "disks": []})
        made({**stopped(bench, three), "nics": [], "disks": [], "template": image.id})
        by: Bag = {"name": f"{bench.prefix}by*"}
        assert [item["state"] for item in listed(bench, "Instance", **by)] == ["running", "stopped", "stopped"]
        assert names(listed(bench, "Instance", state="running", **by)) == [one]
        assert names(listed(bench, "Instance", state="stopped", **by)) == [two, three]
        for reference in (bench.network.id, bench.network.state["name"]):
            assert names(listed(bench, "Instance", network=reference, **by)) == [one]
        for reference in (image.id, f"{image.state['poolName']}/{image.state['name']}"):
            assert names(listed(bench, "Instance", template=reference, **by)) == [three]
        (told,) = listed(bench, "Instance", name=one, details=True)
        assert (told["cpus"], told["memoryBytes"], told["networks"]) == (1, 32 << 20, [bench.network.state["name"]])
        for name in ("network", "template"):
            with pytest.raises(NotFound) as missing:
                listed(bench, "Instance", **{name: "no-such"})
            assert missing.value.path == (name,)
    finally:
        for stored in [bench.calls.import_("Instance", name, Work()) for name in (three,)]:
            assert stored is not None
            bench.delete("Instance", stored)
        bench.delete("Template", image)


def test_volumes_by_pool_and_whether_an_instance_has_them(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    assert bench.pool is not None
    name = bench.name("user")
    made(stopped(bench, name))
    data, other = (volume.state["name"] for volume in bench.volumes[:2])
    for reference in (bench.pool.id, bench.pool.state["name"]):
        here = listed(bench, "Volume", pool=reference, details=True)
        assert {data, other} <= set(names(here))
        assert {item["pool"] for item in here} == {bench.pool.state["name"]}
    (told,) = (item for item in here if item["name"] == data)
    assert told["attachedTo"] == [name]
    assert (told["format"], told["sizeBytes"]) == ("qcow2", 1 << 20)
    assert told["path"] == bench.volumes[0].state["path"]
    attached = names(listed(bench, "Volume", pool=bench.pool.id, attached=True))
    assert data in attached
    assert other not in attached
    assert other in names(listed(bench, "Volume", pool=bench.pool.id, attached=False))
    with pytest.raises(NotFound) as missing:
        listed(bench, "Volume", pool="no-such")
    assert missing.value.path == ("pool",)


def test_volumes_by_size_format_and_the_instance_that_has_them(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    assert bench.pool is not None
    name = bench.name("user")
    machine = made(stopped(bench, name))
    raw = bench.create(
        "Volume", "raw", {"name": bench.name("raw"), "pool": bench.pool.id, "size": "3MiB", "format": "raw"}
    )
    data, wide = bench.volumes[0].state["name"], raw.stored.state["name"]
    here: Bag = {"pool": bench.pool.id, "name": f"{bench.prefix}*"}
    try:
        for reference in (name, machine.id):
            assert data in names(listed(bench, "Volume", **here, attachedTo=reference))
            assert wide not in names(listed(bench, "Volume", **here, attachedTo=reference))
        assert names(listed(bench, "Volume", **here, minSize="2MiB", maxSize="3MiB", format="raw")) == [wide]
        assert wide not in names(listed(bench, "Volume", **here, maxSize="2MiB"))
        assert data not in names(listed(bench, "Volume", **here, format="raw"))
        with pytest.raises(NotFound) as missing:
            listed(bench, "Volume", attachedTo="no-such")
        assert missing.value.path == ("attachedTo",)
    finally:
        bench.delete("Volume", raw.stored)


def test_templates_by_what_stands_on_them(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    assert bench.pool is not None
    name, used, idle = bench.name("over"), bench.name("used"), bench.name("idle")
    images = [bench.create("Template", one, template(bench, one)).stored for one in (used, idle)]
    raw = {**stopped(bench, name), "nics": [], "disks": [], "template": images[0].id}
    machine, old = made(raw), Path(images[0].state["path"])
    volume = bench.create("Volume", "v", {"name": bench.name("v"), "pool": bench.pool.id, "template": used}).stored
    place, root = bench.pool.state["name"], f"jvp-{machine.id}-root"
    here: Bag = {"pool": bench.pool.id, "name": f"{bench.prefix}*"}
    stands = sorted([f"{place}/{root}", f"{place}/{volume.state['name']}"])
    try:
        for filters in ({"used": True}, {"usedBy": name}, {"usedBy": machine.id}, {"usedBy": stands[0]},
                        {"usedBy": volume.id}, {"kind": "cloud", "used": True, "minSize": "1MiB"}):  # fmt: skip
            (told,) = listed(bench, "Template", **here, **filters)
            assert (told["name"], told["users"], told["instances"]) == (used, stands, [name])
        assert names(listed(bench, "Template", **here, used=False)) == [idle]
        assert listed(bench, "Template", **here, kind="snapshot") == []
        assert listed(bench, "Template", **here, minSize="2MiB") == []
        found, _ = bench.calls.invoke("getTemplate", {"template": images[0].id}, Work())
        assert found is not None
        assert (found["users"], found["instances"], found["kind"]) == (stands, [name], "cloud")
        with pytest.raises(NotFound) as missing:
            listed(bench, "Template", usedBy="no-such")
        assert missing.value.path == ("usedBy",)
        with pytest.raises(Rejected, match=f'volume "{place}/.*"') as refused:
            bench.delete("Template", images[0])
        assert all(one in refused.value.message for one in stands)
        with counting() as asked:
            listed(bench, "Template", details=True, pool=bench.pool.id)
        volumes = sum(pool.numOfVolumes() for pool in bench.connection.listAllStoragePools(0) if pool.isActive())
        assert asked["virStorageVolGetXMLDesc"] <= volumes, asked
        # A new image is for those that come: who stands on the old one keeps it.
        renewed = bench.update("Template", images[0], changed_template(template(bench, used))).stored
        assert (Path(renewed.state["path"]) != old, old.exists()) == (True, True)
        assert bench.plan("Instance", machine, raw) == []
        (told,) = listed(bench, "Template", **here, usedBy=name)
        assert (told["users"], told["instances"]) == (stands, [name])
        bench.delete("Instance", machine)
        assert old.exists()
        bench.delete("Volume", volume)
        assert not old.exists()
        assert names(listed(bench, "Template", **here, used=False)) == sorted([used, idle])
    finally:
        for token, stored in (("Volume", volume), ("Instance", machine), *(("Template", one) for one in images)):
            bench.delete(token, stored)


def test_templates_by_what_is_in_them(bench: Bench) -> None:
    raw = {**template(bench, bench.name("image")), "os": "debian-12"}
    stored = bench.create("Template", "os", raw).stored
    assert bench.pool is not None
    try:
        for os in ("debian-12", "debian", "deb*-1?"):
            assert names(listed(bench, "Template", os=os, pool=bench.pool.id)) == [raw["name"]]
        assert listed(bench, "Template", os="hurd", pool=bench.pool.id) == []
        (told,) = listed(bench, "Template", name=raw["name"], details=True)
        assert (told["os"], told["type"], told["sizeBytes"]) == ("debian-12", "path", 1 << 20)
        # What a template lies in is no volume of anybody.
        assert not [one for one in listed(bench, "Volume", pool=bench.pool.id) if raw["name"] in one["name"]]
    finally:
        bench.delete("Template", stored)


def test_networks_and_pools_by_state_and_kind(bench: Bench) -> None:
    name = bench.name("net")
    theirs = foreign_network(bench, {"name": name})
    try:
        (told,) = listed(bench, "Network", name=name, details=True)
        assert (told["state"], told["mode"]) == ("inactive", "isolated")
        assert names(listed(bench, "Network", name=name, mode="isolated", state="inactive")) == [name]
        assert listed(bench, "Network", name=name, mode="nat") == []
        assert listed(bench, "Network", name=name, state="active") == []
    finally:
        theirs.undefine()
    assert bench.pool is not None
    (pool,) = listed(bench, "StoragePool", name=bench.pool.state["name"], state="running", type="dir", details=True)
    assert (pool["type"], pool["path"]) == ("dir", bench.pool.state["path"])
    assert pool["capacityBytes"] == bench.pool.state["capacityBytes"]
    assert listed(bench, "StoragePool", name=bench.pool.state["name"], type="logical") == []


def test_a_stopped_pool_is_listed_and_what_is_in_it_is_not(bench: Bench) -> None:
    name = bench.name("pool")
    pool = bench.create("StoragePool", name, {"name": name, "path": f"{bench.folder}/{name}"}).stored
    holder = bench.connection.storagePoolLookupByUUIDString(pool.id)
    volume = bench.create("Volume", name, {"name": "v", "pool": pool.id, "size": "1MiB"}).stored
    try:
        holder.destroy()
        (told,) = listed(bench, "StoragePool", name=name, state="inactive", details=True)
        assert "capacityBytes" not in told
        assert not [one for one in listed(bench, "Volume") if one["pool"] == name]
        with pytest.raises(Stopped):
            listed(bench, "Volume", pool=name)
    finally:
        holder.create(0)
        bench.delete("Volume", volume)
        bench.delete("StoragePool", pool)


def test_what_strangers_wrote_is_harmless_in_a_list(bench: Bench) -> None:
    name = f"{bench.name('odd')}<{{%red%}}>"
    domain = foreign_domain(bench, {"name": name})
    try:
        (told,) = (item for item in listed(bench, "Instance", details=True) if item["id"] == domain.UUIDString())
        assert "<{%" not in told["name"]
        assert names(listed(bench, "Instance", name=f"{bench.prefix}odd*")) == [told["name"]]
    finally:
        domain.undefine()


def test_what_a_filter_cannot_be_is_said_by_its_name(bench: Bench) -> None:
    found, failures = bench.calls.invoke("getInstances", {"state": "asleep", "nme": "x"}, Work())
    assert found is None
    assert {failure.path for failure in failures} == {("state",), ("nme",)}


class Vanishing:
    """A connection on which something is removed while it is listed."""

    def __init__(self, connection: Any, before: str, remove: Callable[[], object]) -> None:
        self._connection, self._before, self._remove = connection, before, remove

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name != self._before:
            return found

        def call(*arguments: Any) -> Any:
            listed = found(*arguments)
            self._remove()
            return listed

        return call


@pytest.mark.parametrize(
    ("token", "ask", "foreign"),
    [("Instance", "getAllDomainStats", foreign_domain), ("Network", "listAllNetworks", foreign_network)],
)
def test_what_is_removed_while_it_is_listed_is_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, token: str, ask: str, foreign: Callable[[Bench, Bag], Any]
) -> None:
    name = bench.name("going")
    theirs = foreign(bench, {"name": name})
    stays = foreign(bench, {"name": bench.name("stays")})
    node = bench.calls.handlers[token].node
    try:
        assert names(listed(bench, token, name=name, details=True)) == [name]
        removed: list[None] = []
        going = Vanishing(node.connection, ask, lambda: removed or (theirs.undefine(), removed.append(None)))
        monkeypatch.setattr(type(node), "connection", going)
        found = names(listed(bench, token, name=f"{bench.prefix}*", details=True))
        assert removed
        assert name not in found
        assert stays.name() in found
    finally:
        monkeypatch.undo()
        stays.undefine()


def test_a_volume_that_is_removed_while_it_is_listed_is_left_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.pool is not None
    theirs = foreign_volume(bench, {"name": bench.name("going")})
    name, file = theirs.name(), Path(theirs.path())
    assert names(listed(bench, "Volume", pool=bench.pool.id, name=name, details=True)) == [name]
    file.unlink()
    assert listed(bench, "Volume", pool=bench.pool.id, name=name, details=True) == []
    bench.connection.storagePoolLookupByUUIDString(bench.pool.id).refresh(0)


def test_how_often_libvirt_is_asked_for_a_list(bench: Bench) -> None:
    """By the number of pools alone, where nothing is asked of each object."""
    for token in TYPES:
        listed(bench, token)
    with counting() as asked:
        listed(bench, "Instance", state="running", name="*")
    assert asked.total() == 1, asked
    with counting() as asked:
        listed(bench, "Network", state="active")
    assert asked.total() == 2, asked
    pools = len(bench.connection.listAllStoragePools(0))
    with counting() as asked:
        listed(bench, "StoragePool", state="running")
    assert asked.total() == 1 + pools, asked
    for token in ("Volume", "Template"):
        with counting() as asked:
            listed(bench, token)
        assert asked.total() <= 1 + pools, asked


def many(tmp_path: Path, count: int) -> Any:
    """A connection to libvirt's test driver, which has so many domains in this process."""
    domain = "<domain type='test'><name>d{0}</name><memory>32768</memory><os><type>hvm</type></os></domain>"
    file = tmp_path / "node.xml"
    file.write_text(f"<node>{''.join(domain.format(number) for number in range(count))}</node>")
    return libvirt.open(f"test://{file}")


def test_a_thousand_domains_are_one_call(tmp_path: Path) -> None:
    class Crowded:
        connection = many(tmp_path, 1000)

    handler = Instances(Crowded(), Provider())  # type: ignore[arg-type]
    with counting() as asked:
        found = list(handler.list(Work(), InstanceFilters(state="running")))
    assert len(found) == 1000
    assert asked == {"virConnectGetAllDomainStats": 1}
    with counting() as asked:
        assert len(list(handler.list(Work(), InstanceFilters(name="d99?", details=True)))) == 10
    assert asked == {"virConnectGetAllDomainStats": 1, "virDomainGetXMLDesc": 10}

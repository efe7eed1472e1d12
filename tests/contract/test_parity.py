"""One table of scenarios through every door against the same daemon: the same outcome, and the same objects.

A column is a door (`columns.py`, `plain_columns.py`); where another one comes, it is a line there and a column here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.contract import kinds
from tests.contract.columns import Column, Told
from tests.contract.conftest import Bench
from tests.contract.plain_columns import COLUMNS
from tests.contract.scenes import ENGINES_ALONE, SCENARIOS, Run, Scene, as_told_by, differences, engines_alone, scenario
from tests.contract.storage_support import serving
from tests.loop_device import loop_device

from jvp.core.values import UNKNOWN

Bag = dict[str, Any]


@scenario
def create_and_no_op(scene: Scene) -> None:
    raw = kinds.network(scene.bench, scene.name)
    assert scene.plan("Network", raw).action == "create"
    assert scene.up("Network", raw).action == "create"
    assert scene.up("Network", raw).action == "none"
    assert scene.up("Network", {**raw, "dhcp": {"leaseTime": "60m"}}).action == "none"  # the same in other words


@scenario
def each_kind_of_change(scene: Scene) -> None:
    raw = kinds.network(scene.bench, scene.name)
    scene.up("Network", raw)
    base = raw["cidr"].rpartition(".")[0]
    live = {**raw, "dhcp": {"start": f"{base}.20", "end": f"{base}.40"}}
    assert scene.up("Network", live) == Told("update", frozenset({"dhcp"}))
    restarted = {**live, "domain": "lab.example"}
    assert scene.up("Network", restarted) == Told("update", frozenset({"domain"}))
    assert scene.up("Network", live) == Told("update", frozenset({"domain"}))  # taken out again
    assert scene.up("Network", raw) == Told("update", frozenset({"dhcp"}))  # back to the default
    renamed = {**raw, "name": f"{scene.name}-b"}
    assert scene.up("Network", renamed).action == "replace"


@scenario
def next_boot_and_live(scene: Scene) -> None:
    raw = kinds.running(scene.bench, scene.name)
    scene.up("Instance", raw)
    assert scene.up("Instance", {**raw, "autostart": True}) == Told("update", frozenset({"autostart"}))
    assert "memory" in scene.up("Instance", {**raw, "autostart": True, "memory": "48MiB"}).changed
    assert scene.outputs["pendingRestart"] is True
    assert scene.up("Instance", {**raw, "autostart": True, "memory": "48MiB"}).action == "none"


@scenario
def disks_on_a_bus(scene: Scene) -> None:
    raw = kinds.stopped(scene.bench, scene.name)
    scene.up("Instance", {**raw, "rootDisk": {**raw["rootDisk"], "bus": "sata"}})
    assert scene.up("Instance", raw).action == "none"  # what is not said stays
    assert [(one["bus"], one["serial"]) for one in scene.outputs["disks"]] == [("sata", "data")]
    (disk,) = raw["disks"]
    for change in ({"bus": "sata", "serial": "data"}, {"bus": "scsi"}, {"serial": "D-1"}):
        same = change == {"bus": "sata", "serial": "data"}
        disk |= change
        assert scene.up("Instance", raw) == (Told("none") if same else Told("update", frozenset({"disks"})))
        assert scene.up("Instance", raw).action == "none"
    assert [(one["bus"], one["serial"]) for one in scene.outputs["disks"]] == [("scsi", "D-1")]


@engines_alone("a document and a request have no values that another object has yet to tell")
def unknown_values(scene: Scene) -> None:
    told = scene.plan("Volume", {"name": scene.name, "pool": UNKNOWN, "size": UNKNOWN})
    assert "sizeBytes" in told.unknown
    told = scene.plan("Volume", kinds.volume(scene.bench, scene.name))
    assert "sizeBytes" not in told.unknown


@scenario
def sizes_in_another_spelling(scene: Scene) -> None:
    raw = kinds.volume(scene.bench, scene.name)
    scene.up("Volume", raw)
    assert scene.up("Volume", {**raw, "size": "2048KiB"}).action == "none"
    assert scene.up("Volume", {**raw, "size": "3072KiB"}) == Told("update", frozenset({"size"}))
    # Without a state nobody keeps how a size was spelled.
    assert scene.outputs["size"] == ("3072KiB" if scene.column.is_engine else "3MiB")
    told = scene.up("Volume", raw)
    assert told.action == "refused"
    assert "cannot shrink" in told.sentence


@scenario
def a_snapshot_of_an_instance(scene: Scene) -> None:
    machine = {**kinds.stopped(scene.bench, scene.name), "disks": [], "nics": []}
    scene.up("Instance", machine, "machine")
    raw = {"name": f"{scene.name}-s", "instance": scene.name}
    assert scene.plan("Snapshot", raw).action == "create"
    assert scene.up("Snapshot", raw).action == "create"
    assert scene.outputs["disks"] == ["root"]
    assert scene.up("Snapshot", raw).action == "none"
    assert scene.up("Instance", machine, "machine").action == "none"
    described = {**raw, "description": "before the upgrade"}
    assert scene.up("Snapshot", described) == Told("update", frozenset({"description"}))
    assert scene.up("Snapshot", {**described, "name": f"{scene.name}-t"}).action == "replace"
    for label in ("one", "machine"):
        told = scene.note(scene.column.destroy(label))
        assert told.action == "gone", told


@scenario
def secrets(scene: Scene) -> None:
    raw = kinds.stopped(scene.bench, scene.name)
    users = [{"name": "u", "password": "never-to-be-shown"}]
    scene.up("Instance", {**raw, "cloudInit": {"users": users}})
    changed = {**raw, "cloudInit": {"users": [{"name": "u", "password": "neither-this-one"}]}}
    assert scene.up("Instance", changed) == Told("update", frozenset({"cloudInit"}))
    wrong = {**raw, "cloudInit": {"users": [{"name": "u", "password": ["never-to-be-shown"]}]}}
    assert "never-to-be-shown" not in scene.up("Instance", wrong).sentence


@scenario
def wrong_input(scene: Scene) -> None:
    raw = kinds.stopped(scene.bench, scene.name)
    for wrong in (
        {"memory": "2 Gb"}, {"cpus": 0}, {"maxMemory": "16MiB"}, {"name": ".."},
        {"nics": [{"name": "eth0", "mac": "01:00:00:00:00:01"}]},
        {"disks": [{"name": "a/b", "volume": "x"}]}, {"waitFor": "ip", "nics": []},
    ):  # fmt: skip
        told = scene.up("Instance", {**raw, **wrong})
        assert told.action == "refused"
        assert told.sentence
    missing = scene.up("Instance", {**raw, "nics": [{"name": "eth0", "network": "no-such"}]})
    assert "no-such" in missing.sentence
    assert scene.seen[-1] == {}


@scenario
def partial_failure_goes_on(scene: Scene) -> None:
    """A guest that never answers is made, and is not finished; without the wait it is."""
    raw = kinds.running(scene.bench, scene.name)
    told = scene.up("Instance", {**raw, "waitFor": "ip", "waitTimeout": "1s"})
    assert told.action == "unfinished"
    assert told.sentence.startswith("no address after 1s")
    # The engine of Terraform has tainted it, and a document goes on with its create.
    scene.told.pop()
    scene.told.append(scene.column.up("Instance", "one", raw).action in ("create", "update", "replace"))
    assert scene.up("Instance", raw).action == "none"
    told = scene.up("Instance", {**raw, "autostart": True, "waitFor": "ip", "waitTimeout": "1s", "memory": "40MiB"})
    scene.told.pop()
    scene.told.append(told.action)
    assert scene.up("Instance", {**raw, "memory": "40MiB"}).action == "update"


@engines_alone("an import fills a state, which no other door keeps: what is there has its name")
def imported_and_unchanged(scene: Scene) -> None:
    raw = kinds.network(scene.bench, scene.name)
    scene.bench.create("Network", scene.name, raw)
    assert scene.note(scene.column.import_("Network", "one", scene.name)).action == "create"
    assert scene.up("Network", raw).action == "none"
    assert scene.up("Network", {**raw, "autostart": False}) == Told("update", frozenset({"autostart"}))


@engines_alone("an import fills a state, which no other door keeps: what is there has its name")
def imported_and_set_to_the_default(scene: Scene) -> None:
    """What the program leaves out stays as it was found; what it sets is set, and stays so."""
    network = kinds.network(scene.bench, scene.name)
    scene.bench.create("Network", scene.name, {**network, "mode": "isolated", "active": False, "autostart": False})
    pool = kinds.pool(scene.bench, scene.name)
    scene.bench.create("StoragePool", scene.name, {**pool, "active": False, "autostart": False})
    instance = {name: value for name, value in kinds.stopped(scene.bench, scene.name).items() if name != "cloudInit"}
    assert scene.bench.network is not None
    card = {**instance["nics"][0], "model": "e1000e"}
    scene.bench.create("Instance", scene.name, {**instance, "cpus": 2, "autostart": True, "nics": [card]})
    root = {"rootDisk": {**instance["rootDisk"], "deleteWithInstance": True}, "shutdownTimeout": "0s"}
    none: Bag = {"nics": [], "disks": []}
    steps: list[tuple[str, Bag, Bag]] = [
        ("Network", network, {"mode": "nat", "active": True, "autostart": True}),
        ("StoragePool", pool, {"active": True, "autostart": True}),
        ("Instance", {"name": scene.name, **root}, {**none, "cpus": 1, "autostart": False, "powerState": "running"}),
    ]
    for token, raw, defaults in steps:
        assert scene.column.import_(token, token, scene.name).action == "create"
        if token == "Instance":
            assert scene.up(token, raw, token) == Told("update", frozenset({"rootDisk", "shutdownTimeout"}))
            assert scene.up(token, {**raw, "nics": [{"name": "eth0"}]}, token).action == "none"
            virtio = {"name": "eth0", "model": "virtio"}
            assert scene.up(token, {**raw, "nics": [virtio]}, token) == Told("update", frozenset({"nics"}))
            assert scene.column.outputs(token)["nics"][0]["network"] == scene.bench.network.state["name"]
            raw = {**raw, "nics": [virtio]}
        assert scene.up(token, raw, token).action == "none"
        for name, value in defaults.items():
            assert scene.up(token, {**raw, name: value}, token) == Told("update", frozenset({name})), name
            raw = {**raw, name: value}
            assert scene.up(token, raw, token).action == "none"
    found = scene.column.outputs("Instance")
    assert (found["cpus"], found["maxCpus"], found["nics"], found["state"]) == (1, 2, [], "running")


@scenario
def an_empty_list_is_no_list(scene: Scene) -> None:
    raw = {
        name: value for name, value in kinds.stopped(scene.bench, scene.name).items() if name not in ("disks", "nics")
    }
    scene.up("Instance", raw)
    for given in ({**raw, "disks": [], "nics": []}, raw):
        assert scene.up("Instance", given).action == "none"


@scenario
def deleted_out_of_band(scene: Scene) -> None:
    raw = kinds.volume(scene.bench, scene.name)
    scene.up("Volume", raw)
    assert scene.bench.pool is not None
    scene.bench.connection.storagePoolLookupByUUIDString(scene.bench.pool.id).storageVolLookupByName(scene.name).delete(
        0
    )
    assert scene.up("Volume", raw).action == "create"
    assert scene.up("Volume", raw).action == "none"


@scenario
def changed_out_of_band(scene: Scene) -> None:
    raw = kinds.network(scene.bench, scene.name)
    scene.up("Network", raw)
    scene.bench.connection.networkLookupByName(scene.name).destroy()
    scene.bench.connection.networkLookupByName(scene.name).setAutostart(False)
    assert scene.plan("Network", raw) == Told("update", frozenset({"active", "autostart"}))
    assert scene.up("Network", raw) == Told("update", frozenset({"active", "autostart"}))
    assert scene.bench.connection.networkLookupByName(scene.name).isActive()


@scenario
def undefined_while_it_runs(scene: Scene) -> None:
    raw = kinds.running(scene.bench, scene.name)
    scene.up("Instance", raw)
    assert scene.up("Instance", raw).action == "none"
    scene.bench.connection.lookupByName(scene.name).undefine()
    for step in (scene.plan, scene.up):
        assert step("Instance", raw).action == "update"
        scene.told.pop()  # no attribute shows it, and Pulumi is told of one
    assert scene.bench.connection.lookupByName(scene.name).isPersistent()
    assert scene.up("Instance", raw).action == "none"


@scenario
def a_name_that_is_taken(scene: Scene) -> None:
    raw = kinds.network(scene.bench, scene.name)
    foreign = kinds.foreign_network(scene.bench, raw)
    before = foreign.XMLDesc(0)
    told = scene.up("Network", raw)
    assert told.action == "refused"
    assert scene.name in told.sentence
    if scene.column.name == "cli":  # a document is about the object of its name, whoever has it
        assert "not one that jvp made, and is not changed without force" in told.sentence
    else:
        assert "which this resource did not make; choose another name" in told.sentence
    scene.told[-1] = replace(told, sentence="")
    assert foreign.XMLDesc(0) == before
    foreign.undefine()


@scenario
def cancelled_while_it_waits(scene: Scene) -> None:
    raw = kinds.running(scene.bench, scene.name)
    found: list[Told] = []
    waiting = {**raw, "waitFor": "ip", "waitTimeout": "5m"}
    run = threading.Thread(target=lambda: found.append(scene.column.up("Instance", "one", waiting)))
    run.start()
    end = time.monotonic() + 60
    domains = scene.bench.connection.listAllDomains
    while not any(one.name() == scene.name for one in domains(0)) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.5)
    scene.column.cancel()
    run.join(60)
    (told,) = found
    assert told.action in ("unfinished", "refused")
    assert "stopped on request" in told.sentence
    scene.told.append(scene.column.up("Instance", "one", raw).action in ("create", "update", "replace"))
    assert scene.up("Instance", raw).action == "none"


@scenario
def a_mounted_pool(scene: Scene) -> None:
    """Refused without its source, made over a device, replaced by a folder."""
    name, pool = scene.name, kinds.pool(scene.bench, scene.name)
    device = scene.bench.folder / f"{name}-device"  # of the same name behind every door
    mounted = {**pool, "type": "fs", "source": {"device": str(device), "format": "ext4"}}
    with loop_device(scene.bench.folder / f"{name}-blank") as loop:
        device.symlink_to(loop)
        try:
            for wrong in ({**pool, "type": "fs"}, {**pool, "source": mounted["source"]}):
                assert scene.up("StoragePool", wrong).action == "refused"
            assert scene.up("StoragePool", mounted).action == "create"
            assert scene.up("StoragePool", mounted).action == "none"
            assert scene.outputs["source"] == mounted["source"]
            assert scene.up("StoragePool", {**mounted, "autostart": False}) == Told("update", frozenset({"autostart"}))
            assert scene.plan("StoragePool", pool | {"type": "dir"}).action == "replace"
            assert scene.column.destroy("one").action == "gone"
        finally:
            device.unlink()


@scenario
def an_instance_is_renamed_and_its_devices_come_and_go(scene: Scene) -> None:
    raw = kinds.stopped(scene.bench, scene.name)
    bare = {name: value for name, value in raw.items() if name not in ("disks", "nics")}
    scene.up("Instance", bare)
    assert scene.outputs["disks"] == []
    assert scene.up("Instance", raw) == Told("update", frozenset({"disks", "nics"}))
    assert [one["name"] for one in scene.outputs["disks"]] == ["data"]
    assert scene.up("Instance", bare) == Told("update", frozenset({"disks", "nics"}))
    uuid = scene.outputs["uuid"]
    assert scene.up("Instance", {**bare, "name": f"{scene.name}-b"}) == Told("update", frozenset({"name"}))
    assert scene.outputs["uuid"] == uuid


@scenario
def power_as_declared(scene: Scene) -> None:
    raw = {**kinds.running(scene.bench, scene.name), "restartTriggers": {"word": "a"}}
    for state in ("running", "paused", "running", "stopped", "running"):
        scene.up("Instance", {**raw, "powerState": state})
        assert scene.outputs["state"] == state
    before = scene.bench.connection.lookupByName(scene.name).ID()
    raw |= {"restartTriggers": {"word": "b"}}
    assert scene.up("Instance", raw) == Told("update", frozenset({"restartTriggers"}))
    assert scene.up("Instance", raw).action == "none"
    assert scene.bench.connection.lookupByName(scene.name).ID() > before


@scenario
def a_pool_and_a_network_that_are_stopped(scene: Scene) -> None:
    pool = kinds.pool(scene.bench, f"{scene.name}-p")
    network = kinds.network(scene.bench, f"{scene.name}-n")
    for token, raw in (("StoragePool", pool), ("Network", network)):
        assert scene.up(token, raw, token).action == "create"
        assert scene.up(token, {**raw, "active": False}, token) == Told("update", frozenset({"active"}))
        assert scene.up(token, raw, token) == Told("update", frozenset({"active"}))
        assert scene.column.outputs(token)["active"] is True


@scenario
def addresses_that_are_reserved(scene: Scene) -> None:
    network = kinds.network(scene.bench, f"{scene.name}-n")
    base = network["cidr"].rpartition(".")[0]
    card = {"name": "eth0", "network": network["name"], "address": f"{base}.77", "mac": "52:54:00:77:77:77"}
    raw = {**kinds.stopped(scene.bench, scene.name), "nics": [card]}
    scene.up("Network", network, "net")
    assert scene.up("Instance", raw).action == "create"
    moved = {**raw, "nics": [{**card, "address": f"{base}.78"}]}
    assert scene.up("Instance", moved) == Told("update", frozenset({"nics"}))
    assert scene.column.destroy("one").action == "gone"


@scenario
def what_stands_on_a_template(scene: Scene) -> None:
    """A volume and its clone; an image that is fetched, a guest over it, and a volume that is a copy of it."""
    assert scene.bench.pool is not None
    pool, name = scene.bench.pool.id, scene.name
    place = f"{scene.bench.pool.state['name']}/{name}"
    image = scene.bench.folder / f"{name}.img"
    image.write_bytes(kinds.IMAGE)
    bare = {key: value for key, value in kinds.stopped(scene.bench, name).items() if key not in ("nics", "disks")}
    with serving(scene.bench.folder) as address:
        steps: list[tuple[str, Bag]] = [
            ("Volume", kinds.volume(scene.bench, f"{name}-v")),
            ("Volume", {"name": f"{name}-c", "pool": pool, "volume": f"{place}-v"}),
            ("Template", {"name": f"{name}-t", "pool": pool, "source": {"url": f"{address}/{image.name}"}}),
            ("Instance", {**bare, "rootDisk": {"pool": pool}, "template": f"{place}-t"}),
            ("Volume", {"name": f"{name}-f", "pool": pool, "template": f"{place}-t", "fullClone": True}),
        ]
        for label, (token, raw) in enumerate(steps):
            assert scene.up(token, raw, str(label)).action == "create", scene.told[-1]
            assert scene.up(token, raw, str(label)).action == "none"
        assert scene.column.destroy("2").action == "refused"
        image.write_bytes(kinds.IMAGE[:-1] + b"x")
        source = {**steps[2][1]["source"], "checksum": f"sha256:{sha256(image.read_bytes()).hexdigest()}"}
        assert scene.up("Template", {**steps[2][1], "source": source}, "2").action == "update"
    for label in reversed(range(len(steps))):
        assert scene.column.destroy(str(label)).action == "gone"
    image.unlink()


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Column]]:
    made = [column(tmp_path_factory.mktemp("door")) for column in COLUMNS]
    yield made
    for column in made:
        column.close()


def test_what_needs_an_engine_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nparity: {len(SCENARIOS)} scenarios, through the engines alone {len(ENGINES_ALONE)} of them:")
        print("\n".join(f"  {name}: {reason}" for name, reason in ENGINES_ALONE.items()))
    assert [column.__name__ for column in COLUMNS] == ["Pulumi", "Terraform", "Rest", "Cli"]


@pytest.mark.parametrize("run", SCENARIOS.values(), ids=list(SCENARIOS))
def test_every_door_does_the_same(
    bench: Bench, columns: list[Column], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bench.name("parity")
    cidr = bench.cidr()
    same = replace(bench, cidr=lambda: cidr)
    doors = [column for column in columns if column.is_engine or run.__name__ not in ENGINES_ALONE]
    scenes = [Scene(same, column, name, [], [], tmp_path / column.name) for column in doors]
    for scene in scenes:
        monkeypatch.setenv("JVP_AUDIT", str(scene.audit))
        try:
            run(scene)
        finally:
            for label in list(scene.column.kept):
                assert scene.column.destroy(label).action == "gone"
        assert scene.objects() == {}
    first, *others = scenes
    for other in others:
        assert other.told == as_told_by(other.column, first.told), other.column.name
        assert differences(first.seen, other.seen) == [], other.column.name

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
from tests.contract import (
    kinds,
    parity_networks,  # noqa: F401 - its scenarios
)
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
def a_description_and_tags(scene: Scene) -> None:
    bare = {**kinds.stopped(scene.bench, scene.name), "disks": [], "nics": []}
    raw = {**bare, "description": "The shop", "tags": {"team": "web", "backup": ""}}
    scene.up("Instance", raw)
    assert scene.up("Instance", {**raw, "tags": {"backup": "", "team": "web"}}).action == "none"
    raw["tags"] = {"team": "db"}
    assert scene.up("Instance", raw) == Told("update", frozenset({"tags"}))
    assert (scene.outputs["tags"], scene.outputs["description"]) == ({"team": "db"}, "The shop")
    assert scene.up("Instance", {**raw, "tags": {"a=b": ""}}).action == "refused"
    assert scene.up("Instance", bare) == Told("update", frozenset({"description", "tags"}))  # taken out of the program
    assert scene.up("Instance", bare).action == "none"
    assert (scene.outputs["tags"], scene.outputs.get("description")) == ({}, None)


@scenario
def cpu_and_clock(scene: Scene) -> None:
    bare = {**kinds.stopped(scene.bench, scene.name), "disks": [], "nics": [], "cpus": 2, "cpuMode": "Westmere"}
    raw = {**bare, "cpu": {"features": {"x2apic": "disable"}, "topology": {"cores": 2}},
           "cpuset": "0", "memoryBacking": {"hugePages": "2MiB", "shared": True},
           "clock": {"offset": "localtime", "timers": [{"name": "hpet", "present": False}]}}  # fmt: skip
    scene.up("Instance", raw)
    assert scene.up("Instance", raw).action == "none"
    raw["cpu"] = {"features": {"x2apic": "disable"}, "topology": {"threads": 2}}
    raw |= {"cpuset": "0-1,^1", "memoryBacking": {"locked": True}}
    raw["clock"] = {"offset": "timezone", "timezone": "Europe/Berlin"}
    assert scene.up("Instance", raw).action == "update"
    assert scene.up("Instance", raw).action == "none"
    assert scene.outputs["cpu"]["topology"] == {"sockets": 1, "dies": 1, "cores": 1, "threads": 2}
    assert scene.up("Instance", {**raw, "cpus": 3}).action == "refused"
    assert scene.up("Instance", bare) == Told("update", frozenset({"clock", "cpu", "cpuset", "memoryBacking"}))
    assert scene.up("Instance", bare).action == "none"
    assert (scene.outputs.get("cpu"), scene.outputs.get("clock")) == (None, None)
    assert (scene.outputs.get("cpuset"), scene.outputs.get("memoryBacking")) == (None, None)


@scenario
def xml_that_no_property_says(scene: Scene) -> None:
    bare = {**kinds.stopped(scene.bench, scene.name), "disks": [], "nics": []}
    own = {"features/kvm/hidden/@state": "on", "devices/memballoon/stats/@period": "5"}
    scene.up("Instance", {**bare, "xml": own})
    assert scene.outputs["xml"] == own
    assert scene.up("Instance", {**bare, "xml": own}).action == "none"
    own["features/pae"] = "<pae/>"
    assert scene.up("Instance", {**bare, "xml": own}) == Told("update", frozenset({"xml"}))
    assert scene.up("Instance", {**bare, "xml": {"uuid": ""}}).action == "refused"
    assert scene.up("Instance", bare) == Told("update", frozenset({"xml"}))
    assert scene.outputs["xml"] == {}


@scenario
def a_tpm_a_watchdog_and_tables(scene: Scene) -> None:
    bare = {**kinds.stopped(scene.bench, scene.name), "disks": [], "nics": []}
    # Of ib700: for a PCI device libvirt adds a bridge, and where that stands depends on how often it was defined.
    raw = {
        **bare, "tpm": {}, "watchdog": {"model": "ib700", "action": "poweroff"}, "rng": {"rate": 4096},
        "memoryBacking": {"shared": True},
        "filesystems": [{"tag": "src", "source": "/var/tmp", "driver": "9p"}, {"tag": "out", "source": "/var/tmp"}],
        "smbios": {"system": {"serial": "S-1", "sku": "K"}, "oemStrings": ["one"]},
    }  # fmt: skip
    scene.up("Instance", raw)
    assert scene.up("Instance", raw).action == "none"
    raw |= {"tpm": {"model": "tpm-tis"}, "smbios": {"system": {"serial": "S-2"}}, "rng": {}}
    raw["filesystems"] = [{"tag": "src", "source": "/var/tmp", "driver": "9p", "readOnly": True}]
    changed = frozenset({"tpm", "smbios", "rng", "filesystems"})
    assert scene.up("Instance", raw) == Told("update", changed)
    assert scene.up("Instance", raw).action == "none"
    assert scene.outputs["smbios"]["system"]["serial"] == "S-2"
    assert not scene.outputs["smbios"]["oemStrings"]
    assert scene.up("Instance", {**raw, "tpm": {"device": "/dev/tpm0"}}).action == "refused"
    assert scene.up("Instance", bare) == Told(
        "update", changed | {"watchdog", "memoryBacking"}
    )  # taken out of the program
    assert scene.up("Instance", bare).action == "none"
    assert scene.outputs.get("tpm") is None


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


@scenario
def options_of_a_disk(scene: Scene) -> None:
    bare = kinds.stopped(scene.bench, scene.name)
    (disk,) = bare["disks"]
    root = {**bare["rootDisk"], "cache": "none", "iops": {"read": 5, "write": 6}}
    raw = {**bare, "rootDisk": root, "disks": [{**disk, "detectZeroes": "on", "bandwidth": {"total": "1MiB"}}]}
    scene.up("Instance", raw)
    same = {**raw, "disks": [{**raw["disks"][0], "bandwidth": {"total": "1024KiB"}}]}
    for again in (raw, same):
        assert scene.up("Instance", again).action == "none"
    raw["rootDisk"] = {**root, "iops": {"total": 7}}
    for changed, paths in ((raw, {"rootDisk"}), (bare, {"rootDisk", "disks"})):  # bare: taken out of the program
        assert scene.up("Instance", changed) == Told("update", frozenset(paths))
        assert scene.up("Instance", changed).action == "none"
    (disk,) = scene.outputs["disks"]
    assert {name for name in disk if disk[name] is not None} == {
        "name", "volume", "readOnly", "bus", "serial", "discard", "shareable",
    }  # fmt: skip


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
def a_firewall(scene: Scene) -> None:
    raw = kinds.firewall(scene.bench, scene.name)
    assert scene.plan("Firewall", raw).action == "create"
    assert scene.up("Firewall", raw).action == "create"
    assert [rule["priority"] for rule in scene.outputs["rules"]] == [101]
    assert scene.up("Firewall", raw).action == "none"
    more = {**raw, "rules": [{"name": "ping", "protocol": "icmp", "cidr": "10.0.0.0/8"}, *raw["rules"]]}
    assert scene.up("Firewall", more).action == "update"
    assert [rule["priority"] for rule in scene.outputs["rules"]] == [101, 102]
    assert scene.up("Firewall", more).action == "none"
    assert scene.up("Firewall", raw | {"inbound": "accept"}).action == "update"
    wrong = {**raw, "rules": [{"name": "a", "protocol": "icmp", "ports": ["22"]}]}
    assert "are of tcp, udp, sctp alone, and not of icmp" in scene.plan("Firewall", wrong).sentence
    told = scene.note(scene.column.destroy("one"))
    assert told.action == "gone", told


@scenario
def a_snapshot_of_an_instance(scene: Scene) -> None:
    machine = {**kinds.stopped(scene.bench, scene.name), "disks": [], "nics": []}
    scene.up("Instance", machine, "machine")
    raw = {"name": f"{scene.name}-s", "instance": scene.name, "volumes": [], "memory": False}
    assert scene.plan("Snapshot", raw).action == "create"
    assert scene.up("Snapshot", raw).action == "create"
    assert scene.outputs["disks"] == ["root"]
    assert scene.up("Snapshot", raw).action == "none"
    assert scene.bench.pool is not None
    copy = {"name": f"{scene.name}-c", "pool": scene.bench.pool.id, "snapshot": f"{scene.name}/{scene.name}-s"}
    assert "holds no disk" in scene.up("Volume", {**copy, "disk": "logs"}, "copy").sentence
    assert scene.up("Volume", copy, "copy").action == "create"
    image = {"name": f"{scene.name}-t", "pool": copy["pool"], "source": {"snapshot": copy["snapshot"]}}
    assert scene.up("Template", image, "image").action == "create"
    clone = {**machine, "name": f"{scene.name}-i", "snapshot": copy["snapshot"], "nics": [], "rootDisk": {}}
    assert scene.up("Instance", clone, "clone").action == "create"
    for token, made, label in (("Volume", copy, "copy"), ("Template", image, "image"), ("Instance", clone, "clone")):
        assert scene.up(token, made, label).action == "none"
        assert scene.column.destroy(label).action == "gone"
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
def space_is_given_back(scene: Scene) -> None:
    raw = {**kinds.volume(scene.bench, scene.name), "format": "raw", "compactTriggers": {"word": "a"}}
    assert scene.up("Volume", raw).action == "create"
    path = Path(scene.outputs["path"])
    path.write_bytes(bytes(path.stat().st_size))
    assert scene.up("Volume", raw).action == "none"
    assert path.stat().st_blocks
    assert scene.up("Volume", raw | {"compactTriggers": {"word": "b"}}) == Told(
        "update", frozenset({"compactTriggers"})
    )
    assert not path.stat().st_blocks


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
def names_that_a_network_answers(scene: Scene) -> None:
    raw = {**kinds.network(scene.bench, scene.name), "active": False}
    db, web = ({"address": f"10.255.0.{number}", "names": [name]} for number, name in ((1, "db"), (2, "web")))
    ldap = {"name": "_ldap._tcp", "targets": [{"name": "db", "port": 389}]}
    dns = {"hosts": [db, web], "srv": [ldap], "zones": [{"name": "corp.example", "forwarders": ["192.0.2.53"]}]}
    assert scene.up("Network", {**raw, "dns": {}}).action == "create"
    assert scene.up("Network", {**raw, "dns": {}}).action == "none"
    assert scene.up("Network", {**raw, "dns": dns}) == Told("update", frozenset({"dns"}))
    assert scene.up("Network", {**raw, "dns": {**dns, "hosts": [web, db]}}).action == "none"
    assert scene.up("Network", {**raw, "dns": {**dns, "hosts": [web]}}) == Told("update", frozenset({"dns"}))
    assert scene.up("Network", {**raw, "dns": {**dns, "hosts": [web, web]}}).action == "refused"
    assert scene.up("Network", raw) == Told("update", frozenset({"dns"}))
    assert scene.up("Network", raw).action == "none"


@scenario
def ports_that_are_forwarded(scene: Scene) -> None:
    """On a network that does not run, which leaves the machine's packet filter alone."""
    raw = {**kinds.network(scene.bench, scene.name), "active": False}
    web = {"name": "web", "hostPort": 58080, "to": raw["cidr"].replace(".0/24", ".9"), "port": 80}
    calls = {"name": "calls", "protocol": "udp", "hostPorts": "57000-57010", "to": web["to"]}
    assert scene.up("Network", {**raw, "portForwards": [web, calls]}).action == "create"
    assert scene.up("Network", {**raw, "portForwards": [calls, web]}).action == "none"
    assert scene.up("Network", {**raw, "portForwards": [web]}) == Told("update", frozenset({"portForwards"}))
    assert scene.up("Network", {**raw, "portForwards": [{**web, "port": 81}]}).changed == {"portForwards"}
    assert scene.up("Network", {**raw, "portForwards": [{**web, "to": "192.0.2.1"}]}).action == "refused"
    assert scene.up("Network", raw) == Told("update", frozenset({"portForwards"}))
    assert scene.up("Network", raw).action == "none"
    named = {**raw, "reservations": [{"name": "db", "mac": "52:54:00:0d:5b:01", "address": web["to"]}]}
    named["portForwards"] = [{**web, "to": "db"}]
    assert scene.up("Network", named) == Told("update", frozenset({"reservations", "portForwards"}))
    assert scene.up("Network", named).action == "none"
    moved = {**named["reservations"][0], "address": web["to"].removesuffix(".9") + ".10"}
    assert scene.up("Network", {**named, "reservations": [moved]}) == Told("update", frozenset({"reservations"}))
    assert scene.up("Network", {**named, "reservations": [moved]}).action == "none"


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
            ("Volume", {"name": f"{name}-u", "pool": pool, "imageUrl": f"{address}/{image.name}"}),
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

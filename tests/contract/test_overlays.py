"""External snapshots that another tool made of a machine: their overlays are left alone, and seen for what they are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bag, Bench, steady
from tests.contract.storage_support import Lines

from jvp.core.errors import Rejected
from jvp.core.identity import Mark
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, put, sub, text_of, value
from jvp.libvirt.storage import volume_record
from jvp.libvirt.storage.volume_record import Sidecar
from jvp.libvirt.storage.volumes import LAYER

PLAIN = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA


def snapshot(domain: Any, name: str, flags: int = PLAIN, memory: Path | None = None) -> None:
    """What `virsh snapshot-create-as NAME s1 --disk-only` does."""
    root = parse("<domainsnapshot/>")
    put(root, "name", name)
    if memory is not None:
        sub(root, "memory", snapshot="external", file=str(memory))
    domain.snapshotCreateXML(text_of(root), flags)


class Machine:
    """An instance with a root disk and a volume, and what a snapshot added to both."""

    def __init__(self, bench: Bench, state: str, format: str) -> None:
        assert bench.pool is not None
        self.bench, pool = bench, bench.pool.id
        raw: Bag = {"name": bench.name("v"), "pool": pool, "size": "1MiB", "format": format}
        self.volume, self.volume_raw = bench.create("Volume", raw["name"], raw).stored, raw
        self.raw: Bag = {
            "name": bench.name("i"), "memory": "32MiB", "rootDisk": {"pool": pool, "size": "1MiB", "format": format},
            "disks": [{"name": "data", "volume": self.volume.id}], "powerState": state, "shutdownTimeout": "0s",
            "cloudInit": {"hostname": "a"},
        }  # fmt: skip
        self.stored = bench.create("Instance", self.raw["name"], self.raw).stored
        self.domain = bench.connection.lookupByUUIDString(self.stored.id)

    def sources(self) -> list[tuple[str, str]]:
        """Format and path of the disks, as QEMU is told them."""
        disks = parse(self.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).iterfind("devices/disk")
        found = [(str(value(disk, "driver/@type")), str(value(disk, "source/@file"))) for disk in disks]
        return [one for one in found if not one[1].endswith("-seed")]

    def read(self) -> Stored:
        read = self.bench.read("Instance", self.stored)
        assert read is not None
        return read

    def files(self) -> set[str]:
        """The files of the machine and its volume."""
        names = {path.name for path in Path(self.volume.state["path"]).parent.iterdir()}
        return {name for name in names if self.stored.id in name or name.startswith(self.volume_raw["name"])}


@pytest.fixture
def make(bench: Bench, leftovers: None) -> Iterator[Any]:
    made: list[Machine] = []

    def one(state: str, format: str = "qcow2") -> Machine:
        made.append(Machine(bench, state, format))
        return made[-1]

    yield one
    for machine in made:
        bench.delete("Instance", machine.stored)
        for path in Path(machine.volume.state["path"]).parent.glob(f"{machine.volume_raw['name']}.*"):
            path.unlink()
        bench.connection.storagePoolLookupByUUIDString(machine.volume.state["poolUuid"]).refresh()
        bench.delete("Volume", machine.volume)


@pytest.mark.parametrize(("state", "format"), [("running", "raw"), ("stopped", "raw"), ("stopped", "qcow2")])
def test_a_snapshot_is_no_drift_and_is_left_alone(make: Any, bench: Bench, state: str, format: str) -> None:
    machine = make(state, format)
    for name in ("s1", "s2"):
        snapshot(machine.domain, name)
    before = machine.sources()
    assert [(format, path[-3:]) for format, path in before] == [("qcow2", ".s2")] * 2
    read = machine.read()
    assert steady(read.state) == steady(machine.stored.state)
    assert bench.plan("Instance", read, machine.raw) == []
    # An update of something else writes the whole definition.
    other = {**machine.raw, "memory": "48MiB", "maxMemory": "64MiB"}
    machine.stored = bench.update("Instance", read, other).stored
    assert machine.sources() == before
    assert machine.stored.state["disks"] == read.state["disks"]
    assert machine.stored.state["rootDiskPath"] == read.state["rootDiskPath"]


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_what_would_break_the_overlay_is_refused(make: Any, bench: Bench, state: str) -> None:
    machine = make(state)
    snapshot(machine.domain, "s1")
    before = machine.sources(), machine.files()
    name = machine.raw["name"]
    why = f'under an overlay of "{name}".*"virsh blockcommit {name} (vd[ac]) --active --pivot"'
    for path, change in (
        (("disks",), {"disks": []}),
        (("disks", 0, "volume"), {"disks": [{"name": "data", "volume": bench.volumes[0].id}]}),
        (("rootDisk", "size"), {"rootDisk": {**machine.raw["rootDisk"], "size": "2MiB"}}),
    ):
        with pytest.raises(Rejected, match=why) as caught:
            bench.update("Instance", machine.read(), {**machine.raw, **change})
        assert caught.value.path == path
    with pytest.raises(Rejected, match=why) as caught:
        bench.update("Volume", machine.volume, {**machine.volume_raw, "size": "2MiB"})
    assert caught.value.path == ("size",)
    with pytest.raises(Rejected, match=why):
        bench.delete("Volume", machine.volume)
    assert (machine.sources(), machine.files()) == before
    if state == "running":
        for target in ("vda", "vdc"):
            words = ["virsh", "-c", bench.connection.getURI(), "blockcommit", name, target, "--active", "--pivot"]
            subprocess.run(words, check=True, capture_output=True)
        for _, path in before[0]:
            Path(path).unlink()
        root = {**machine.raw["rootDisk"], "size": "2MiB"}
        machine.stored = bench.update("Instance", machine.read(), {**machine.raw, "rootDisk": root}).stored
        assert bench.update("Volume", machine.volume, {**machine.volume_raw, "size": "2MiB"}).stored.state["sizeBytes"]
        assert machine.stored.state["rootDiskBytes"] == 2 << 20


def test_a_disk_can_become_read_only_under_an_overlay(make: Any, bench: Bench) -> None:
    machine = make("stopped")
    snapshot(machine.domain, "s1")
    before = machine.sources()
    disks = [{"name": "data", "volume": machine.volume.id, "readOnly": True}]
    bench.update("Instance", machine.read(), {**machine.raw, "disks": disks})
    assert machine.sources() == before
    assert machine.read().state["disks"][0]["readOnly"] is True


def test_imported_under_a_snapshot(make: Any, bench: Bench) -> None:
    """The root disk is then the overlay, for nobody says otherwise; the volume is the one that a program declares."""
    machine = make("stopped")
    snapshot(machine.domain, "s1")
    read = bench.read("Instance", Stored(machine.stored.id, {}, {}))
    assert read is not None
    assert read.state["disks"][0]["volume"] == machine.volume.id
    assert read.state["rootDiskPath"] == machine.stored.state["rootDiskPath"]


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_the_overlays_of_the_root_disk_go_with_the_instance(make: Any, bench: Bench, state: str) -> None:
    machine = make(state)
    snapshot(machine.domain, "s1", PLAIN & ~libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)
    snapshot(machine.domain, "s2", PLAIN & ~libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)
    bench.delete("Instance", machine.stored)
    volume = machine.volume_raw["name"]
    assert machine.files() == {volume, f"{volume}.s1", f"{volume}.s2"}
    with pytest.raises(Rejected, match="which writing to it would break") as caught:
        bench.create("Instance", machine.raw["name"], machine.raw)
    assert caught.value.path == ("disks", 0, "volume")
    disks = [{"name": "data", "volume": machine.volume.id, "readOnly": True}]
    machine.stored = bench.create("Instance", machine.raw["name"], {**machine.raw, "disks": disks}).stored


def test_a_root_disk_that_outlived_its_machine_under_an_overlay(make: Any, bench: Bench) -> None:
    machine = make("stopped")
    snapshot(machine.domain, "s1")
    machine.domain.undefine()
    bench.connection.storagePoolLookupByUUIDString(machine.volume.state["poolUuid"]).refresh()
    raw = {name: value for name, value in machine.raw.items() if name != "disks"}
    with pytest.raises(Rejected, match=r"-root.s1, which writing to it would break") as caught:
        bench.create("Instance", machine.raw["name"], raw)
    assert caught.value.path == ("rootDisk",)
    own = machine.stored.state["rootDiskPath"]
    Path(f"{own}.s1").unlink()


def test_a_removal_that_was_cut_off_is_finished(make: Any, bench: Bench) -> None:
    machine = make("stopped")
    for name in ("s1", "s2", "s3"):
        snapshot(machine.domain, name)
    own = machine.stored.state["rootDiskPath"]
    for path in (own, f"{own}.s1"):  # these two were gone when it was cut off
        Path(path).unlink()
    bench.connection.storagePoolLookupByUUIDString(machine.volume.state["poolUuid"]).refresh()
    bench.delete("Instance", machine.stored)
    assert not any(machine.stored.id in name for name in machine.files())


def test_snapshots_of_other_kinds_go_too(make: Any, bench: Bench, run_folder: Path) -> None:
    internal = make("stopped")
    snapshot(internal.domain, "s1", 0)
    bench.delete("Instance", internal.stored)
    assert internal.files() == {internal.volume_raw["name"]}

    memory = run_folder / "base" / internal.stored.id
    external = make("running")
    snapshot(external.domain, "s1", 0, memory)
    said = Lines()
    bench.calls.delete("Instance", external.stored, said.work())
    assert any(f'"s1" stays, which whoever made that put into {memory}' in line for line in said.warnings)
    assert not any(external.stored.id in name for name in external.files())
    memory.unlink()


def layered(machine: Machine, name: str) -> list[Path]:
    """Lay a layer over each disk, with a record that says it is ours: it is no volume that a program declares."""
    uuid, connection = machine.stored.id, machine.bench.connection
    pool = connection.storagePoolLookupByUUIDString(machine.volume.state["poolUuid"])
    root, made = parse(machine.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)), []
    for number, disk in enumerate(root.iterfind("devices/disk")):
        if (source := str(value(disk, "source/@file"))).endswith("-seed"):
            continue
        layer = Path(source).with_name(f"jvp-{uuid}-{name}{number}")
        words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", source, "-F", str(value(disk, "driver/@type")), layer]
        subprocess.run(words, check=True)
        volume_record.claim(pool, layer.name, Sidecar("layer", Mark("", 0), "whole", name, "qcow2"))
        put(disk, "source/@file", str(layer))
        put(disk, "driver/@type", "qcow2")
        made.append(layer)
    connection.defineXML(text_of(root))
    volume = machine.volume.state["name"]
    record = volume_record.get(pool, volume)
    assert record is not None
    volume_record.put(pool, volume, record.having(facts={**record.facts, LAYER: made[1].name}))
    pool.refresh()
    return made


def virtual_size(path: Path) -> int:
    words = ["qemu-img", "info", "-U", "--output", "json", path]
    return int(json.loads(subprocess.run(words, check=True, capture_output=True).stdout)["virtual-size"])


@pytest.mark.parametrize("running", [True, False])
def test_layers_of_ours_are_where_a_disk_goes_on(make: Any, bench: Bench, running: bool) -> None:
    machine = make("stopped")
    layered(machine, "s1")
    layers = layered(machine, "s2")
    data = layers[1]
    if running:
        machine.domain.create()
        machine.raw["powerState"] = "running"
    before = machine.sources()
    read = machine.read()
    assert steady(read.state) == steady({**machine.stored.state, "powerState": machine.raw["powerState"]})
    assert bench.plan("Instance", read, machine.raw) == []
    # What grows is the layer that the guest writes to.
    raw = {**machine.raw, "rootDisk": {**machine.raw["rootDisk"], "size": "2MiB"}}
    machine.stored = bench.update("Instance", read, raw).stored
    assert machine.stored.state["rootDiskBytes"] == 2 << 20
    assert machine.stored.state["rootDiskPath"] == read.state["rootDiskPath"]
    larger = {**machine.volume_raw, "size": "3MiB"}
    for _ in range(2):
        grown = bench.update("Volume", machine.volume, larger).stored
        assert grown.state["sizeBytes"] == 3 << 20
    # And so it is read: by its record, which names the layer.
    assert bench.converged("Volume", grown, larger).state["path"] == machine.volume.state["path"]
    told, _ = bench.calls.invoke("getVolume", {"volume": machine.volume.id}, Work())
    assert told is not None
    assert (told["sizeBytes"], told["attachedTo"]) == (3 << 20, [machine.raw["name"]])
    bases = [Path(read.state["rootDiskPath"]), Path(machine.volume.state["path"])]
    assert [virtual_size(path) for path in (*layers, *bases)] == [2 << 20, 3 << 20, 1 << 20, 1 << 20]
    # A clone is what the guest sees; nothing is done to the volume below.
    clone = {"name": bench.name("c"), "pool": bench.pool.id, "volume": machine.volume.id}  # type: ignore[union-attr]
    if running:
        machine.domain.destroy()
    cloned = bench.create("Volume", "c", clone).stored
    assert (cloned.state["sizeBytes"], cloned.state.get("backingFile")) == (3 << 20, None)
    bench.delete("Volume", cloned)
    with pytest.raises(Rejected, match="lies under"):
        bench.delete("Volume", machine.volume)
    other = {"name": bench.name("o"), "memory": "32MiB", "powerState": "stopped", "rootDisk": machine.raw["rootDisk"],
             "disks": machine.raw["disks"]}  # fmt: skip
    with pytest.raises(Rejected, match="which writing to it would break"):
        bench.create("Instance", "o", other)
    assert machine.sources() == before
    # Those of the root disk go with it; what the guest wrote to the volume stays.
    bench.delete("Instance", machine.stored)
    kept = {path.name for path in Path(machine.volume.state["path"]).parent.iterdir() if machine.stored.id in path.name}
    number = data.name[-1]
    below = data.with_name(f"jvp-{machine.stored.id}-s1{number}")
    assert kept == {name for layer in (data, below) for name in (layer.name, volume_record.volume_name(layer.name))}
    for name in kept:
        data.with_name(name).unlink()

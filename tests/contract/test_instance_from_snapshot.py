"""Instances made from snapshots: disks of their own, byte by byte, which go with them and with nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bag, Bench
from tests.contract.storage_support import Killed, Lines, spying
from tests.contract.test_from_snapshot import content
from tests.contract.test_snapshots import Machine
from tests.contract.test_snapshots_unlucky import other_machine
from tests.extent import sample

from jvp.core.errors import Invalid, Rejected
from jvp.core.outlook import Asked
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import Element, parse, text_of, value
from jvp.libvirt.storage import layer_names

make = test_snapshots.make
FLAGS = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


def definition(bench: Bench, stored: Stored) -> Element:
    return parse(bench.connection.lookupByUUIDString(stored.id).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def disks(bench: Bench, stored: Stored, folder: Path) -> dict[str, bytes]:
    """What the instance's disks hold, by their aliases."""
    found = {}
    for disk in definition(bench, stored).iterfind("devices/disk"):
        path, format = value(disk, "source/@file"), value(disk, "driver/@type")
        told = Stored("", {}, {"path": path, "format": format})
        found[str(value(disk, "alias/@name"))] = content(told, folder)
    return found


def files(machine: Machine) -> set[str]:
    machine.bench.connection.storagePoolLookupByUUIDString(machine.volume.state["poolUuid"]).refresh()
    return {path.name for path in machine.folder.iterdir()}


def cards(root: Element) -> set[str]:
    return {str(one.get("address")) for one in root.iterfind("devices/interface/mac")}


@pytest.mark.parametrize(("state", "format"), [("running", "raw"), ("stopped", "qcow2")])
def test_an_instance_has_all_disks_of_its_own(
    make: Callable[..., Machine], bench: Bench, tmp_path: Path, state: str, format: str
) -> None:
    """It is planned, made, changed, held by a snapshot in turn and deleted, and nothing of it stays."""
    machine = make(state, format)
    machine.write(1, 0)
    first = machine.take("s1")
    machine.write(2, 1)
    before = files(machine)
    nics = [{"name": "eth0"}]
    raw: Bag = {"name": bench.name("c"), "memory": "32MiB", "snapshot": first.id, "nics": nics,
                "powerState": state, "shutdownTimeout": "0s", "rootDisk": {"size": "2MiB"}}  # fmt: skip
    said = Lines()
    asked = Asked(lambda: bench.key("Instance", raw["name"]))
    bench.calls.preview_create("Instance", bench.inputs("Instance", raw), said.work(), asked)
    assert [line for line in said.warnings if 'is a copy of the snapshot "s1"' in line] == said.warnings[:1]
    made = bench.create("Instance", raw["name"], raw).stored
    made = bench.converged("Instance", made, raw)
    assert made.state["rootDisk"]["format"] == format
    assert made.state["undeclared"] == ["disk data"]
    source, copy = definition(bench, machine.stored), definition(bench, made)
    assert value(source, "os/type/@machine") == value(copy, "os/type/@machine")
    assert not cards(source) & cards(copy)
    own = bytes((1, 0))
    if state == "stopped":
        held = disks(bench, made, tmp_path)
        assert held == {"ua-jvp-root": own.ljust(32, b"\0"), "ua-jvp-own-data": own.ljust(16, b"\0")}
    for spelled in (f"{machine.raw['name']}/s1", first.id):
        assert bench.plan("Instance", made, {**raw, "snapshot": spelled}) == []
    machine.drop(first)
    made = bench.update("Instance", made, {**raw, "memory": "40MiB"}).stored
    made = bench.converged("Instance", made, {**raw, "memory": "40MiB"})
    without = {name: item for name, item in raw.items() if name != "snapshot"}
    without["rootDisk"] = {"pool": made.state["rootDisk"]["pool"], "size": "2MiB"}
    assert bench.plan("Instance", made, {**without, "memory": "40MiB"}) == []
    if state == "stopped":
        given_away(bench, made)
    again = {"name": "of-the-copy", "instance": made.id}
    held_again = bench.create("Snapshot", f"{made.id}s", again).stored
    assert held_again.state["disks"] == ["root", "data"]
    bench.delete("Instance", made)
    assert files(machine) == {name for name in before if "-snap-s1" not in name and "layer" not in name}
    assert machine.reads() == [bytes((1, 2, 0, 0, 0, 0))] * 2


def given_away(bench: Bench, made: Stored) -> None:
    """Another machine has one of the copies: it goes under nobody."""
    whole, before = definition(bench, made), bench.connection.lookupByUUIDString(made.id).XMLDesc(FLAGS)
    (own,) = [disk for disk in whole.iterfind("devices/disk") if value(disk, "alias/@name") == "ua-jvp-own-data"]
    path = Path(str(value(own, "source/@file")))
    devices = whole.find("devices")
    assert devices is not None
    devices.remove(own)
    bench.connection.defineXML(text_of(whole))
    try:
        with (
            other_machine(bench, path) as name,
            pytest.raises(Rejected, match=f"its disk {path} is used by {name} too"),
        ):
            bench.delete("Instance", made)
    finally:
        bench.connection.defineXML(before)
    assert path.exists()


def test_what_the_program_says_of_the_disks(make: Callable[..., Machine], bench: Bench, tmp_path: Path) -> None:
    """The root disk alone, or one of its own under the name of one that the snapshot holds; another format and bus."""
    machine = make("stopped", "raw")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    other = bench.create("Volume", "other", {"name": bench.name("v"), "pool": machine.volume_raw["pool"],
                                             "size": "1MiB", "format": "raw"}).stored  # fmt: skip
    raw: Bag = {"memory": "32MiB", "snapshot": f"{machine.raw['name']}/s1", "powerState": "stopped"}
    for more in (
        {"snapshotDisks": "root", "rootDisk": {"format": "qcow2", "bus": "sata"}},
        {"disks": [{"name": "data", "volume": other.id}]},
    ):
        wanted = {**raw, **more, "name": bench.name("c")}
        made = bench.create("Instance", wanted["name"], wanted).stored
        made = bench.converged("Instance", made, wanted)
        assert made.state["undeclared"] == []
        held = disks(bench, made, tmp_path)
        assert held["ua-jvp-root"][:2] == bytes((1, 0))
        assert "ua-jvp-own-data" not in held
        assert held.get("ua-jvp-disk-data", bytes(16)) == bytes(16)
        if "rootDisk" in more:
            assert (made.state["rootDisk"]["format"], made.state["rootDisk"]["bus"]) == ("qcow2", "sata")
        bench.delete("Instance", made)
    bench.delete("Volume", other)
    machine.drop(snapshot)


def test_uefi_variables_are_those_of_the_snapshot(make: Callable[..., Machine], bench: Bench) -> None:
    machine = make("stopped")
    raw: Bag = {"name": bench.name("u"), "memory": "64MiB", "powerState": "paused", "firmware": "uefi",
                "shutdownTimeout": "0s", "rootDisk": {"pool": machine.volume_raw["pool"], "size": "1MiB"}}  # fmt: skip
    stored = bench.create("Instance", raw["name"], raw).stored
    snapshot = bench.create("Snapshot", f"{stored.id}s1", {"name": "s1", "instance": stored.id}).stored
    (kept,) = machine.folder.glob(f"jvp-{stored.id}-firmware*")
    wanted: Bag = {"name": bench.name("c"), "memory": "64MiB", "snapshot": snapshot.id, "powerState": "stopped"}
    with pytest.raises(Invalid, match='starts by uefi: write "uefi"') as caught:
        bench.create("Instance", wanted["name"], wanted)
    assert caught.value.path == ("firmware",)
    said = Lines()
    asked = Asked(lambda: bench.key("Instance", wanted["name"]))
    bench.calls.preview_create("Instance", bench.inputs("Instance", wanted), said.work(), asked)
    assert any("firmware" in line and "starts by uefi" in line for line in said.warnings)
    wanted["firmware"] = "uefi"
    made = bench.create("Instance", wanted["name"], wanted).stored
    variables = machine.folder / f"jvp-{made.id}-nvram"
    assert variables.read_bytes() == kept.read_bytes()
    bench.calls.delete("Snapshot", snapshot, Work())
    running = bench.update("Instance", made, {**wanted, "powerState": "paused"}).stored
    bench.converged("Instance", running, {**wanted, "powerState": "paused"})
    bench.delete("Instance", running)
    assert not variables.exists()
    bench.delete("Instance", stored)


@pytest.mark.parametrize("place", sample(range(14), "instance from a snapshot", share=0.15, least=2))
def test_a_create_that_was_killed_is_gone_on_with(
    make: Callable[..., Machine], bench: Bench, tmp_path: Path, place: int
) -> None:
    machine = make("stopped", "raw")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    before = files(machine)
    raw: Bag = {"name": bench.name("c"), "memory": "32MiB", "snapshot": snapshot.id, "powerState": "stopped"}
    with spying(place) as spy, contextlib.suppress(Killed):
        bench.create("Instance", raw["name"], raw)
    assert spy.dead
    made = bench.create("Instance", raw["name"], raw).stored
    assert {name.replace(made.id, "U") for name in files(machine) - before} == {"jvp-U-root", "jvp-U-disk1"}
    assert set(disks(bench, made, tmp_path).values()) == {bytes((1,)).ljust(16, b"\0")}

    # Half a copy is made anew, also where the domain was undefined since.
    bench.connection.lookupByUUIDString(made.id).undefine()
    half = machine.folder / f"jvp-{made.id}-disk1"
    half.write_bytes(b"")
    half.with_name(layer_names.over_copied(half.name)).write_bytes(b"")
    files(machine)  # the pool sees them
    made = bench.create("Instance", raw["name"], raw).stored
    assert set(disks(bench, made, tmp_path).values()) == {bytes((1,)).ljust(16, b"\0")}
    half.with_name(layer_names.over_copied(f"jvp-{made.id}-disk7")).write_bytes(b"")
    files(machine)
    bench.delete("Instance", made)
    assert files(machine) == before
    machine.drop(snapshot)

"""What a disk is beside its data: its cache, its limits, what it gives back; and volumes that several share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.counted import counting
from tests.contract.drift import domain_edited
from tests.contract.kinds import foreign_domain, running, stopped
from tests.contract.test_instance_buses import classes

from jvp.core.errors import Rejected
from jvp.core.facts import Effect
from jvp.core.outlook import Asked
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, put, sub, text_of, value

ALL: Bag = {
    "cache": "directsync", "io": "native", "discard": "ignore", "detectZeroes": "on", "wwn": "5000C50015EA71AB",
    "iops": {"total": 50, "totalMax": 60}, "bandwidth": {"read": "1MB", "write": "2MiB", "writeMax": "3MiB"},
}  # fmt: skip
LONG = "S" * 36


def disk(bench: Bench, stored: Stored, alias: str, flags: int = 2) -> Any:
    root = parse(domain_of(bench, stored).XMLDesc(flags))
    return next(one for one in root.iterfind("devices/disk") if value(one, "alias/@name") == f"ua-jvp-{alias}")


def tuned(one: Any) -> dict[str, str | None]:
    found = {name: value(one, f"driver/@{name}") for name in ("cache", "io", "discard", "detect_zeroes")}
    limits = {str(child.tag): child.text for child in one.iterfind("iotune/*")}
    return {**found, "wwn": value(one, "wwn"), "serial": value(one, "serial"), **limits}


PLAIN = {"cache": None, "io": None, "discard": "unmap", "detect_zeroes": None, "wwn": None}


def test_options_come_and_go_and_what_is_not_declared_stays(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = stopped(bench, bench.name("tuned"))
    bare = {**raw, "rootDisk": {**raw["rootDisk"], "bus": "scsi"}, "disks": [{**raw["disks"][0], "serial": LONG[:20]}]}
    raw = {
        **bare,
        "rootDisk": {**bare["rootDisk"], **ALL, "serial": "ROOT"},
        "disks": [{**bare["disks"][0], **ALL, "wwn": "5000c50015ea71ac", "serial": LONG, "bus": "scsi"}],
    }
    stored = bench.converged("Instance", made(raw), raw)
    told = {"cache": "directsync", "io": "native", "discard": "ignore", "detect_zeroes": "on", "serial": LONG,
            "total_iops_sec": "50", "total_iops_sec_max": "60", "read_bytes_sec": "1000000",
            "write_bytes_sec": "2097152", "write_bytes_sec_max": "3145728"}  # fmt: skip
    assert tuned(disk(bench, stored, "root")) == {**told, "serial": "ROOT", "wwn": "5000C50015EA71AB"}
    assert tuned(disk(bench, stored, "disk-data")) == {**told, "wwn": "5000c50015ea71ac"}
    # Another side of a limit takes the place of the one that it cannot stand beside; another volume keeps the rest.
    data = {**raw["disks"][0], "volume": bench.volumes[1].id, "iops": {"read": 9}, "bandwidth": {"read": "1MB"}}
    raw = {**raw, "disks": [data]}
    stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
    found = tuned(disk(bench, stored, "disk-data"))
    assert {name: one for name, one in found.items() if name.endswith(("sec", "max"))} == {
        "read_iops_sec": "9", "read_bytes_sec": "1000000",
    }  # fmt: skip
    # What is taken out goes, but for what was chosen where nobody says it.
    stored = bench.converged("Instance", bench.update("Instance", stored, bare).stored, bare)
    assert tuned(disk(bench, stored, "root")) == {**PLAIN, "discard": "ignore", "serial": None}
    assert tuned(disk(bench, stored, "disk-data")) == {**PLAIN, "discard": "ignore", "serial": LONG[:20]}

    def by_hand(_: Any, root: Any) -> None:
        for one in root.iterfind("devices/disk[@device='disk']"):
            put(one, "driver/@cache", "unsafe")
            put(one, "iotune/total_iops_sec", "7")

    domain_edited(by_hand)(bench, domain_of(bench, stored))
    read = bench.read("Instance", stored)
    assert read is not None
    assert bench.plan("Instance", read, bare) == []
    bare = {**bare, "autostart": True, "disks": [{**bare["disks"][0], "volume": bench.volumes[0].id}]}
    stored = bench.converged("Instance", bench.update("Instance", read, bare).stored, bare)
    for alias in ("root", "disk-data"):
        found = tuned(disk(bench, stored, alias))
        assert (found["cache"], found["total_iops_sec"]) == ("unsafe", "7")


def test_a_running_guest_takes_limits_at_once_and_the_rest_at_its_next_boot(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    raw = running(bench, bench.name("limited"))
    raw["disks"] = [{**raw["disks"][0], "bus": "sata", "cache": "writethrough"}]
    stored = made(raw)
    assert tuned(disk(bench, stored, "root", 0)) == {**PLAIN, "serial": None}
    limits = {"iops": {"read": 100, "readMax": 200}, "bandwidth": {"total": "1MB"}}
    raw = {**raw, "rootDisk": {**raw["rootDisk"], **limits}, "disks": [{**raw["disks"][0], **limits}]}
    assert set(classes(bench, stored, raw).values()) == {Effect.LIVE}
    with counting() as asked:
        stored = bench.update("Instance", stored, raw).stored
    assert asked["virDomainSetBlockIoTune"] == 2, "one call for each disk"
    assert stored.state["pending"] == []
    for alias in ("root", "disk-data"):
        found = tuned(disk(bench, stored, alias, 0))
        assert (found["read_iops_sec_max"], found["total_bytes_sec"]) == ("200", "1000000")
    # Of each in place of both together, and none at all.
    raw["rootDisk"] = {**raw["rootDisk"], "iops": {"total": 5}}
    raw["disks"] = [{name: one for name, one in raw["disks"][0].items() if name not in limits}]
    stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
    assert tuned(disk(bench, stored, "root", 0))["total_iops_sec"] == "5"
    assert disk(bench, stored, "disk-data", 0).find("iotune") is None
    raw["rootDisk"] = {**raw["rootDisk"], "cache": "unsafe", "serial": "R"}
    raw["disks"] = [{**raw["disks"][0], "detectZeroes": "on", "discard": "ignore"}]
    planned = classes(bench, stored, raw)
    assert planned == dict.fromkeys(
        ("rootDisk.cache", "rootDisk.serial", "disks[0].detectZeroes", "disks[0].discard"), Effect.NEXT_BOOT
    )
    stored = bench.update("Instance", stored, raw).stored
    assert sorted(line.partition(":")[0] for line in stored.state["pending"]) == [
        "disks.data.detectZeroes", "disks.data.discard", "rootDisk.cache", "rootDisk.serial",
    ]  # fmt: skip
    stored = bench.converged("Instance", stored, raw)
    domain_of(bench, stored).destroy()
    domain_of(bench, stored).create()
    read = bench.read("Instance", stored)
    assert read is not None
    assert (read.state["pending"], bench.plan("Instance", read, raw)) == ([], [])
    assert tuned(disk(bench, read, "root", 0))["cache"] == "unsafe"


@pytest.fixture
def raw_volume(bench: Bench) -> Iterator[Stored]:
    assert bench.pool is not None
    raw = {"name": bench.name("shared"), "pool": bench.pool.id, "size": "1MiB", "format": "raw"}
    stored = bench.create("Volume", raw["name"], raw).stored
    yield stored
    bench.delete("Volume", stored)


def warned(bench: Bench, raw: Bag) -> list[str]:
    lines = list[str]()
    asked = Asked(lambda: bench.key("Instance", "planned"))
    bench.calls.preview_create("Instance", bench.inputs("Instance", raw), Work(warn=lines.append), asked)
    return [line for line in lines if line.startswith("disks")]


def test_a_volume_is_shared_by_those_that_all_say_so(
    bench: Bench, made: Callable[[Bag], Stored], raw_volume: Stored
) -> None:
    shared = {"name": "data", "volume": raw_volume.id, "bus": "scsi", "shareable": True, "wwn": "5000c50015ea71ac"}
    first = {**running(bench, bench.name("first")), "disks": [shared], "nics": []}
    second = {**first, "name": bench.name("second")}
    qcow2 = {**second, "disks": [{**shared, "volume": bench.volumes[0].id}]}
    sentence = "disks[0].shareable: its format is qcow2, which only one guest at a time may open; several share a raw"
    assert [line.startswith(sentence) for line in warned(bench, qcow2)] == [True]
    with pytest.raises(Rejected) as caught:
        made(qcow2)
    assert str(caught.value).startswith(sentence)
    one = bench.converged("Instance", made(first), first)
    assert disk(bench, one, "disk-data", 0).find("driver").get("cache") == "none"
    import libvirt_qemu

    tree = libvirt_qemu.qemuMonitorCommand(domain_of(bench, one), "info qtree", 1)  # what the guest's hardware is
    assert f"wwn = {0x5000C50015EA71AC}" in tree
    other = {**second, "disks": []}
    two = made(other)
    with pytest.raises(Rejected, match=r'disks\[0\].volume: volume ".*" is attached to ".*-first\d*" already$'):
        bench.update(
            "Instance", two, {**second, "disks": [{**shared, "shareable": False}]}, Work(deadline=time.monotonic() + 1)
        )
    # Plugged into a running guest.
    assert warned(bench, {**second, "name": bench.name("third")}) == []
    two = bench.converged("Instance", bench.update("Instance", two, second).stored, second)
    assert two.state["pending"] == []
    assert disk(bench, two, "disk-data", 0).find("shareable") is not None
    told = bench.calls.invoke("getVolume", {"volume": raw_volume.id}, Work())[0]
    assert told is not None
    assert told["attachedTo"] == sorted([first["name"], second["name"]])
    # All that have it see it grow.
    grown = bench.update("Volume", raw_volume, {**raw_volume.inputs, "size": "2MiB"}).stored
    for stored in (one, two):
        assert domain_of(bench, stored).blockInfo(disk_target(bench, stored))[0] == 2 * 2**20
    # Nobody stops sharing while others have it, and another tool's machine counts.
    alone = {**first, "disks": [{**shared, "shareable": False}]}
    with pytest.raises(
        Rejected, match=r'disks\[0\].shareable: the volume of the disk "data" is attached to ".*-second'
    ):
        bench.update("Instance", one, alone)
    theirs = foreign_domain(bench, {"name": bench.name("theirs")})
    root = parse(theirs.XMLDesc(2))
    put(root, "devices/disk/source/@file", raw_volume.state["path"])
    put(root, "devices/disk/target/@dev", "vda")
    bench.connection.defineXML(text_of(root))
    try:
        third = {**stopped(bench, bench.name("third")), "disks": [shared]}
        said = f'attached to "{theirs.name()}" already, which does not share it'
        assert [said in line for line in warned(bench, third)] == [True]
        with pytest.raises(Rejected, match=said):
            made(third)
        sub(root.find("devices/disk"), "shareable")
        bench.connection.defineXML(text_of(root))
        assert warned(bench, third) == []
    finally:
        theirs.undefine()
    kept = {**grown.inputs, "detachOnDelete": False}
    held = bench.update("Volume", grown, kept).stored
    with pytest.raises(Rejected, match=r"is attached to .*-first\d*, .*-second\d*, and detachOnDelete is false"):
        bench.delete("Volume", held)
    bench.delete("Volume", bench.update("Volume", held, {**kept, "detachOnDelete": True}).stored)
    for stored in (one, two):
        assert [value(one, "target/@bus") for one in parse(domain_of(bench, stored).XMLDesc(0)).iterfind(
            "devices/disk")] == ["virtio", "virtio"]  # fmt: skip


def disk_target(bench: Bench, stored: Stored) -> str:
    return value(disk(bench, stored, "disk-data", 0), "target/@dev") or ""

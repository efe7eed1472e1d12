"""Where disks are: their bus, their serial number, and what libvirt boots of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.drift import domain_edited
from tests.contract.kinds import running, stopped

from jvp.core.errors import Busy, Rejected
from jvp.core.facts import Effect
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, put, value


def disks(bench: Bench, stored: Stored, flags: int = 2) -> dict[str, tuple[str | None, ...]]:
    """Bus, kind and serial number of every disk by its alias, in libvirt's order."""
    root = parse(domain_of(bench, stored).XMLDesc(flags))
    return {
        (value(one, "alias/@name") or "").removeprefix("ua-jvp-"): (
            value(one, "target/@bus"),
            one.get("device"),
            value(one, "serial"),
        )
        for one in root.iterfind("devices/disk")
    }


def classes(bench: Bench, stored: Stored, raw: Bag) -> dict[str, Effect]:
    from jvp.core.errors import dotted

    changes = bench.calls.diff("Instance", stored, bench.inputs("Instance", raw)).changes
    return {dotted(change.path): change.effect for change in changes}


@pytest.mark.parametrize("bus", ["sata", "scsi", "usb"])
def test_everything_is_on_the_bus_of_the_root_disk(bench: Bench, made: Callable[[Bag], Stored], bus: str) -> None:
    raw = stopped(bench, bench.name("bus"))
    raw = {**raw, "rootDisk": {**raw["rootDisk"], "bus": bus}, "iso": bench.volumes[2].id, "disks": [
        {"name": "data", "volume": bench.volumes[0].id},
        {"name": "log", "volume": bench.volumes[1].id, "bus": "virtio", "serial": "LOG-0.1_a+b"},
    ]}  # fmt: skip
    stored = bench.converged("Instance", made(raw), raw)
    assert disks(bench, stored) == {
        "root": (bus, "disk", None), "iso": ("sata", "cdrom", None), "seed": (bus, "cdrom", None),
        "disk-data": (bus, "disk", "data"), "disk-log": ("virtio", "disk", "LOG-0.1_a+b"),
    }  # fmt: skip
    # libvirt boots from the first CD, too: the seed must not be that.
    kinds = [name for name in disks(bench, stored) if name in ("iso", "seed")]
    assert kinds == ["iso", "seed"]
    told = {disk["name"]: (disk["bus"], disk["serial"]) for disk in stored.state["disks"]}
    assert told == {"data": (bus, "data"), "log": ("virtio", "LOG-0.1_a+b")}


def test_the_seed_goes_where_the_root_disk_goes_and_what_is_not_said_stays(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    raw = stopped(bench, bench.name("goes"))
    stored = made(raw)
    raw["rootDisk"] = {**raw["rootDisk"], "bus": "sata"}
    raw["disks"] = [*raw["disks"], {"name": "log", "volume": bench.volumes[1].id, "bus": "sata"}]
    stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
    found = disks(bench, stored)
    assert [name for name, (bus, *_) in found.items() if bus == "sata"] == ["root", "seed", "disk-log"]
    assert found["seed"][1] == "cdrom"
    assert found["disk-data"] == ("virtio", "disk", "data")
    # Another volume, and nothing else.
    raw["disks"] = [{"name": "data", "volume": bench.volumes[1].id, "bus": "scsi", "serial": "other"}]
    stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
    raw["disks"] = [{"name": "data", "volume": bench.volumes[0].id}]
    stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
    assert disks(bench, stored)["disk-data"] == ("scsi", "disk", "other")


def test_a_machine_of_before_keeps_what_it_has_until_it_is_declared(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    raw = stopped(bench, bench.name("old"))
    stored = made(raw)
    domain_edited(lambda _, root: [drop(one, "serial") for one in root.iterfind("devices/disk")])(
        bench, domain_of(bench, stored)
    )
    state = {**stored.state, "disks": [{"name": "data", "volume": bench.volumes[0].id, "readOnly": False}]}
    stored = Stored(stored.id, stored.inputs, state, stored.private)
    assert bench.plan("Instance", stored, raw) == []
    read = bench.read("Instance", stored)
    assert read is not None
    assert bench.plan("Instance", read, raw) == []
    raw = {**raw, "autostart": True}
    stored = bench.converged("Instance", bench.update("Instance", read, raw).stored, raw)
    assert disks(bench, stored)["disk-data"] == ("virtio", "disk", None)
    raw["disks"] = [{**raw["disks"][0], "serial": "now"}]
    stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
    assert disks(bench, stored)["disk-data"] == ("virtio", "disk", "now")


def test_a_running_guest_takes_scsi_at_once_and_sata_at_its_next_boot(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    """This guest has no system, so it gives back no virtio disk; a disk on scsi needs no system for that."""
    raw = {**running(bench, bench.name("live")), "disks": []}
    stored = made(raw)
    one = {"name": "data", "volume": bench.volumes[0].id, "bus": "scsi"}
    assert classes(bench, stored, {**raw, "disks": [one]}) == {"disks[0]": Effect.LIVE}
    stored = bench.update("Instance", stored, {**raw, "disks": [one]}).stored
    assert stored.state["pending"] == []
    assert disks(bench, stored, 0)["disk-data"] == ("scsi", "disk", "data")
    one["bus"] = "sata"
    assert classes(bench, stored, {**raw, "disks": [one]}) == {"disks[0].bus": Effect.NEXT_BOOT}
    stored = bench.update("Instance", stored, {**raw, "disks": [one]}).stored
    (pending,) = stored.state["pending"]
    assert pending.startswith("disks.data: a running guest takes and gives back no sata disk")
    assert disks(bench, stored, 0)["disk-data"][0] == "scsi"
    stored = bench.converged("Instance", stored, {**raw, "disks": [one]})
    domain_of(bench, stored).destroy()
    domain_of(bench, stored).create()
    read = bench.converged("Instance", Stored(stored.id, stored.inputs, {
        **stored.state, "pending": [], "pendingRestart": False}, stored.private), {**raw, "disks": [one]})  # fmt: skip
    assert disks(bench, read, 0)["disk-data"][0] == "sata"
    assert classes(bench, read, raw) == {"disks[0]": Effect.NEXT_BOOT}
    with pytest.raises(Busy, match="gives back no disk on sata"):
        bench.delete("Volume", bench.volumes[0])
    one["bus"] = "scsi"
    bench.update("Instance", read, {**raw, "disks": [one]})


def test_a_bus_that_the_machine_has_not_is_refused_before_anything_is_made(
    bench: Bench, made: Callable[[Bag], Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    from jvp.libvirt.domain.domains import DomainApi

    raw = stopped(bench, bench.name("none"))
    raw["disks"] = [{**raw["disks"][0], "bus": "scsi"}]
    known = DomainApi.capabilities

    def without(*arguments: Any) -> Any:
        offer = known(*arguments)
        assert offer is not None
        buses = offer.find("devices/disk/enum[@name='bus']")
        for one in buses.findall("value"):
            if one.text == "scsi":
                buses.remove(one)
        return offer

    monkeypatch.setattr(DomainApi, "capabilities", without)
    with pytest.raises(Rejected, match=r'disks\[0\].bus: a machine of the type .* has no bus "scsi"; it has '):
        bench.create("Instance", raw["name"], raw)
    assert raw["name"] not in [one.name() for one in bench.connection.listAllDomains(0)]


def test_what_an_import_finds_is_what_is_declared(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = stopped(bench, bench.name("came"))
    stored = made(raw)

    def edit(_: Any, root: Any) -> None:
        for one in root.iterfind("devices/disk"):
            if value(one, "alias/@name") == "ua-jvp-disk-data":
                drop(one, "address")
                put(one, "target/@bus", "sata")
                put(one, "target/@dev", "sda")
                put(one, "serial", "a serial number that is too long for most")

    domain_edited(edit)(bench, domain_of(bench, stored))
    found = bench.calls.import_("Instance", raw["name"], Work())
    assert found is not None
    (disk,) = found.inputs["disks"]
    assert (disk["bus"], disk.get("serial")) == ("sata", None)
    assert bench.plan("Instance", found, found.inputs) == []
    assert bench.plan("Instance", found, {**found.inputs, "disks": [{**disk, "bus": "virtio"}]}) == ["disks[0].bus"]

"""The root disk's format and bus, booted from by a machine whose whole system is one sector."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import Guest
from tests.lab.test_instance_iso import boot_sector

from jvp.core.errors import Cancelled
from jvp.core.stored import Stored
from jvp.libvirt.link.xml import parse, value
from jvp.resources.instance import making, rootplan
from jvp.resources.instance.definition import root_disk

MIB = 2**20


@pytest.fixture(params=["raw", "qcow2"])
def template(request: pytest.FixtureRequest, lab: Bench, tmp_path: Path, leftovers: None) -> Iterator[Stored]:
    """An image of 1 MiB that boots."""
    assert lab.pool is not None
    path = tmp_path / "disk.raw"
    path.write_bytes(boot_sector("disk: booted").ljust(MIB, b"\0"))
    if request.param == "qcow2":
        path = tmp_path / "disk.qcow2"
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", tmp_path / "disk.raw", path], check=True)
    made = lab.create("Template", "root", {
        "name": lab.name("root"), "pool": lab.pool.id, "source": {"path": str(path)}}).stored  # fmt: skip
    yield made
    lab.delete("Template", made)


def facts(lab: Bench, guest: Guest) -> dict[str, Any]:
    """The root disk's file as libvirt sees it."""
    root = parse(lab.connection.storageVolLookupByPath(guest.state["rootDiskPath"]).XMLDesc(0))
    found = {"format": value(root, "target/format/@type"), "base": value(root, "backingStore/path")}
    return found | {"size": int(value(root, "capacity") or 0), "taken": int(value(root, "allocation") or 0)}


def bus(guest: Guest) -> tuple[str | None, str | None]:
    """As the guest has it, and as it will."""
    disks = (root_disk(parse(guest.domain.XMLDesc(flags))) for flags in (0, 2))
    running, defined = (value(disk, "target/@bus") if disk is not None else None for disk in disks)
    return running, defined


def test_a_raw_root_disk_is_a_copy_that_boots_from_any_bus(lab: Bench, template: Stored) -> None:
    assert lab.pool is not None
    root = {"pool": lab.pool.id, "size": "8MiB", "format": "raw", "bus": "sata"}
    guest = Guest(lab, "root", {
        "name": lab.name("root"), "memory": "32MiB", "template": template.id, "rootDisk": root, "shutdownTimeout": "0s",
    })  # fmt: skip
    try:
        guest.create()
        guest.console.wait("disk: booted")
        made = guest.settled().state["rootDisk"]
        assert (made["format"], made["bus"]) == ("raw", "sata")
        found = facts(lab, guest)
        assert (found["format"], found["base"], found["size"]) == ("raw", None, 8 * MIB)
        assert found["taken"] <= MIB
        assert guest.plan(rootDisk={**root, "format": "qcow2"}) == {"rootDisk.format": "replace"}
        for old, new in (("sata", "scsi"), ("scsi", "virtio")):
            assert guest.plan(rootDisk={**root, "bus": new}) == {"rootDisk.bus": "next boot"}
            root["bus"] = new
            guest.update(rootDisk=root)
            assert [one.partition(":")[0] for one in guest.state["pending"]] == ["rootDisk.bus"]
            assert bus(guest) == (old, new)
            # It can grow where it still is.
            root["size"] = {"scsi": "16MiB", "virtio": "24MiB"}[new]
            guest.update(rootDisk=root)
            assert facts(lab, guest)["size"] == guest.state["rootDiskBytes"]
            guest.domain.destroy()
            at = len(guest.console)
            guest.domain.create()
            guest.console.wait("disk: booted", since=at)
            assert bus(guest) == (new, new)
            assert guest.state["pending"] == []
            assert guest.plan() == {}
        # What the program stops saying stays.
        assert guest.plan(rootDisk={"pool": lab.pool.id}) == {}
    finally:
        guest.close()


def test_a_copy_that_was_cut_off_is_made_anew(lab: Bench, template: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.pool is not None
    name = lab.name("cut")
    raw = {"name": name, "memory": "32MiB", "powerState": "stopped", "template": template.id,
           "rootDisk": {"pool": lab.pool.id, "format": "raw"}}  # fmt: skip
    made = rootplan.copied

    def cut(*arguments: Any) -> Any:
        path = Path(made(*arguments).path())
        path.write_bytes(bytes(path.stat().st_size))
        raise Cancelled("killed")

    with monkeypatch.context() as killed:
        killed.setattr(rootplan, "copied", cut)
        killed.setattr(making, "_remove_quietly", lambda *_, **__: None)
        with pytest.raises(Cancelled):
            lab.create("Instance", name, raw)
    stored = lab.create("Instance", name, raw).stored
    try:
        assert Path(stored.state["rootDiskPath"]).read_bytes()[:512] == boot_sector("disk: booted")
    finally:
        lab.delete("Instance", stored)


def test_an_empty_raw_root_disk_takes_no_room(lab: Bench, leftovers: None) -> None:
    assert lab.pool is not None
    guest = Guest(lab, "empty", {
        "name": lab.name("empty"), "memory": "32MiB", "powerState": "stopped",
        "rootDisk": {"pool": lab.pool.id, "size": "1GiB", "format": "raw"},
    })  # fmt: skip
    try:
        guest.create()
        found = facts(lab, guest)
        assert (found["format"], found["size"]) == ("raw", 1024 * MIB)
        assert found["taken"] < MIB
        guest.update(rootDisk={"pool": lab.pool.id, "size": "2GiB", "format": "raw"})
        assert facts(lab, guest)["size"] == 2048 * MIB
    finally:
        guest.close()


def test_a_raw_root_disk_that_the_guest_made_look_like_another_is_still_raw(lab: Bench, leftovers: None) -> None:
    """Its own bytes say nothing: neither that it is smaller, nor that another file lies under it."""
    assert lab.pool is not None
    guest = Guest(lab, "lying", {
        "name": lab.name("lying"), "memory": "32MiB", "powerState": "stopped",
        "rootDisk": {"pool": lab.pool.id, "size": "4MiB", "format": "raw"},
    })  # fmt: skip
    try:
        guest.create()
        path = Path(guest.state["rootDiskPath"])
        image = path.parent.parent / "small.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        with path.open("r+b") as disk:
            disk.write(image.read_bytes()[:65536])
        image.unlink()
        lab.connection.storagePoolLookupByUUIDString(lab.pool.id).refresh(0)
        assert facts(lab, guest)["format"] == "qcow2"
        state = guest.settled().state
        assert (state["rootDisk"]["format"], state["rootDiskBytes"]) == ("raw", 4 * MIB)
    finally:
        guest.close()

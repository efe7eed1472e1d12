"""A CD image in the guest's drive: booted when the disk has nothing to boot, changed and taken out while it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import Guest

from jvp.core.errors import Invalid, NotFound
from jvp.core.stored import Stored
from jvp.libvirt.link.xml import parse, text_of, value
from jvp.resources.instance.definition import iso_drive, iso_of


def boot_sector(text: str) -> bytes:
    """Code that says a line on the serial port four times a second, wherever it is loaded."""
    code = bytes.fromhex("e800005e 89f7 89fe 83c61f 2eac 84c0 7406 baf803 ee ebf4 b486 b90400 31d2 cd15 ebe4")
    return (code + text.encode() + b"\r\n\0").ljust(510, b"\0") + b"\x55\xaa"


def image(folder: Path, name: str) -> Path:
    """A bootable CD. Source: El Torito 1.0, no emulation."""
    root = folder / f"{name}-root"
    root.mkdir()
    (root / "boot.img").write_bytes(boot_sector(f"{name}: booted").ljust(2048, b"\0"))
    path = folder / f"{name}.iso"
    subprocess.run(
        ["genisoimage", "-quiet", "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "4", "-o", path, root],
        check=True,
    )
    return path


@pytest.fixture(scope="module")
def templates(lab: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stored]]:
    """Two CDs, and a disk that boots."""
    assert lab.pool is not None
    folder = tmp_path_factory.mktemp("iso")
    disk = folder / "disk.raw"
    disk.write_bytes(boot_sector("disk: booted").ljust(2**20, b"\0"))
    made: dict[str, Stored] = {}
    for name, path in (("first", image(folder, "first")), ("second", image(folder, "second")), ("disk", disk)):
        raw = {"name": lab.name(name), "pool": lab.pool.id, "source": {"path": str(path)}}
        made[name] = lab.create("Template", name, raw).stored
        lab.read("Template", made[name])
    yield made
    for stored in made.values():
        lab.delete("Template", stored)


def test_a_cd_boots_on_an_empty_disk_and_is_changed_live(lab: Bench, templates: dict[str, Stored]) -> None:
    assert lab.pool is not None
    guest = Guest(lab, "iso", {
        "name": lab.name("iso"), "memory": "32MiB", "rootDisk": {"pool": lab.pool.id, "size": "1MiB"},
        "iso": templates["first"].id, "shutdownTimeout": "0s",
    })  # fmt: skip
    try:
        guest.create()
        guest.console.wait("first: booted")
        guest.settled()
        life = guest.domain.ID()
        # Another spelling of the same CD is no change, another CD is one that the guest has at once.
        assert guest.plan(iso=templates["first"].state["name"]) == {}
        assert guest.plan(iso=templates["second"].id) == {"iso": "live"}
        guest.update(iso=templates["second"].id)
        live = iso_of(parse(guest.domain.XMLDesc(0)))
        assert live is not None
        assert templates["second"].state["name"] in live
        assert live == iso_of(parse(guest.domain.XMLDesc(2)))
        assert guest.plan(iso=None) == {"iso": "live"}
        guest.update(iso=None)
        assert guest.state["pending"] == []
        drive = iso_drive(parse(guest.domain.XMLDesc(0)))
        assert drive is not None
        assert value(drive, "source/@file") is None, text_of(drive)
        assert iso_drive(parse(guest.domain.XMLDesc(2))) is None
        assert guest.domain.ID() == life
    finally:
        guest.close()


def test_a_disk_that_boots_goes_first_and_a_drive_comes_with_the_next_boot(
    lab: Bench, templates: dict[str, Stored]
) -> None:
    guest = Guest(lab, "disk", {
        "name": lab.name("disk"), "memory": "32MiB", "template": templates["disk"].id, "shutdownTimeout": "0s",
    })  # fmt: skip
    try:
        guest.create()
        guest.console.wait("disk: booted")
        at = len(guest.console)
        assert guest.plan(iso=templates["first"].id) == {"iso": "next boot"}
        guest.update(iso=templates["first"].id)
        assert [one.partition(":")[0] for one in guest.state["pending"]] == ["iso"]
        guest.domain.destroy()
        guest.domain.create()
        guest.console.wait("disk: booted", since=at)
        assert guest.state["pending"] == []
        guest.stored = guest.read()
        guest.settled()
    finally:
        guest.close()


def test_a_volume_in_the_drive_is_taken_out_by_its_delete(lab: Bench, leftovers: None) -> None:
    assert lab.pool is not None
    volume = lab.create(
        "Volume", "cd", {"name": lab.name("cd"), "pool": lab.pool.id, "size": "1MiB", "format": "raw"}
    ).stored
    guest = Guest(lab, "eject", {
        "name": lab.name("eject"), "memory": "32MiB", "iso": volume.id, "shutdownTimeout": "0s",
    })  # fmt: skip
    try:
        guest.create()
        guest.settled()
        lab.delete("Volume", volume)
        assert guest.state.get("iso") is None
        assert guest.domain.isActive()
    finally:
        guest.close()


@pytest.mark.parametrize("power_state", ["running", "stopped"])
def test_a_template_in_the_drive_is_taken_out_by_its_delete(
    lab: Bench, leftovers: None, tmp_path: Path, power_state: str
) -> None:
    """An engine deletes before it updates; where the template is made anew, the CD comes back with the update."""
    assert lab.pool is not None
    raw: dict[str, Any] = {"name": lab.name("cd"), "pool": lab.pool.id, "source": {"path": str(image(tmp_path, "cd"))}}
    template = lab.create("Template", "cd", raw).stored
    declared = {
        "name": lab.name("eject"), "memory": "32MiB", "iso": template.id, "shutdownTimeout": "0s",
        "powerState": power_state,
    }  # fmt: skip
    stored = lab.create("Instance", "eject", declared).stored
    try:
        stored = lab.converged("Instance", stored, declared)
        lab.delete("Template", template)
        template = lab.create("Template", "cd", raw).stored
        assert lab.plan("Instance", stored, declared) == ["iso"]
        stored = lab.converged("Instance", lab.update("Instance", stored, declared).stored, declared)
        domain = lab.connection.lookupByUUIDString(stored.id)
        assert iso_of(parse(domain.XMLDesc(0))) == iso_of(parse(domain.XMLDesc(2))) == template.state["path"]
        assert not stored.state["pending"]
        lab.delete("Template", template)
        read = lab.read("Instance", stored)
        assert read is not None
        assert read.state.get("iso") is None
        assert domain.isActive() == (power_state == "running")
    finally:
        lab.delete("Instance", stored)


def test_a_new_image_of_a_template_changes_no_machine(lab: Bench, leftovers: None, tmp_path: Path) -> None:
    assert lab.pool is not None
    raw: dict[str, Any] = {"name": lab.name("cd"), "pool": lab.pool.id, "source": {"path": str(image(tmp_path, "old"))}}
    template = lab.create("Template", "cd", raw).stored
    declared = {"name": lab.name("kept"), "memory": "32MiB", "iso": template.id, "powerState": "stopped"}
    stored = lab.create("Instance", "kept", declared).stored
    try:
        before = iso_of(parse(lab.connection.lookupByUUIDString(stored.id).XMLDesc(2)))
        assert before is not None
        raw["source"] = {"path": str(image(tmp_path, "new"))}
        template = lab.update("Template", lab.read("Template", template) or template, raw).stored
        stored = lab.converged("Instance", stored, declared)
        declared["autostart"] = True
        stored = lab.converged("Instance", lab.update("Instance", stored, declared).stored, declared)
        assert iso_of(parse(lab.connection.lookupByUUIDString(stored.id).XMLDesc(2))) == before
        assert Path(before).exists()
    finally:
        lab.delete("Instance", stored)
        # The old image goes with its last user.
        assert not Path(before or "/").exists()
        lab.delete("Template", template)


def test_what_is_no_cd_is_refused(lab: Bench, leftovers: None) -> None:
    assert lab.pool is not None
    volume = lab.create("Volume", "q", {"name": lab.name("q"), "pool": lab.pool.id, "size": "1MiB"}).stored
    try:
        with pytest.raises(Invalid, match="has the format qcow2; a CD image is raw") as caught:
            lab.create("Instance", "q", {"name": lab.name("q"), "iso": volume.id})
        assert caught.value.path == ("iso",)
    finally:
        lab.delete("Volume", volume)
    for reference in ("no-such", f"{lab.pool.state['name']}/no-such"):
        with pytest.raises(NotFound, match="there are: ") as missing:
            lab.create("Instance", "q", {"name": lab.name("q"), "iso": reference})
        assert missing.value.path == ("iso",)

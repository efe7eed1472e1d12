"""A guest whose root disk lies on a device that its pool mounts."""

from __future__ import annotations

from pathlib import Path

from tests.contract.conftest import Bench
from tests.lab.conftest import Guest
from tests.lab.test_instance_iso import boot_sector
from tests.loop_device import MIB, loop_device


def test_a_guest_boots_from_a_mounted_pool(lab: Bench, tmp_path: Path, leftovers: None) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(boot_sector("disk: booted").ljust(MIB, b"\0"))
    name = lab.name("mounted")
    with loop_device(tmp_path / "device") as device:
        pool = lab.create("StoragePool", "mounted", {
            "name": name, "path": f"{lab.folder}/{name}", "type": "fs",
            "source": {"device": device, "format": "ext4"}}).stored  # fmt: skip
        source = {"path": str(image)}
        template = lab.create("Template", "mounted", {"name": "t", "pool": pool.id, "source": source}).stored
        guest = Guest(lab, "mounted", {
            "name": lab.name("on"), "memory": "32MiB", "template": template.id, "rootDisk": {"size": "8MiB"},
            "cloudInit": {"hostname": "on"}, "shutdownTimeout": "0s",
        })  # fmt: skip
        try:
            guest.create()
            guest.console.wait("disk: booted")
            assert guest.state["rootDiskPath"].startswith(f"{lab.folder}/{name}/")
            assert guest.plan() == {}
        finally:
            guest.close()
        lab.delete("Template", template)
        lab.delete("StoragePool", pool)
        assert not (lab.folder / name).exists()

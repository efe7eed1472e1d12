"""Storage in one program: volumes from an image and from each other, what the functions tell, and a pool's data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from engine_stack import Stack

MIB = 1024**2
PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER, delete_data=True)
image = jvp.Template("image", name=P + "image", pool=pool.id, source=source, os=os)
first = jvp.Volume("first", name=P + "first", pool=pool.id, image_path=source["path"], format="raw")
clone = jvp.Volume("clone", name=P + "clone", pool=pool.id, volume=first.id, format="raw", size="9MiB")
over = jvp.Volume("over", name=P + "over", pool=pool.id, template=image.id)
vm = jvp.Instance(
    "vm", name=P + "vm", memory="32MiB", virt_type="qemu", power_state="stopped",
    root_disk={"pool": pool.id, "size": "1MiB"}, disks=[{"name": "data", "volume": clone.id}],
)
told = vm.id.apply(lambda _: jvp.get_volume_output(volume=clone.id))
pulumi.export("users", told.attached_to)
pulumi.export("standing", over.id.apply(lambda _: jvp.get_template_output(template=image.id)).users)
pulumi.export("volumes", vm.id.apply(lambda _: jvp.get_storage_pool_output(storage_pool=pool.id)).volumes)
"""


def test_every_source_of_a_volume_and_what_is_told_of_it(stack: Stack, tmp_path: Path, daemon: Any) -> None:
    file = tmp_path / "image.raw"
    file.write_bytes((bytes(510) + b"\x55\xaa").ljust(8 * MIB, b"\0"))
    sums = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    stack.write(PROGRAM, source={"path": str(file), "checksum": sums}, os="debian-12")
    stack.up()
    stack.settle()
    prefix, outputs = stack.names["P"], stack.outputs()
    assert outputs["users"] == [prefix + "vm"]
    assert outputs["standing"] == [f"{prefix}pool/{prefix}over"]
    assert {prefix + name for name in ("first", "clone", "over")} < set(outputs["volumes"])
    state = {name: one["outputs"] for name, one in stack.state().items()}
    assert [state[name]["sizeBytes"] for name in ("first", "clone", "over")] == [8 * MIB, 9 * MIB, 8 * MIB]
    assert state["clone"]["volumeId"] == stack.state()["first"]["id"]

    # A label changes in place; what others write beside us is no change; the image of a volume is not looked at again.
    (Path(stack.names["FOLDER"]) / "by-hand.img").write_bytes(bytes(2 * MIB))
    stack.write(PROGRAM, source={"path": str(file), "checksum": sums}, os="debian-12.1")
    assert stack.preview().ops == {"image": ["update"]}
    stack.up()
    stack.settle()
    stack.destroy()
    assert [path.name for path in Path(stack.names["FOLDER"]).iterdir()] == ["by-hand.img"]


def test_a_pool_that_somebody_undefined_is_made_again_and_what_is_in_it_stays(
    stack: Stack, tmp_path: Path, daemon: Any
) -> None:
    file = tmp_path / "image.raw"
    file.write_bytes((bytes(510) + b"\x55\xaa").ljust(MIB, b"\0"))
    sums = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    stack.write(PROGRAM.replace("9MiB", "2MiB"), source={"path": str(file), "checksum": sums}, os="debian-12")
    stack.up()
    before = {name: one["id"] for name, one in stack.state().items()}
    files = {path.name: path.stat().st_ino for path in Path(stack.names["FOLDER"]).iterdir()}

    pool = daemon.storagePoolLookupByUUIDString(before["pool"])
    pool.destroy()
    pool.undefine()
    preview = stack.preview()
    assert "is taken to be as it was" in preview.text
    assert preview.ops["pool"] == ["create"]
    stack.up()
    assert {name: one["id"] for name, one in stack.state().items()} == before
    after = {path.name: path.stat().st_ino for path in Path(stack.names["FOLDER"]).iterdir()}
    assert {name for name in files if after.get(name) != files[name] and not name.startswith(".")} == set()
    stack.settle()
    stack.destroy()

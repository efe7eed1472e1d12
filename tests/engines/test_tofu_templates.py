"""An image file that changes between a plan and its apply, or that the configuration says to leave as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tofu_stack import PLAN, Tofu, drawn

MODULE = """
provider "jvp" {
  uri       = "qemu:///system"
  virt_type = "qemu"
}

resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_template" "image" {
  name   = "${local.P}-image"
  pool   = jvp_storage_pool.pool.id
  source = { path = local.image }
  os     = local.os
  IGNORED
}

resource "jvp_volume" "disk" {
  name     = "${local.P}-disk"
  pool     = jvp_storage_pool.pool.id
  template = jvp_template.image.id
}
"""


def disk(byte: int) -> bytes:
    """A disk with a boot sector, and what differs behind it."""
    return bytes(510) + b"\x55\xaa" + bytes([byte]) * 65024


@pytest.mark.parametrize("program", drawn("image file"))
def test_an_image_file_that_changes(make_module: Callable[..., Tofu], tmp_path: Path, program: str) -> None:
    tofu, image = make_module(program=program), tmp_path / "image"

    def write(ignored: str = "", os: str = "one") -> None:
        tofu.write(MODULE.replace("IGNORED", ignored), image=str(image), os=os)

    def digest() -> str:
        return str(tofu.state()["jvp_template.image"]["digest"])

    write()
    image.write_bytes(disk(1))
    tofu.plan()
    image.write_bytes(disk(2))
    tofu.apply(PLAN)
    first = digest()
    tofu.settle()

    image.write_bytes(disk(3))
    tofu.plan()
    assert tofu.changes() == {"jvp_template.image": ["update"]}
    image.write_bytes(disk(4))
    tofu.apply(PLAN)
    second = digest()
    assert second != first
    tofu.settle()

    image.write_bytes(disk(5))
    write("lifecycle { ignore_changes = [source] }")
    tofu.settle()
    write("lifecycle { ignore_changes = [source] }", os="two")
    tofu.apply()
    assert (digest(), tofu.state()["jvp_template.image"]["os"]) == (second, "two")
    tofu.settle()

    # One sentence, and not a broken promise: what the plan had seen is there no more.
    write(os="two")
    tofu.plan("-replace=jvp_template.image")
    image.unlink()
    said = tofu.apply(PLAN, ok=False).errors
    assert str(image) in said
    tofu.assert_no_complaints(drift=True)
    image.write_bytes(disk(6))
    tofu.apply()
    tofu.settle()
    tofu.destroy()
    tofu.assert_no_complaints(drift=True)

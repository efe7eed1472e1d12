"""Block devices of a test's own: a file as a loop device, which is let go of whatever the test did."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MIB = 2**20


@contextlib.contextmanager
def loop_device(image: Path, *, size: int = 64 * MIB) -> Iterator[str]:
    """The path of a blank device of this size. At the end it is mounted nowhere, and gone with its file."""
    for tool in ("losetup", "mkfs.ext4"):
        if shutil.which(tool) is None:
            pytest.skip(f"no loop devices with a file system here: {tool} is missing")
    with image.open("wb") as file:
        file.truncate(size)
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if made.returncode:
        image.unlink()
        pytest.skip(f"no loop devices here: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        yield device
    finally:
        while device in Path("/proc/self/mounts").read_text().split():
            subprocess.run(["umount", "--lazy", device], check=True)
        subprocess.run(["losetup", "--detach", device], check=True)
        image.unlink()


def formatted(device: str, type: str = "ext4") -> None:
    subprocess.run([f"mkfs.{type}", "-q", device], check=True)

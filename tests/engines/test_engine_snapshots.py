"""A snapshot before an upgrade, and back when that failed, as one program under the real CLI."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from engine_stack import Stack

from jvp.libvirt.link.xml import parse, value

PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
data = jvp.Volume("data", name=P + "data", pool=pool.id, size="1MiB", format="raw")
vm = jvp.Instance(
    "vm", name=P + "vm", memory="32MiB", virt_type="qemu", root_disk={"pool": pool.id, "size": "1MiB"},
    disks=[{"name": "data", "volume": data.id}], power_state="stopped",
)
before = jvp.Snapshot("before", name="before-upgrade", instance=vm.id)
if tried:
    jvp.Rollback("back", snapshot=before.id, triggers={"tried": tried})
"""


def disks(domain: Any) -> list[tuple[str, str]]:
    found = [one for one in parse(domain.XMLDesc(2)).iterfind("devices/disk") if one.get("device") == "disk"]
    return [(str(value(one, "driver/@type")), str(value(one, "source/@file"))) for one in found]


def done(domain: Any, what: str) -> bool:
    """Have qemu-io do this with both disks, as the guest would; whether it did."""
    words = [["qemu-io", "-f", format, "-c", what, path] for format, path in disks(domain)]
    said = [subprocess.run(one, capture_output=True, text=True, check=False).stdout for one in words]
    return not any("verification failed" in text for text in said)


def test_back_to_a_snapshot_when_an_upgrade_failed(stack: Stack, domain: Callable[[str], Any]) -> None:
    stack.write(PROGRAM, tried="")
    stack.up()
    stack.settle()
    made = disks(domain("vm"))
    assert all("-layer" in path for _, path in made)
    for tried in ("1", "2"):
        assert done(domain("vm"), "write -P 7 0 64k")
        stack.write(PROGRAM, tried=tried)
        told = stack.preview()
        assert "drops what was written to its disks since" in told.text
        assert done(domain("vm"), "read -P 7 0 64k")
        assert stack.up().ops == {"back": ["create" if tried == "1" else "update"]}
        assert done(domain("vm"), "read -P 0 0 64k")
        stack.settle()
    stack.destroy()

"""Snapshots of guests that boot: one writes before and after, and reads back what it wrote after the rollback."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import libvirt
import libvirt_qemu
import pytest
from tests import extent
from tests.contract.conftest import Bench
from tests.lab.conftest import BOOT_S, Guest
from tests.loop_device import MIB, loop_device

from jvp.core.stored import Stored
from jvp.core.work import Work


class Cell(NamedTuple):
    """One kind of guest, and of snapshot."""

    firmware: str
    format: str
    power: str
    """What the guest does when the snapshot is taken."""
    keeps: str
    pool: str


CELLS = [
    Cell(*one)
    for one in itertools.product(
        ("bios", "uefi"), ("qcow2", "raw"), ("running", "stopped"), ("memory", "disks"), ("dir", "fs")
    )
    if one[2:4] != ("stopped", "memory")  # which is refused: a guest that is off has none
]
CHEAP = [Cell("bios", "qcow2", "running", "memory", "dir"), Cell("bios", "raw", "running", "memory", "fs")]
ROOT = 64 * MIB


@pytest.fixture
def mounted(lab: Bench, tmp_path: Path) -> Iterator[str]:
    """A pool of a file system."""
    name = lab.name("mounted")
    with loop_device(tmp_path / "device", size=512 * MIB) as device:
        pool = lab.create("StoragePool", "mounted", {
            "name": name, "path": f"{lab.folder}/{name}", "type": "fs",
            "source": {"device": device, "format": "ext4"}}).stored  # fmt: skip
        yield pool.id
        lab.delete("StoragePool", pool)


@pytest.fixture(scope="module")
def uefi(lab: Bench, kernel: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro guest's disk, with what UEFI's own shell boots it by."""
    folder = tmp_path_factory.mktemp("uefi")
    image, script = folder / "micro.raw", folder / "startup.nsh"
    script.write_bytes(f"fs0:\\vmlinuz initrd=\\initrd {kernel['cmdline']}\r\n".encode())
    micro = Path(kernel["kernel"]).with_name("micro.qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "raw", micro, image], check=True)
    subprocess.run(["mcopy", "-i", image, script, "::"], check=True)
    return image


@pytest.fixture
def guest(
    lab: Bench, kernel: dict[str, str], request: pytest.FixtureRequest, leftovers: None
) -> Iterator[tuple[Guest, Cell]]:
    cell: Cell = request.param
    assert lab.pool is not None
    pool = lab.pool.id if cell.pool == "dir" else request.getfixturevalue("mounted")
    made: list[tuple[str, Stored]] = []
    boots: dict[str, Any] = {"directKernel": kernel}
    if cell.firmware == "uefi":
        source = {"path": str(request.getfixturevalue("uefi"))}
        raw = {"name": lab.name("micro"), "pool": pool, "source": source}
        made.append(("Template", lab.create("Template", raw["name"], raw).stored))
        boots = {"template": made[0][1].id, "firmware": "uefi"}
    raw = {"name": lab.name("data"), "pool": pool, "size": "8MiB", "format": cell.format}
    made.append(("Volume", lab.create("Volume", raw["name"], raw).stored))
    found = Guest(lab, "-".join(cell), {
        **boots, "name": lab.name("held"), "memory": "160MiB", "shutdownTimeout": f"{BOOT_S}s",
        "rootDisk": {"pool": pool, "size": f"{ROOT // MIB}MiB", "format": cell.format},
        "disks": [{"name": "data", "volume": made[-1][1].id}], "waitFor": "agent", "waitTimeout": f"{BOOT_S}s",
    })  # fmt: skip
    try:
        found.create()
        yield found, cell
    finally:
        found.close()
        for token, stored in reversed(made):
            lab.delete(token, stored)


def asked(guest: Guest, command: str, **arguments: Any) -> Any:
    text = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
    return json.loads(libvirt_qemu.qemuAgentCommand(guest.domain, text, 10, 0))["return"]


def run(guest: Guest, script: str) -> str:
    """What a script says that the agent runs in the guest, as soon as that is up."""
    end, restarted = time.monotonic() + BOOT_S, False
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            asked(guest, "guest-ping")
            break
        if time.monotonic() > end:
            assert not restarted, f"the guest hung twice; it said {guest.console.lines[-8:]}"
            guest.domain.destroy()  # about one boot in 30 hangs, unexplained
            guest.domain.create()
            end, restarted = time.monotonic() + BOOT_S, True
        time.sleep(0.2)
    arguments = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": True}
    pid = asked(guest, "guest-exec", **arguments)["pid"]
    while not (done := asked(guest, "guest-exec-status", pid=pid))["exited"]:
        time.sleep(0.05)
    return base64.b64decode(done.get("out-data", "")).decode()


def write(guest: Guest, word: str) -> None:
    """Into both disks, and into memory."""
    places = f"vda:{ROOT // MIB - 1} vdb:1"
    put = f"echo {word} | dd of=/dev/${{at%:*}} bs=1048576 seek=${{at#*:}} conv=notrunc"
    run(guest, f"for at in {places}; do {put}; done; sync; echo {word} >/run/word")


def words(guest: Guest) -> list[str]:
    """What is in both, read from the disks themselves, and in memory."""
    script = (
        f"echo 3 >/proc/sys/vm/drop_caches; for at in vda:{ROOT // MIB - 1} vdb:1; do "
        "dd if=/dev/${at%:*} bs=1048576 skip=${at#*:} count=1 | head -n 1; done; cat /run/word || echo none"
    )
    return run(guest, script).split()


@pytest.mark.parametrize("guest", CELLS if extent.everything() else CHEAP, ids="-".join, indirect=True)
def test_back_to_what_was_written_before(lab: Bench, guest: tuple[Guest, Cell]) -> None:
    machine, cell = guest
    assert machine.stored is not None
    write(machine, "before")
    if cell.power == "stopped":
        lab.calls.act("stopInstance", machine.stored.id, {"force": True}, Work())
    kept = cell.keeps == "memory"
    snapshot = lab.create("Snapshot", "s", {"name": "s", "instance": machine.stored.id, "memory": kept}).stored
    if cell.power == "stopped":
        lab.calls.act("startInstance", machine.stored.id, {}, Work())
    write(machine, "after")
    assert words(machine) == ["after"] * 3
    told = lab.calls.act("rollbackSnapshot", snapshot.id, {}, Work())
    assert told == {"state": "running"}
    assert words(machine) == ["before", "before", "before" if kept else "none"]
    assert machine.plan() == {}
    write(machine, "again")
    lab.delete("Snapshot", snapshot)
    assert words(machine) == ["again"] * 3

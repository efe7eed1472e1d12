"""What options of a disk do for guests: it is found by its serial number, shared, and free where it is trimmed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import BOOT_S, Guest

from jvp.core.stored import Stored

MIB = 2**20
SERIAL = "SHARED-0123456789abc"
"""As long as virtio shows it."""


@pytest.fixture(scope="module")
def shared(lab: Bench) -> Iterator[Stored]:
    assert lab.pool is not None
    raw = {"name": lab.name("shared"), "pool": lab.pool.id, "size": "8MiB", "format": "raw"}
    made = lab.create("Volume", "shared", raw).stored
    yield made
    lab.delete("Volume", made)


@pytest.fixture(scope="module")
def guests(lab: Bench, kernel: dict[str, str], shared: Stored) -> Iterator[list[Guest]]:
    disk = {"name": "data", "volume": shared.id, "serial": SERIAL, "shareable": True, "discard": "unmap"}
    found = [
        Guest(lab, label, {
            "name": lab.name(label), "directKernel": kernel, "memory": "128MiB", "shutdownTimeout": "0s", "nics": [],
            "disks": [{**disk, "cache": "none"}] if label == "one" else [], "waitFor": "agent",
            "waitTimeout": f"{BOOT_S}s",
        })
        for label in ("one", "two")
    ]  # fmt: skip
    try:
        with ThreadPoolExecutor() as pool:
            assert [one.reasons for one in pool.map(Guest.create, found)] == [(), ()]
        found[1].update(disks=[disk])  # plugged in while both run
        yield found
    finally:
        for guest in found:
            guest.close()


def ask(guest: Guest, command: str, **arguments: Any) -> Any:
    import libvirt_qemu

    said = libvirt_qemu.qemuAgentCommand(guest.domain, json.dumps({"execute": command, "arguments": arguments}), 20, 0)
    return json.loads(said)["return"]


def run(guest: Guest, script: str) -> str:
    """What a script in the guest says; `$disk` is the disk that it finds by its serial number."""
    find = f'for one in /sys/block/vd*; do [ "$(cat $one/serial)" = {SERIAL} ] && disk=/dev/${{one##*/}}; done; '
    pid = ask(guest, "guest-exec", path="/bin/sh", arg=["-ec", find + script], **{"capture-output": True})["pid"]
    end = time.monotonic() + 60
    while not (done := ask(guest, "guest-exec-status", pid=pid))["exited"]:
        assert time.monotonic() < end, f"no end of {script}"
        time.sleep(0.1)
    assert done["exitcode"] == 0, done
    return base64.b64decode(done.get("out-data", "")).decode().rstrip("\0")


def test_two_guests_see_what_the_other_writes(guests: list[Guest]) -> None:
    for writer, reader in (guests, guests[::-1]):
        text = f"written by {writer.label}"
        run(writer, f"echo {text} | dd bs=4096 conv=sync oflag=direct of=$disk 2>/dev/null")
        assert run(reader, "dd bs=4096 count=1 iflag=direct if=$disk 2>/dev/null") == f"{text}\n"


def test_what_a_guest_trims_is_free_again(guests: list[Guest], shared: Stored) -> None:
    path = Path(shared.state["path"])
    run(guests[0], "dd if=/dev/urandom bs=1048576 count=4 oflag=direct of=$disk 2>/dev/null")
    assert path.stat().st_blocks * 512 >= 4 * MIB
    run(guests[0], "/bin/busybox blkdiscard $disk")
    assert path.stat().st_blocks * 512 < MIB

"""A guest with an agent and without DHCP: its addresses, waiting for it, and an agent that hangs.

The tests go on from each other's guest.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import BOOT_S, Guest

from jvp.core.stored import Stored
from jvp.core.work import Work


@pytest.fixture(scope="module")
def network(lab: Bench) -> Iterator[Stored]:
    raw = {"name": lab.name("mute"), "cidr": lab.cidr(), "mode": "isolated", "dhcp": {"enabled": False}}
    made = lab.create("Network", "mute", raw).stored
    yield made
    lab.delete("Network", made)


@pytest.fixture(scope="module")
def guest(lab: Bench, kernel: dict[str, str], network: Stored) -> Iterator[Guest]:
    found = Guest(lab, "agent", {
        "name": lab.name("agent"), "directKernel": kernel, "memory": "128MiB", "shutdownTimeout": "0s",
        "nics": [{"name": "eth0", "network": network.id}], "waitFor": "agent", "waitTimeout": f"{BOOT_S}s",
    })  # fmt: skip
    try:
        assert found.create().reasons == ()
        yield found
    finally:
        found.close()


def run(guest: Guest, script: str) -> None:
    """Run a script in the guest by its agent, as an administrator would."""
    import libvirt_qemu

    arguments = {"path": "/bin/sh", "arg": ["-c", script]}
    command = json.dumps({"execute": "guest-exec", "arguments": arguments})
    libvirt_qemu.qemuAgentCommand(guest.domain, command, 10, 0)


def test_an_agent_that_answers_ends_the_wait(guest: Guest) -> None:
    guest.settled()
    assert guest.state["addresses"] == []
    begin = time.monotonic()
    guest.update(autostart=True)
    assert time.monotonic() - begin < 10


def test_the_guest_finds_its_disks_by_their_serial_numbers(guest: Guest, volumes: list[Stored]) -> None:
    first, second = ({"name": name, "volume": one.id} for name, one in zip(("data", "log"), volumes, strict=True))
    at = len(guest.console)
    guest.update(disks=[first, {**second, "serial": "WD-42.7"}])
    each = "read name <$one/serial; echo by-id $name $(cat $one/size) >/dev/console"
    script = f"for one in /sys/block/vd*; do {each}; done"
    told = (rf"by-id data {8 * 2**11}\b", rf"by-id WD-42.7 {16 * 2**11}\b")
    for _ in range(3):  # the guest's monitor writes there at the same time, and a line may be torn
        run(guest, script)
        if all(guest.console.find(line, since=at, limit_s=15) for line in told):
            break
    for line in told:
        guest.console.wait(line, since=at)
    guest.update(disks=[])


def test_the_guest_gives_back_what_it_has_deleted(guest: Guest, lab: Bench) -> None:
    """By its agent, which discards what its file systems do not use."""
    assert lab.pool is not None
    raw = {"name": lab.name("trim"), "pool": lab.pool.id, "size": "64MiB", "format": "raw"}
    volume = lab.create("Volume", "trim", raw).stored
    path = Path(volume.state["path"])
    subprocess.run(["mformat", "-i", path, "-T", str(64 * 2048), "-h", "16", "-s", "63", "::"], check=True)
    guest.update(disks=[{"name": "trim", "volume": volume.id}])
    at = len(guest.console)
    load = "while read -r one; do insmod /lib/modules/$one.ko; done </lib/modules/seed; mkdir -p /tmp/trim"
    find = "for one in /sys/block/vd*; do grep -q trim $one/serial && disk=${one##*/}; done"
    fill = "mount -t vfat -o sync /dev/$disk /tmp/trim && dd if=/dev/urandom of=/tmp/trim/big bs=1048576 count=8"
    run(guest, f"{load}; {find}; {fill}; rm /tmp/trim/big; echo trim is ready >/dev/console")
    assert guest.console.find("trim is ready", since=at, limit_s=90)
    assert path.stat().st_blocks * 512 > 8 * 2**20
    told = lab.calls.act("compactVolume", volume.id, {}, Work())
    assert told["freedBytes"] >= 8 * 2**20
    assert path.stat().st_blocks * 512 < 2**20
    assert lab.calls.act("compactInstance", guest.raw["name"], {}, Work())["freedBytes"] < 2**20
    run(guest, "umount /tmp/trim; echo trim is over >/dev/console")
    guest.console.wait("trim is over", since=at)
    guest.update(disks=[])
    lab.delete("Volume", volume)


def test_a_wait_for_an_address_says_what_was_looked_at(guest: Guest) -> None:
    guest.console.close()  # there is one console: who has it open hears it alone
    run(guest, "for one in 1 2 3 4 5 6 7 8 9; do echo nobody has an address >/dev/console; sleep 0.5; done")
    (reason,) = guest.update(waitFor="ip", waitTimeout="3s").reasons
    assert reason.startswith("no address after 3s: no lease for 52:54:00:")
    # libvirt 9.0 cannot read the table on every kernel: "wrong nlmsg len".
    arp = "(nothing in the node's ARP table|the node's ARP table cannot be read)"
    assert re.search(f"; the guest agent knows no address; {arp}; the guest is running; ", reason), reason
    said = f'; look at its console with "virsh console {guest.raw["name"]}", which ends with: '
    # The guest's own monitor writes there too, and on a slow machine has the last word; which may not be all out yet.
    last = reason.partition(said)[2]
    assert last
    assert any(last.startswith(line) or line.startswith(last) for line in ("nobody has an address", "micro: "))


def test_the_agent_tells_a_static_address(guest: Guest, lab: Bench, network: Stored) -> None:
    base = network.state["cidr"].rpartition(".")[0]
    run(guest, f"ifconfig eth0 {base}.77 netmask 255.255.255.0; ip addr add 169.254.7.7/16 dev eth0")
    assert guest.update(waitTimeout="30s").reasons == ()
    found: list[dict[str, Any]] = guest.state["addresses"]
    assert [(one["nic"], one["address"], one["source"]) for one in found] == [("eth0", f"{base}.77", "agent")]
    assert guest.state["ipAddress"] == f"{base}.77"
    told, _ = lab.calls.invoke("getInstance", {"instance": guest.raw["name"]}, Work())
    assert told is not None
    assert told["ipAddress"] == f"{base}.77"


def test_an_agent_that_hangs_holds_nobody(guest: Guest) -> None:
    run(guest, "kill -STOP $PPID")
    end = time.monotonic() + 60
    while guest.state["addresses"]:  # the agent answers before the guest comes to run the script
        assert time.monotonic() < end
    begin = time.monotonic()
    assert guest.state["addresses"] == []
    assert time.monotonic() - begin < 20
    (reason,) = guest.update(waitFor="agent", waitTimeout="1s").reasons
    assert reason.startswith("no answer of the guest agent after 1s: the guest agent does not answer; no lease either;")
    assert time.monotonic() - begin < 60

"""One running guest and everything that can change while it runs, as the guest itself sees it.

The tests go on from each other's guest; each leaves it running, with one card on the lab's network.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import BOOT_S, BOOTS, LEASE, Guest, Holder

from jvp.core.errors import Invalid, Rejected
from jvp.core.work import Work
from jvp.resources.instance import attaching

SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGuestKeyGuestKeyGuestKeyGuestKeyGuestKeyGu me"


@pytest.fixture(scope="module")
def holder(lab: Bench, kernel: dict[str, str]) -> Iterator[Holder]:
    def make(label: str) -> Guest:
        assert lab.pool is not None
        assert lab.network is not None
        return Guest(lab, label, {
            "name": lab.name("live"), "directKernel": kernel, "memory": "128MiB", "maxMemory": "384MiB", "maxCpus": 2,
            "nics": [{"name": "eth0", "network": lab.network.id}], "waitFor": "ip", "waitTimeout": f"{BOOT_S}s",
            "rootDisk": {"pool": lab.pool.id, "size": "64MiB"}, "shutdownTimeout": "30s",
            "cloudInit": {"hostname": "hello", "users": [{"name": "ann", "password": "secretpw", "sshKeys": [SSH]}]},
        })  # fmt: skip

    found = Holder(make)
    yield found
    found.close()


@pytest.fixture
def guest(holder: Holder) -> Guest:
    return holder.guest()


def memory_kib(guest: Guest, *, above: int = 0, below: int = 1 << 40, limit_s: float = 90) -> int:
    """What the guest says from now on that it has, twice in a row, once it is between the two."""
    since, end = len(guest.console), time.monotonic() + limit_s
    while True:
        lines = [re.match(r"micro: mem (\d+)", line) for line in guest.console.lines[since:]]
        found = [int(line[1]) for line in lines if line][-2:]
        if len(found) == 2 and found[0] == found[1] and above < found[0] < below:
            return found[0]
        if time.monotonic() > end:
            pytest.fail(f"the guest has {found} KiB, which is not between {above} and {below}")
        time.sleep(0.2)


def test_a_new_guest_has_its_address_and_its_seed(guest: Guest, lab: Bench) -> None:
    assert lab.network is not None
    assert guest.stored is not None
    assert guest.settled().state["state"] == "running"
    address = guest.state["ipAddress"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(lab.network.state["cidr"])
    assert guest.console.wait(r"micro: lease eth0 (\S+)")[1] == address
    seed = guest.console.wait(r"micro: seed (.*)")[1]
    assert re.fullmatch(
        rf"hostname=hello users=\S* keys=1 instance={guest.stored.id} files=meta-data,user-data", seed
    ), seed
    leases, failures = lab.calls.invoke("getNetworkLeases", {"network": lab.network.id}, Work())
    assert failures == ()
    assert leases is not None
    assert [one["hostname"] for one in leases["leases"] if one["address"] == address] == ["hello"]
    found, _ = lab.calls.invoke("getInstance", {"instance": guest.raw["name"]}, Work())
    assert found is not None
    assert (found["id"], found["ipAddress"], found["state"]) == (guest.stored.id, address, "running")
    assert Path(found["console"]).is_char_device()
    every, _ = lab.calls.invoke("getInstances", {"name": guest.raw["name"], "details": True}, Work())
    assert every is not None
    assert [(one["id"], one["ipAddress"]) for one in every["instances"]] == [(guest.stored.id, address)]
    assert "secretpw" not in repr(guest.stored)


def test_memory_goes_up_and_down(guest: Guest) -> None:
    guest.console.wait("micro: ready")
    before = memory_kib(guest, below=140_000)
    assert guest.plan(memory="320MiB") == {"memory": "live"}
    guest.update(memory="320MiB")
    assert guest.state["pending"] == []
    up = memory_kib(guest, above=before + 150_000)
    guest.update(memory="128MiB")
    down = memory_kib(guest, below=up - 150_000)
    assert abs(down - before) < 16_000


def test_a_cpu_is_plugged_in_and_its_removal_waits_for_the_next_boot(guest: Guest) -> None:
    at = len(guest.console)
    assert guest.plan(cpus=2) == {"cpus": "live"}
    guest.update(cpus=2)
    guest.console.wait(r"cpus 2 ", since=at)
    assert guest.plan(cpus=1) == {"cpus": "next boot"}
    guest.update(cpus=1)
    assert guest.state["pendingRestart"] is True
    assert guest.state["pending"][0].startswith("cpus: ")
    guest.update(cpus=2)
    assert guest.state["pendingRestart"] is False


def test_the_root_disk_grows_and_never_shrinks(guest: Guest, lab: Bench) -> None:
    assert lab.pool is not None
    at = len(guest.console)
    guest.update(rootDisk={"pool": lab.pool.id, "size": "96MiB"})
    guest.console.wait(rf"vda={96 * 2**20}\b", since=at)
    assert guest.state["rootDiskBytes"] == 96 * 2**20
    with pytest.raises(Invalid, match="a disk can only grow"):
        guest.update(rootDisk={"pool": lab.pool.id, "size": "64MiB"})


def test_a_network_that_restarts_gives_the_guest_a_new_address(guest: Guest, lab: Bench) -> None:
    assert lab.network is not None
    guest.console.wait(LEASE.pattern)  # a new guest says so a moment after the node has it
    at = len(guest.console)
    cidr = lab.cidr()
    raw = {"name": lab.network.state["name"], "cidr": cidr}
    effects = lab.calls.diff("Network", lab.network, lab.inputs("Network", raw)).changes
    assert {change.effect.words for change in effects if change.path == ("cidr",)} == {"network restart"}
    lab.network = lab.update("Network", lab.network, raw).stored
    lab.converged("Network", lab.network, raw)
    address = guest.console.wait(r"micro: lease eth0 (\S+)", since=at)[1]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    # The guest knows its address a moment before the node's list of leases does. The old one is never given again.
    assert guest.state.get("ipAddress") in (None, address)
    Work().until(lambda: guest.state.get("ipAddress") == address, limit_s=60, every_s=0.1, what="no such lease")
    guest.settled()


def test_what_waits_for_the_next_boot_is_cleared_by_a_power_cycle_of_anybody(
    guest: Guest, kernel: dict[str, str]
) -> None:
    line = f"{kernel['cmdline']} jvp.test=1"
    result = guest.update(maxMemory="448MiB", memory="400MiB", directKernel={**kernel, "cmdline": line})
    assert result.reasons == ()
    state = guest.state
    assert state["pendingRestart"] is True
    assert [one.partition(":")[0] for one in state["pending"]] == ["directKernel", "maxMemory", "memory"]
    assert all("next power cycle" in one for one in state["pending"])
    guest.domain.destroy()
    assert guest.state["state"] == "stopped"
    assert guest.plan() == {"powerState": "live"}
    at = guest.start()
    # While it boots it still has its whole room: the balloon takes the rest when its driver is there.
    guest.console.wait("micro: ready", since=at)
    memory_kib(guest, above=330_000, below=400 * 1024)
    # QEMU tells of its balloon once a second at most.
    Work().until(lambda: guest.state["pending"] == [], limit_s=60, every_s=0.2, what="it is still pending")
    assert guest.state["pendingRestart"] is False
    guest.stored = guest.read()
    guest.update(directKernel=kernel, maxMemory="384MiB", memory="128MiB")


def test_drift_of_a_running_guest_is_seen_and_mended(guest: Guest) -> None:
    """Memory changed, a card pulled out, the guest paused, as virsh would."""
    import libvirt

    guest.stored = guest.read()
    domain = guest.domain
    domain.setMemoryFlags(200 * 1024, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    Work().until(lambda: domain.info()[2] == 200 * 1024, limit_s=60, every_s=0.2, what="the balloon stays")
    assert set(guest.plan()) == {"memory"}, (guest.state["memory"], guest.state["pending"])
    guest.update()
    xml = domain.XMLDesc(0)
    card = xml[xml.index("<interface") : xml.index("</interface>") + 12]
    at = len(guest.console)
    domain.detachDeviceFlags(card, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    guest.console.wait(r"nics$", since=at)
    Work().until(lambda: "<interface" not in domain.XMLDesc(0), limit_s=60, every_s=0.1, what="the card stays")
    assert set(guest.plan()) == {"nics[0]"}
    guest.update()
    guest.console.wait(LEASE.pattern, since=at)
    domain.suspend()
    assert guest.plan() == {"powerState": "live"}
    guest.update()
    assert guest.state["state"] == "running"


def test_a_card_taken_out_of_the_definition_only_is_seen_and_mended(guest: Guest) -> None:
    """`virsh detach-device --config`: the next power cycle would lose it."""
    import libvirt

    guest.stored = guest.read()
    xml = guest.domain.XMLDesc(2)
    card = xml[xml.index("<interface") : xml.index("</interface>") + 12]
    guest.domain.detachDeviceFlags(card, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    assert set(guest.plan()) == {"nics[0]"}
    guest.update()
    assert guest.domain.XMLDesc(2).count("<interface") == 1


def test_memory_changed_in_the_definition_only_is_seen(guest: Guest) -> None:
    """`virsh setmem --config`: the next power cycle would start with it."""
    import libvirt

    guest.stored = guest.read()
    guest.domain.setMemoryFlags(64 * 1024, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    assert set(guest.plan()) == {"memory"}
    guest.update()
    assert guest.plan() == {}
    assert guest.domain.maxMemory() >= 128 * 1024
    assert "<currentMemory unit='KiB'>131072<" in guest.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


def test_paused_and_running_again(guest: Guest) -> None:
    guest.update(powerState="paused", waitFor="none")
    assert guest.domain.state()[0] == 3
    assert guest.state["state"] == "paused"
    guest.update(powerState="running")
    assert guest.domain.state()[0] == 1


def test_a_graceful_stop_a_rename_and_a_start(guest: Guest, lab: Bench) -> None:
    at = len(guest.console)
    begin = time.monotonic()
    guest.update(powerState="stopped", waitFor="none")
    print(f"graceful stop: {time.monotonic() - begin:.2f} s")
    guest.console.wait("micro: off", since=at)
    assert guest.state["state"] == "stopped"
    assert guest.state.get("ipAddress") is None
    name = lab.name("renamed")
    assert guest.plan(name=name) == {"name": "live"}
    guest.update(name=name)
    assert guest.domain.name() == name
    at, begin = len(guest.console), time.monotonic()
    leased: list[float] = []
    told: list[float] = []

    def watch() -> None:
        if guest.console.find(LEASE.pattern, since=at, limit_s=2 * BOOT_S + 60):
            leased.append(time.monotonic())

    def status(line: str) -> None:
        if line.startswith("has the address"):
            told.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = guest.update(Work(status=status), powerState="running", waitFor="ip")
    BOOTS.append(f"restart of live: {time.monotonic() - begin:.1f} s")
    assert result.reasons == ()
    watcher.join()
    assert leased
    assert told
    # What the call does after that, the balloon's settling for one, is no part of it.
    print(f"from the lease on the console to the address in the display: {told[0] - leased[0]:+.2f} s")
    assert told[0] - leased[0] < 10


def test_a_running_guest_is_stopped_for_a_rename_and_runs_again_with_its_changed_seed(guest: Guest, lab: Bench) -> None:
    cloud_init = {"hostname": "second", "users": []}
    assert guest.plan(cloudInit=cloud_init) == {"cloudInit.hostname": "next boot", "cloudInit.users[0]": "next boot"}
    guest.update(cloudInit=cloud_init)
    assert guest.state["pendingRestart"] is True
    name = lab.name("again")
    at = len(guest.console)
    guest.update(name=name)
    guest.console.wait("micro: off", since=at)
    assert guest.domain.name() == name
    assert guest.state["state"] == "running"
    assert guest.state["ipAddress"]
    assert guest.console.wait(r"micro: seed hostname=(\S+)", since=at)[1] == "second"
    assert guest.state["pendingRestart"] is False


def test_a_restart_makes_the_guest_read_its_seed_at_once(guest: Guest) -> None:
    at = len(guest.console)
    result = guest.update(cloudInit={"hostname": "third"}, updatePolicy="restart")
    assert result.reasons == ()
    guest.console.wait("micro: off", since=at)
    assert guest.console.wait(r"micro: seed hostname=(\S+)", since=at)[1] == "third"
    assert guest.state["ipAddress"]
    assert guest.state["pendingRestart"] is False
    guest.update(updatePolicy="live")


def test_a_volume_of_another_guest_is_refused(
    guest: Guest, lab: Bench, volumes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "RELEASE_S", 0.5)
    guest.update(disks=[{"name": "data", "volume": volumes[0].id}])
    assert lab.pool is not None
    raw = {
        "name": lab.name("thief"), "powerState": "stopped", "rootDisk": {"pool": lab.pool.id, "size": "1MiB"},
        "disks": [{"name": "data", "volume": volumes[0].id}],
    }  # fmt: skip
    try:
        with pytest.raises(Rejected, match="is attached to"):
            lab.create("Instance", "thief", raw)
    finally:
        guest.update(disks=[])

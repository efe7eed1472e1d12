"""Disks and cards that come, go and change while the guest runs or stands still, as the guest itself sees them.

The tests go on from each other's guest; each leaves it running, with one card on the lab's network and no disk.
"""

from __future__ import annotations

import ipaddress
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.conftest import BOOT_S, Guest, Holder

from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link.xml import parse, value

MIB = 2**20


@pytest.fixture(scope="module")
def holder(lab: Bench, kernel: dict[str, str]) -> Iterator[Holder]:
    def make(label: str) -> Guest:
        assert lab.network is not None
        return Guest(lab, label, {
            "name": lab.name("plug"), "directKernel": kernel, "memory": "128MiB", "shutdownTimeout": "30s",
            "nics": [{"name": "eth0", "network": lab.network.id}], "waitFor": "ip", "waitTimeout": f"{BOOT_S}s",
        })  # fmt: skip

    found = Holder(make)
    yield found
    found.close()


@pytest.fixture
def guest(holder: Holder) -> Guest:
    return holder.guest()


def sees(guest: Guest, *sizes_mib: int, since: int) -> None:
    """Wait until the guest has these disks, in this order, and no other."""
    disks = "".join(rf" vd\w={size * MIB}" for size in sizes_mib)
    guest.console.wait(rf"disks{disks} nics", since=since)


def base_of(network: Stored) -> str:
    """A pattern for how the network's addresses begin. Its first two numbers may be those of another network too."""
    return re.escape(network.state["cidr"].rpartition(".")[0] + ".")


def sources(guest: Guest) -> dict[str | None, str | None]:
    """The running guest's disks, by their aliases."""
    root = parse(guest.domain.XMLDesc(0))
    return {value(one, "alias/@name"): value(one, "source/@file") for one in root.iterfind("devices/disk")}


def test_a_disk_is_plugged_grown_swapped_and_unplugged(guest: Guest, lab: Bench, volumes: list[Any]) -> None:
    first, second = volumes
    at = len(guest.console)
    assert guest.plan(disks=[{"name": "data", "volume": first.id}]) == {"disks[0]": "live"}
    guest.update(disks=[{"name": "data", "volume": first.id}])
    disk = guest.console.wait(rf"(vd\w)={8 * MIB}\b", since=at)[1]
    at = len(guest.console)
    name = f"{lab.pool.state['name']}/{first.state['name']}" if lab.pool else ""
    assert guest.plan(disks=[{"name": "data", "volume": name}]) == {}
    volumes[0] = lab.update("Volume", first, {**first.inputs, "size": "12MiB"}).stored
    guest.console.wait(rf"{disk}={12 * MIB}\b", since=at)
    at = len(guest.console)
    guest.update(disks=[{"name": "data", "volume": second.id, "readOnly": True}])
    sees(guest, 16, since=at)
    guest.update(disks=[{"name": "data", "volume": second.id}])
    at = len(guest.console)
    guest.update(disks=[])
    sees(guest, since=at)


def test_a_volume_that_goes_first_is_unplugged_by_its_delete(guest: Guest, lab: Bench, volumes: list[Any]) -> None:
    at = len(guest.console)
    guest.update(disks=[{"name": "data", "volume": volumes[0].id}])
    sees(guest, 8, since=at)
    at = len(guest.console)
    lab.delete("Volume", volumes[0])
    sees(guest, since=at)
    assert guest.update(disks=[]).reasons == ()


def test_two_disks_come_change_places_and_go_at_once(guest: Guest, volumes: list[Any]) -> None:
    first, second = ({"name": name, "volume": volume.id} for name, volume in zip("ab", volumes, strict=True))
    at = len(guest.console)
    assert guest.plan(disks=[first, second]) == {"disks[0]": "live", "disks[1]": "live"}
    guest.update(disks=[first, second])
    sees(guest, 8, 16, since=at)
    before = sources(guest)
    assert guest.plan(disks=[second, first]) == {}
    at = len(guest.console)
    changed = [{**first, "volume": second["volume"]}, {**second, "volume": first["volume"]}]
    assert guest.plan(disks=changed) == {"disks[0].volume": "live", "disks[1].volume": "live"}
    guest.update(disks=changed)
    # They are plugged in by their names.
    sees(guest, 16, 8, since=at)
    a, b = "ua-jvp-disk-a", "ua-jvp-disk-b"
    assert sources(guest) == {a: before[b], b: before[a]}
    at = len(guest.console)
    guest.update(disks=[])
    sees(guest, since=at)


def test_a_paused_guest_takes_a_disk_at_once_and_gives_one_back_when_it_goes_on(
    guest: Guest, volumes: list[Any]
) -> None:
    first, second = ({"name": name, "volume": volume.id} for name, volume in zip("ab", volumes, strict=True))
    guest.update(powerState="paused", waitFor="none")
    guest.update(disks=[first])
    assert guest.state["pending"] == []
    before = sources(guest)
    result = guest.update(disks=[{**first, "volume": second["volume"]}])
    assert result.reasons == ()
    assert [one.partition(" and ")[0] for one in guest.state["pending"]] == ["disks.a: the guest stands still"]
    assert sources(guest) == before
    at = len(guest.console)
    guest.update(powerState="running")
    assert guest.state["pendingRestart"] is False
    sees(guest, 16, since=at)
    # Resumed by somebody else: the next update has something to do again.
    guest.update(powerState="unmanaged")
    guest.domain.suspend()
    guest.update(disks=[])
    assert guest.state["pendingRestart"] is True
    guest.domain.resume()
    assert guest.plan() == {"disks[0]": "live"}
    at = len(guest.console)
    guest.update()
    sees(guest, since=at)
    guest.update(powerState="running", waitFor="ip")


@pytest.fixture
def deaf(lab: Bench, volumes: list[Any], monkeypatch: pytest.MonkeyPatch, leftovers: None) -> Iterator[Guest]:
    """A machine without a system, with a disk and a card: it runs, and answers no request."""
    monkeypatch.setattr(devices, "UNPLUG_S", 3.0)
    assert lab.pool is not None
    assert lab.network is not None
    found = Guest(lab, "deaf", {
        "name": lab.name("deaf"), "memory": "32MiB", "rootDisk": {"pool": lab.pool.id, "size": "1MiB"},
        "disks": [{"name": "a", "volume": volumes[0].id}], "nics": [{"name": "eth0", "network": lab.network.id}],
        "shutdownTimeout": "1s",
    })  # fmt: skip
    found.create()
    yield found
    found.close()


def test_what_a_guest_does_not_let_go_waits_until_it_does(
    deaf: Guest, volumes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sources(deaf)
    asked: list[str | None] = []
    ask = devices._ask
    monkeypatch.setattr(devices, "_ask", lambda domain, alias: (asked.append(alias), ask(domain, alias)))
    result = deaf.update(disks=[{"name": "a", "volume": volumes[1].id}], nics=[])
    assert result.reasons == ()
    held = [f"{path}: the guest does not let go of it; takes effect at the next power cycle"
            for path in ("disks.a", "nics.eth0")]  # fmt: skip
    assert deaf.state["pending"] == held
    assert sources(deaf) == before
    # Asked together: the second one does not wait until the first one is given up.
    assert set(asked[:2]) == {"ua-jvp-disk-a", "ua-jvp-nic-eth0"}
    # A reset is when QEMU takes out what it was asked for: the new volume can be plugged in now.
    deaf.domain.reset(0)
    Work().until(
        lambda: len(sources(deaf)) == 1 and "<interface" not in deaf.domain.XMLDesc(0),
        limit_s=60, every_s=0.1, what="they stay",
    )  # fmt: skip
    assert deaf.state["pending"] == []
    assert deaf.plan() == {"disks[0]": "live"}
    deaf.update()
    assert len(sources(deaf)) == 2
    # Another disk can be plugged in beside one that stays.
    deaf.update(disks=[{"name": "b", "volume": volumes[0].id}])
    assert deaf.state["pending"] == held[:1]
    assert len(sources(deaf)) == 3
    deaf.domain.destroy()
    deaf.domain.create()
    assert deaf.state["pendingRestart"] is False
    assert deaf.plan() == {}
    assert sorted(filter(None, sources(deaf))) == ["ua-jvp-disk-b", "ua-jvp-root"]


def test_a_card_gets_another_model_and_another_mac(guest: Guest, lab: Bench) -> None:
    assert lab.network is not None
    eth0 = {"name": "eth0", "network": lab.network.id}
    mac = guest.state["nics"][0]["mac"]
    at = len(guest.console)
    assert guest.plan(nics=[{**eth0, "model": "e1000e"}]) == {"nics[0].model": "live"}
    guest.update(nics=[{**eth0, "model": "e1000e"}], waitFor="none")
    assert guest.state["pending"] == []
    guest.console.wait(r"nics$", since=at)  # it has no driver for it
    at = len(guest.console)
    guest.update(nics=[{**eth0, "model": "e1000"}])
    assert [one.partition(":")[0] for one in guest.state["pending"]] == ["nics.eth0"]
    card = parse(guest.domain.XMLDesc(0)).find("devices/interface")
    assert card is not None
    # A running guest has no slot for such a card, and keeps the one that it has: nothing else would reach it.
    assert (value(card, "model/@type"), value(card, "mac/@address")) == ("e1000e", mac)
    guest.update(autostart=True)
    again = parse(guest.domain.XMLDesc(0)).find("devices/interface")
    assert again is not None
    assert value(again, "target/@dev") == value(card, "target/@dev")
    guest.update(nics=[eth0], autostart=False)
    guest.console.wait(rf"nics eth0={mac}$", since=at)
    at = len(guest.console)
    other = f"{mac[:-2]}{int(mac[-2:], 16) ^ 1:02x}"
    assert guest.plan(nics=[{**eth0, "mac": other}]) == {"nics[0].mac": "live"}
    guest.update(nics=[{**eth0, "mac": other}])
    guest.console.wait(rf"nics eth\d={other}$", since=at)
    guest.console.wait(r"micro: lease eth\d", since=at)
    guest.update(nics=[{**eth0, "mac": mac}], waitFor="ip")


def test_a_card_is_plugged_moved_remodelled_and_unplugged(guest: Guest, lab: Bench) -> None:
    assert lab.network is not None
    eth0 = {"name": "eth0", "network": lab.network.id}
    raw = {"name": lab.name("side"), "cidr": lab.cidr(), "mode": "isolated"}
    side = lab.create("Network", "side", raw).stored
    try:
        at = len(guest.console)
        guest.update(nics=[eth0, {"name": "more", "network": lab.network.state["name"]}])
        first = guest.console.wait(r"micro: lease eth1 (\S+)", since=at)[1]
        assert ipaddress.ip_address(first) in ipaddress.ip_network(lab.network.state["cidr"])
        at = len(guest.console)
        guest.update(nics=[{"name": "more", "network": side.id}, eth0], waitFor="none")
        assert guest.state["pendingRestart"] is False
        moved = [one["nic"] for one in guest.state["addresses"]]
        assert "eth0" in moved
        guest.update(nics=[eth0, {"name": "more", "network": side.id, "model": "e1000e"}])
        guest.update(nics=[eth0, {"name": "more", "network": side.id}])
        second = guest.console.wait(rf"micro: lease eth\d ({base_of(side)}\S+)", since=at)[1]
        assert ipaddress.ip_address(second) in ipaddress.ip_network(side.state["cidr"])
        at = len(guest.console)
        guest.update(nics=[eth0])
        guest.console.wait(r"nics eth0=\S+$", since=at)
    finally:
        lab.delete("Network", side)
        guest.update(nics=[eth0], waitFor="ip")


def test_a_card_gets_the_address_that_is_kept_for_it(guest: Guest, lab: Bench) -> None:
    assert lab.network is not None
    base = lab.network.state["cidr"].rpartition(".")[0]
    eth0 = {"name": "eth0", "network": lab.network.id}
    kept = {"name": "kept", "network": lab.network.id, "address": f"{base}.201"}
    at = len(guest.console)
    guest.update(nics=[eth0, kept])
    guest.console.wait(rf"micro: lease eth1 {re.escape(base)}\.201\b", since=at)  # an earlier card may speak late
    Work().until(
        lambda: f"{base}.201" in [one["address"] for one in guest.state["addresses"]],
        limit_s=60, every_s=0.1, what="no such lease",
    )  # fmt: skip
    found, _ = lab.calls.invoke("getNetwork", {"network": lab.network.id}, Work())
    assert found is not None
    assert found["instances"] == [guest.raw["name"]]
    assert guest.plan(nics=[eth0, {**kept, "address": f"{base}.202"}]) == {"nics[1].address": "live"}
    guest.update(nics=[eth0, {**kept, "address": f"{base}.202"}])
    network = lab.connection.networkLookupByUUIDString(lab.network.id)
    assert f"{base}.202'" in network.XMLDesc(0)
    at = len(guest.console)
    guest.update(nics=[eth0])
    guest.console.wait(r"nics eth0=\S+$", since=at)
    assert "<host" not in network.XMLDesc(0) + network.XMLDesc(1)


def test_a_card_is_on_the_bridge_of_a_network_that_was_removed_and_made_again(guest: Guest, lab: Bench) -> None:
    assert lab.network is not None
    eth0 = {"name": "eth0", "network": lab.network.id}
    raw = {"name": lab.name("remade"), "cidr": lab.cidr(), "mode": "isolated"}
    side = lab.create("Network", "remade", raw).stored
    try:
        guest.update(nics=[eth0, {"name": "more", "network": side.id}])
        found = lab.connection.networkLookupByUUIDString(side.id)
        found.destroy()
        found.undefine()
        at = len(guest.console)
        assert lab.create("Network", "remade", raw).stored.id == side.id
        ports = {path.name for path in Path(f"/sys/class/net/{side.state['bridge']}/brif").iterdir()}
        assert ports & {one.get("dev") for one in parse(guest.domain.XMLDesc(0)).iterfind(".//interface/target")}
        guest.console.wait(rf"micro: lease eth\d {base_of(side)}\S+", since=at)
        assert guest.state["pending"] == []
        assert guest.plan() == {}
    finally:
        guest.update(nics=[eth0])
        lab.delete("Network", side)


def test_a_card_goes_along_to_a_bridge_of_the_node_and_back(guest: Guest, lab: Bench) -> None:
    assert lab.network is not None
    name = f"jb{lab.prefix[-8:-1]}"
    made = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no bridge can be made here: {made.stderr}")
    eth0 = {"name": "eth0", "network": lab.network.id}
    own = {"name": lab.name("side"), "cidr": lab.cidr(), "mode": "isolated"}
    shared = {"name": own["name"], "mode": "bridge", "bridge": name}
    side = lab.create("Network", "side", own).stored
    try:
        guest.update(nics=[eth0, {"name": "more", "network": side.id}])
        for raw in (shared, own):
            side = lab.converged("Network", lab.update("Network", side, raw).stored, raw)
            assert guest.state["pending"] == []
            found, _ = lab.calls.invoke("getNetwork", {"network": side.id}, Work())
            assert found is not None
            assert found["instances"] == [guest.raw["name"]]
            assert guest.plan() == {}
            ports = {path.name for path in Path(f"/sys/class/net/{side.state['bridge']}/brif").iterdir()}
            assert ports & {one.get("dev") for one in parse(guest.domain.XMLDesc(0)).iterfind(".//interface/target")}
    finally:
        guest.update(nics=[eth0])
        lab.delete("Network", side)
        subprocess.run(["ip", "link", "delete", name], check=True)

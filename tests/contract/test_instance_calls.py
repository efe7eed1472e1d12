"""How often libvirt is asked for an instance: what others have on its node is looked at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench
from tests.contract.counted import counting

from hosts.daemon import SystemHost
from hosts.fixtures import hosts_folder
from jvp.core.calls import Stored
from jvp.core.outlook import Asked
from jvp.core.work import Work
from jvp.libvirt.link import events
from jvp.resources.provider import Provider
from jvp.resources.registry import calls as registered

__all__ = ["hosts_folder"]

OTHERS, DISKS = 200, 8
OTHER = """<domain type='qemu'><name>other{number}</name><memory>32768</memory><os><type>hvm</type></os><devices>
<disk type='file' device='disk'><source file='/nowhere/{number}'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><mac address='52:54:00:aa:00:{number:02x}'/></interface></devices></domain>"""
MAC = "52:54:00:bb:00:01"
DEFINITION = "virDomainGetXMLDesc"


@pytest.fixture(scope="module")
def crowded(hosts_folder: Path) -> Iterator[Bench]:
    """A node of its own with many domains, a pool, a network and volumes."""
    events.start_loop()
    with contextlib.closing(SystemHost(hosts_folder / "crowd", f"{hosts_folder.name}-crowd")) as host:
        connection = libvirt.open(host.uri)
        for number in range(OTHERS):
            connection.defineXML(OTHER.format(number=number))
        calls = registered(Provider(uri=host.uri, virt_type="qemu"))
        bench = Bench(calls, connection, "crowd-", host.pools, lambda: "10.93.7.0/24")
        bench.pool = bench.create("StoragePool", "p", {"name": "p", "path": f"{host.pools}/p"}).stored
        bench.network = bench.create("Network", "n", {"name": "n", "cidr": bench.cidr()}).stored
        for number in range(DISKS):
            raw = {"name": f"v{number}", "pool": bench.pool.id, "size": "1MiB"}
            bench.volumes.append(bench.create("Volume", raw["name"], raw).stored)
        yield bench
        connection.close()


def instance(bench: Bench, disks: int, mac: str | None = None) -> dict[str, Any]:
    assert bench.pool is not None
    assert bench.network is not None
    nic = {"name": "eth0", "network": bench.network.id, **({"mac": mac} if mac else {})}
    return {
        "name": "guest", "powerState": "stopped", "memory": "32MiB", "nics": [nic],
        "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "disks": [{"name": f"d{number}", "volume": bench.volumes[number].id} for number in range(disks)],
        "cloudInit": {"hostname": "guest"},
    }  # fmt: skip


def plan(bench: Bench, raw: dict[str, Any]) -> Counter[str]:
    inputs, warned = bench.inputs("Instance", raw), list[str]()
    asked = Asked(lambda: bench.key("Instance", "guest"))
    with counting() as counted:
        bench.calls.preview_create("Instance", inputs, Work(warn=warned.append), asked)
    assert warned == []
    return counted


def create(bench: Bench, raw: dict[str, Any]) -> tuple[Counter[str], Stored]:
    with counting() as counted:
        stored = bench.create("Instance", "guest", raw).stored
    return counted, stored


def test_a_plan_reads_each_other_domain_once_however_many_disks_and_cards(crowded: Bench) -> None:
    bare, one = plan(crowded, instance(crowded, 0)), plan(crowded, instance(crowded, 1))
    many, card = plan(crowded, instance(crowded, DISKS)), plan(crowded, instance(crowded, DISKS, MAC))
    assert bare[DEFINITION] == 0
    assert one[DEFINITION] == many[DEFINITION] == card[DEFINITION] == OTHERS
    assert card.total() == many.total(), card - many
    # The look-up of each volume and of its path; all else there is once.
    assert many.total() - one.total() == 2 * (DISKS - 1), many - one
    assert one.total() <= OTHERS + 16, one


def test_a_create_reads_each_other_domain_once_however_many_disks_and_cards(crowded: Bench) -> None:
    counted = {}
    for disks, mac in ((0, None), (1, None), (DISKS, None), (DISKS, MAC)):
        counted[disks, mac], stored = create(crowded, instance(crowded, disks, mac))
        crowded.delete("Instance", stored)
    bare, one, many, card = counted.values()
    own = bare[DEFINITION]
    assert own == 1
    assert one[DEFINITION] == many[DEFINITION] == card[DEFINITION] == OTHERS + own
    assert card.total() == many.total(), card - many
    # Where the volume is, its record, its format, and what the state tells of it.
    assert (many.total() - one.total()) / (DISKS - 1) <= 12, many - one
    assert bare.total() <= 50, bare


def test_reading_planning_and_deleting_an_instance_ask_little(crowded: Bench) -> None:
    raw = instance(crowded, DISKS)
    _, stored = create(crowded, raw)
    crowded.read("Instance", stored)  # which notes that a state has it
    with counting() as read:
        crowded.read("Instance", stored)
    with counting() as planned:
        assert crowded.plan("Instance", stored, raw) == []
    with counting() as deleted:
        crowded.delete("Instance", stored)
    assert read[DEFINITION] == planned[DEFINITION] == 1
    assert read.total() <= 8 + 3 * (DISKS + 1), read
    assert deleted[DEFINITION] <= OTHERS + 3, deleted
    assert deleted.total() <= OTHERS + 30, deleted


def test_a_wait_for_an_address_reads_the_definition_once_a_second_and_asks_for_leases_meanwhile(crowded: Bench) -> None:
    """No system is on this guest, so that no address comes."""
    waits = {"powerState": "running", "shutdownTimeout": "0s", "waitFor": "ip", "waitTimeout": "1s"}
    with counting() as counted:
        made = crowded.create("Instance", "guest", {**instance(crowded, 0), **waits})
    crowded.delete("Instance", made.stored)
    assert "no address after 1s" in made.reasons[0]
    # Twice for the wait, then for its sentence and the state; a slow machine asks for leases less often, too.
    assert counted[DEFINITION] <= 8, counted


@pytest.mark.parametrize("cards", [1, 3])
def test_a_network_is_looked_up_once_however_many_cards_are_on_it(crowded: Bench, cards: int) -> None:
    raw = instance(crowded, 0)
    raw["nics"] = [{**raw["nics"][0], "name": f"eth{number}"} for number in range(cards)]
    planned = plan(crowded, raw)
    created, stored = create(crowded, raw)
    read = reading(crowded, stored)
    crowded.delete("Instance", stored)
    lookup = "virNetworkLookupByUUIDString"
    # A create reads what it has made as well.
    assert (planned[lookup], created[lookup], read[lookup]) == (1, 2, 1)


def test_what_a_network_keeps_is_read_once_however_many_cards_have_an_address(crowded: Bench) -> None:
    asked = []
    for cards in (1, 3):
        raw = instance(crowded, 0)
        raw["nics"] = [{**raw["nics"][0], "name": f"c{n}", "address": f"10.93.7.{20 + n}"} for n in range(cards)]
        _, stored = create(crowded, raw)
        asked.append(reading(crowded, stored))
        crowded.delete("Instance", stored)
    assert asked[1] == asked[0], asked[1] - asked[0]
    assert asked[0]["virNetworkGetXMLDesc"] == 2


def reading(bench: Bench, stored: Stored) -> Counter[str]:
    """What a read asks, after the one that notes that a state has the object."""
    bench.read("Instance", stored)
    with counting() as counted:
        bench.read("Instance", stored)
    return counted

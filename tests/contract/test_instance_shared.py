"""What two machines or networks share already is no reason to refuse a change of one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lxml import etree
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.kinds import foreign_domain, running, stopped

from jvp.core.errors import Invalid, Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, put, text_of

INACTIVE = 2


@pytest.fixture
def twins(bench: Bench, made: Callable[[Bag], Stored]) -> Iterator[Callable[[str], tuple[Bag, Stored, Any]]]:
    """An instance, and a machine of somebody with the same disks and the same card."""
    copies: list[Any] = []

    def make(how: str) -> tuple[Bag, Stored, Any]:
        raw = {**stopped(bench, bench.name("one")), "disks": [{"name": "data", "volume": bench.volumes[2].id}]}
        stored = made(raw)
        if how == "shareable":
            root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
            for disk in root.iterfind("devices/disk"):
                if disk.find("driver").get("type") == "raw" and disk.find("readonly") is None:
                    etree.SubElement(disk, "shareable")
            bench.connection.defineXML(text_of(root))
        root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
        for path in ("metadata", "uuid"):
            drop(root, path)
        put(root, "name", bench.name("two"))
        copies.append(bench.connection.defineXML(text_of(root)))
        return raw, stored, copies[-1]

    yield make
    for domain in copies:
        domain.undefine()


@pytest.mark.parametrize("how", ["plain", "shareable"])
def test_a_machine_that_shares_a_disk_and_a_mac_is_changed(
    bench: Bench, twins: Callable[[str], tuple[Bag, Stored, Any]], how: str
) -> None:
    raw, stored, twin = twins(how)
    raw = {**raw, "autostart": True, "memory": "48MiB"}
    stored = bench.update("Instance", stored, raw).stored
    bench.converged("Instance", stored, raw)
    found = bench.calls.import_("Instance", twin.name(), Work())
    assert found is not None
    assert [disk["volume"] for disk in found.inputs["disks"]] == [bench.volumes[2].id]
    changed = {**found.inputs, "autostart": True}
    bench.converged("Instance", bench.update("Instance", found, changed).stored, changed)


def test_what_another_machine_has_is_not_newly_attached(
    bench: Bench, twins: Callable[[str], tuple[Bag, Stored, Any]], made: Callable[[Bag], Stored]
) -> None:
    _, _, twin = twins("plain")
    root = parse(twin.XMLDesc(INACTIVE))
    mac = root.find("devices/interface/mac").get("address")
    other = {**stopped(bench, bench.name("three")), "disks": [], "nics": []}
    third = made(other)
    disks = [{"name": "data", "volume": bench.volumes[2].id}]
    with pytest.raises(Rejected, match=r"disks\[0\].volume: volume .* is attached to "):
        bench.update("Instance", third, {**other, "disks": disks})
    with pytest.raises(Rejected, match=r"nics\[0\].mac: .* is the MAC of a card of"):
        bench.update("Instance", third, {**other, "nics": [{"name": "eth0", "mac": mac}]})


def test_who_takes_a_volume_while_another_one_is_waited_for_has_it(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    one, two = ({"name": f"d{number}", "volume": bench.volumes[number].id} for number in (0, 1))
    giver = {**stopped(bench, bench.name("giver")), "nics": [], "disks": [one]}
    taker = {**giver, "name": bench.name("taker"), "disks": []}
    first, second, waits = made(giver), made(taker), threading.Event()
    theirs = foreign_domain(bench, {"name": bench.name("theirs")})
    others = parse(theirs.XMLDesc(INACTIVE))
    put(others, "devices/disk/source/@file", bench.volumes[1].state["path"])
    put(others, "devices/disk/target/@dev", "vda")

    def status(line: str) -> None:
        if "to let go of the volume" in line and not waits.is_set():
            bench.connection.defineXML(text_of(others))
            waits.set()

    with ThreadPoolExecutor() as pool:
        taking = pool.submit(bench.update, "Instance", second, {**taker, "disks": [one, two]}, Work(status=status))
        assert waits.wait(60)
        bench.update("Instance", first, {**giver, "disks": []})
        with pytest.raises(Rejected, match=r'disks\[1\].volume: volume ".*" is attached to ".*theirs.*" already'):
            taking.result()
    theirs.undefine()


def test_a_guest_whose_network_was_stopped_is_changed_as_it_runs(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    cidr = bench.cidr()
    network = {"name": bench.name("off"), "cidr": cidr}
    lan = bench.create("Network", "off", network).stored
    raw = {**running(bench, bench.name("cut")), "disks": [], "nics": [{"name": "eth0", "network": lan.id}]}
    stored = made(raw)
    lan = bench.update("Network", lan, {**network, "active": False}).stored
    try:
        stored = bench.update("Instance", stored, {**raw, "autostart": True}).stored
        bench.converged("Instance", stored, {**raw, "autostart": True})
        more = [*raw["nics"], {"name": "eth1", "network": lan.id}]
        with pytest.raises(Rejected, match=r"nics\[1\].network: network .* is not active; start it"):
            bench.update("Instance", stored, {**raw, "nics": more})
    finally:
        domain_of(bench, stored).destroy()
        bench.update("Instance", stored, {**raw, "nics": [], "powerState": "stopped"})
        bench.delete("Network", lan)


def test_a_network_whose_range_another_one_has_too_is_changed(bench: Bench) -> None:
    cidr = bench.cidr()
    raw = {"name": bench.name("first"), "cidr": cidr, "active": False}
    stored = bench.create("Network", "first", raw).stored
    root = parse(bench.connection.networkLookupByUUIDString(stored.id).XMLDesc(1))
    for path in ("metadata", "uuid", "mac", "bridge"):
        drop(root, path)
    put(root, "name", bench.name("second"))
    other = bench.connection.networkDefineXML(text_of(root))
    try:
        changed = {**raw, "autostart": False}
        stored = bench.update("Network", stored, changed).stored
        bench.converged("Network", stored, changed)
        narrower = {**changed, "cidr": cidr.replace("/24", "/25")}
        with pytest.raises(Invalid, match=r"cidr: .* overlaps"):
            bench.update("Network", stored, narrower)
    finally:
        other.undefine()
        bench.delete("Network", stored)

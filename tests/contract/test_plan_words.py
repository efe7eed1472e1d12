"""What a plan says beside the differences: who loses a thing that is replaced, and what a guest does not do again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.kinds import running

from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.resources.instance.live import NO_BALLOON
from jvp.resources.provider import Provider
from jvp.resources.registry import calls as registered


def told(bench: Bench, token: str, stored: Stored, raw: Bag) -> list[str]:
    """The warnings of a plan, in the order of an engine: what differs, then what comes of it."""
    said: list[str] = []
    work = Work(warn=said.append)
    inputs = bench.inputs(token, raw)
    plan = bench.calls.diff(token, stored, inputs, work)
    if not plan.replaces:
        bench.calls.preview_update(token, stored, inputs, work)
    return said


def test_who_runs_with_what_is_replaced_is_named(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    volume, network = bench.volumes[0], bench.network
    assert network is not None
    other_volume = {**volume.inputs, "format": "raw"}
    other_network = {**network.inputs, "name": bench.name("other")}
    assert told(bench, "Volume", volume, other_volume) == []
    name = bench.name("user")
    made(running(bench, name))
    assert told(bench, "Volume", volume, other_volume) == [
        f'volume "{volume.state["name"]}" is unplugged from what runs with it before it is deleted: {name}'
    ]
    assert told(bench, "Volume", volume, {**volume.inputs, "size": "2MiB"}) == []
    assert told(bench, "Network", network, other_network) == [
        f'network "{network.state["name"]}" is cut off from what runs on it before it is deleted: {name}'
    ]


@pytest.mark.parametrize(
    ("more", "effect"),
    [({}, "takes effect at the next power cycle"), ({"updatePolicy": "restart"}, "shuts the guest down")],
)
def test_user_data_that_cloud_init_reads_again_but_does_not_run_again(
    bench: Bench, made: Callable[[Bag], Stored], more: Bag, effect: str
) -> None:
    raw = {**running(bench, bench.name("seed")), **more}
    stored = made(raw)
    (line,) = (
        line
        for line in told(bench, "Instance", stored, {**raw, "cloudInit": {**raw["cloudInit"], "packages": ["htop"]}})
        if line.startswith("cloudInit")
    )
    assert effect in line
    assert line.endswith("most of cloud-init's modules ran at the first boot and do not run again")
    assert told(bench, "Instance", stored, {**raw, "autostart": True}) == [
        "updatePolicy: a change that the running guest does not take shuts it down and starts it again"
    ] * bool(more)


def test_what_a_running_guest_has_to_agree_to(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = {**running(bench, bench.name("asked")), "maxMemory": "64MiB"}
    stored = made(raw)
    more = {**raw, "memory": "48MiB", "disks": [], "autostart": True}
    assert told(bench, "Instance", stored, more) == [
        f'"{raw["name"]}" runs without what is still pending: memory ({NO_BALLOON})',
        "memory, disks[0]: live if the guest agrees, else at its next power cycle",
    ]
    off = bench.update("Instance", stored, {**raw, "powerState": "stopped"}).stored
    assert told(bench, "Instance", off, {**more, "powerState": "stopped"}) == []


def test_nothing_waits_for_the_power_cycle_of_a_guest_that_is_off(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = {**running(bench, bench.name("off")), "powerState": "stopped"}
    stored = made(raw)
    more = {**raw, "maxMemory": "64MiB", "maxCpus": 2, "rootDisk": {**raw["rootDisk"], "bus": "sata"}}
    for wanted in ("stopped", "running"):
        assert told(bench, "Instance", stored, {**more, "powerState": wanted}) == []
    seed = {**raw, "cloudInit": {**raw["cloudInit"], "packages": ["htop"]}}
    only = "cloud-init runs most of its modules at a guest's first boot only"
    assert told(bench, "Instance", stored, seed) == [f"cloudInit.packages: {only}"]
    on = bench.update("Instance", stored, {**raw, "powerState": "running"}).stored
    assert told(bench, "Instance", on, more) == []  # and it is to be off
    later = ["maxCpus, maxMemory: takes effect at the next power cycle"]
    assert told(bench, "Instance", on, {**more, "powerState": "running", "rootDisk": raw["rootDisk"]}) == later


def test_a_saved_guest_comes_back_as_it_was(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = running(bench, bench.name("saved"))
    stored = made(raw)
    bench.connection.lookupByUUIDString(stored.id).managedSave(0)
    read = bench.read("Instance", stored)
    assert read is not None
    assert told(bench, "Instance", read, {**raw, "maxCpus": 2}) == ["maxCpus: takes effect at the next power cycle"]


def test_what_waits_is_told_by_every_plan_until_it_is_there(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = running(bench, bench.name("waits"))
    stored = made(raw)
    raw = {**raw, "maxCpus": 2, "rootDisk": {**raw["rootDisk"], "bus": "sata"}}
    stored = bench.update("Instance", stored, raw).stored
    cycle = "takes effect at the next power cycle"
    waits = f'"{raw["name"]}" runs without what is still pending: maxCpus, rootDisk.bus ({cycle})'
    for _ in range(2):
        calls, said = registered(Provider(virt_type="qemu")), list[str]()
        read = calls.read("Instance", stored, Work(warn=said.append))
        assert read is not None
        assert said == [waits]
        assert calls.diff("Instance", read, bench.inputs("Instance", raw), Work(warn=said.append)).changes == ()
        assert said == [waits]  # once in a plan that reads
    unread, said = registered(Provider(virt_type="qemu")), []
    unread.diff("Instance", stored, bench.inputs("Instance", raw), Work(warn=said.append))
    assert said == [waits]
    bench.connection.lookupByUUIDString(stored.id).destroy()
    on = bench.update("Instance", stored, raw).stored
    assert told(bench, "Instance", on, raw) == []

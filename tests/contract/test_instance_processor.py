"""CPU features, topology and the clock: written, read of the inactive definition alone, put back, refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.conftest import Bench, domain_of
from tests.contract.kinds import running

from jvp.core.errors import Rejected
from jvp.core.facts import Effect
from jvp.core.stored import Stored
from jvp.libvirt.link.xml import parse, put, sub, text_of, value

Bag = dict[str, Any]
INACTIVE = 2
CPU = {"features": {"x2apic": "disable", "ssse3": "require"}, "topology": {"cores": 2}}
CLOCK = {
    "offset": "localtime",
    "timers": [{"name": "hpet", "present": False}, {"name": "rtc", "tickpolicy": "catchup"}],
}


def bare(bench: Bench, **more: Any) -> Bag:
    """An instance that boots nothing, without disks and cards."""
    full = running(bench, bench.name("cpu"))
    return {name: one for name, one in full.items() if name not in ("disks", "nics")} | more


def test_a_running_guest_waits_for_its_power_cycle(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, cpus=2, cpuMode="Westmere", cpu=CPU, clock=CLOCK)
    stored = made(raw)
    for flags in (0, INACTIVE):
        root = parse(domain_of(bench, stored).XMLDesc(flags))
        assert value(root, "cpu/topology/@cores") == "2"
        assert value(root, "cpu/feature[@name=x2apic]/@policy") == "disable"
        assert value(root, "clock/@offset") == "localtime"
    assert stored.state["cpu"]["features"] == CPU["features"]
    assert not bench.plan("Instance", bench.read("Instance", stored), raw)

    less = {**raw, "cpu": {"topology": {"threads": 2}}, "clock": {"offset": "utc"}}
    changes = bench.calls.diff("Instance", stored, bench.inputs("Instance", less)).changes
    assert {(one.path[0], one.effect) for one in changes} == {("cpu", Effect.NEXT_BOOT), ("clock", Effect.NEXT_BOOT)}
    stored = bench.update("Instance", stored, less).stored
    assert [one.partition(":")[0] for one in stored.state["pending"]] == ["clock", "cpu"]
    assert not bench.plan("Instance", bench.read("Instance", stored), less)

    off = {**less, "powerState": "stopped"}
    stored = bench.update("Instance", stored, off).stored
    assert stored.state["pendingRestart"] is False
    plain = {name: one for name, one in off.items() if name not in ("cpu", "clock")}
    # The layout goes together with another number of CPUs.
    stored = bench.update("Instance", stored, {**plain, "cpus": 3}).stored
    root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
    assert [root.find(path) for path in ("cpu/topology", "cpu/feature", "clock/timer")] == [None, None, None]
    assert (stored.state.get("cpu"), stored.state.get("clock")) == (None, None)


def test_where_a_guest_runs_and_what_its_memory_is_made_of(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, cpuset="0", memoryBacking={"shared": True})
    stored = made(raw)
    for flags in (0, INACTIVE):
        root = parse(domain_of(bench, stored).XMLDesc(flags))
        said = [value(root, path) for path in ("vcpu/@cpuset", "memoryBacking/access/@mode")]
        assert said == ["0", "shared"]
    assert not bench.plan("Instance", bench.read("Instance", stored), {**raw, "cpuset": "0-1,^1"})
    less = {name: one for name, one in raw.items() if name not in ("cpuset", "memoryBacking")}
    stored = bench.update("Instance", stored, less).stored
    assert [one.partition(":")[0] for one in stored.state["pending"]] == ["cpuset", "memoryBacking"]
    stored = bench.update("Instance", stored, {**less, "powerState": "stopped"}).stored
    root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
    assert (value(root, "vcpu/@cpuset"), root.find("memoryBacking")) == (None, None)
    assert (stored.state.get("cpuset"), stored.state.get("memoryBacking")) == (None, None)


def test_what_nobody_declares_stays(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, cpus=2, cpuMode="Westmere", powerState="stopped")
    stored = made(raw)
    root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
    put(root, "cpu/topology/@sockets", "1")
    put(root, "cpu/topology/@cores", "2")
    put(root, "cpu/topology/@threads", "1")
    sub(root.find("cpu"), "feature", policy="disable", name="x2apic")
    put(root, "clock/@offset", "localtime")
    bench.connection.defineXML(text_of(root))
    read = bench.read("Instance", stored)
    assert read.state["cpu"]["features"] == {"x2apic": "disable"}
    assert read.state["clock"]["offset"] == "localtime"
    assert not bench.plan("Instance", read, raw)
    stored = bench.update("Instance", read, {**raw, "description": "another"}).stored
    root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
    assert value(root, "cpu/topology/@cores") == "2"
    assert value(root, "cpu/feature/@policy") == "disable"
    assert value(root, "clock/@offset") == "localtime"


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"cpu": {"features": {"vmx": "require"}}}, "set cpuMode, to maximum say"),
        ({"cpuMode": "Westmere", "cpu": {"features": {"warp": "require"}}}, 'libvirt knows no feature "warp" of a CPU'),
    ],
)
def test_features_that_cannot_be_leave_nothing(bench: Bench, own: Bag, sentence: str) -> None:
    raw = bare(bench, **own)
    with pytest.raises(Rejected) as refused:
        bench.create("Instance", raw["name"], raw)
    print(refused.value, refused.value.path)
    assert sentence in str(refused.value)
    assert refused.value.path == ("cpu", "features")
    assert raw["name"] not in [one.name() for one in bench.connection.listAllDomains()]

"""Memory of machines that have it in NUMA cells and in DIMMs: laid out by somebody, and changed by the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.kinds import running, stopped
from tests.contract.test_plan_words import told

from jvp.core.errors import Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, put, text_of

MIB = 1024**2
INACTIVE = 2
CELLS = (
    "<cpu><numa><cell id='0' cpus='0' memory='96' unit='MiB'/>"
    "<cell id='1' cpus='1' memory='32' unit='MiB'/></numa></cpu>"
)
DIMM = "<memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target></memory>"


def laid_out(bench: Bench, domain: Any, *, dimm: bool) -> None:
    """As somebody does it with `virsh edit`."""
    root = parse(domain.XMLDesc(INACTIVE))
    for old in root.findall("cpu"):
        root.remove(old)
    root.append(parse(CELLS))
    if dimm:
        root.insert(0, parse("<maxMemory slots='4' unit='MiB'>192</maxMemory>"))
        root.find("devices").append(parse(DIMM))
    bench.connection.defineXML(text_of(root))


def cells(domain: Any, flags: int = INACTIVE) -> list[int]:
    """In MiB."""
    return [int(one.get("memory")) // 1024 for one in parse(domain.XMLDesc(flags)).iterfind("cpu/numa/cell")]


@pytest.fixture
def declared(bench: Bench, made: Callable[[Bag], Stored]) -> Callable[..., tuple[Bag, Stored]]:
    """An instance of ours with two CPUs, whose memory somebody has laid out since."""

    def make(*, dimm: bool, runs: bool = False) -> tuple[Bag, Stored]:
        shape = running if runs else stopped
        total = "192MiB" if dimm else "128MiB"
        raw = {**shape(bench, bench.name("cells")), "cpus": 2, "memory": total, "powerState": "stopped"}
        stored = made(raw)
        laid_out(bench, domain_of(bench, stored), dimm=dimm)
        if runs:
            raw["powerState"] = "running"
            stored = bench.update("Instance", stored, raw).stored
        return raw, stored

    return make


@pytest.mark.parametrize(
    ("dimm", "wanted", "expected"),
    [
        (False, 256, [192, 64]),
        (False, 64, [48, 16]),
        (False, 131, [98, 33]),
        (True, 320, [192, 64]),
        (True, 66, [1, 1]),
    ],
)
def test_cells_change_in_proportion_and_dimms_stay(
    bench: Bench, declared: Callable[..., tuple[Bag, Stored]], dimm: bool, wanted: int, expected: list[int]
) -> None:
    raw, stored = declared(dimm=dimm)
    raw = {**raw, "memory": f"{wanted}MiB"}
    stored = bench.update("Instance", stored, raw).stored
    assert cells(domain_of(bench, stored)) == expected
    assert (stored.state["memoryBytes"], stored.state["maxMemoryBytes"]) == (wanted * MIB, wanted * MIB)
    bench.converged("Instance", stored, raw)


def test_what_somebody_laid_out_is_left_where_the_sum_is_right(
    bench: Bench, declared: Callable[..., tuple[Bag, Stored]]
) -> None:
    raw, stored = declared(dimm=True)
    before = domain_of(bench, stored).XMLDesc(INACTIVE)
    assert bench.plan("Instance", stored, raw) == []
    raw = {**raw, "autostart": True}
    bench.update("Instance", stored, raw)
    assert cells(domain_of(bench, stored)) == [96, 32]
    assert "<slots" not in before


def test_less_than_the_dimms_is_refused_and_the_plan_says_so(
    bench: Bench, declared: Callable[..., tuple[Bag, Stored]]
) -> None:
    raw, stored = declared(dimm=True)
    before = domain_of(bench, stored).XMLDesc(INACTIVE)
    raw = {**raw, "memory": "65MiB"}
    sentence = (
        "memory: is 65 MiB, and the machine has 64 MiB in DIMMs and 2 NUMA cells beside them: write 66MiB or more, or "
        'take <memory> out of its devices with "virsh edit"'
    )
    assert told(bench, "Instance", stored, raw) == [f"{sentence}: this will fail"]
    with pytest.raises(Rejected) as caught:
        bench.update("Instance", stored, raw)
    assert str(caught.value) == sentence
    assert domain_of(bench, stored).XMLDesc(INACTIVE) == before


def test_fewer_cpus_than_the_cells_name_are_refused(bench: Bench, declared: Callable[..., tuple[Bag, Stored]]) -> None:
    raw, stored = declared(dimm=False)
    sentence = (
        "maxCpus: is 1, and the NUMA cells in the machine's definition have 2: set maxCpus to 2 or more, or take CPUs "
        'out of the cells with "virsh edit"'
    )
    assert told(bench, "Instance", stored, {**raw, "cpus": 1}) == [f"{sentence}: this will fail"]
    with pytest.raises(Rejected) as caught:
        bench.update("Instance", stored, {**raw, "cpus": 1})
    assert str(caught.value) == sentence
    raw = {**raw, "cpus": 4}
    bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)


def test_a_running_guest_has_other_cells_after_its_power_cycle(
    bench: Bench, declared: Callable[..., tuple[Bag, Stored]]
) -> None:
    raw, stored = declared(dimm=True, runs=True)
    raw = {**raw, "memory": "320MiB"}
    stored = bench.update("Instance", stored, raw).stored
    assert stored.state["pendingRestart"] is True
    assert (cells(domain_of(bench, stored), 0), cells(domain_of(bench, stored))) == ([96, 32], [192, 64])
    stored = bench.converged("Instance", stored, raw)
    domain_of(bench, stored).destroy()
    stored = bench.update("Instance", stored, raw).stored
    assert cells(domain_of(bench, stored), 0) == [192, 64]
    assert stored.state["maxMemoryBytes"] == 320 * MIB


def test_an_import_with_cells_changes_as_well(bench: Bench, declared: Callable[..., tuple[Bag, Stored]]) -> None:
    _, made = declared(dimm=True)
    root = parse(domain_of(bench, made).XMLDesc(INACTIVE))
    for path in ("metadata", "uuid", "name"):
        drop(root, path)
    put(root, "name", bench.name("theirs"))
    domain = bench.connection.defineXML(text_of(root))
    found = bench.calls.import_("Instance", domain.name(), Work())
    assert found is not None
    assert bench.plan("Instance", found, found.inputs) == []
    raw = {**found.inputs, "memory": "256MiB", "maxMemory": "256MiB"}
    stored = bench.update("Instance", found, raw).stored
    assert cells(domain) == [144, 48]
    bench.converged("Instance", stored, raw)
    domain.undefine()

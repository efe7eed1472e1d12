"""How often the daemon is asked for a volume, a template and a pool: the numbers that a refresh and a plan may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.counted import counting

from jvp.core.outlook import Asked
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.resources.provider import Provider as Settings
from jvp.resources.registry import calls as registered

MANY = 20
Bag = dict[str, Any]


@pytest.fixture
def fresh(bench: Bench) -> Bench:
    """The calls of a process of their own, connected and acquainted with their host."""
    fresh = replace(bench, calls=registered(Settings(virt_type="qemu")))
    fresh.calls.host()
    return fresh


@pytest.fixture
def volumes(bench: Bench) -> Iterator[list[tuple[Stored, Bag]]]:
    """Volumes of one pool that have been read before, with their programs."""
    assert bench.pool is not None
    made: list[tuple[Stored, Bag]] = []
    for number in range(MANY):
        raw = {"name": bench.name("v"), "pool": bench.pool.state["name"], "size": "1MiB"}
        stored = bench.read("Volume", bench.create("Volume", f"v{number}", raw).stored)
        assert stored is not None
        made.append((stored, raw))
    yield made
    for stored, _ in made:
        bench.delete("Volume", stored)


def test_a_plan_asks_nothing_that_a_read_has_just_told(fresh: Bench, volumes: list[tuple[Stored, Bag]]) -> None:
    stored, raw = volumes[0]
    read = fresh.read("Volume", stored)
    assert read is not None
    inputs, bigger = fresh.inputs("Volume", raw), fresh.inputs("Volume", {**raw, "size": "2MiB"})
    with counting() as asked:
        assert not fresh.calls.diff("Volume", read, inputs, Work()).changes
    assert not asked
    # Nothing was read since: the plan looks itself, once.
    with counting() as asked:
        plan = fresh.calls.diff("Volume", read, bigger, Work())
        assert fresh.calls.preview_update("Volume", read, bigger, Work(), plan)["size"] == "2MiB"
    assert asked["virStoragePoolLookupByUUIDString"] == 1, asked
    read = fresh.read("Volume", stored)
    assert read is not None
    with counting() as asked:
        plan = fresh.calls.diff("Volume", read, bigger, Work())
        fresh.calls.preview_update("Volume", read, bigger, Work(), plan)
    assert not asked


def test_a_read_of_each_of_many_volumes_asks_as_often_as_of_one(
    fresh: Bench, volumes: list[tuple[Stored, Bag]]
) -> None:  # fmt: skip
    with counting() as asked:
        assert fresh.read("Volume", volumes[0][0]) == volumes[0][0]
    one = _beside_opening(asked)
    assert one <= 8, asked
    with counting() as asked, ThreadPoolExecutor(10) as threads:
        read = list(threads.map(lambda pair: fresh.read("Volume", pair[0]), volumes))
    assert read == [stored for stored, _ in volumes]
    assert _beside_opening(asked) <= one * MANY, asked


def test_a_plan_of_a_new_volume_looks_its_inputs_up_once(fresh: Bench) -> None:
    assert fresh.pool is not None
    said: list[str] = []
    raw = {"name": fresh.name("new"), "pool": fresh.pool.state["name"], "size": "1MiB"}
    key = fresh.key("Volume", "new")
    with counting() as asked:
        fresh.calls.preview_create("Volume", fresh.inputs("Volume", raw), Work(warn=said.append), Asked(lambda: key))
    assert not said
    del asked["virConnectOpen"]
    assert asked == {"virConnectListAllStoragePools": 1, "virStorageVolLookupByName": 2}, asked


def test_a_read_of_a_pool_asks_for_its_definition_once(fresh: Bench) -> None:
    assert fresh.pool is not None
    fresh.read("StoragePool", fresh.pool)  # the first one acknowledges
    with counting() as asked:
        read = fresh.read("StoragePool", fresh.pool)
    assert read is not None
    assert asked["virStoragePoolGetXMLDesc"] == asked["virStoragePoolRefresh"] == 1, asked
    assert _beside_opening(asked) <= 6, asked


def _beside_opening(asked: Counter[str]) -> int:
    """The calls; each new thread may open a connection first."""
    return asked.total() - asked["virConnectOpen"]

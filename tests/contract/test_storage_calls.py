"""How often libvirt is asked for one volume: nothing is looked up twice in a call, and the record is written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench
from tests.contract.counted import counting

from jvp.core.stored import Stored
from jvp.core.work import Work

WRITTEN = {"virStorageVolUpload": 1, "virStreamSend": 1, "virStreamFinish": 1}
READ = {
    "virStorageVolGetInfo": 1, "virStorageVolDownload": 1, "virStreamRecv": 1, "virStreamFinish": 1,
}  # fmt: skip


@pytest.fixture
def raw(bench: Bench) -> dict[str, Any]:
    assert bench.pool is not None
    return {"name": bench.name("counted"), "pool": bench.pool.id, "size": "1MiB", "format": "raw"}


@pytest.fixture
def volume(bench: Bench, raw: dict[str, Any]) -> Iterator[Stored]:
    stored = bench.create("Volume", "counted", raw).stored
    yield stored
    bench.delete("Volume", stored)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each volume is looked up. What others have on the node at the same time is looked up as well."""
    found, look = Counter[str](), libvirt.virStoragePool.storageVolLookupByName

    def counted(pool: Any, name: str) -> Any:
        found[name] += 1
        return look(pool, name)

    monkeypatch.setattr(libvirt.virStoragePool, "storageVolLookupByName", counted)
    return found


def test_create(bench: Bench, raw: dict[str, Any], looked: Counter[str]) -> None:
    inputs = bench.inputs("Volume", raw)
    with counting() as asked:
        stored = bench.calls.create("Volume", bench.key("Volume", "counted"), inputs, Work()).stored
    lookups = Counter(looked)
    bench.delete("Volume", stored)
    assert {name: asked[name] for name in WRITTEN} == WRITTEN
    # The record and the volume are looked for, and made.
    assert (lookups[raw["name"]], lookups[f".jvp-{raw['name']}.json"], asked["virStorageVolCreateXML"]) == (1, 1, 2)
    assert asked["virStoragePoolRefresh"] == 0
    # With running guests on the node, theirs and the pool's definition.
    assert asked.total() - asked["virDomainGetXMLDesc"] <= 13, asked


def test_first_read(bench: Bench, volume: Stored) -> None:
    """To acknowledge is one call, and none where it is noted."""
    with counting() as first:
        bench.read("Volume", volume)
    with counting() as second:
        bench.read("Volume", volume)
    assert first - second == {"virStorageVolResize": 1}


def test_update(bench: Bench, raw: dict[str, Any], volume: Stored) -> None:
    inputs = bench.inputs("Volume", {**raw, "detachOnDelete": False})
    with counting() as asked:
        bench.calls.update("Volume", volume, inputs, Work(), bench.key("Volume", "counted"))
    assert asked["virStorageVolUpload"] == 1, asked  # that acknowledges it
    assert asked["virConnectListAllDomains"] == 0, asked


def test_delete(bench: Bench, raw: dict[str, Any], looked: Counter[str]) -> None:
    """What else depends on what is on the node: the domains' definitions, the pools' volumes."""
    stored = bench.create("Volume", "counted", raw).stored
    looked.clear()
    with counting() as asked, counting(about=raw["name"]) as ours:
        bench.delete("Volume", stored)
    assert (asked["virStorageVolUpload"], asked["virStoragePoolRefresh"]) == (0, 0), asked
    assert {name: ours[name] for name in READ} == READ
    assert (looked[raw["name"]], looked[f".jvp-{raw['name']}.json"], asked["virStorageVolDelete"]) == (1, 1, 2)


def test_grow(bench: Bench, raw: dict[str, Any], volume: Stored, looked: Counter[str]) -> None:
    """All domains are looked at once, and no other volume's record."""
    inputs = bench.inputs("Volume", {**raw, "size": "2MiB"})
    looked.clear()
    with counting() as asked:
        bench.calls.update("Volume", volume, inputs, Work(), bench.key("Volume", "counted"))
    assert (asked["virConnectListAllDomains"], asked["virStorageVolResize"]) == (1, 1), asked
    records = {name for name in looked if name.startswith(".jvp-")}
    assert records == {f".jvp-{raw['name']}.json"}

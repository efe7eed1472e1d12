"""Disks give back what they take for nothing, and hold the same bytes before, meanwhile and after."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bag, Bench
from tests.contract.storage_support import MIB, Lines

from jvp.core.errors import Busy, Cancelled, Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.storage import reclaim
from jvp.resources.instance import compact_triggers
from jvp.resources.storage import compacting

make = test_snapshots.make
SIZE = 24 * MIB
CLUSTER = 65536


def fill(path: str, format: str) -> None:
    """Data, zeros that are stored, and both by turns, cluster by cluster."""
    said = [f"write -P 7 0 {4 * MIB}", f"write -P 0 {4 * MIB} {12 * MIB}"]
    said += [f"write -P {(at // CLUSTER) % 2} {at} {CLUSTER}" for at in range(16 * MIB, 20 * MIB, CLUSTER)]
    words = itertools.chain.from_iterable(("-c", one) for one in said)
    subprocess.run(["qemu-io", "-f", format, *words, path], check=True, capture_output=True)


def content(path: str, format: str, folder: Path) -> bytes:
    """What a guest reads, with a check of the image's own tables."""
    if format == "qcow2":
        subprocess.run(["qemu-img", "check", "-q", "-U", path], check=True)
    out = folder / "whole"
    subprocess.run(["qemu-img", "convert", "-U", "-f", format, "-O", "raw", path, out], check=True)
    return out.read_bytes()


def taken(path: str) -> int:
    return Path(path).stat().st_blocks * 512


@pytest.fixture
def volume(bench: Bench) -> Iterator[Callable[..., Stored]]:
    made: list[Stored] = []

    def one(format: str, **more: Any) -> Stored:
        assert bench.pool is not None
        raw = {"name": bench.name(f"c{len(made)}"), "pool": bench.pool.id, "size": "24MiB", "format": format, **more}
        made.append(bench.create("Volume", raw["name"], raw).stored)
        return made[-1]

    yield one
    for stored in made:
        assert not [path for path in Path(stored.state["path"]).parent.iterdir() if "compact" in path.name]
        bench.delete("Volume", stored)


def act(bench: Bench, stored: Stored, work: Work | None = None, **args: Any) -> Bag:
    token = "compactInstance" if "powerState" in stored.state else "compactVolume"
    return bench.calls.act(token, stored.id, args, work or Work())


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_a_volume_gives_back_its_zeros(bench: Bench, volume: Any, tmp_path: Path, format: str) -> None:
    stored = volume(format)
    path = stored.state["path"]
    fill(path, format)
    held, before, said = content(path, format, tmp_path), taken(path), Lines()
    assert before >= 20 * MIB
    result = act(bench, stored, said.work())
    # All data stays, and of each pair of clusters one: no run of zeros is too short.
    assert 6 * MIB <= taken(path) < 7 * MIB
    assert result == {"beforeBytes": before, "afterBytes": taken(path), "freedBytes": before - taken(path)}
    assert said.statuses[-1].startswith(f'volume "{stored.state["name"]}" takes 6.')
    assert content(path, format, tmp_path) == held
    assert act(bench, stored)["freedBytes"] == 0
    assert content(path, format, tmp_path) == held
    if format == "raw":  # room that is taken in advance reads as a hole
        with Path(path).open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, SIZE)
        assert act(bench, stored)["freedBytes"] >= 17 * MIB
        assert content(path, format, tmp_path) == held
    assert bench.plan("Volume", stored, stored.inputs) == []
    read = bench.read("Volume", stored)
    assert read is not None
    assert read.state == stored.state


def test_nobody_writes_meanwhile_and_two_at_once_both_do_it(
    bench: Bench, volume: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = volume("raw")
    path = stored.state["path"]
    fill(path, "raw")
    held, refused = content(path, "raw", tmp_path), []
    step = compacting._looked

    def meanwhile(*arguments: Any) -> Any:
        tried = subprocess.run(["qemu-io", "-f", "raw", "-c", "write -P 9 0 4k", path], capture_output=True, text=True)
        refused.append(tried.stderr + tried.stdout)
        return step(*arguments)

    monkeypatch.setattr(compacting, "_looked", meanwhile)
    others = [threading.Thread(target=act, args=(bench, stored)) for _ in range(2)]
    for one in others:
        one.start()
    for one in others:
        one.join()
    assert len(refused) == 2
    assert all("lock" in said for said in refused)
    assert taken(path) < 7 * MIB
    assert content(path, "raw", tmp_path) == held

    fill(path, "raw")
    with monkeypatch.context() as patch:
        patch.setattr(reclaim, "_commit", lambda work, *_: (work.cancelled.set(), work.check()))
        with pytest.raises(Cancelled):
            act(bench, stored)
    other = subprocess.Popen(["qemu-io", "-f", "raw", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write("read 0 512\n")
    other.stdin.flush()
    other.stdout.readline()
    with pytest.raises(Busy, match="is in use: something has it open"):
        act(bench, stored)
    other.communicate("quit\n")
    assert content(path, "raw", tmp_path) == held
    act(bench, stored)


def test_what_cannot_be_is_refused_in_a_sentence(bench: Bench, volume: Any, make: Any) -> None:
    stored = volume("qcow2")
    name, path = stored.state["name"], Path(stored.state["path"])
    child = path.with_name(f"{name}-child")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", path, "-F", "qcow2", child], check=True)
    bench.connection.storagePoolLookupByUUIDString(stored.state["poolUuid"]).refresh()
    with pytest.raises(Rejected, match=f'volume "{name}" is the base of .*/{name}-child'):
        act(bench, stored)
    child.unlink()
    bench.connection.storagePoolLookupByUUIDString(stored.state["poolUuid"]).refresh()
    machine = make("running")
    for one in (machine.volume, machine.stored):
        with pytest.raises(Rejected, match=r"its guest agent gives nothing back \(.*agent.*\); have the agent"):
            act(bench, one)
    machine.domain.suspend()
    with pytest.raises(Rejected, match="is paused, and its guest gives nothing back"):
        act(bench, machine.stored)
    with pytest.raises(Rejected, match='has no disk "none" that it can write to; it has'):
        act(bench, machine.stored, disk="none")


def test_an_instance_gives_back_what_its_disks_take_also_over_a_snapshot(
    make: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make("stopped")
    machine.write(1, 0)
    machine.write(2, 1)
    snapshot = machine.take("s1")
    machine.write(3, 2)
    machine.write(0, 1)  # zeros over data of the snapshot
    whole = [bytes((1, 0, 3, 0, 0, 0))] * 2
    assert machine.reads() == whole
    before = {path: taken(path) for _, path in machine.active().values()}
    result = act(bench, machine.stored, disk="data")
    assert result["freedBytes"] == CLUSTER
    assert act(bench, machine.stored)["freedBytes"] == CLUSTER  # the root disk's
    assert act(bench, machine.volume)["freedBytes"] == 0  # its layer was done with the instance
    assert all(taken(path) == size - CLUSTER for path, size in before.items())
    assert machine.reads() == whole
    bench.calls.act("rollbackSnapshot", snapshot.id, {}, Work())
    assert machine.reads() == [bytes((1, 2, 0, 0, 0, 0))] * 2

    done: list[str] = []
    step = compacting.compact_instance
    monkeypatch.setattr(compacting, "compact_instance", lambda *all: (done.append("done"), step(*all))[1])
    machine.stored = bench.update("Instance", machine.stored, machine.raw | {"compactTriggers": {"n": "1"}}).stored
    assert done == ["done"]
    machine.stored = bench.converged("Instance", machine.stored, machine.raw | {"compactTriggers": {"n": "1"}})
    bench.update("Instance", machine.stored, {**machine.raw, "compactTriggers": {"n": "1"}, "autostart": True})
    assert done == ["done"]
    new = {**machine.raw, "compactTriggers": {"n": "2"}}
    with monkeypatch.context() as patch:
        patch.setattr(compacting, "compact_instance", died)
        with pytest.raises(test_snapshots.Died):
            bench.update("Instance", machine.stored, new)
    left = bench.calls.read("Instance", machine.stored, Work())
    assert any(one.startswith(compact_triggers.TRIGGERS) for one in left.unfinished)
    for _ in range(2):  # the second time the engine died before it saved its state
        last = bench.update("Instance", machine.stored, new).stored
        assert done == ["done", "done"]
    machine.stored = last
    machine.drop(snapshot)


def died(*_: Any) -> Any:
    raise test_snapshots.Died


def test_a_change_of_the_triggers_compacts_a_volume_once(
    bench: Bench, volume: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = volume("qcow2", compactTriggers={"n": "1"})
    path = stored.state["path"]
    fill(path, "qcow2")
    raw = {name: stored.state[name] for name in ("name", "pool", "size", "format")}
    bench.update("Volume", stored, {**raw, "compactTriggers": {"n": "1"}, "detachOnDelete": False})
    assert taken(path) > 20 * MIB
    new = {**raw, "compactTriggers": {"n": "2"}}
    with monkeypatch.context() as patch:
        patch.setattr(compacting, "compact_volume", died)
        with pytest.raises(test_snapshots.Died):
            bench.update("Volume", stored, new)
    bench.update("Volume", stored, new)
    assert taken(path) < 7 * MIB
    fill(path, "qcow2")
    done = bench.update("Volume", stored, new).stored  # the engine died before it saved its state
    assert taken(path) > 20 * MIB
    bench.converged("Volume", done, new)
    done = bench.update("Volume", done, {**raw, "compactTriggers": {"n": "1"}}).stored
    assert taken(path) < 7 * MIB

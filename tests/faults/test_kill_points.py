"""SIGKILL at every writing call of every verb of every kind: what an engine does next converges, and nothing is left.

An engine whose provider died in a create knows nothing and creates again. After a death in update or delete its state
has the object; it reads, and then goes on from what it read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from tests import extent

from faults.forks import Forks
from faults.scenes import Stage
from faults.trial import NOWHERE, Trial
from hosts.daemon import SystemHost
from hosts.inventory import difference, inventory
from jvp.core.identity import Key
from jvp.core.stored import Stored

# Each verb in the scenes where it makes calls that no other scene has.
CREATED = (
    "network", "firewall", "pool", "pool-there", "volume", "volume-overlay", "volume-copy", "volume-converted",
    "volume-cloned", "volume-image", "template", "instance", "instance-seed", "instance-kept", "instance-off",
    "instance-iso", "instance-uefi", "snapshot-live", *(("snapshot", "snapshot-memory") if extent.everything() else ()),
)  # fmt: skip
READ = ("network", "pool", "volume", "template", "instance-kept")
DELETED = (
    "network", "firewall", "pool", "pool-there", "volume", "volume-overlay", "template", "instance", "instance-seed",
    "instance-kept", "instance-iso", "instance-uefi",
    *(("snapshot", "snapshot-live", "snapshot-memory") if extent.everything() else ()),
)  # fmt: skip
ROLLED_BACK = ("snapshot-memory", *(("snapshot", "snapshot-live") if extent.everything() else ()))
UPDATED = (
    "network", "firewall", "network-hosts", "network-hosts-gone", "pool", "volume", "template", "instance",
    "instance-seed", "instance-kept", "instance-off",
)  # fmt: skip


@pytest.fixture(scope="module")
def stage(fault_node: SystemHost, forks: Forks) -> Iterator[Stage]:
    bare = inventory(fault_node.uri, fault_node.pools)
    with contextlib.closing(Stage(fault_node, forks)) as made:
        yield made
    assert difference(bare, inventory(fault_node.uri, fault_node.pools)) == ""


@pytest.fixture
def trial(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Trial]:
    scene = stage.scene(request.param)
    if scene.name == "pool-there":
        Path(scene.properties["path"]).mkdir()
    trial = Trial(stage, scene)
    yield trial
    trial.sweep()
    if scene.name == "pool-there":
        Path(scene.properties["path"]).rmdir()


@pytest.mark.parametrize("trial", CREATED, indirect=True)
def test_create(trial: Trial) -> None:
    stored = trial.create()
    whole = trial.inventory()
    trial.delete(stored)

    def then(_place: str) -> None:
        stored = trial.create()
        trial.same(whole, "after the second create")
        assert not trial.forks("diff", trial.token, stored, trial.inputs).changes
        trial.delete(stored)

    trial.every(
        lambda place: trial.forks.order("create", trial.token, trial.key, trial.inputs, cut=place), then, lambda: None
    )


@pytest.mark.parametrize("trial", READ, indirect=True)
def test_first_read(trial: Trial) -> None:
    """The read that acknowledges."""
    held: list[Stored] = []

    def ready() -> None:
        held[:] = [trial.forks("create", trial.token, trial.key, trial.inputs).stored]

    def then(_place: str) -> None:
        trial.delete(trial.converge(held[0], trial.inputs))

    trial.every(lambda place: trial.forks.order("read", trial.token, held[0], cut=place), then, ready)


@pytest.mark.parametrize("trial", DELETED, indirect=True)
def test_delete(trial: Trial) -> None:
    """The next `up` makes it anew; and killed at the same place again, the next `destroy` ends what was begun."""
    held = [trial.create()]
    whole = trial.inventory()

    def ready() -> None:
        if not held:
            held.append(trial.create())

    def then(place: str) -> None:
        stored = trial.converge(held.pop(), trial.inputs)
        trial.same(whole, "after the up")
        trial.forks.order("delete", trial.token, stored, cut=place)
        found = trial.forks("read", trial.token, stored)
        if found is not None:
            trial.forks("delete", trial.token, found)
        trial.same(trial.bare, "after the destroy" if found else "the read said that it is gone")

    trial.every(lambda place: trial.forks.order("delete", trial.token, held[0], cut=place), then, ready)


@pytest.mark.parametrize("trial", UPDATED, indirect=True)
def test_update(trial: Trial) -> None:
    assert trial.scene.later is not None
    later = trial.forks("check", trial.token, dict(trial.scene.later))
    held = [trial.converge(trial.create(), later)]
    whole = trial.inventory()
    trial.delete(held[0])

    def ready() -> None:
        held[0] = trial.create()

    def then(_place: str) -> None:
        held[0] = trial.converge(held[0], later)
        trial.same(whole, "after the update", but="jvp-template-template-")
        trial.delete(held[0])

    trial.every(lambda place: trial.forks.order("update", trial.token, held[0], later, cut=place), then, ready)


@pytest.mark.parametrize("trial", ["volume-compact"], indirect=True)
def test_compact(trial: Trial) -> None:
    """The disk reads the same after each death, and the next run gives back what is zero."""
    stored = trial.create()
    path, content = stored.state["path"], b"\7" * 2**20 + bytes(3 * 2**20)

    def ready() -> None:
        with Path(path).open("r+b") as file:
            file.write(content)

    def then(place: str) -> None:
        assert Path(path).read_bytes() == content
        if place != NOWHERE:
            trial.forks("act", "compactVolume", stored.id, {})
            assert Path(path).read_bytes() == content
        assert Path(path).stat().st_blocks * 512 < 2 * 2**20
        trial.same(whole, "after the next run")

    ready()
    whole = trial.inventory()
    trial.every(lambda place: trial.forks.order("act", "compactVolume", stored.id, {}, cut=place), then, ready)
    trial.delete(stored)


@pytest.mark.parametrize("trial", ROLLED_BACK, indirect=True)
def test_rollback(trial: Trial) -> None:
    """An engine that died in a rollback asks for the same one again: it is done once, and the guest runs as it did."""
    snapshot, key = trial.create(), Key("", "Rollback", f"faults::{trial.scene.name}-back", "back")
    inputs, uuid = trial.forks("check", "Rollback", {"snapshot": snapshot.id}), snapshot.id.partition("/")[0]
    (record,) = trial.stage.host.pools.rglob(f".jvp-jvp-{uuid}-snap-*.json")

    def ways() -> int:
        return int(json.loads(record.read_text().partition("\0")[0]).get("facts", {}).get("ways", 0))

    def files() -> list[str]:
        words = ("memory", "layer") if trial.scene.name.endswith("memory") else ("layer",)
        return sorted(word for word in words for _ in record.parent.glob(f"jvp-{uuid}-{word}*"))

    def state() -> list[int]:
        with contextlib.closing(libvirt.open(trial.stage.host.uri)) as connection:
            found: list[int] = connection.lookupByUUIDString(uuid).state()
            return found

    before, runs, done = files(), state()[0], [ways()]

    def then(place: str) -> None:
        stored = trial.forks("create", "Rollback", key, inputs).stored
        assert ways() == done[0] + 1
        done[0] += 1
        assert files() == before
        reason = [libvirt.VIR_DOMAIN_RUNNING_RESTORED] if "memory" in before else state()[1:]
        assert state() == [runs, *reason]
        trial.forks("delete", "Rollback", stored)  # so that the next one is another request

    trial.every(
        lambda place: trial.forks.order("create", "Rollback", key, inputs, cut=place), then, lambda: None, share=0.15
    )
    trial.delete(snapshot)


@pytest.mark.parametrize("trial", ["volume"], indirect=True)
def test_export(trial: Trial, tmp_path: Path) -> None:
    """The next run for the same file writes it, and removes the copy that the node had made."""
    stored, out = trial.create(), tmp_path / "out"
    whole = trial.inventory()
    arguments = ("exportVolume", stored.id, {"path": str(out), "format": "raw"})

    def then(place: str) -> None:
        if place != NOWHERE:
            assert not out.exists() or out.stat().st_size == 8 * 2**20
            trial.forks("act", *arguments)
        assert out.read_bytes() == bytes(8 * 2**20)
        out.unlink()
        assert list(tmp_path.iterdir()) == []
        trial.same(whole, "after the next run")

    trial.every(lambda place: trial.forks.order("act", *arguments, cut=place), then, lambda: None)
    trial.delete(stored)

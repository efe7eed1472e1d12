"""SIGKILL at every writing call of every verb of every kind: what an engine does next converges, and nothing is left.

An engine whose provider died in a create knows nothing and creates again. After a death in update or delete its state
has the object; it reads, and then goes on from what it read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import extent

from faults.forks import Forks
from faults.scenes import Stage
from faults.trial import Trial
from hosts.daemon import SystemHost
from hosts.inventory import difference, inventory
from jvp.core.stored import Stored

# Each verb in the scenes where it makes calls that no other scene has.
CREATED = (
    "network", "pool", "pool-there", "volume", "volume-overlay", "volume-copy", "volume-converted", "volume-cloned",
    "volume-image", "template", "instance", "instance-seed", "instance-kept", "instance-off", "instance-iso",
    "instance-uefi", "snapshot-live", *(("snapshot",) if extent.everything() else ()),
)  # fmt: skip
READ = ("network", "pool", "volume", "template", "instance-kept")
DELETED = (
    "network", "pool", "pool-there", "volume", "volume-overlay", "template", "instance", "instance-seed",
    "instance-kept", "instance-iso", "instance-uefi", *(("snapshot", "snapshot-live") if extent.everything() else ()),
)  # fmt: skip
UPDATED = (
    "network", "network-hosts", "network-hosts-gone", "pool", "volume", "template", "instance",
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

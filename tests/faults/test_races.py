"""Two runs at once: on one name one of them wins; on one key the next run finds one object, whole.

An engine's lock keeps two runs of one stack apart. On one key they meet when an engine was killed and its plugin still
ends while the next run begins: one may then take back what the other made, and the run after that mends it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import extent

from faults.forks import Forks, Reply
from faults.scenes import Stage
from faults.trial import Trial
from hosts.daemon import SystemHost
from jvp.core.identity import Key

ROUNDS = int(os.environ.get("JVP_RACES") or extent.rounds(2, 8))
LOSING = {"Busy", "NameTaken"}
NAMES = ("network", "pool", "volume", "volume-overlay", "volume-copy", "template", "instance-seed")


@pytest.fixture(scope="module")
def forks(fault_node: SystemHost) -> Iterator[Forks]:
    """As patient as in life: what one of two began is not abandoned."""
    with contextlib.closing(Forks(fault_node.uri)) as found:
        yield found


@pytest.fixture(scope="module")
def stage(fault_node: SystemHost, forks: Forks) -> Iterator[Stage]:
    with contextlib.closing(Stage(fault_node, forks)) as made:
        yield made


@pytest.fixture(scope="module")
def rival(fault_node: SystemHost) -> Iterator[Forks]:
    with contextlib.closing(Forks(fault_node.uri)) as found:
        yield found


def race(
    trial: Trial, rival: Forks, first: tuple[Key, dict[str, Any]], second: tuple[Key, dict[str, Any]]
) -> list[Reply]:
    """Both creates at once."""
    trial.forks.start("create", trial.token, *first)
    rival.start("create", trial.token, *second)
    return [trial.forks.wait(), rival.wait()]


@pytest.mark.parametrize("name", NAMES)
def test_one_key(stage: Stage, rival: Forks, name: str) -> None:
    trial = Trial(stage, stage.scene(name))
    stored = trial.create()
    whole = trial.inventory()
    trial.delete(stored)
    both = (trial.key, trial.inputs)
    won = lost = 0
    said: set[str] = set()
    for _ in range(ROUNDS):
        replies = race(trial, rival, both, both)
        good = [reply.result.stored for reply in replies if reply.error is None]
        bad = [reply for reply in replies if reply.error is not None]
        said |= {reply.kind for reply in bad}
        try:
            assert not said & {"Bug", "Crash"}, [reply.error for reply in bad]
            assert len({stored.id for stored in good}) <= 1, [stored.id for stored in good]
            won += len(good)
            lost += bool(good and trial.forks("read", trial.token, good[-1]) is None)
            found = trial.converge(good[-1], trial.inputs) if good else trial.create()
            trial.same(whole, "after the run that followed")
            trial.delete(found)
        finally:
            trial.sweep()
    told = ", ".join(sorted(said)) or "nobody"
    print(f"\n{name}: {won} of {2 * ROUNDS} ended well, {lost} were taken back by the other; refused: {told}")


@pytest.mark.parametrize("name", NAMES)
def test_one_name(stage: Stage, rival: Forks, name: str) -> None:
    trial = Trial(stage, stage.scene(name))
    other = replace(trial.key, address="faults::rival")
    mine = {**trial.scene.properties, "name": "prize"}
    theirs = {**mine, **({"cidr": "192.168.90.0/24"} if name == "network" else {})}
    if name == "pool":
        theirs["path"] = str(Path(mine["path"]).with_name("rival"))
    inputs = [trial.forks("check", trial.token, properties) for properties in (mine, theirs)]
    for turn in range(ROUNDS):
        replies = race(trial, rival, (trial.key, inputs[0]), (other, inputs[1]))
        good = [reply.result.stored for reply in replies if reply.error is None]
        bad = [(reply.kind, reply.error) for reply in replies if reply.error is not None]
        try:
            assert all(kind in LOSING for kind, _ in bad), bad
            # A reader of the other's note may be in the way of its writer: then both are refused, and run again.
            assert len(good) == 1 or "Busy" in dict(bad), f"round {turn}: {len(good)} won; {bad}"
            trial.delete(trial.read(good[0]) if good else trial.create())
        finally:
            trial.sweep()


def test_a_mark_that_outlived_its_pool(stage: Stage) -> None:
    """libvirtd marks a pool to start with the node while another run undefines it, and the link stays behind."""
    trial = Trial(stage, stage.scene("pool"))
    stored = trial.create()
    whole = trial.inventory()
    trial.delete(stored)
    folder = stage.host.folder / "etc" / "storage"
    name = stored.state["name"]
    (folder / "autostart" / f"{name}.xml").symlink_to(f"/etc/libvirt/storage/{name}.xml")
    found = trial.create()
    trial.same(whole, "after the link was in the way")
    trial.delete(found)

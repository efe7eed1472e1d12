"""libvirtd restarted, or the line to it cut, in the middle of a verb: the error says so, and the next run converges."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import extent

from faults.forks import Forks, Reply
from faults.scenes import Stage
from faults.trial import Trial
from hosts.daemon import SystemHost

LOST_S = 90.0
"""A peer that vanished is noticed after 20 s, here after 5."""
RESTARTED = (
    ("network", signal.SIGTERM),
    ("pool", signal.SIGKILL),
    ("volume-overlay", signal.SIGTERM),
    ("template", signal.SIGKILL),
    ("instance-seed", signal.SIGKILL),
)


@pytest.fixture
def place(node: SystemHost, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Trial]]:
    """A scene on a node of its own, reached by TCP."""
    assert node.link is not None
    hurry = request.function is test_a_line_that_is_cut
    with contextlib.ExitStack() as ends:
        forks = ends.enter_context(contextlib.closing(Forks(node.uri, impatient=True, hurry=hurry)))
        stage = ends.enter_context(contextlib.closing(Stage(node, forks)))
        yield lambda name: Trial(stage, stage.scene(name))


def held(trial: Trial, number: int, meanwhile: Callable[[], None], folder: Path) -> Reply:
    """Create, and at the writing call of this number do something to the daemon first."""
    file = folder / "held"
    trial.forks.start("create", trial.token, trial.key, trial.inputs, cut=f"hold:{number}:{file}")
    end = time.monotonic() + LOST_S
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.005)
    assert file.exists(), "the call never came"
    meanwhile()
    file.unlink()
    return trial.forks.wait()


@pytest.mark.parametrize(("name", "number"), extent.sample(RESTARTED, "restarts", share=0.6))
def test_a_daemon_that_is_restarted(
    place: Callable[[str], Trial], node: SystemHost, name: str, number: signal.Signals, tmp_path: Path
) -> None:
    trial = place(name)
    stored = trial.create()
    whole = trial.inventory()
    trial.delete(stored)
    count = len(trial.forks.order("create", trial.token, trial.key, trial.inputs).calls)
    trial.delete(trial.create())
    told = 0
    points = extent.sample(range(1, count + 1), f"{name} {number.name}", share=0.34)
    for point in points:
        reply = held(trial, point, lambda: node.daemon.restart(number), tmp_path)
        if reply.error is not None:
            told += 1
            assert reply.kind == "Unreachable", f"{point} {reply.calls[-1]}: {reply.kind}: {reply.error}"
            assert "run the command again" in reply.error
        stored = trial.create()
        trial.same(whole, f"after the restart at {point} {reply.calls}")
        trial.delete(stored)
    print(f"\n{name}, {number.name}: {len(points)} restarts at {count} calls, {told} of them told as an error")


@pytest.mark.parametrize("name", extent.sample(("volume-overlay", "instance-seed"), "lines", share=0.5, least=1))
def test_a_line_that_is_cut(place: Callable[[str], Trial], node: SystemHost, name: str, tmp_path: Path) -> None:
    trial = place(name)
    stored = trial.create()
    whole = trial.inventory()
    trial.delete(stored)
    assert node.link is not None
    start = time.monotonic()
    reply = held(trial, 3, node.link.cut, tmp_path)
    took = time.monotonic() - start
    node.link.mend()
    assert reply.kind == "Unreachable", f"{reply.kind}: {reply.error}"
    assert reply.error is not None
    assert "lost the connection" in reply.error or "cannot connect" in reply.error
    assert took < LOST_S
    stored = trial.create()
    trial.same(whole, "after the line was mended")
    trial.delete(stored)
    print(f"\n{name}: noticed after {took:.1f} s")

"""The race's own side once, over a few objects: it measures what it says it does, however long that takes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench import contestants, engines, handshake, racing, report, rows
from bench.results import FLOOR, PROCESS
from hosts import daemon


@pytest.fixture
def foreground() -> Iterator[None]:
    """Signals as the race has them; the other tests get theirs back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    racing.hear_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("foreground")
def test_jvp_races_the_engine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    if why := daemon.missing() or engines.missing("tofu"):
        pytest.skip(why)
    monkeypatch.setattr(racing, "STARTS", 1)
    ours = contestants.ours("tofu")
    with racing.node(["volumes2"]) as (host, folder):
        found = racing.race([ours, replace(ours, label=contestants.NOBODY)], ["volumes2"], 1, host, folder)
        assert host.connection.listAllStoragePools() == []
    assert found.failures == {}
    launches = [found.median("tofu", "JVP", "volumes2", verb, lambda one: one.launches) for verb in engines.VERBS]
    assert all(launches)
    for verb in engines.VERBS:
        assert found.median("tofu", "JVP", "volumes2", verb, report.cpu)
    assert found.peak("tofu", "JVP", lambda one: one.memory)
    # The engine's starts came from the warm process that was there for them.
    warm = found.median("tofu", "JVP", PROCESS, "held", lambda one: one.launches)
    assert warm == (None if handshake.is_cold(os.environ) else 1)
    assert set(found.labels("")) == {FLOOR}
    assert "| 2 volumes: up " in report.text(found, "")
    assert "tofu: 2 volumes, up" in {row.name for row in rows.all_of(found)}

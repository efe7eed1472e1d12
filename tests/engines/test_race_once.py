"""The race's own side once, over a few objects: it measures what it says it does, however long that takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import contestants, engines, racing, report, rows
from bench.results import FLOOR
from hosts import daemon


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
    assert set(found.labels("")) == {FLOOR}
    assert "| 2 volumes: up " in report.text(found, "")
    assert "tofu: 2 volumes, up" in {row.name for row in rows.all_of(found)}

"""What a run of `make test` samples, and its table of times."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests import extent, starting, timing


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("JVP_TESTS", raising=False)
    monkeypatch.delenv("JVP_TEST_START", raising=False)
    monkeypatch.setenv("JVP_SEED", "one")
    extent.seed.cache_clear()
    yield
    extent.seed.cache_clear()


def test_a_sample_is_a_part_in_order_and_the_same_again() -> None:
    found = extent.sample(range(100), "x", share=0.34)
    assert len(found) == 34
    assert found == sorted(set(found))
    assert extent.sample(range(100), "x", share=0.34) == found
    assert extent.sample(range(100), "y", share=0.34) != found


def test_each_test_has_one_way_of_starting_and_the_same_again() -> None:
    names = [f"tests/engines/test_{number}.py" for number in range(200)]
    usual = [starting.ways(name, both=False) for name in names]
    assert usual == [starting.ways(name, both=False) for name in names]
    assert {len(ways) for ways in usual} == {1}
    assert 20 < usual.count(["plain"]) < 80
    assert 70 < [starting.ways(name, both=True) for name in names].count(["plain"]) < 130


def test_what_is_for_both_ways_is_tried_in_both_unless_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JVP_TESTS", "all")
    assert starting.ways("x", both=True) == ["warm", "plain"]
    assert len(starting.ways("x", both=False)) == 1
    monkeypatch.setenv("JVP_TEST_START", "plain")
    assert starting.ways("x", both=True) == starting.ways("x", both=False) == ["plain"]
    assert "plainly" in starting.told()
    monkeypatch.setenv("JVP_TEST_START", "cold")
    with pytest.raises(pytest.UsageError, match="must be one of warm, plain"):
        starting.told()


def test_another_seed_is_another_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    found = extent.sample(range(100), "x", share=0.34)
    monkeypatch.setenv("JVP_SEED", "two")
    extent.seed.cache_clear()
    assert extent.sample(range(100), "x", share=0.34) != found


def test_few_places_are_all_tried() -> None:
    assert extent.sample("ab", "x", share=0.34) == ["a", "b"]
    assert len(extent.sample("abcdef", "x", share=0.1)) == 3


def test_everything_is_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JVP_TESTS", "all")
    assert extent.sample(range(100), "x", share=0.34) == list(range(100))
    assert extent.rounds(2, 8) == 8


def test_without_a_seed_the_code_is_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JVP_SEED")
    extent.seed.cache_clear()
    assert len(extent.seed()) == 8
    assert extent.seed() in extent.told()


def test_the_time_of_a_tier_counts_its_fixtures_and_its_tests() -> None:
    reports: Any = [
        SimpleNamespace(nodeid="tests/lab/test_a.py::b", when="setup", duration=2.0),
        SimpleNamespace(nodeid="tests/lab/test_a.py::b", when="call", duration=1.5),
        SimpleNamespace(nodeid="tests/unit/core/test_c.py::d", when="call", duration=0.25),
    ]
    unit, lab = timing.table(reports)
    assert unit.split() == ["unit", "1", "tests", "0.2", "s"]
    assert lab.split() == ["lab", "1", "tests", "3.5", "s"]


def test_what_is_quick_runs_first() -> None:
    names = [
        "tests/lab/test_a.py::b",
        "tests/contract/test_a.py::b",
        "tests/test_a.py::b",
        "tests/unit/core/test_c.py::d",
    ]
    assert [timing.tier(name) for name in sorted(names, key=timing.turn)] == ["unit", "contract", "lab", "other"]

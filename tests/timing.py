"""Which tier runs when, and where a run's time went; pytest itself lists the slowest tests."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

TIERS = ("unit", "doors", "contract", "hosts", "engines", "faults", "lab")
"""In this order: what is quick to try is the first to fail."""


def tier(nodeid: str) -> str:
    """The tier of a test, by the folder that it lies in."""
    parts = nodeid.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else "other"


def turn(nodeid: str) -> int:
    """When a test has its turn, by its tier alone."""
    name = tier(nodeid)
    return TIERS.index(name) if name in TIERS else len(TIERS)


def table(reports: list[pytest.TestReport]) -> list[str]:
    """A line for each tier that ran: tests, and seconds with their fixtures."""
    seconds: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for report in reports:
        name = tier(report.nodeid)
        seconds[name] += report.duration
        tests[name] += report.when == "call"
    order = sorted(seconds, key=lambda name: turn(f"tests/{name}/"))
    return [f"{name:<10} {tests[name]:>5} tests {seconds[name]:>8.1f} s" for name in order]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    # A subtest has a report of its own, whose time is in its test's too.
    every = [one for group in terminalreporter.stats.values() for one in group if type(one) is pytest.TestReport]
    # A test's setup and teardown that went well stand under the empty name; a skip stands once.
    lines = table(every)
    if lines:
        terminalreporter.section("time per tier")
        for line in lines:
            terminalreporter.write_line(line)

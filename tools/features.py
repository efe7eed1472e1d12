"""Prints what works through which door, and the tests that show it: `make features`.

Nothing is run: how the tests of tests/shown.py ended stands in the report of the last `make test`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lxml import etree
from tests.shown import DOORS, SHOWN, Shown

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "build" / "tests.xml"
FUNCTIONS = ROOT / "docs" / "features.md"
TITLES = {"pulumi": "Pulumi", "dynamic": "dynamic", "terraform": "Terraform", "rest": "REST", "cli": "CLI"}
PASSED, FAILED, SKIPPED, NOT_RUN, NONE = "yes", "FAILED", "skipped", "not run", "-"


def main() -> int:
    """The command."""
    if not REPORT.exists():
        print("no tests were reported yet: run make test, or a part of it by make test ARGS='tests/contract'")
        return 1
    newest = max(path.stat().st_mtime for folder in ("provider", "tests") for path in (ROOT / folder).rglob("*.py"))
    for line in table(functions(), ended(REPORT), SHOWN):
        print(line)
    if newest > REPORT.stat().st_mtime:
        print("\nThe report is older than the sources: run make test.")
    return 0


def functions() -> dict[str, str]:
    """Every function by its id."""
    return dict(re.findall(r"^\| ([A-Z]\d+) \| (.+) \|$", FUNCTIONS.read_text(encoding="utf-8"), re.MULTILINE))


def ended(report: Path) -> dict[str, str]:
    """How each test ended, by the dotted name of its file and its own name."""
    found: dict[str, str] = {}
    for case in etree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        how = FAILED if kinds & {"failure", "error"} else SKIPPED if "skipped" in kinds else PASSED
        name = f"{case.get('classname')}::{case.get('name')}"
        found[name] = FAILED if FAILED in (how, found.get(name)) else how
    return found


def outcome(test: str, ends: Mapping[str, str]) -> str:
    """How all variants of a test ended: one that failed counts more than one that passed."""
    path, _, name = test.partition("::")
    wanted = f"{path.removesuffix('.py').replace('/', '.')}::{name}"
    found = {how for one, how in ends.items() if one == wanted or one.startswith(f"{wanted}[")}
    return _worst(found) if found else NOT_RUN


def _worst(found: set[str]) -> str:
    return next(how for how in (FAILED, PASSED, SKIPPED, NOT_RUN) if how in found)


def table(known: Mapping[str, str], ends: Mapping[str, str], shown: Sequence[Shown]) -> Iterator[str]:
    """The lines of the table."""
    yield f"| id | function | {' | '.join(TITLES[door] for door in DOORS)} | test |"
    yield "|---" * (len(DOORS) + 3) + "|"
    for function, words in known.items():
        ours = [one for one in shown if function in one.functions.split()]
        cells = []
        for door in DOORS:
            hows = {outcome(one.test, ends) for one in ours if door in one.doors.split()}
            cells.append(_worst(hows) if hows else NONE)
        tests = "<br>".join(one.test for one in ours) or NONE
        yield f"| {function} | {words} | {' | '.join(cells)} | {tests} |"


if __name__ == "__main__":
    sys.exit(main())

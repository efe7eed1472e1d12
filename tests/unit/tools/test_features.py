"""The table of functions tells what the tests showed, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.shown import DOORS, SHOWN, Shown
from tools import features

REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_good[x]"/><testcase classname="tests.a" name="test_good[y]"/>
<testcase classname="tests.a" name="test_bad[x]"/>
<testcase classname="tests.a" name="test_bad[y]"><failure message="no"/></testcase>
<testcase classname="tests.a" name="test_torn"/><testcase classname="tests.a" name="test_torn"><error/></testcase>
<testcase classname="tests.a" name="test_left"><skipped message="no daemon"/></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize("one", SHOWN, ids=[one.test for one in SHOWN])
def test_every_test_that_is_named_is_there(one: Shown) -> None:
    path, _, name = one.test.partition("::")
    name, _, variant = name.partition("[")
    text = (features.ROOT / path).read_text(encoding="utf-8")
    if path.endswith("/test_parity.py"):  # its scenarios about networks have a file of their own
        text += (features.ROOT / path).with_name("parity_networks.py").read_text(encoding="utf-8")
    for function in filter(None, (name, variant.rstrip("]"))):
        assert re.search(rf"^def {function}\(", text, re.MULTILINE)
    assert set(one.doors.split()) <= set(DOORS)
    assert set(one.functions.split()) <= set(features.functions())


def test_what_did_not_run_or_failed_is_told(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    shown = [
        Shown("tests/a.py::test_good", "pulumi rest", "V1"), Shown("tests/a.py::test_bad", "rest cli", "V1"),
        Shown("tests/a.py::test_left", "pulumi", "V2"), Shown("tests/a.py::test_never", "cli", "V2"),
        Shown("tests/a.py::test_bad[x]", "rest", "V2"), Shown("tests/a.py::test_torn", "terraform", "V2"),
    ]  # fmt: skip
    known = {"V1": "one", "V2": "two", "V3": "three"}
    rows = [line.split(" | ") for line in features.table(known, features.ended(report), shown)][2:]
    assert [row[2:7] for row in rows] == [
        ["yes", "-", "-", "FAILED", "FAILED"],
        ["skipped", "-", "FAILED", "yes", "not run"],
        ["-", "-", "-", "-", "-"],
    ]
    assert rows[0][-1] == "tests/a.py::test_good<br>tests/a.py::test_bad |"

"""The audit in the index: what is added stays, and is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from jvp.core import trail
from jvp.core.audit import Caller, Entry
from jvp.core.errors import Unreachable
from jvp.core.trail import Query
from jvp.index import audit
from jvp.index.store import Index

ANNA, CI = Caller("user anna", "rest", "local"), Caller("token ci", "rest", "10.0.0.7")
REFUSED = (Unreachable, IntegrityError)
"""PostgreSQL and SQLite call it different names."""
BEGUN = Entry("c1", 1000.5, ANNA, "apply", "Instance", "", "web", ("name", "memory"), "begun")
DONE = replace(BEGUN, outcome="done", id="i-1", changed=("memory",), seconds=0.25)
OTHERS = [
    replace(BEGUN, call="c2", at=1001.25),
    replace(BEGUN, call="c3", at=1001.25, caller=CI, kind="Volume", id="p-1/data", name="lab/data"),
    replace(DONE, call="c3", at=1001.25, caller=CI, kind="Volume", id="p-1/data", name="lab/data", outcome="failed",
            detail="volumes are out"),
]  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    lite = f"sqlite:///{tmp_path}/jvp.db"
    found = Index(lite if request.param == "sqlite" else request.getfixturevalue("postgres")())
    for entry in (BEGUN, DONE, *OTHERS):
        audit.add(found, entry)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        (Query(), ["c3 failed", "c2 unknown", "c1 done"]),
        (Query(since=1001.0), ["c3 failed", "c2 unknown"]),
        (Query(limit=1), ["c3 failed", "c2 unknown"]),
        (Query(limit=1, before=(1001.25, "c3")), ["c2 unknown", "c1 done"]),
        (Query(kind="Volume"), ["c3 failed"]),
        (Query(name="data"), ["c3 failed"]),
        (Query(name="at%"), []),
        (Query(name="i-1"), ["c1 done"]),
        (Query(who="ANNA"), ["c2 unknown", "c1 done"]),
        (Query(who="_nna"), []),
        (Query(door="cli"), []),
        (Query(outcome="unknown"), ["c2 unknown"]),
        (Query(outcome="done"), ["c1 done"]),
    ],
)
def test_entries_are_found_as_they_are_in_the_file(index: Index, query: Query, calls: list[str]) -> None:
    found = audit.newest(index, query)
    assert [f"{one.call} {one.outcome}".replace("begun", "unknown") for one in found] == calls
    assert trail.newest(found, query) == trail.newest((BEGUN, DONE, *OTHERS), query)


@pytest.mark.parametrize("change", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit WHERE number = 1"])
def test_the_database_refuses_to_change_what_was_added(index: Index, change: str) -> None:
    with pytest.raises(REFUSED, match="the audit is only added to"), index.session() as session:
        session.execute(text(change))
    assert len(audit.newest(index, Query())) == 3


def test_its_owner_can_remove_what_is_old(index: Index) -> None:
    """As docs/audit.md says."""
    words = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
    kind = "postgresql" if index.url.startswith("postgresql") else "sqlite"
    lines = words.partition(f"```sql {kind}\n")[2].partition("```")[0].replace("2026-01-01", "1970-01-01 00:16:41")
    begin, *change, commit = lines.strip().split(";\n")
    assert (begin, commit) == ("BEGIN", "COMMIT;")
    with index.session() as session:
        for line in change:
            session.execute(text(line.replace(":", r"\:")))
    assert [one.call for one in audit.newest(index, Query())] == ["c3", "c2"]
    with pytest.raises(REFUSED, match="the audit is only added to"), index.session() as session:
        session.execute(text("DELETE FROM audit"))

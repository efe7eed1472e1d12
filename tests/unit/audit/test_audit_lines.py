"""The audit as lines of JSON: who writes beside whom, what is left of a full disk, and what is read again."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jvp.audit import lines, who
from jvp.core import trail
from jvp.core.audit import About, Audit, Caller, Entry
from jvp.core.trail import Query
from jvp.core.work import Work

NOVEMBER, DECEMBER = 1795000000.123, 1797000000.5
BEGUN = Entry("c1", NOVEMBER, Caller("uid 7 (anna)", "cli", program="shop/dev"), "apply", "Instance", "", "wéb",
              ("name", "memory"), "begun")  # fmt: skip
DONE = replace(BEGUN, id="i-1", outcome="partial", detail="it waits", changed=("memory",), seconds=0.25)
WRITER = """
import sys
from dataclasses import replace
from jvp.audit import lines
from jvp.core.audit import Caller, Entry
caller = Caller("uid 7 (anna)", "cli")
sys.stdin.readline()
for number in range(300):
    call = f"{sys.argv[1]}{number}"
    lines.write(Entry(call, 1795000000.0 + number, caller, "apply", "Instance", "", call, ("name",) * 300, "done"))
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user who is not root."""
    monkeypatch.delenv("JVP_AUDIT")
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "jvp"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JVP_AUDIT", str(tmp_path / "audit"))
    return tmp_path / "audit"


def test_a_file_of_each_month_that_its_user_alone_reads(state: Path) -> None:
    later = replace(DONE, call="c2", at=DECEMBER)
    for entry in (BEGUN, DONE, later):
        lines.write(entry)
    assert sorted(one.name for one in state.iterdir()) == ["audit-7-2026-11.jsonl", "audit-7-2026-12.jsonl"]
    assert {stat.S_IMODE(one.stat().st_mode) for one in state.iterdir()} == {0o600}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    first = json.loads((state / "audit-7-2026-11.jsonl").read_text().splitlines()[1])
    assert first == {
        "at": "2026-11-18T11:06:40.123Z", "call": "c1", "who": "uid 7 (anna)", "door": "cli", "origin": "local",
        "program": "shop/dev", "verb": "apply", "kind": "Instance", "id": "i-1", "name": "wéb",
        "properties": ["name", "memory"], "changed": ["memory"], "outcome": "partial", "seconds": 0.25,
        "detail": "it waits",
    }  # fmt: skip
    assert trail.newest(lines.newest(Query()), Query()) == [later, DONE]
    assert lines.newest(Query(since=DECEMBER)) == [later]
    assert lines.newest(Query(limit=0)) == [later], "no older file is read than is needed"


def test_a_call_without_an_end_is_not_known(file: Path) -> None:
    lines.write(BEGUN)
    query = Query(outcome="unknown")
    assert trail.newest(lines.newest(query), query) == [replace(BEGUN, outcome="unknown")]
    lines.write(DONE)
    assert lines.newest(query) == []


def test_processes_that_write_at_once_tear_no_line(file: Path) -> None:
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, name], stdin=subprocess.PIPE, text=True) for name in "ab"]
    for one in writers:
        assert one.stdin is not None
        one.stdin.write("now\n")
        one.stdin.flush()
    assert [one.communicate()[0] or one.returncode for one in writers] == [0, 0]
    whole = [json.loads(line) for line in file.read_text().splitlines()]
    assert {one["call"] for one in whole} == {f"{name}{number}" for name in "ab" for number in range(300)}
    assert len(whole) == 600


def test_who_holds_the_files_lock_holds_nobody_up(file: Path) -> None:
    lines.write(BEGUN)
    with file.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        lines.write(DONE)
    assert lines.newest(Query()) == [DONE]


def test_a_line_that_was_cut_takes_no_other_with_it(file: Path) -> None:
    lines.write(BEGUN)
    with file.open("a") as there:
        there.write('{"at": "2026-11')
    lines.write(DONE)
    with file.open("a") as there:
        there.write('[]\n{"call": "c9"}\n' + "[" * 100_000 + "\n")
    assert trail.newest(lines.newest(Query()), Query()) == [DONE]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("/dev/full", r"\(/dev/full\): No space left on device"),
        ("/dev/null/audit", r"\(/dev/null/audit\): Not a directory"),
        ("audit.jsonl", 'JVP_AUDIT takes "off" or an absolute path'),
    ],
)
def test_where_nothing_can_be_written_one_line_says_so(
    given: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JVP_AUDIT", given)
    audit, said = Audit(lines.write), list[str]()
    for _ in range(2):
        assert audit.run(lambda: About("create", "Instance"), Work(warn=said.append), lambda _work: "made") == "made"
    (line,) = said
    assert re.search(sentence, line), line


def test_a_process_that_is_killed_in_a_change_has_begun_it(file: Path) -> None:
    program = """
import os, signal
from jvp.audit import lines
from jvp.core.audit import About, Audit
from jvp.core.work import Work
about = lambda: About("create", "Instance", name="web")
Audit(lines.write).run(about, Work(), lambda work: os.kill(os.getpid(), signal.SIGKILL))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    (entry,) = trail.newest(lines.newest(Query()), Query())
    assert (entry.verb, entry.name, entry.outcome) == ("create", "web", "unknown")


def test_it_may_be_off(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("JVP_AUDIT", "off")
    lines.write(BEGUN)
    assert not state.exists()


def test_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert who.who() == "uid 0 (root)"
    monkeypatch.setenv("SUDO_USER", "anna")
    assert who.who() == "uid 0 (root) by sudo of anna"
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert who.who() == "uid 4000000 (no name)"

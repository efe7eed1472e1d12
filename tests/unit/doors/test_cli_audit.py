"""`jvp audit`: the lines of this machine and the index, in order of time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jvp.audit import lines
from jvp.core.audit import Caller, Entry
from jvp.doors.cli.main import main
from jvp.index import audit
from jvp.index.store import Index

BEGUN = Entry("c1", 1795000000.25, Caller("uid 7 (anna)", "cli"), "apply", "StoragePool", "", "web", ("name",), "begun")
DONE = replace(BEGUN, outcome="done", id="i-1", changed=("active",))
OTHER = replace(DONE, call="c2", at=BEGUN.at + 60, caller=Caller("token ci", "rest", "10.0.0.7"))
LAST = replace(BEGUN, call="c3", at=BEGUN.at + 120)
ODD = replace(LAST, call="c4", at=BEGUN.at - 60, name="\x1b[31m")


@pytest.fixture(autouse=True)
def _written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JVP_AUDIT", str(tmp_path / "audit"))
    monkeypatch.setenv("JVP_INDEX", f"sqlite:///{tmp_path}/index.db")
    index = Index(f"sqlite:///{tmp_path}/index.db")
    for entry in (BEGUN, OTHER):  # the index was gone when the first one ended
        audit.add(index, entry)
    index.close()
    for entry in (DONE, LAST):
        lines.write(entry)


def calls(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["audit", *words, "-o", "json"]) == 0
    return [f"{one['call']} {one['outcome']}" for one in json.loads(capsys.readouterr().out)]


def test_both_are_told_in_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert calls(capsys) == ["c1 done", "c2 done", "c3 unknown"]
    assert calls(capsys, "--index", "none") == ["c1 done", "c3 unknown"]
    assert calls(capsys, "-n", "2") == ["c2 done", "c3 unknown"]
    assert calls(capsys, "--kind", "pool", "--door", "cli", "--name", "web") == ["c1 done", "c3 unknown"]
    assert calls(capsys, "--outcome", "unknown", "--who", "Anna") == ["c3 unknown"]
    assert calls(capsys, "--since", "2026-11-18T11:07:00Z") == ["c2 done", "c3 unknown"]
    assert calls(capsys, "--since", "1h") == []


def test_people_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    lines.write(ODD)
    assert main(["audit"]) == 0
    head, odd, first, _, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["AT", "WHO", "DOOR", "VERB", "KIND", "NAME", "OUTCOME", "CHANGED", "DETAIL"]
    assert "uid 7 (anna)" in first
    assert "active" in first
    assert r"\x1b[31m" in odd
    assert "not known" in last


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--outcome", "bad"], "jvp: outcome: must be one of done, partial, failed, cancelled, unknown"),
        (["--door", "window"], "jvp: door: must be one of pulumi, terraform, dynamic, cli, rest"),
        (["--kind", "cloud"], 'jvp: kind: "cloud" is no kind of resource; there are '),
        (["--since", "yesterday"], "jvp: since: must be a duration, like 1h, or a time"),
        (["--since", "9000h"], 'jvp: since: "9000h" is more than a week'),
        (["--name", "a\0"], "jvp: name: is too long, or has characters that no entry has"),
        (["--who", "a" * 70_000], "jvp: who: is too long"),
        (["--index", "mysql://x/y"], 'jvp: index: "mysql" is no database'),
    ],
)
def test_what_is_wrong_is_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    assert main(["audit", *words]) == 2
    assert capsys.readouterr().err.startswith(sentence)

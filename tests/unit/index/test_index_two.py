"""Two servers on one database, each in a process of its own, do not disturb each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 20
SERVER = """
import json, sys, time
from pathlib import Path
from jvp.index import tokens
from jvp.index.store import Index
from jvp.index.tables import AuditRow

_, url, folder, me, other = sys.argv
def meet(what):
    Path(folder, what + me).touch()
    while not Path(folder, what + other).exists():
        time.sleep(0.001)

meet("opens")
index = Index(url)
words = [tokens.create(index, me, "viewer", once=True)[1] for _ in range(ROUNDS)]
Path(folder, "words" + me).write_text(json.dumps(words))
meet("made")
both = [word for one in sorted((me, other)) for word in json.loads(Path(folder, "words" + one).read_text())]
taken = [word for word in both if tokens.verify(index, word)]
rows = []
for number in range(ROUNDS):
    row = AuditRow(call=f"{me}{number}", at=time.time(), who=me, door="rest", origin="local", program="",
                   verb="create", kind="Instance", object_id="", name=str(number),
                   properties=["memory"], changed=[], outcome="done", detail="", seconds=0.1)
    with index.session() as session:
        session.add(row)
        session.flush()
        rows.append(row.number)
print(json.dumps([words, taken, rows]))
""".replace("ROUNDS", str(ROUNDS))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_both_migrate_and_take_and_write_at_once(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jvp.db" if kind == "sqlite" else request.getfixturevalue("postgres")()
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", SERVER, url, str(tmp_path), *names], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for names in (("a", "b"), ("b", "a"))
    ]
    ends = [one.communicate(timeout=120) for one in servers]
    assert [one.returncode for one in servers] == [0, 0], ends
    (words, taken, rows), (other_words, other_taken, other_rows) = (json.loads(said) for said, _ in ends)
    assert sorted(taken + other_taken) == sorted(words + other_words)
    assert len({*rows, *other_rows}) == 2 * ROUNDS

"""The inventory: the newest word on an object wins, and a search tells when it was."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from jvp.core.errors import Unreachable
from jvp.doors.rest import inventory as door
from jvp.doors.rest.changes import Call
from jvp.doors.rest.operations import Answer
from jvp.index import inventory, tokens
from jvp.index.inventory import Note
from jvp.index.store import Index

NODE, OTHER = "8c1e6b2e-0c5b-4c0e-9f0a-0e9b1c5d7a11", "c0ffee00-0c5b-4c0e-9f0a-0e9b1c5d7a11"
IDS = [f"{number}d4cf1a0-5b1e-4c0e-9f0a-0e9b1c5d7a11" for number in range(4)]


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    found = Index(
        f"sqlite:///{tmp_path}/jvp.db" if request.param == "sqlite" else request.getfixturevalue("postgres")()
    )
    yield found
    found.close()


def item(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": IDS[number], "name": name, **more}


def found(index: Index, wanted: str) -> list[tuple[str, float]]:
    return [(hit.name, hit.seen) for hit in inventory.search(index, wanted)]


def test_what_is_newer_wins_and_a_list_of_all_tells_what_is_gone(index: Index) -> None:
    both = [item(0, "web", ipAddress="10.9.0.7", state="running"), item(1, "db")]
    inventory.write(index, NODE, [Note("Instance", both, 10.0, whole=True)])
    inventory.write(index, OTHER, [Note("Instance", [item(0, "web elsewhere")], 10.0, whole=True)])
    # One that began earlier, and ended later.
    inventory.write(index, NODE, [Note("Instance", [item(0, "old name"), item(2, "new")], 9.0, whole=True)])
    assert found(index, "web") == [("web", 10.0), ("web elsewhere", 10.0)]
    assert found(index, "db") == [("db", 10.0)]
    # A list without details finds what is new, gone or renamed, and says nothing of the rest.
    plain = [item(0, "web", state="stopped"), item(1, "database")]
    inventory.write(index, NODE, [Note("Instance", plain, 11.0, details=False, whole=True)])
    assert found(index, "10.9.0.7") == [("web", 10.0)]
    assert found(index, "database") == [("database", 11.0)]
    assert found(index, "new") == []
    # A list of some says nothing of others.
    inventory.write(index, NODE, [Note("Instance", [item(1, "db2")], 12.0)])
    assert found(index, "db") == [("db2", 12.0)]
    assert found(index, "web") == [("web", 10.0), ("web elsewhere", 10.0)]
    inventory.write(index, NODE, [Note("Instance", (), 13.0, gone=(IDS[0], IDS[3]))])
    assert found(index, "web") == [("web elsewhere", 10.0)]


def test_a_search_takes_the_text_as_it_is(index: Index) -> None:
    items = [item(0, "Web_1", tags={"team": "Öl"}), item(1, "web-1", ipAddress="fd00::7"), item(2, "x", tags=["a%b"])]
    volume = {"id": f"{IDS[3]}/root", "name": "root", "pool": "fast"}
    inventory.write(index, NODE, [Note("Instance", items, 1.0), Note("Volume", [volume], 2.0)])
    for wanted, names in {
        "WEB": ["Web_1", "web-1"], "b_1": ["Web_1"], "team=öl": ["Web_1"], "fd00": ["web-1"], "%": ["x"],
        "fast/ro": ["root"], IDS[3][:8].upper(): ["root"], IDS[0]: ["Web_1"], IDS[0][5:]: [], "\0": [], "\ud800": [],
    }.items():  # fmt: skip
        assert [hit.name for hit in inventory.search(index, wanted)] == names, wanted
    assert [hit.name for hit in inventory.search(index, "w", limit=1)] == ["Web_1"]
    assert [hit.name for hit in inventory.search(index, "1", takes=lambda hit: hit.id == IDS[1])] == ["web-1"]


def test_a_rebuild_touches_the_inventory_of_its_node_alone(index: Index) -> None:
    token, _ = tokens.create(index, "ci", "viewer")
    inventory.write(
        index, NODE, [Note("Instance", [item(0, "a"), item(1, "b")], 1.0), Note("Gone", [item(2, "c")], 1.0)]
    )
    inventory.write(index, OTHER, [Note("Instance", [item(0, "b elsewhere")], 1.0)])
    inventory.rebuild(index, NODE, [Note("Instance", [item(1, "b")], 2.0)])
    assert found(index, "") == [("b", 2.0), ("b elsewhere", 1.0)]
    assert tokens.all_of(index) == [token]


def test_a_server_writes_later_and_a_failing_index_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = Index(f"sqlite:///{tmp_path}/jvp.db")
    kept = door.Inventory(index, lambda: NODE)
    now = time.time()
    kept.listed("Instance", [item(0, "web", cpus=2)], {"details": True}, now)
    assert found(index, "") == []  # no request waits for it
    kept.flush()
    assert found(index, "") == [("web", now)]
    made = {**item(1, "db"), "declaredBy": {"door": "rest", "label": "user anna"}, "memory": "1GiB", "state": "running"}
    kept.changed(Call("create", "Instance"), Answer(201, made))
    kept.changed(Call("act", "startInstance", id=IDS[1]), Answer(200, {"state": "running"}))
    kept.changed(Call("delete", "Instance", id=IDS[0]), Answer(204))
    kept.flush()
    (hit,) = inventory.search(index, "")
    assert hit.item == {"id": IDS[1], "name": "db", "state": "running", "declaredBy": "rest:user anna"}

    with index.session() as session:
        session.execute(text("ALTER TABLE inventory RENAME TO away"))
    for _ in range(2):
        kept.listed("Instance", [], {}, now)
        kept.flush()
    with pytest.raises(Unreachable, match="no such table"):
        inventory.search(index, "web")
    with index.session() as session:
        session.execute(text("ALTER TABLE away RENAME TO inventory"))
    kept.listed("Instance", [item(2, "back")], {}, time.time())
    kept.flush()
    assert [name for name, _ in found(index, "")] == ["back"]
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert [one.partition(":")[0] for one in told] == ["the inventory is not kept"]

    monkeypatch.setattr(threading.Thread, "start", lambda _thread: (_ for _ in ()).throw(RuntimeError("no more")))
    kept.listed("Instance", [], {}, time.time())
    index.close()


def test_what_waits_is_bounded_and_a_list_of_all_stands_for_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = door.Inventory(object(), lambda: NODE)  # type: ignore[arg-type]
    written = list[Note]()
    monkeypatch.setattr(inventory, "write", lambda _index, _node, notes: written.extend(notes))
    for number in range(door.NOTES_MAX + 50):
        kept.listed("Volume", [], {"pool": str(number)}, 1.0 + number)
    for number in range(200):
        kept.listed("Instance", [], {"details": True}, float(number))
    kept.listed("Instance", [], {}, 300.0)
    kept.flush()
    assert len([one for one in written if one.kind == "Volume"]) == door.NOTES_MAX - 2
    assert [(one.at, one.details) for one in written if one.kind == "Instance"] == [(199.0, True), (300.0, False)]
    nothing = door.Inventory(None, lambda: NODE)
    nothing.listed("Instance", [], {}, 1.0)
    nothing.flush()

"""The operations in an index, as two servers have them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from jvp.index import ledger
from jvp.index.ledger import Ledger
from jvp.index.store import Index


@pytest.fixture(params=["sqlite", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """Two servers on one index."""
    url = f"sqlite:///{tmp_path}/jvp.db" if request.param == "sqlite" else request.getfixturevalue("postgres")()
    opened = [Index(url) for _ in range(2)]
    yield Ledger(opened[0]), Ledger(opened[1])
    for index in opened:
        index.close()


def columns(id: str, **more: Any) -> dict[str, Any]:
    known = {
        "node": "n",
        "kind": "Network",
        "object": "",
        "place": "web",
        "what": "PUT /x",
        "caller": "anna",
        "tries": 1,
    }
    return {"id": id, "call": {"verb": "apply"}, **known, **more}


def said(one: Ledger, seconds: float) -> None:
    """Have the server have said nothing for so long."""
    with one._index.session() as session:
        session.execute(text("UPDATE servers SET said = said - :s WHERE id = :id"), {"s": seconds, "id": one.server})


def older(one: Ledger, id: str, seconds: float) -> None:
    names = "started = started - :s, ended = ended - :s, ends = ends - :s"
    with one._index.session() as session:
        session.execute(text(f"UPDATE operations SET {names} WHERE id = :id"), {"s": seconds, "id": id})


def test_what_a_silent_server_left_is_taken_by_one(two: tuple[Ledger, Ledger]) -> None:
    one, other = two
    noted = one.add(columns("a"), 60)
    assert noted.ends - noted.started == pytest.approx(60, abs=1)
    assert other.orphans() == []
    said(one, ledger.SILENT_S + 1)
    ((row, _, is_late),) = other.orphans()
    assert (row.id, row.call, is_late) == ("a", {"verb": "apply"}, False)
    assert other.take(row, "another node") is None
    with ThreadPoolExecutor(2) as pool:
        third = Ledger(other._index)
        taken = [*pool.map(lambda taker: taker.take(row, "n"), (other, third))]
    assert sorted(left is None for left in taken) == [False, True]
    assert next(left for left in taken if left is not None) == pytest.approx(60, abs=10)
    assert not one.end("a", "succeeded", keeps_key=True)
    assert one.say({}, ["a"]) == {}
    (taker,) = [one for one, left in zip((other, third), taken, strict=True) if left is not None]
    one.cancel("a")
    assert taker.say({"a": {"line": "half"}}, ["a"]) == {"a": "cancelling"}
    assert taker.end("a", "cancelled", keeps_key=False, answer=None)
    found = one.get("a")
    assert found is not None
    assert (found.state, found.tries, found.progress) == ("cancelled", 2, {"line": "half"})
    one.cancel("a")
    assert [row.state for row in one.over(["a", "b"])] == ["cancelled"]


def test_what_a_server_leaves_waits_for_nobody(two: tuple[Ledger, Ledger]) -> None:
    one, other = two
    for id in ("a", "b"):
        one.add(columns(id), 60)
    one.release("a")
    assert [(row.id, row.tries) for row, _, _ in other.orphans()] == [("a", 0)]
    one.leave()
    assert {row.id for row, _, _ in other.orphans()} == {"a", "b"}


def test_a_key_stands_for_its_request_for_a_day(two: tuple[Ledger, Ledger]) -> None:
    one, other = two
    with ThreadPoolExecutor(4) as pool:
        rows = [*pool.map(lambda n: two[n % 2].add(columns(f"k{n}", request="key"), 60).id, range(4))]
    assert len({*rows}) == 1
    (id,) = {*rows}
    assert one.end(id, "succeeded", keeps_key=True) or other.end(id, "succeeded", keeps_key=True)
    older(one, id, ledger.KEY_S - 60)
    assert other.add(columns("x", request="key"), 60).id == id
    older(one, id, 120)
    assert other.by_key("key") is None
    assert other.add(columns("y", request="key"), 60).id == "y"
    other.end("y", "interrupted", keeps_key=False)
    assert one.by_key("key") is None


def test_what_is_later_overtakes(two: tuple[Ledger, Ledger]) -> None:
    one, other = two
    first = one.add(columns("a", object="id"), 60)
    assert not other.is_overtaken(first)
    for number, more in enumerate(({"node": "m"}, {"kind": "Volume"}, {"place": "else"})):
        other.add(columns(f"b{number}", **more), 60)
    assert not other.is_overtaken(first)
    other.add(columns("c", object="id", place="renamed"), 60)
    assert other.is_overtaken(first)
    other.end("c", "failed", keeps_key=True)
    assert not other.is_overtaken(first)
    other.add(columns("d"), 60)
    assert other.is_overtaken(first)


def test_pages_and_what_is_forgotten(two: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT", 3)
    one, _ = two
    for number in range(8):
        one.add(columns(f"o{number}", request="key" if number == 1 else None), 60)
        older(one, f"o{number}", 100 - number)
        if number != 2:
            one.end(f"o{number}", "succeeded", keeps_key=True)
    page = one.page({"state": None, "kind": ["Network"]}, 3, None)
    assert [row.id for row in page] == ["o7", "o6", "o5"]
    page = one.page({"state": ["running"], "caller": ["anna"]}, 3, (page[-1].started, page[-1].id))
    assert [row.id for row in page] == ["o2"]
    older(one, "o7", ledger.KEPT_S)
    one.clean()  # o7 is too old, o0 and o3 are too many, o1 has a key, and o2 runs
    assert [row.id for row in one.page({}, 10, None)] == ["o6", "o5", "o4", "o2", "o1"]


def test_a_turn_is_one_operations_until_it_is_over(two: tuple[Ledger, Ledger]) -> None:
    one, other = two
    for id in ("a", "b"):
        one.add(columns(id), 60)
    assert [one.take_turn("t", "a"), other.take_turn("t", "b"), other.take_turn("t", "a")] == [True, False, True]
    one.leave_turn("t", "a")
    assert other.take_turn("t", "b")
    assert not one.take_turn("t", "a")
    one.end("b", "failed", keeps_key=True)
    assert one.take_turn("t", "a")
    one.end("a", "failed", keeps_key=True)
    one.clean()

"""Operations in an index: one that fails, and what becomes of those that another server left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jvp.core.audit import Caller
from jvp.core.errors import Invalid, Unreachable
from jvp.core.work import Work
from jvp.doors.rest import durable
from jvp.doors.rest.durable import Durable
from jvp.doors.rest.operations import Answer, Asked, Operation, Operations
from jvp.doors.rest.problems import Refused
from jvp.index.ledger import Ledger
from jvp.index.store import Index

SOON_S = 30.0
BY = Caller("token anna", "rest", "192.0.2.1")


class House:
    """One server's operations on an index."""

    def __init__(self, url: str, node: str = "n") -> None:
        self.index = Index(url)
        self.ledger, self.operations = Ledger(self.index), Operations()
        self.told: list[tuple[str, str]] = []
        self.again: list[dict[str, Any]] = []
        self.operations.publish = lambda kind, document: self.told.append((kind, document["state"]))
        self.operations.durable = self.durable = Durable(self.operations, self.ledger, lambda: node, self.made_again)

    def made_again(self, call: dict[str, Any], work: Work) -> Answer:
        assert work.caller == BY
        self.again.append(call)
        return Answer(200, {"name": "made again"})

    def start(self, run: Callable[[Work], Answer], call: dict[str, Any] | None = None, **asked: Any) -> Operation:
        return self.operations.start("PUT /x", "anna", run, 60, Asked(call=call, kind="Network", by=BY, **asked))

    def state(self, id: str) -> str:
        """As the index has it."""
        row = self.ledger.get(id)
        assert row is not None
        return row.state

    def end(self) -> None:
        self.operations.stop(SOON_S)
        self.index.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jvp.db"


@pytest.fixture
def house(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(durable, "TICK_S", 0.05)
    monkeypatch.setattr(durable, "LOOK_S", 0.05)
    found = House(url)
    yield found
    found.end()


def soon(done: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def nothing(_work: Work) -> Answer:
    return Answer(204)


def test_an_end_is_noted_whatever_letters_the_request_or_the_guest_has(postgres: Callable[[], str]) -> None:
    house = House(postgres())

    def run(work: Work) -> Answer:
        work.warn("the guest says \0")
        raise Invalid('there is no property "a"', path=("a\0b",))

    operation = house.start(run)
    assert operation.idle.wait(SOON_S)
    assert house.state(operation.id) == "failed"
    house.end()


def test_an_index_that_fails_ends_nothing_that_runs_and_lets_nothing_begin(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house.durable.open()
    go_on = threading.Event()

    def run(work: Work) -> Answer:
        work.status("half")
        go_on.wait(SOON_S)
        return Answer(200, {"name": "web"})

    operation = house.start(run)
    soon(lambda: (row := house.ledger.get(operation.id)) is not None and (row.progress or {}).get("line") == "half")

    def fails(*_arguments: Any, **_named: Any) -> Any:
        raise Unreachable("the index does not answer")

    with monkeypatch.context() as broken:
        for name in ("add", "get", "by_key", "page", "say", "end", "over", "orphans", "clean"):
            broken.setattr(house.ledger, name, fails)
        soon(lambda: "operations go on" in caplog.text)
        with pytest.raises(Refused) as refused:
            house.start(nothing)
        assert refused.value.problem["status"] == 503
        assert "what cannot be noted there is not begun" in refused.value.problem["detail"]
        go_on.set()
        assert operation.done.wait(SOON_S)
        assert house.operations.get(operation.id).document()["result"] == {"name": "web"}
        with pytest.raises(Refused, match="does not answer"):
            house.operations.get("another")
        with pytest.raises(Refused):
            house.operations.page(durable.Filter(), 10, None)
    soon(lambda: "answers again" in caplog.text)
    assert house.state(operation.id) == "succeeded"
    assert house.operations.all() == []
    assert caplog.text.count("operations go on") == 1
    assert house.operations.get(operation.id).document()["result"] == {"name": "web"}
    assert [state for _, state in house.told] == ["running", "running", "succeeded"]


def test_what_another_server_left_is_gone_on_with_or_reported(url: str, house: House) -> None:
    dead = House(url)
    ids: dict[str, str] = {}
    for name, seconds, more in (
        ("whole", 60, {}),
        ("revoked", 60, {"call": {"name": "revoked", "token_id": "0" * 12}}),
        ("secret", 60, {"call": None}),
        ("late", -1, {}),
        ("often", 60, {"tries": durable.TRIES}),
        ("overtaken", 60, {"place": "web"}),
        ("later", 60, {"place": "web"}),
        ("cancelled", 60, {}),
        ("elsewhere", 60, {"node": "m"}),
        ("long ago elsewhere", -120, {"node": "m"}),
    ):
        operation = Operation(Asked().id, "PUT /x", "anna", Work(), Asked(call={"name": name}, kind="Network", by=BY))
        ids[name] = operation.id
        dead.ledger.add({**operation.columns("n"), **more}, seconds)
    dead.ledger.cancel(ids["cancelled"])
    dead.end()
    house.durable.open()
    left = {"elsewhere"}
    soon(lambda: all(house.state(id) not in ("running", "cancelling") for name, id in ids.items() if name not in left))
    assert {name: house.state(id) for name, id in ids.items()} == {
        "whole": "succeeded", "secret": "interrupted", "late": "interrupted", "often": "interrupted",
        "revoked": "interrupted",
        "overtaken": "interrupted", "later": "succeeded", "cancelled": "cancelled", "elsewhere": "running",
        "long ago elsewhere": "interrupted",
    }  # fmt: skip
    assert sorted(one["name"] for one in house.again) == ["later", "whole"]
    for name, words in (
        ("secret", "is not kept"), ("late", "the time for it is over"), ("often", "so were 2"),
        ("overtaken", "a later request"), ("revoked", "is not valid any more"),
    ):  # fmt: skip
        problem = house.operations.get(ids[name]).document()["problem"]
        assert words in problem["detail"]
    row = house.ledger.get(ids["whole"])
    assert row is not None
    assert row.call is None  # nobody needs it any more


def test_a_server_that_is_stopped_leaves_what_it_can_and_reports_the_rest(url: str, house: House) -> None:
    def run(work: Work) -> Answer:
        work.cancelled.wait(SOON_S)
        work.check()
        return Answer(204)

    first = House(url)
    first.durable.open()
    kept, secret, cancelled = first.start(run, {"name": "kept"}), first.start(run), first.start(run, {"name": "no"})
    told: list[str] = []
    kept.listen(lambda: told.append(kept.state))
    first.operations.cancel(cancelled)
    first.end()
    assert told == ["running"]
    assert [house.state(one.id) for one in (kept, secret, cancelled)] == ["running", "interrupted", "cancelled"]
    house.durable.open()
    found = house.operations.get(kept.id)
    heard = threading.Event()
    found.listen(heard.set)
    assert heard.wait(SOON_S)
    soon(lambda: house.state(kept.id) == "succeeded")
    assert house.again == [{"name": "kept"}]

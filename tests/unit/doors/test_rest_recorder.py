"""The audit of a server: into the index, and beside it where that fails or hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jvp.audit import lines
from jvp.audit.finding import find
from jvp.core.audit import Caller, Entry
from jvp.core.errors import Unreachable
from jvp.core.trail import Query
from jvp.doors.rest import recorder
from jvp.doors.rest.bus import Bus
from jvp.doors.rest.recorder import Recorder
from jvp.index import audit
from jvp.index.store import Index

BEGUN = Entry("c1", 1795000000.25, Caller("token ci", "rest", "10.0.0.7"), "apply", "Volume", "", "a", (), "begun")
DONE = replace(BEGUN, outcome="done")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setenv("JVP_AUDIT", str(tmp_path / "audit"))
    found = Index(f"sqlite:///{tmp_path}/index.db")
    yield found
    found.close()


def found(index: Index) -> list[str]:
    """What a reader of both is told."""
    return [one.outcome for one in find(Query(), lambda query: audit.newest(index, query))]


def in_lines() -> list[str]:
    return [one.outcome for one in lines.newest(Query())]


def test_the_index_has_what_a_server_is_asked_and_the_bus_tells_of_ends(index: Index) -> None:
    bus = Bus()
    listener = bus.listen("anna", lambda _event: True, lambda: None)
    record = Recorder(index, bus)
    record(BEGUN)
    assert found(index) == ["unknown"]
    record(DONE)
    assert (found(index), in_lines()) == (["done"], [])
    told = [event.document for event in bus.take(listener)[0]]
    assert [(one["call"], one["outcome"]) for one in told] == [("c1", "done")]


def test_without_an_index_the_lines_have_it(index: Index) -> None:
    record = Recorder(None, Bus())
    record(BEGUN)
    record(DONE)
    assert in_lines() == ["done"]


def test_an_index_that_fails_in_the_middle_is_one_line_in_the_log(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_index: Index, _entry: Entry) -> None:
        raise Unreachable("the index postgresql://db does not answer: gone")

    record = Recorder(index, Bus())
    record(BEGUN)
    with caplog.at_level(logging.WARNING, "jvp"), monkeypatch.context() as broken:
        broken.setattr(audit, "add", fails)
        record(DONE)
        record(replace(BEGUN, call="c2"))
    assert [one.getMessage() for one in caplog.records] == [
        f"the audit goes to {lines.folder()} for now, for the index cannot be written: "
        "the index postgresql://db does not answer: gone"
    ]
    assert found(index) == ["unknown", "done"]
    monkeypatch.setattr(recorder, "AGAIN_S", 0.0)
    record._rests_until = 0.0
    record(replace(DONE, call="c2"))
    assert found(index) == ["done", "done"], "what begins in the lines ends there, too"
    assert in_lines() == ["done", "done"]


def test_an_index_that_hangs_holds_no_call_up(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    comes_back, add = threading.Event(), audit.add

    def hangs(index: Index, entry: Entry) -> None:
        assert comes_back.wait(60)
        add(index, entry)

    monkeypatch.setattr(audit, "add", hangs)
    monkeypatch.setattr(recorder, "WAIT_S", 0.01)
    record = Recorder(index, Bus())
    record(BEGUN)
    record(DONE)
    assert found(index) == in_lines() == ["done"]
    comes_back.set()
    end = time.monotonic() + 60
    while [one.outcome for one in audit.newest(index, Query())] != ["begun"]:
        assert time.monotonic() < end
        time.sleep(0.01)

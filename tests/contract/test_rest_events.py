"""The stream of events over the real daemon: whoever changes something, it is told once."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path
from typing import Any

from tests.contract import kinds
from tests.contract.conftest import Bench
from tests.contract.rest_support import END_S, server


def words(heard: list[tuple[str, dict[str, Any]]], name: str) -> list[str]:
    return [one["event"] for kind, one in heard if kind == "object" and one["name"] == name]


def test_a_guest_is_heard_of_whoever_acts_and_after_a_while_away(bench: Bench, tmp_path: Path) -> None:
    raw = kinds.running(bench, bench.name("heard"))
    name, path = raw["name"], f"instances/{raw['name']}"
    with server(tmp_path) as rest:
        with rest.listening(kinds="object", names=f"{name}*") as heard:
            made = rest.done("POST", "instances", raw)
            began = heard.until("object", event="started")
            assert words(began, name).count("started") == 1
            assert {(one["kind"], one["id"]) for _, one in began} == {("Instance", made["id"])}
            bench.connection.lookupByName(name).suspend()  # anybody, not through jvp
            heard.until("object", event="paused")
            last = heard.last
        rest.done("DELETE", path)
        with rest.listening(last, kinds="object", names=f"{name}*") as heard:
            missed = words(heard.until("object", event="undefined"), name)
            assert (missed.count("stopped"), missed.count("undefined")) == (1, 1)
            assert "paused" not in missed
        with rest.listening("1") as heard:
            assert heard.until("gap")[0][0] == "gap"
        with rest.listening(names=f"{name}-net") as heard:
            rest.done("PUT", f"networks/{name}-net", {"mode": "isolated"})
            told = heard.until("operation", state="succeeded")
            assert {kind for kind, _ in told} >= {"operation", "audit"}
            assert next(one["state"] for kind, one in told if kind == "operation") == "running"
            rest.done("DELETE", f"networks/{name}-net")
            heard.until("object", event="undefined")
        assert rest.problem("GET", "events?kinds=objects")["errors"][0]["pointer"] == "/kinds"
        assert rest.problem("GET", "events?kind=object")["errors"][0]["pointer"] == "/kind"


def test_the_end_of_the_server_waits_for_no_listener(tmp_path: Path) -> None:
    with server(tmp_path) as rest, contextlib.ExitStack() as closing:
        heard = closing.enter_context(rest.listening())
        silent = closing.enter_context(socket.socket(socket.AF_UNIX))
        silent.connect(str(tmp_path / "jvp.sock"))  # it reads nothing
        silent.sendall(b"GET /api/events HTTP/1.1\r\nHost: jvp\r\n\r\n")
        assert rest.ask("HEAD", "events").status_code == 200
        rest.process.send_signal(signal.SIGTERM)
        assert [kind for kind, _ in heard if kind != "object"] == []
        assert rest.process.wait(END_S) == 0
        text = rest.log.read_text()
    assert "ERROR" not in text
    assert "Traceback" not in text
    assert text.count("GET /api/events 200") == 2

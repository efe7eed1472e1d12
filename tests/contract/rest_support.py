"""A server of `jvp serve` in a process of its own, and a client on its socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

START_S, END_S = 60.0, 30.0
PROGRAM = ("-m", "jvp.doors.cli.main")


@contextmanager
def server(folder: Path, *options: str, program: Sequence[str] = PROGRAM, **environment: str) -> Iterator[Rest]:
    """A running server; it is ended, and its log is in `server.log`."""
    socket, log = folder / "jvp.sock", folder / "server.log"
    options = ("--uploads", str(folder / "uploads"), *options)
    with log.open("wb") as into:
        process = subprocess.Popen(
            [sys.executable, *program, "serve", "--socket", str(socket), *options],
            stderr=into,
            stdout=into,
            env={**os.environ, "JVP_INDEX": f"sqlite:///{folder}/index.db", **environment},
        )
    try:
        end = time.monotonic() + START_S
        while b"serves" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://jvp", timeout=120) as client:
            yield Rest(client, process, log)
    finally:
        process.terminate()
        process.wait(END_S)


class Rest:
    """The client. Each call answers with the status and the body."""

    def __init__(self, client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
        self.client, self.process, self.log = client, process, log

    def ask(self, method: str, path: str, body: Any = None, **given: Any) -> httpx.Response:
        return self.client.request(method, f"/api/{path}", json=body, **given)

    def done(self, method: str, path: str, body: Any = None, **given: Any) -> Any:
        """The body of a call that comes to a good end, whether soon or as an operation."""
        waits = {} if path.startswith("functions/") or method == "GET" else {"wait": "2m"}
        answer = self.ask(method, path, body, params={**waits, **given.pop("params", {})}, **given)
        assert answer.status_code in (200, 201, 204), answer.text
        return answer.json() if answer.content else None

    @contextmanager
    def listening(self, last: str | None = None, **query: str) -> Iterator[Heard]:
        """A stream of events, from the moment on that it tells all that happens."""
        headers = {} if last is None else {"Last-Event-ID": last}
        with self.client.stream("GET", "/api/events", params=query, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"] == "text/event-stream"
            heard = Heard(answer)
            if last is None:
                heard.listens()
            yield heard

    def problem(self, method: str, path: str, body: Any = None, **given: Any) -> dict[str, Any]:
        """The problem document of a call that is refused."""
        answer = self.ask(method, path, body, **given)
        assert answer.status_code >= 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = answer.json()
        assert found["status"] == answer.status_code
        return found


class Heard:
    """What one listener hears, in order."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.last = ""
        """The last id."""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        kind, body = "", ""
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last = value
            elif name == "event":
                kind = value
            elif name == "data":
                body = value
            elif not line and kind:
                yield kind, json.loads(body)
                kind = ""

    def listens(self) -> None:
        """Read the first block, which is no event."""
        for line in self._lines:
            if not line:
                break
            self.last = line.removeprefix("id: ")

    def until(self, kind: str, **wanted: Any) -> list[tuple[str, dict[str, Any]]]:
        """What is heard, up to the first one like this."""
        heard = []
        for one in self:
            heard.append(one)
            if one[0] == kind and wanted.items() <= one[1].items():
                break
        return heard

"""The REST API under callers who wait, leave, race, mistype and make things up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.contract import kinds
from tests.contract.conftest import Bench
from tests.contract.rest_support import END_S, Rest, server

WAITING = 150
"""More than the server has threads."""


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with server(tmp_path_factory.mktemp("rest"), FORWARDED_ALLOW_IPS="*") as found:
        yield found


@pytest.fixture
def network(bench: Bench, rest: Rest) -> Iterator[dict[str, Any]]:
    made = rest.done("POST", "networks", kinds.network(bench, bench.name("hard")))
    yield made
    rest.done("DELETE", f"networks/{made['id']}")


@contextlib.contextmanager
def waiting(folder: Path, path: str) -> Iterator[list[socket.socket]]:
    """Connections that each wait for an answer."""
    with contextlib.ExitStack() as closing:
        found = []
        for _ in range(WAITING):
            one = closing.enter_context(socket.socket(socket.AF_UNIX))
            one.settimeout(60)
            one.connect(str(folder / "jvp.sock"))
            one.sendall(f"GET /api/{path}?wait=5m HTTP/1.1\r\nHost: jvp\r\nConnection: close\r\n\r\n".encode())
            found.append(one)
        yield found


def answer(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb") as reading:
        head, _, body = reading.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    found: dict[str, Any] = json.loads(body)
    return found


def test_who_waits_holds_no_thread_and_the_end_of_the_server_is_theirs(bench: Bench, tmp_path: Path) -> None:
    raw = {**kinds.running(bench, bench.name("wait")), "waitFor": "ip", "waitTimeout": "5m"}
    with server(tmp_path, "--index", "none") as rest:  # with one the next server goes on with it
        started = rest.ask("POST", "instances", raw)
        assert started.status_code == 202
        place = started.headers["location"].removeprefix("/api/")
        with waiting(tmp_path, place):
            assert rest.ask("GET", "networks").status_code == 200
        # These went away; others wait on, and the server is ended.
        with waiting(tmp_path, place) as connections:
            assert rest.ask("GET", place).json()["state"] == "running"
            rest.process.send_signal(signal.SIGTERM)
            ends = [answer(one) for one in connections]
        assert {end["state"] for end in ends} <= {"cancelled", "succeeded"}
        assert rest.process.wait(END_S) == 0
        assert "ERROR" not in rest.log.read_text()
    with server(tmp_path) as rest:  # what was cut off is gone on with
        rest.done("DELETE", f"instances/{raw['name']}")


def test_an_operation_that_is_cancelled_at_once_leaves_nothing_half(bench: Bench, rest: Rest) -> None:
    raw = kinds.network(bench, bench.name("first"))

    def made_and_cancelled(_number: int) -> None:
        answered = rest.ask("PUT", f"networks/{raw['name']}", raw, params={"wait": "1m"})
        assert answered.status_code in (200, 201, 409), answered.text

    def cancelled() -> None:
        for one in rest.ask("GET", "operations").json()["items"]:
            if one["state"] == "running":
                rest.ask("DELETE", f"operations/{one['id']}")

    with ThreadPoolExecutor(3) as pool:
        for _ in range(4):
            puts = [pool.submit(made_and_cancelled, number) for number in range(2)]
            pool.submit(cancelled).result()
            for put in puts:
                put.result()
    assert rest.done("PUT", f"networks/{raw['name']}", raw)["name"] == raw["name"]
    rest.done("DELETE", f"networks/{raw['name']}")


def test_of_two_changes_by_the_same_tag_one_is_made(network: dict[str, Any], rest: Rest) -> None:
    path = f"networks/{network['name']}"
    for turn in range(3):
        tag = rest.ask("GET", path).headers["etag"]

        def change(number: int, tag: str = tag, turn: int = turn) -> int:
            headers, params = {"If-Match": f'"other", {tag}'}, {"wait": "1m"}
            return rest.ask(
                "PATCH", path, {"domain": f"d{turn}-{number}.example"}, headers=headers, params=params
            ).status_code

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(change, range(4))) == [200, 412, 412, 412]


def test_a_put_that_must_be_the_first_is_refused_where_something_is(network: dict[str, Any], rest: Rest) -> None:
    path = f"networks/{network['name']}"
    assert rest.problem("PUT", path, network, headers={"If-None-Match": "*"})["status"] == 412
    tag = rest.ask("GET", path).headers["etag"]
    assert rest.ask("GET", path, headers={"If-None-Match": f'"x", W/{tag}'}).status_code == 304
    assert rest.ask("GET", path, headers={"If-None-Match": '"x"'}).status_code == 200


def test_put_and_delete_at_once_end_in_one_of_both(bench: Bench, rest: Rest) -> None:
    raw = kinds.network(bench, bench.name("both"))
    path = f"networks/{raw['name']}"

    def ask(method: str) -> int:
        return rest.ask(method, path, raw if method == "PUT" else None, params={"wait": "1m"}).status_code

    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(ask, ["PUT", "DELETE", "PUT", "DELETE"] * 3)]
    assert set(found) <= {200, 201, 204, 404, 409, 503}, found
    rest.done("DELETE", path)
    assert all(one.name() != raw["name"] for one in bench.connection.listAllNetworks(0))


def test_a_put_that_leaves_the_name_to_its_path_may_come_again(bench: Bench, rest: Rest) -> None:
    assert bench.pool is not None
    name = bench.name("again")
    for path, body in (
        (f"networks/{name}", {"mode": "isolated"}),
        (f"volumes/{bench.pool.state['name']}/{name}", {"size": "1MiB"}),
    ):
        ids = {rest.done("PUT", path, body)["id"] for _ in range(2)}
        ids.add(rest.done("PUT", f"{path.partition('/')[0]}/{next(iter(ids))}", body)["id"])
        assert len(ids) == 1
        rest.done("DELETE", path)


def test_fifty_creates_at_once(bench: Bench, rest: Rest) -> None:
    assert bench.pool is not None
    stem = bench.name("many")
    paths = [f"volumes/{bench.pool.state['name']}/{stem}-{number}" for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = [*pool.map(lambda path: rest.done("PUT", path, {"size": "1MiB"}), paths)]
    assert len({one["id"] for one in answers}) == 50
    for path in paths:
        rest.done("DELETE", path)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "networks/x?paln=true", "paln"),
        ("DELETE", "networks/no-such?plna=true", "plna"),
        ("GET", "networks?name=a&name=b", "name"),
        ("POST", "functions/getNetworks?plan=true", "plan"),
        ("POST", "instances/x/actions/start?plan=true", "plan"),
        ("GET", "operations?limti=3", "limti"),
    ],
)
def test_a_name_of_the_query_that_means_nothing_is_refused(rest: Rest, method: str, path: str, name: str) -> None:
    body = None if method in ("GET", "DELETE") else {}
    found = rest.problem(method, path, body)
    assert (found["status"], found["errors"][0]["pointer"]) == (422, f"/{name}")


def test_what_is_nested_without_end_is_a_problem(rest: Rest) -> None:
    for deep in ('{"a":' * 900 + "1" + "}" * 900, '{"a":' + "[" * 60 + "]" * 60 + "}"):
        for path in ("networks", "functions/getNetworks"):
            answered = rest.client.post(f"/api/{path}", content=deep, headers={"content-type": "application/json"})
            assert answered.status_code == 400
            assert "nested deeper" in answered.json()["detail"]


def test_a_head_is_a_get_without_its_body(network: dict[str, Any], rest: Rest) -> None:
    got, head = (rest.ask(method, f"networks/{network['id']}") for method in ("GET", "HEAD"))
    assert (head.status_code, head.headers["etag"], head.content) == (200, got.headers["etag"], b"")


def test_a_place_is_a_header_whatever_the_name_is() -> None:
    from jvp.doors.rest.requests import path_of

    assert path_of("volumes", "/pool/ü x\r\n#?") == "/api/volumes//pool/%C3%BC%20x%0D%0A%23%3F"


def test_the_log_has_one_line_for_a_request_and_nothing_of_its_query(rest: Rest) -> None:
    for path in ("networks/%0aINFO%20forged?password=hush-hush", "networks/x%1b[31m?password=hush-hush"):
        rest.problem("GET", path)
    assert rest.ask("GET", "operations", headers={"X-Forwarded-For": "forged"}).status_code == 200
    text = rest.log.read_text()
    assert "hush" not in text
    assert "\x1b" not in text
    assert "\nINFO forged" not in text
    assert "forged: GET" not in text
    assert "INFO user root: GET /api/operations 200" in text or os.geteuid() != 0


def serving(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jvp.doors.cli.main", "serve", "--index", "none", *arguments]


@pytest.mark.parametrize("path", ["/proc/none/jvp.sock", f"/tmp/{'x' * 120}.sock"])
def test_a_place_where_nothing_can_listen_is_one_sentence(path: str) -> None:
    done = subprocess.run(serving("--socket", path), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f'jvp: cannot listen on "{path}": ')
    assert done.stderr.count("\n") == 1


def test_a_server_that_hangs_does_not_hang_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jvp.core.errors import Invalid
    from jvp.doors.rest import server as served

    monkeypatch.setattr(served, "PROBE_S", 0.2)
    path = tmp_path / "jvp.sock"
    with contextlib.ExitStack() as open_:
        hanging = open_.enter_context(socket.socket(socket.AF_UNIX))
        hanging.bind(str(path))
        hanging.listen(0)
        for _ in range(3):  # it accepts nobody
            waiter = open_.enter_context(socket.socket(socket.AF_UNIX))
            waiter.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiter.connect(str(path))
        with pytest.raises(Invalid, match="cannot be used"), served.listening(path):
            pass
    assert path.exists()


def test_where_no_thread_can_begin_nothing_is_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from jvp.doors.rest.operations import Answer, Operations
    from jvp.doors.rest.problems import Refused

    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    operations = Operations()
    monkeypatch.setattr(threading.Thread, "start", none)
    with pytest.raises(Refused, match="nothing more"):
        operations.start("PUT /x", "somebody", lambda _work: Answer(204), 60)
    assert operations.all() == []


def activated(listener: socket.socket) -> subprocess.Popen[str]:
    """A server that is given its socket as systemd gives it."""
    script = f'exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    return subprocess.Popen(
        ["bash", "-c", script, "bash", *serving()], pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True
    )


def test_a_socket_of_systemd_is_served_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "given.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with activated(listener) as process:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(str(path))  # before it runs: systemd has it wait
                client.sendall(b"GET /api/operations HTTP/1.1\r\nHost: jvp\r\nConnection: close\r\n\r\n")
                assert answer(client) == {"items": []}
            process.terminate()
            assert process.wait(END_S) == 0
            assert process.stderr is not None
            assert f"serves {path}" in process.stderr.read()
    assert path.exists()


def test_a_socket_of_the_network_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, activated(listener) as process:
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert "ListenStream= takes a path" in process.stderr.read()


def test_without_its_packages_serve_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jvp.doors.cli import main, serve

    monkeypatch.setattr(serve, "NEEDED", ("no_such_module",))
    monkeypatch.setattr(sys, "argv", ["jvp", "serve"])
    with contextlib.suppress(SystemExit):
        assert main.main() != 0
    assert 'pip install "pulumi-jvp[serve]"' in capsys.readouterr().err


def test_an_operation_that_is_over_keeps_nothing_of_its_work() -> None:
    from jvp.core.work import Progress, Work
    from jvp.doors.rest.operations import Answer, Operations

    held: list[Work] = []

    def run(work: Work) -> Answer:
        work.seen["node"] = object()
        work.transferred(Progress("copying", 5, 9, "copying 55% of 9 bytes"))
        held.append(work)
        return Answer(204)

    operations = Operations()
    operation = operations.start("PUT /x", "somebody", run, 60)
    assert operation.done.wait(60)
    assert operation.work is not held[0]
    assert operation.work.seen == {}
    assert operation.document()["transferred"] == {"done": 5, "total": 9}
    operations.close()
    with pytest.raises(Exception, match="is being stopped"):
        operations.start("PUT /x", "somebody", run, 60)


def test_an_index_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    url = "postgresql://jvp:sesame@127.0.0.1:1/jvp"
    done = subprocess.run(
        serving("--socket", str(tmp_path / "jvp.sock"), "--index", url), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("jvp: the index postgresql://jvp:***@127.0.0.1:1/jvp does not answer: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "jvp.sock").exists()

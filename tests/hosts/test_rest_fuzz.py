"""The REST API under requests that are made up from its own document, as each role, on a node of its own.

`make test` tries a few hundred of them, the same ones for the same sources; `make test-all` thousands.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
from tests import extent
from tests.contract.rest_support import Rest, server

from hosts.daemon import SystemHost
from jvp.doors.rest import roles
from jvp.doors.rest.doorkeeper import JOIN
from jvp.doors.rest.login import ROLES

pytestmark = pytest.mark.contract
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

SOCKET = "socket"
EXAMPLES = {SOCKET: (2, 25), "viewer": (1, 10), "operator": (1, 10), "admin": (1, 10)}
"""Of each call, over the socket and by a token of each role."""
ALLOWED = {502, 503, 507}
"""Errors that are told of the node."""
Json = dict[str, Any]


@pytest.fixture
def rest(node: SystemHost) -> Iterator[Rest]:
    """A server for a node with one object of each kind."""
    folder = node.folder / "server"
    folder.mkdir()
    with server(folder, "--uri", node.uri, "--listen", "127.0.0.1:0") as found:
        furnish(found, node)
        yield found


def furnish(rest: Rest, node: SystemHost) -> None:
    """Have one object of each kind to aim at."""
    for path, body in (
        ("storage-pools", {"name": "lab", "path": str(node.pools / "lab")}),
        ("networks", {"name": "lab", "cidr": "10.77.0.0/24"}),
        ("volumes", {"name": "data", "pool": "lab", "size": "1MiB"}),
        (
            "instances",
            {"name": "web", "memory": "64MiB", "powerState": "stopped", "rootDisk": {"pool": "lab", "size": "1MiB"}},
        ),
    ):
        made = rest.ask("POST", path, body, params={"wait": "1m"})
        assert made.status_code in (201, 409), made.text


def test_no_request_that_the_document_allows_is_too_much(rest: Rest, node: SystemHost) -> None:
    from schemathesis.specs.openapi import checks

    document = rest.ask("GET", "openapi.json").json()
    del document["paths"]["/api/events"]  # it ends when its listener goes
    ours = [checks.response_schema_conformance, checks.content_type_conformance, checks.status_code_conformance]
    seen: list[str] = []
    with contextlib.ExitStack() as stack:
        clients = {who: stack.enter_context(client_of(rest, who)) for who in EXAMPLES}
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            for who, client in clients.items():
                if found.ok().path == JOIN and who != SOCKET:
                    continue  # their tokens are the wrong ones there, which is answered later each time
                tried(found.ok(), node, client, who, ours, seen)
            if found.ok().method.upper() == "DELETE":
                furnish(rest, node)
    assert len(seen) >= extent.rounds(200, 2000)
    text = rest.log.read_text()
    assert "defect" not in text
    assert "Traceback" not in text
    for method in ("GET", "PUT", "PATCH", "POST", "DELETE"):  # enough of it is right to be done
        assert any(re.fullmatch(f"{method} 20[0-4]", one) for one in seen), sorted(set(seen))


def tried(operation: Any, node: SystemHost, client: httpx.Client, who: str, ours: Any, seen: list[str]) -> None:
    """Requests of one operation by one caller."""

    @hypothesis.seed(int(extent.seed(), 36))
    @hypothesis.settings(
        max_examples=extent.rounds(*EXAMPLES[who]), database=None, deadline=None,
        phases=[hypothesis.Phase.generate], suppress_health_check=[*hypothesis.HealthCheck],
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(), aimed=hypothesis.strategies.booleans())
    def one(case: Any, aimed: bool) -> None:
        tame(case, node, aimed=aimed)
        answer = sent(client, case)
        seen.append(f"{case.method} {answer.status_code}")
        told = f"{who}: {case.as_curl_command()}: {answer.status_code} {answer.text[:500]}"
        if answer.status_code >= 500:
            assert answer.status_code in ALLOWED, told
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", told
        least = roles.every()[case.method, operation.path.replace("{ref}", "{ref:path}")].role
        if who in ROLES and ROLES.index(who) < ROLES.index(least):
            assert answer.status_code in (400, 403), told  # what cannot be read is not looked at further
        assert (answer.status_code == 401) == (case.path == JOIN), told
        case.validate_response(answer, checks=ours)

    one()


def client_of(rest: Rest, who: str) -> httpx.Client:
    """A client on the socket, or on TCP with a token of a role."""
    if who == SOCKET:
        return httpx.Client(transport=httpx.HTTPTransport(uds=str(rest.log.parent / "jvp.sock")), timeout=120)
    made = rest.ask("POST", "tokens", {"subject": who, "role": who}).json()
    port = re.search(r"http://127\.0\.0\.1:(\d+)", rest.log.read_text())
    assert port is not None
    headers = {"Authorization": f"Bearer {made['token']}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port[1]}", headers=headers, timeout=120)


def tame(case: Any, node: SystemHost, *, aimed: bool) -> None:
    """Aim at what is there now and then, and keep what is made in the node's own folders and within seconds."""
    if isinstance(case.query, dict) and "wait" in case.query:
        case.query["wait"] = "3s"
    if aimed and isinstance(case.path_parameters, dict) and "ref" in case.path_parameters:
        case.path_parameters["ref"] = AIMS.get(case.path.split("/")[2], "web/none")
    if not isinstance(case.body, dict):
        return
    if case.path.startswith("/api/storage-pools"):
        case.body["path"] = str(node.pools / "made")
        case.body.pop("source", None)
    elif isinstance(source := case.body.get("source"), dict) and "url" in source:
        source["url"] = "http://127.0.0.1:9/none.qcow2"


AIMS = {
    "storage-pools": "lab", "networks": "lab", "volumes": "lab/data", "templates": "lab/data", "instances": "web",
}  # fmt: skip


def ask(rest: Rest, case: Any) -> Any:
    return sent(rest.client, case)


def sent(client: httpx.Client, case: Any) -> Any:
    given = case.as_transport_kwargs(base_url=str(client.base_url) or "http://jvp")
    given.pop("cookies", None)
    given["headers"] = {
        name: value for name, value in (given.get("headers") or {}).items() if name.lower() != "authorization"
    }
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(given.get("data"), bytes | str):
        given["content"] = given.pop("data")
    return client.request(**given)

"""Operations of the REST API: a request that comes again, lists of them, and what outlives a server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.contract import kinds
from tests.contract.conftest import Bench
from tests.contract.rest_support import Rest, server

Bag = dict[str, Any]


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with server(tmp_path_factory.mktemp("rest")) as found:
        yield found


def test_a_request_with_the_same_key_is_done_once_and_answered_alike(bench: Bench, rest: Rest) -> None:
    raw, secret = kinds.network(bench, bench.name("keyed")), "hush-hush"
    path, key = f"networks/{raw['name']}", {"Idempotency-Key": f"{raw['name']} {secret}"}

    def ask(method: str, path: str, body: Any = None, **headers: str) -> Any:
        return rest.ask(method, path, body, headers={**key, **headers}, params={"wait": "1m"})

    with ThreadPoolExecutor(4) as pool:
        made = [*pool.map(lambda _: ask("POST", "networks", raw), range(4))]
    assert {one.status_code for one in made} == {201}
    assert len({(one.text, one.headers["jvp-operation"], one.headers["etag"]) for one in made}) == 1
    assert ask("POST", "networks", {**raw, "mtu": 1400}).json()["errors"][0]["pointer"] == "/Idempotency-Key"
    assert rest.ask("POST", "networks", raw, params={"wait": "1m"}).status_code == 409  # without the key it is another
    key["Idempotency-Key"] += "-2"
    tag = {"If-Match": made[0].headers["etag"]}
    changed = [ask("PATCH", path, {"mtu": 1400}, **tag) for _ in range(2)]
    assert [one.status_code for one in changed] == [200, 200]  # though the tag is another one by now
    assert ask("PATCH", path, {"mtu": 1400}).status_code == 422
    key["Idempotency-Key"] += "-3"
    assert [ask("DELETE", path, **{"If-Match": changed[0].headers["etag"]}).status_code for _ in range(2)] == [204, 204]
    key["Idempotency-Key"] = ""
    assert ask("DELETE", path).json()["errors"][0]["pointer"] == "/Idempotency-Key"
    assert secret not in rest.log.read_text()


def test_a_list_of_operations_is_filtered_and_paged(bench: Bench, rest: Rest) -> None:
    for number in range(3):
        rest.done("DELETE", f"networks/{bench.name('no-such')}-{number}")
    refused = rest.ask("POST", "instances", {"name": bench.name("wrong")}, params={"wait": "1m"})
    assert refused.status_code == 422
    failed = refused.json()["operation"].rpartition("/")[2]
    found = rest.ask("GET", "operations", params={"state": "failed", "kind": "Instance"}).json()["items"]
    assert failed in [one["id"] for one in found]
    assert {(one["state"], one["kind"]) for one in found} == {("failed", "Instance")}
    query = {"state": "succeeded,running", "kind": "Network", "caller": found[0]["caller"], "limit": "2"}
    whole = rest.ask("GET", "operations", params={**query, "limit": "1000"}).json()
    assert "next" not in whole
    ids, more = [], {}
    while more is not None:
        page = rest.ask("GET", "operations", params={**query, **more}).json()
        assert len(page["items"]) <= 2
        ids += [one["id"] for one in page["items"]]
        more = {"after": page["next"]} if "next" in page else None
    assert ids == [one["id"] for one in whole["items"]]
    assert len(ids) >= 3
    assert rest.ask("GET", "operations", params={"caller": "nobody else"}).json() == {"items": []}
    for name, wrong in (("state", "done"), ("kind", "Machine"), ("limit", "0"), ("after", "x")):
        assert rest.problem("GET", "operations", params={name: wrong})["errors"][0]["pointer"] == f"/{name}"

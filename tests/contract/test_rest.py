"""The REST API on its socket, over the real daemon."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract import kinds
from tests.contract.conftest import Bench
from tests.contract.rest_support import Rest, server

Bag = dict[str, Any]
PATHS = {
    "Instance": "instances", "Network": "networks", "StoragePool": "storage-pools", "Template": "templates",
    "Volume": "volumes",
}  # fmt: skip


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with server(tmp_path_factory.mktemp("rest")) as found:
        yield found


@pytest.fixture
def network(bench: Bench, rest: Rest) -> Iterator[Bag]:
    """A network that was made through the door."""
    raw = kinds.network(bench, bench.name("rest"))
    made = rest.done("POST", "networks", raw)
    yield made
    rest.done("DELETE", f"networks/{made['id']}")


def test_an_object_from_its_first_to_its_last_call(bench: Bench, rest: Rest) -> None:
    raw = kinds.network(bench, bench.name("rest"))
    foreseen = rest.ask("POST", "networks", raw, params={"plan": "true"}).json()
    assert (foreseen["action"], foreseen["id"]) == ("create", None)
    assert all(one.name() != raw["name"] for one in bench.connection.listAllNetworks(0))

    answer = rest.ask("POST", "networks", raw, params={"wait": "1m"})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/api/networks/{made['id']}"
    assert made["declaredBy"]["door"] == "rest"
    assert rest.problem("POST", "networks", raw)["type"] == "urn:jvp:name-taken"

    by_name, by_id = (rest.ask("GET", f"networks/{one}") for one in (raw["name"], made["id"]))
    assert by_name.json() == by_id.json()
    assert by_name.headers["etag"] == by_id.headers["etag"]
    unchanged = rest.ask("GET", f"networks/{made['id']}", headers={"If-None-Match": by_id.headers["etag"]})
    assert unchanged.status_code == 304

    # What was read may be sent back as it is.
    plan = rest.ask("PUT", f"networks/{raw['name']}", by_id.json(), params={"plan": "true"}).json()
    assert (plan["action"], plan["changes"]) == ("none", [])
    changed = rest.done("PATCH", f"networks/{raw['name']}", {"domain": "lab.example"})
    assert changed["domain"] == "lab.example"
    assert rest.ask("GET", f"networks/{raw['name']}").headers["etag"] != by_id.headers["etag"]
    assert "domain" not in rest.done("PATCH", f"networks/{raw['name']}", {"domain": None})

    for _ in range(2):  # one that is gone is deleted
        assert rest.ask("DELETE", f"networks/{made['id']}", params={"wait": "1m"}).status_code == 204
    assert rest.problem("GET", f"networks/{raw['name']}")["type"] == "urn:jvp:not-found"
    audited_from_its_first_to_its_last_call(rest, raw["name"], made["id"])


def audited_from_its_first_to_its_last_call(rest: Rest, name: str, id: str) -> None:
    found, after = list[Bag](), dict[str, str]()
    while not found or after:
        page = rest.done("GET", "audit", params={"name": name, "limit": "4", **after})
        found += page["items"]
        after = {"after": page["next"]} if "next" in page else {}
    assert [(one["verb"], one["outcome"], one["changed"]) for one in reversed(found)] == [
        ("apply", "done", []), ("apply", "failed", []), ("apply", "done", ["domain"]), ("apply", "done", ["domain"]),
        ("delete", "done", []),
    ]  # fmt: skip
    assert {(one["kind"], one["id"], one["door"], one["origin"]) for one in found} == {("Network", id, "rest", "local")}
    assert found[0]["who"].startswith("user ")
    assert rest.done("GET", "audit", params={"name": name, "outcome": "failed", "since": "1h"})["items"] == [found[3]]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert rest.ask(method, "audit").status_code == 405
    for wrong in ({"limit": "0"}, {"kind": "cloud"}, {"outcome": "begun"}, {"since": "now"}, {"after": "x"}):
        assert rest.problem("GET", "audit", params=wrong)["errors"][0]["pointer"] == f"/{next(iter(wrong))}"


def test_a_put_makes_what_is_not_there_under_the_name_of_its_path(bench: Bench, rest: Rest) -> None:
    assert bench.pool is not None
    name = f"{bench.pool.state['name']}/{bench.name('put')}"
    made = rest.done("PUT", f"volumes/{name}", {"size": "1MiB"})
    assert f"{made['pool']}/{made['name']}" == name
    assert rest.ask("GET", f"volumes/{name.replace('/', '%2F')}").json()["id"] == made["id"]
    other = rest.problem("PUT", f"volumes/{name}x", {"pool": "another", "size": "1MiB"})
    assert other["errors"][0]["pointer"] == "/pool"
    assert rest.done("PUT", f"volumes/{name}", {**made, "size": "2MiB"})["sizeBytes"] == 2 * 1024**2
    rest.done("DELETE", f"volumes/{name}")


def test_what_may_be_somewhere_else_is_never_said_to_be_deleted(bench: Bench, rest: Rest) -> None:
    assert bench.pool is not None
    assert rest.ask("DELETE", f"volumes/{bench.pool.state['name']}/no-such").status_code == 204
    for ref in (
        "volumes/no-such-pool/x",
        "volumes/x",
        "volumes//no/such/file",
        "networks/other-node/x",
        "networks/a/b/c",
    ):
        for plan in ("true", "false"):
            found = rest.problem("DELETE", ref, params={"wait": "1m", "plan": plan})
            assert found["status"] in (404, 409, 422), ref
    raw = kinds.pool(bench, bench.name("halted"))
    made = rest.done("POST", "storage-pools", {**raw, "active": False})
    assert rest.problem("DELETE", f"volumes/{raw['name']}/x", params={"wait": "1m"})["status"] in (404, 409)
    rest.done("DELETE", f"storage-pools/{made['id']}")


def test_a_plan_tells_classes_and_warnings_and_a_replacement_is_never_done(network: Bag, rest: Rest) -> None:
    path = f"networks/{network['name']}"
    plan = rest.ask("PATCH", path, {"mtu": 1400}, params={"plan": "true"}).json()
    assert [(one["pointer"], one["effect"]) for one in plan["changes"]] == [("/mtu", "network restart")]
    assert any("restarts the network" in line for line in plan["warnings"])
    assert (
        rest.ask("PATCH", path, {"name": f"{network['name']}-b"}, params={"plan": "true"}).json()["action"] == "replace"
    )
    refused = rest.problem("PATCH", path, {"name": f"{network['name']}-b"})
    assert refused["type"] == "urn:jvp:rejected"
    assert "delete it first" in refused["detail"]


def test_wrong_input_is_told_with_a_pointer_before_anything_is_made(bench: Bench, rest: Rest) -> None:
    raw = kinds.stopped(bench, bench.name("wrong"))
    for wrong, pointer in (
        ({"memory": "2 Gb"}, "/memory"),
        ({"nics": [{"name": "eth0", "mac": "01:00:00:00:00:01"}]}, "/nics/0/mac"),
        ({"cpu": 2}, "/cpu"),
        ({"nics": [{"name": "eth0", "network": "no-such"}]}, "/nics/0/network"),
    ):
        found = rest.problem("POST", "instances", {**raw, **wrong}, params={"wait": "1m"})
        assert pointer in [one["pointer"] for one in found["errors"]], found
    assert rest.problem("POST", "instances", {**raw, "memory": "2 Gb"}, params={"plan": "true"})["status"] == 422
    both = rest.problem("POST", "instances", {**raw, "memory": "2 Gb", "cpus": 0}, params={"wait": "1m"})
    assert sorted(one["pointer"] for one in both["errors"]) == ["/cpus", "/memory"]
    assert both["detail"].startswith("cpus: must be at least 1, not 0; memory: ")
    assert all(one.name() != raw["name"] for one in bench.connection.listAllDomains(0))


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"", b"\xff\xfe"])
def test_what_cannot_be_read_is_a_problem(rest: Rest, body: bytes) -> None:
    answer = rest.client.post("/api/networks", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:jvp:malformed"


def test_a_body_without_its_type_is_told_which_it_needs(rest: Rest) -> None:
    answer = rest.client.patch("/api/networks/x", content=b'{"mtu": 1400}')
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["detail"]


def test_a_body_that_is_too_large_and_a_path_that_is_none(rest: Rest) -> None:
    answer = rest.client.post("/api/networks", content=b" " * 5_000_000, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:jvp:too-large")
    assert rest.problem("GET", "nothing")["type"] == "urn:jvp:not-found"
    assert rest.problem("PUT", "networks")["status"] == 405


def test_secrets_are_written_and_never_told(bench: Bench, rest: Rest) -> None:
    raw = {
        **kinds.stopped(bench, bench.name("secret")),
        "cloudInit": {"users": [{"name": "u", "password": "hush-hush-1"}]},
    }
    answers = [rest.ask("POST", "instances", raw, params={"wait": "1m"})]
    assert answers[0].status_code == 201
    path = f"instances/{raw['name']}"
    answers.append(rest.ask("GET", path))
    answers.append(rest.ask("PUT", path, raw, params={"plan": "true"}))
    assert answers[-1].json()["action"] == "none"
    other = {**raw, "cloudInit": {"users": [{"name": "u", "password": "hush-hush-2"}]}}
    answers.append(rest.ask("PUT", path, other, params={"plan": "true"}))
    assert {one["property"].partition(".")[0] for one in answers[-1].json()["changes"]} == {"cloudInit"}
    wrong = {**raw, "cloudInit": {"users": [{"name": "u", "password": ["hush-hush-1"]}]}}
    answers.append(rest.ask("PUT", path, wrong))
    part = rest.ask("PATCH", path, {"cloudInit": {"packages": ["jq"]}})
    assert part.status_code == 422  # the rest of it cannot be read back, and would be lost
    assert part.json()["errors"][0]["pointer"] == "/cloudInit"
    answers += [
        part,
        rest.ask("GET", "operations"),
        rest.ask("GET", "audit"),
        rest.ask("DELETE", path, params={"wait": "1m"}),
    ]
    assert not any("hush-hush" in one.text for one in answers)
    assert "hush-hush" not in rest.log.read_text()


def test_files_of_the_server_are_never_read(bench: Bench, rest: Rest) -> None:
    assert bench.pool is not None
    pool = bench.pool.state["name"]
    for path, body, pointer in (
        ("templates", {"name": "x", "pool": pool, "source": {"path": "/etc/passwd"}}, "/source/path"),
        ("volumes", {"name": "x", "pool": pool, "imagePath": "/etc/passwd"}, "/imagePath"),
    ):
        for plan in ("true", "false"):
            assert rest.problem("POST", path, body, params={"plan": plan})["errors"][0]["pointer"] == pointer


def test_lists_are_filtered_sorted_cut_and_paged(bench: Bench, rest: Rest) -> None:
    assert bench.pool is not None
    stem, pool = bench.name("page"), bench.pool.state["name"]
    for number, size in enumerate(("3MiB", "1MiB", "2MiB")):
        rest.done("POST", "volumes", {"name": f"{stem}-{number}", "pool": pool, "size": size})
    query = {"pool": pool, "name": f"{stem}-*"}
    found = rest.ask("GET", "volumes", params={**query, "sort": "-sizeBytes", "fields": "name,sizeBytes"}).json()
    assert [one["name"][-1] for one in found["items"]] == ["0", "2", "1"]
    assert {name for one in found["items"] for name in one} == {"name", "sizeBytes"}
    names, after = [], {}
    while True:
        page = rest.ask("GET", "volumes", params={**query, "limit": "2", **after}).json()
        names += [one["name"] for one in page["items"]]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert names == [f"{stem}-{number}" for number in range(3)]
    for wrong in ({"sort": "colour"}, {"fields": "name,colour"}, {"limit": "0"}, {"after": "x"}, {"colour": "red"}):
        found = rest.problem("GET", "volumes", params=wrong)
        assert found["errors"][0]["pointer"] == f"/{next(iter(wrong))}"
    for number in range(3):
        rest.done("DELETE", f"volumes/{pool}/{stem}-{number}")


def test_what_another_program_declares_is_changed_by_force_alone(bench: Bench, rest: Rest) -> None:
    raw = kinds.network(bench, bench.name("theirs"))
    stored = bench.create("Network", raw["name"], raw).stored
    path = f"networks/{raw['name']}"
    unfinished = rest.problem("PATCH", path, {"autostart": False}, params={"force": "true", "wait": "1m"})
    assert "whose run is not over" in unfinished["detail"]
    assert bench.read("Network", stored) is not None
    for method, body in (("PATCH", {"autostart": False}), ("DELETE", None), ("PUT", {**raw, "autostart": False})):
        found = rest.problem(method, path, body, params={"wait": "1m"})
        assert found["type"] == "urn:jvp:rejected"
        assert "without force" in found["detail"]
    assert rest.done("PATCH", path, {"autostart": False}, params={"force": "true"})["autostart"] is False
    assert rest.ask("GET", path).json()["declaredBy"] is None  # as before: force changes values alone
    bench.delete("Network", stored)


def test_what_nobody_declares_is_adopted_when_asked(bench: Bench, rest: Rest) -> None:
    raw = kinds.network(bench, bench.name("foreign"))
    kinds.foreign_network(bench, raw)
    path = f"networks/{raw['name']}"
    assert rest.ask("GET", path).json()["declaredBy"] is None
    assert rest.problem("PUT", path, raw, params={"wait": "1m"})["type"] == "urn:jvp:rejected"
    assert rest.done("PUT", path, raw, params={"adopt": "true"})["declaredBy"]["door"] == "rest"
    rest.done("DELETE", path)


def test_actions_and_functions(bench: Bench, rest: Rest) -> None:
    raw = kinds.running(bench, bench.name("acted"))
    rest.done("POST", "instances", raw)
    path = f"instances/{raw['name']}"
    assert rest.done("POST", f"{path}/actions/pause")["state"] == "paused"
    assert rest.done("POST", f"{path}/actions/resume")["state"] == "running"
    assert rest.done("POST", f"{path}/actions/stop", {"force": True})["state"] == "stopped"
    assert rest.problem("POST", f"{path}/actions/stop", {"forces": True})["errors"][0]["pointer"] == "/forces"
    assert rest.problem("POST", f"{path}/actions/dance")["status"] == 404
    found = rest.done("POST", "functions/getInstance", {"instance": raw["name"]})
    assert found["state"] == "stopped"
    assert rest.problem("POST", "functions/getInstance", {})["errors"][0]["pointer"] == "/instance"
    rest.done("DELETE", path)


def test_what_takes_long_is_an_operation_that_can_be_cancelled(bench: Bench, rest: Rest) -> None:
    raw = {**kinds.running(bench, bench.name("long")), "waitFor": "ip", "waitTimeout": "5m"}
    answer = rest.ask("POST", "instances", raw)
    assert answer.status_code == 202
    place = answer.headers["location"].removeprefix("/api/")
    assert rest.ask("GET", place).json()["state"] == "running"
    assert place in [f"operations/{one['id']}" for one in rest.ask("GET", "operations").json()["items"]]
    assert rest.ask("DELETE", place).status_code == 202
    end = rest.ask("GET", place, params={"wait": "30s"}).json()
    assert end["state"] in ("cancelled", "succeeded")  # made, and not waited for
    assert "endedAt" in end
    rest.done("DELETE", f"instances/{raw['name']}")


def test_if_match_refuses_what_somebody_changed_meanwhile(network: Bag, rest: Rest) -> None:
    path = f"networks/{network['name']}"
    old = rest.ask("GET", path).headers["etag"]
    assert (
        rest.ask("PATCH", path, {"autostart": False}, headers={"If-Match": old}, params={"wait": "1m"}).status_code
        == 200
    )
    for method, body in (("PATCH", {"autostart": True}), ("PUT", {**network}), ("DELETE", None)):
        assert rest.problem(method, path, body, headers={"If-Match": old})["status"] == 412
    assert rest.problem("PUT", f"{path}-none", {**network}, headers={"If-Match": "*"})["status"] == 412


def test_the_socket_is_closed_to_others_and_goes_with_its_server(tmp_path: Path) -> None:
    with server(tmp_path) as rest:
        mode = stat.S_IMODE((tmp_path / "jvp.sock").stat().st_mode)
        assert mode & 0o007 == 0
        rest.process.send_signal(signal.SIGTERM)
        assert rest.process.wait(30) == 0
    assert not (tmp_path / "jvp.sock").exists()
    (tmp_path / "jvp.sock").write_text("not a socket")
    with pytest.raises(AssertionError, match="is no socket"), server(tmp_path):
        pass


def test_a_server_that_was_killed_leaves_a_socket_that_the_next_one_takes(tmp_path: Path) -> None:
    with server(tmp_path) as rest:
        os.kill(rest.process.pid, signal.SIGKILL)
        rest.process.wait(30)
    assert (tmp_path / "jvp.sock").exists()
    with server(tmp_path) as rest:
        assert rest.ask("GET", "operations").json() == {"items": []}
        begin = time.monotonic()
        with pytest.raises(AssertionError, match="listens"), server(tmp_path):
            pass
        assert time.monotonic() - begin < 60


def test_an_unreachable_node_is_a_problem_not_an_empty_list(tmp_path: Path) -> None:
    with server(tmp_path, "--uri", "qemu+unix:///system?socket=/nowhere") as rest:
        assert rest.problem("GET", "instances")["type"] == "urn:jvp:unreachable"
        assert rest.problem("GET", "networks/x")["type"] == "urn:jvp:unreachable"
        assert (
            rest.problem("POST", "networks", {"name": "x", "mode": "isolated"}, params={"wait": "1m"})["type"]
            == "urn:jvp:unreachable"
        )

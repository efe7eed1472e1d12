"""Operations of the REST API: a request that comes again, lists of them, and what outlives a server."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.contract import kinds
from tests.contract.conftest import Bench
from tests.contract.rest_support import END_S, Rest, server
from tests.extent import sample

from jvp.core.check import check
from jvp.core.errors import Forbidden, NameTaken
from jvp.core.work import Work
from jvp.doors.rest.changes import Call, Changes
from jvp.doors.rest.conditions import Conditions
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.requests import etag_of
from jvp.resources import registry
from jvp.resources.provider import Provider

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
    for name, wrong in (("state", "done"), ("kind", "Machine"), ("limit", "0"), ("after", "x"), ("after", DEEP)):
        assert rest.problem("GET", "operations", params={name: wrong})["errors"][0]["pointer"] == f"/{name}"


DEEP = base64.urlsafe_b64encode(b"[" * 5000).decode()
CUT = (str(Path(__file__).parent / "cut_server.py"),)
"""A server that can be told where to die."""
ENDS = {"wait": "1m"}


def noted(folder: Path) -> dict[str, str]:
    """The states of the operations in the index of a server that is dead, the newest first."""
    with contextlib.closing(sqlite3.connect(folder / "index.db")) as index:
        return dict(index.execute("SELECT id, state FROM operations ORDER BY started DESC").fetchall())


def dies(folder: Path, cut: str, method: str, path: str, body: Any = None, **given: Any) -> str:
    """Have a server die in the middle of a change; the id of its operation, which nobody ended."""
    before = {*noted(folder)} if (folder / "index.db").exists() else set[str]()
    with server(folder, program=CUT, JVP_CUT=cut) as rest:
        with pytest.raises(httpx.TransportError):
            rest.ask(method, path, body, params=ENDS, **given)
        assert rest.process.wait(END_S) == -signal.SIGKILL
    (found,) = noted(folder).keys() - before
    assert noted(folder)[found] == "running"
    return found


def ended(folder: Path, id: str) -> Bag:
    """The operation as the next server ends it."""
    with server(folder, program=CUT) as rest:
        found: Bag = rest.ask("GET", f"operations/{id}", params=ENDS).json()
        assert found["id"] == id
        assert noted(folder)[id] == found["state"], found
        return found


def audited(folder: Path) -> list[tuple[str, ...]]:
    """The calls that the audit has, each with what is known of it."""
    chosen = "verb, kind, name, group_concat(outcome, ' '), who || door || origin"
    with contextlib.closing(sqlite3.connect(folder / "index.db")) as index:
        return index.execute(f"SELECT {chosen} FROM audit GROUP BY call ORDER BY min(number)").fetchall()


@pytest.fixture
def template(bench: Bench) -> Iterator[str]:
    """The name of a template, made by another program."""
    raw = kinds.template(bench, bench.name("of"))
    stored = bench.create("Template", raw["name"], raw).stored
    yield stored.id
    bench.delete("Template", stored)


def instance(bench: Bench, template: str) -> Bag:
    assert bench.network is not None
    return {
        "name": bench.name("cut"), "memory": "32MiB", "template": template, "shutdownTimeout": "0s",
        "nics": [{"name": "eth0", "network": bench.network.state["name"]}],
    }  # fmt: skip


@pytest.mark.parametrize("point", sample(range(1, 5), "cut operations", share=0.25, least=1))
def test_what_a_server_dies_of_comes_to_its_end_under_the_next_one(
    bench: Bench, tmp_path: Path, template: str, point: int
) -> None:
    raw = instance(bench, template)
    path, cut = f"instances/{raw['name']}", f"after:{point}"
    made = ended(tmp_path, dies(tmp_path, cut, "POST", "instances", raw))
    assert (made["state"], made["result"]["state"]) == ("succeeded", "running"), made
    assert made["location"] == f"/api/instances/{made['result']['id']}"
    cut_off, gone_on = audited(tmp_path)
    assert (cut_off[:3], gone_on[:3]) == (("apply", "Instance", raw["name"]),) * 2
    # What was made whole before its server died cannot be made once more, and the audit says so.
    assert (cut_off[3], gone_on[3]) == ("begun", "begun failed" if point == 4 else "begun done")
    assert cut_off[4] == gone_on[4]  # by the same caller

    # A restart is done once: the request's id is in the object's mark.
    acted = dies(tmp_path, "after:2", "POST", f"{path}/actions/restart", {"force": True})
    domain = bench.connection.lookupByName(raw["name"])
    end = ended(tmp_path, acted)
    assert (end["state"], end["result"]) == ("succeeded", {"state": "running"}), end
    assert domain.isActive()
    gone = ended(tmp_path, dies(tmp_path, f"after:{1 + point % 3}", "DELETE", path))
    assert gone["state"] == "succeeded", gone
    assert all(one.name() != raw["name"] for one in bench.connection.listAllDomains(0))


def test_what_may_hold_a_secret_is_not_kept_and_reported_as_interrupted(bench: Bench, tmp_path: Path) -> None:
    raw = kinds.stopped(bench, bench.name("secret"))
    key = {"Idempotency-Key": "the same"}
    found = ended(tmp_path, dies(tmp_path, "after:1", "POST", "instances", raw, headers=key))
    assert (found["state"], found["problem"]["type"]) == ("interrupted", "urn:jvp:interrupted")
    assert "send the request again" in found["problem"]["detail"]
    assert not any(b"not-to-be-shown" in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    with server(tmp_path) as rest:
        again = rest.ask("POST", "instances", raw, params=ENDS, headers=key)
        assert again.status_code == 201, again.text
        assert again.headers["jvp-operation"] != f"/api/operations/{found['id']}"
        rest.done("DELETE", f"instances/{raw['name']}")


def test_a_server_that_is_ended_leaves_what_runs_to_the_next_one(bench: Bench, tmp_path: Path) -> None:
    raw = {**kinds.running(bench, bench.name("left")), "waitFor": "ip", "waitTimeout": "5m"}
    del raw["cloudInit"]
    path, key = f"instances/{raw['name']}", {"Idempotency-Key": "left"}
    with server(tmp_path, program=CUT) as rest:
        started = rest.ask("PUT", path, raw, headers=key)
        assert started.status_code == 202
        id = started.json()["id"]
        rest.process.terminate()
        assert rest.process.wait(END_S) == 0
        assert "ERROR" not in rest.log.read_text()
    assert noted(tmp_path) == {id: "running"}
    with server(tmp_path, program=CUT) as rest:
        again = rest.ask("PUT", path, raw, headers=key)
        assert (again.status_code, again.json()["id"]) == (202, id)
        rest.ask("DELETE", f"operations/{id}")
        end = rest.ask("GET", f"operations/{id}", params=ENDS).json()
        assert end["state"] in ("cancelled", "succeeded"), end
        rest.done("DELETE", path)
    assert noted(tmp_path)[id] == end["state"]  # cancelled by its caller it is over, and nobody goes on with it


class Stage:
    """Changes of one object, made as two servers make them."""

    def __init__(self, bench: Bench, token: str = "Network") -> None:
        provider = check(Provider, {"virtType": "qemu"}).sound().spec
        assert provider is not None
        self.changes, self.token, self.name = Changes(registry.objects(provider)), token, bench.name("again")

    def call(self, verb: Any, given: Bag, ref: str | None = None, **how: Any) -> Call:
        call = Call(verb, self.token, ref, given, caller="anna", **how)
        return call.looked(self.changes.there(call, Work())) if ref is not None else call

    def again(self, call: Call) -> int:
        document = json.loads(json.dumps(call.document()))
        return self.changes.make_again(document, Work()).status

    def refused(self, call: Call) -> str:
        """The type of the problem."""
        with pytest.raises((Refused, NameTaken)) as caught:
            self.again(call)
        return caught.value.problem["type"] if isinstance(caught.value, Refused) else "name-taken"

    def change(self, given: Bag) -> None:
        """What somebody does, or what the first server had done when it died."""
        self.changes.make(Call("change", self.token, self.name, given, caller="anna"), Work())

    def tag(self) -> Conditions:
        return Conditions(match=(etag_of(self.changes.found(self.token, self.name, Work()).inputs),))


def test_what_goes_on_never_acts_on_what_somebody_changed_since(bench: Bench) -> None:
    stage = Stage(bench)
    raw = {**kinds.network(bench, stage.name), "autostart": False, "active": True}
    create, first = stage.call("create", raw), stage.call("apply", raw)
    assert stage.again(create) == 201
    assert stage.again(create) == 201  # made whole before its server died
    assert stage.again(replace(first, conditions=Conditions(none_match=("*",)))) == 201

    patch = {"mtu": 1400, "domain": "lab.example"}
    call = stage.call("change", patch, stage.name, conditions=stage.tag())
    stage.change({"domain": "lab.example"})  # half of it, which changes the tag
    assert stage.again(call) == 200
    assert stage.again(call) == 200
    stage.change({"domain": "other.example"})
    assert stage.refused(call) == "urn:jvp:precondition"
    assert stage.refused(create) == "name-taken"

    delete = stage.call("delete", {}, stage.name)
    tagged = stage.call("delete", {}, stage.name, conditions=stage.tag())
    stage.change({"mtu": None})
    assert stage.refused(tagged) == "urn:jvp:precondition"
    assert stage.refused(replace(delete, by={"door": "cli"})) == "urn:jvp:interrupted"
    with pytest.raises(Forbidden, match="this token is for the tags ci alone"):
        stage.again(replace(delete, tags=["ci"]))
    assert [stage.again(delete) for _ in range(2)] == [204, 204]
    assert stage.again(tagged) == 204
    assert stage.again(create) == 201
    assert stage.refused(replace(delete, id=None, by=None)) == "urn:jvp:interrupted"  # there was nothing to delete
    assert stage.again(delete) == 204
    with pytest.raises(Refused, match="another version"):
        stage.changes.make_again({**create.document(), "wit": 1}, Work())


def test_what_goes_on_means_the_object_that_it_began_with(bench: Bench) -> None:
    stage = Stage(bench, "Instance")
    raw = kinds.stopped(bench, stage.name)
    del raw["cloudInit"]
    assert stage.again(stage.call("create", raw)) == 201
    call = stage.call("change", {"name": f"{stage.name}-b", "memory": "48MiB"}, stage.name)
    assert stage.again(call) == 200
    other = kinds.foreign_domain(bench, raw)
    before = other.XMLDesc(0)
    assert stage.again(call) == 200
    delete = stage.call("delete", {}, f"{stage.name}-b")
    assert [stage.again(replace(delete, ref=stage.name)) for _ in range(2)] == [204, 204]
    assert other.XMLDesc(0) == before
    other.undefine()


def test_what_is_kept_of_a_request_has_no_secret() -> None:
    for token, given, is_kept in (
        ("Instance", {"name": "x", "waitFor": "ip", "rootDisk": {"size": "1GiB"}}, True),
        ("Instance", {"name": "x", "cloudInit": {"packages": ["jq"]}}, False),
        ("Instance", {"name": "x", "cloudInit": None}, True),
        ("Instance", {"name": "x", "pasword": "hush"}, False),
        ("Instance", {"name": "x", "nics": "hush"}, False),
        ("Instance", {"name": "x", "nics": [{"name": "eth0", "secret": "hush"}]}, False),
        ("Template", {"name": "x", "source": {"url": "https://host/image"}}, True),
        ("Template", {"name": "x", "source": {"url": "https://anna:hush@host/image"}}, False),
        ("Template", {"name": "x", "source": {"url": "https://host/image?signature=hush"}}, False),
        ("Network", {"name": "x\0"}, False),
        ("Network", {"name": "\ud800"}, False),
        ("Network", {"name": "\U0001f600"}, True),
    ):
        assert (Call("create", token, given=given).document() is not None) == is_kept, given


def test_two_servers_on_one_postgresql(bench: Bench, tmp_path: Path, postgres: Callable[[], str]) -> None:
    url, raw = postgres(), {**kinds.running(bench, bench.name("two")), "waitFor": "ip", "waitTimeout": "5m"}
    del raw["cloudInit"]
    path, key = f"instances/{raw['name']}", {"Idempotency-Key": "two"}
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (server(folder, "--index", url, program=CUT) for folder in folders)
    with one as first, two as second, ThreadPoolExecutor(1) as pool:

        def listed(rest: Rest) -> Bag:
            (found,) = rest.ask("GET", "operations", params={"state": "running,cancelling"}).json()["items"]
            return dict(found)

        started = first.ask("PUT", path, raw, headers=key)
        assert started.status_code == 202
        id = started.json()["id"]
        time.sleep(3)  # longer than a server may say nothing
        again = second.ask("PUT", path, raw, headers=key)
        assert (again.status_code, again.json()["id"]) == (202, id)
        assert (listed(first)["id"], listed(second)["id"]) == (id, id)
        waiting = pool.submit(second.ask, "GET", f"operations/{id}", params=ENDS)
        assert second.ask("DELETE", f"operations/{id}").json()["state"] == "cancelling"
        end = waiting.result().json()
        assert end["state"] in ("cancelled", "succeeded"), end
        assert "cut off" not in second.log.read_text()
        first.done("DELETE", path)

        started = first.ask("PUT", path, raw)
        id = started.json()["id"]
        first.process.kill()
        end_by = time.monotonic() + 60
        while "cut off" not in second.log.read_text():
            assert time.monotonic() < end_by, second.log.read_text()
            time.sleep(0.1)
        assert listed(second)["id"] == id
        second.ask("DELETE", f"operations/{id}")
        assert second.ask("GET", f"operations/{id}", params=ENDS).json()["state"] in ("cancelled", "succeeded")
        second.done("DELETE", path)

"""Who may do what over REST: every route with every role, and what a role may not do by what a request says.

The application runs here without a socket and without a node: what is allowed gets as far as finding no libvirt.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from jvp.core.errors import Forbidden, NotFound
from jvp.core.facts import ForAdmins, LocalFile, Output
from jvp.core.model import Spec, fields
from jvp.core.objects import Found
from jvp.doors.rest import bodies, doorkeeper, events, roles
from jvp.doors.rest import operations as running
from jvp.doors.rest.app import make_app
from jvp.doors.rest.bus import Event
from jvp.doors.rest.login import ROLES, Login, masked
from jvp.doors.rest.names import plural
from jvp.doors.rest.operations import Operations
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.scope import Scope
from jvp.doors.rest.server import settings
from jvp.index import inventory, tokens
from jvp.index.store import Index
from jvp.resources import registry

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    found = Index(f"sqlite:///{tmp_path_factory.mktemp('index')}/jvp.db")
    yield found
    found.close()


@pytest.fixture(scope="module")
def app(index: Index) -> FastAPI:
    provider = settings("qemu+unix:///system?socket=/nonexistent")
    objects = registry.objects(provider)
    objects.host = lambda: "this-one"  # by which operations are written down
    return make_app(objects, provider, Operations(), index=index)


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "FIRST_S", 0.0)


class Caller:
    """A program with a token, or with none."""

    def __init__(self, app: FastAPI, text: str | None) -> None:
        self.app, self.headers = app, {} if text is None else {"Authorization": f"Bearer {text}"}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://jvp") as client:
            return await client.request(method, path, json=body, headers={**self.headers, **headers})

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return asyncio.run(self.ask(method, path, body, **headers))


def caller(app: FastAPI, index: Index, role: str, **scope: list[str]) -> Caller:
    _, text = tokens.create(index, f"test {role}", role, scope=scope, expires_s=600)  # type: ignore[arg-type]
    return Caller(app, text)


def routes(app: FastAPI) -> list[tuple[str, str]]:
    found = []
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} is none that asks who may"
        found += [(method, route.path) for method in sorted(route.methods - {"HEAD"})]
    return found


def test_every_route_has_a_row_and_every_row_a_route(app: FastAPI) -> None:
    assert {*routes(app)} == roles.every().keys()
    assert all(row.role in ROLES for row in roles.every().values())
    for function in registry.FUNCTIONS.values():  # else a limited token may not ask it
        assert function.on in {*registry.TYPES, "Node"}, function


def test_every_route_with_every_role(app: FastAPI, index: Index) -> None:
    callers = {role: caller(app, index, role) for role in ROLES} | {"": Caller(app, None), "x": Caller(app, "jvp_x")}

    async def asked() -> dict[tuple[str, str, str], tuple[int, str]]:
        found = {}
        for method, path in routes(app):
            place = re.sub(r"{ref(:path)?}", "lab/none", path).replace("{id}", "none").replace("{action}", "no")
            for role, one in callers.items():
                if path == "/api/events":  # whose body does not end
                    answer = await one.ask("HEAD", f"{place}?kinds=operation")
                else:
                    answer = await one.ask(method, place, {} if method in ("POST", "PUT", "PATCH") else None)
                found[method, path, role] = answer.status_code, answer.headers.get("www-authenticate", "")
        return found

    wrong = []
    for (method, path, role), (status, header) in asyncio.run(asked()).items():
        least = roles.every()[method, path].role
        if role not in ROLES or path == doorkeeper.JOIN:  # which takes tokens for one use alone
            fine = status == 401 and header == 'Bearer realm="jvp"'
        elif ROLES.index(role) < ROLES.index(least):
            fine = status == 403
        else:
            fine = status not in (401, 403, 500)
        if not fine:
            wrong.append(f"{method} {path} as {role or 'nobody'}: {status}")
    assert wrong == []


def test_a_route_without_a_row_is_an_admins(app: FastAPI, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = {key: row for key, row in roles.every().items() if key != ("GET", "/api/operations")}
    monkeypatch.setattr(roles, "every", lambda: rest)
    assert caller(app, index, "operator")("GET", "/api/operations").status_code == 403
    assert caller(app, index, "admin")("GET", "/api/operations").status_code == 200


def test_a_wrong_token_is_one_sentence_that_does_not_tell_what_is_wrong(app: FastAPI, index: Index) -> None:
    _, over = tokens.create(index, "over", "admin", expires_s=-1)
    revoked, gone = tokens.create(index, "gone", "admin", expires_s=600)
    _, once = tokens.create(index, "once", "admin", expires_s=600, once=True)
    tokens.revoke(index, revoked.id)
    texts = ("jvp_x", over, gone, once, f"{over[:-1]}x", "jvp_000000000000_" + "x" * 43)
    answers = [Caller(app, text)("GET", "/api/operations") for text in texts]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert not [text for text in texts for answer in answers if text in answer.text]
    assert Caller(app, once)("POST", doorkeeper.JOIN).status_code == 201  # it was not taken by the wrong path


def test_a_token_for_one_use_gives_a_lasting_one_of_the_same_role_once(app: FastAPI, index: Index) -> None:
    admin = caller(app, index, "admin")
    scope = {"kinds": ["Volume", "Instance"]}
    made = admin("POST", "/api/tokens", {"subject": "new", "role": "operator", "scope": scope, "once": True})
    assert made.status_code == 201, made.text
    joined = Caller(app, made.json()["token"])("POST", doorkeeper.JOIN, {"expires": "1h"})
    assert joined.status_code == 201, joined.text
    told = joined.json()
    assert (told["subject"], told["role"], told["once"]) == ("new", "operator", False)
    assert sorted(told["scope"]["kinds"]) == ["Instance", "Volume"]
    assert "expiresAt" in told
    assert Caller(app, made.json()["token"])("POST", doorkeeper.JOIN).status_code == 401
    lasting = Caller(app, told["token"])
    assert lasting("GET", "/api/operations").status_code == 200
    listed = admin("GET", "/api/tokens")
    assert {made.json()["id"], told["id"]} <= {one["id"] for one in listed.json()["items"]}
    assert told["token"] not in listed.text
    assert admin("DELETE", f"/api/tokens/{told['id']}").status_code == 204
    assert lasting("GET", "/api/operations").status_code == 401


def test_a_scope_of_kinds_holds_everywhere(app: FastAPI, index: Index) -> None:
    one = caller(app, index, "operator", kinds=["Instance"])
    admin = caller(app, index, "admin", kinds=["Instance"])
    for method, path in (
        ("DELETE", "/api/storage-pools/lab"), ("GET", "/api/networks"), ("POST", "/api/functions/getNetworks"),
        ("POST", "/api/networks/lab/actions/stop"), ("POST", "/api/functions/getNode"), ("GET", "/api/tokens"),
    ):  # fmt: skip
        for who in (one, admin):
            assert who(method, path, {} if method == "POST" else None).status_code == 403, (method, path)
    both = caller(app, index, "operator", kinds=["Instance", "Snapshot"])
    snapshots = caller(app, index, "operator", kinds=["Snapshot"])
    for path in ("instances/a/actions/snapshot", "instances/a/actions/rollback", "snapshots/a/b/actions/rollback"):
        for who in (one, snapshots):
            assert who("POST", f"/api/{path}", {}).status_code == 403, path
        assert both("POST", f"/api/{path}", {}).status_code not in (403, 500), path
    for method, path in (("GET", "/api/instances"), ("POST", "/api/functions/getInstances")):
        assert one(method, path, {} if method == "POST" else None).status_code == 502  # there is no node here


def test_by_force_no_token_reaches_instances_that_it_is_not_for(
    app: FastAPI, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = app.state.door.objects
    monkeypatch.setattr(objects, "get", lambda *_: Found("pool/data", {"name": "data"}, {}, None, None))
    monkeypatch.setattr(objects, "users", lambda *_: ("web",))
    monkeypatch.setattr(objects, "delete", lambda *_, **__: None)
    for kinds, status in ((["Volume"], 403), (["Volume", "Instance"], 204)):
        answer = caller(app, index, "operator", kinds=kinds)("DELETE", "/api/volumes/pool/data?force=true")
        assert answer.status_code == status, answer.text
    assert caller(app, index, "operator", kinds=["Volume"])("DELETE", "/api/volumes/pool/data").status_code == 204


def test_all_callers_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "RUNNING_ALL_MAX", 2)
    operations, go_on = Operations(), threading.Event()

    def run(_work: object) -> running.Answer:
        go_on.wait(60)
        return running.Answer(204)

    begun = [operations.start("PUT /x", who, run, 60) for who in ("ann", "bob")]
    with pytest.raises(Refused, match="2 operations of all callers"):
        operations.start("PUT /x", "carol", run, 60)
    go_on.set()
    for one in begun:
        assert one.done.wait(60)


def test_a_scope_of_nodes_or_tags_holds_where_this_node_is_another_or_nothing_has_tags(
    app: FastAPI, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = app.state.door.objects
    monkeypatch.setattr(objects, "host", lambda: "0AF8-1 (session)")
    assert caller(app, index, "admin", nodes=["other"])("GET", "/api/instances").status_code == 403
    assert caller(app, index, "admin", nodes=["0af8-1"])("GET", "/api/instances").status_code == 502
    found = [
        {"id": "1", "name": "a"},
        {"id": "2", "name": "b", "tags": {"team": "web"}},
        {"id": "3", "name": "c", "tags": ["x"]},
    ]
    monkeypatch.setattr(objects, "list", lambda *_: found)
    for tags, ids in ((["team"], ["2"]), (["team=web", "x"], ["2", "3"]), (["team=db"], [])):
        listed = caller(app, index, "viewer", tags=tags)("GET", "/api/instances")
        assert [item["id"] for item in listed.json()["items"]] == ids, listed.text
    limited = caller(app, index, "operator", tags=["team"])
    made = limited("POST", "/api/instances", {"name": "x"})
    assert (made.status_code, made.json()["type"]) == (403, "urn:jvp:forbidden")
    assert limited("POST", "/api/functions/getInstances").status_code == 403

    def none(*_: object) -> None:
        raise NotFound("there is no instance x; there are: hers, his")

    monkeypatch.setattr(objects, "get", none)
    missing = limited("GET", "/api/instances/x")
    assert missing.status_code == 404
    assert "hers" not in missing.text


def test_a_search_finds_what_is_in_the_scope_alone(app: FastAPI, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.state.door.objects, "host", lambda: "0af8-1 (session)")
    for node, tag in (("0af8-1 (session)", "web"), ("other", "db")):
        items = [{"id": f"{node}/{tag}", "name": f"sought-{tag}", "tags": {"team": tag}}]
        inventory.write(index, node, [inventory.Note(kind, items, 1.0) for kind in ("Instance", "Network")])
    for scope, found in (
        ({}, 4), ({"kinds": ["Network"]}, 2), ({"nodes": ["0AF8-1"]}, 2), ({"tags": ["team=db"]}, 2),
        ({"kinds": ["Instance"], "nodes": ["0af8-1"], "tags": ["team"]}, 1), ({"kinds": ["Volume"]}, 0),
    ):  # fmt: skip
        answer = caller(app, index, "viewer", **scope)("GET", "/api/search?text=sought")
        assert len(answer.json()["items"]) == found, (scope, answer.text)


def test_a_scope_that_is_not_understood_is_for_nothing() -> None:
    scope = Scope.of({"kinds": ["Instance"], "phases": ["new"]})
    assert not scope.is_whole
    assert not scope.has_kind("Instance")
    assert Scope.of({}).is_whole


def test_of_events_a_caller_hears_its_own_and_what_is_in_its_scope() -> None:
    def heard(kind: str, told: dict[str, Any], role: str, scope: Scope = Scope()) -> bool:  # noqa: B008 - frozen
        return events._may_hear(Login("ann", role, scope), Event(1, kind, told, ""))

    networks = Scope(kinds=frozenset({"Network"}))
    network, instance = ({"kind": kind, "caller": "bob"} for kind in ("Network", "Instance"))
    assert heard("object", network, "viewer")
    assert heard("object", network, "viewer", networks)
    assert not heard("object", instance, "admin", networks)
    assert not heard("object", network, "admin", Scope(tags=frozenset({"team"})))
    assert not heard("operation", network, "operator")
    assert heard("operation", {**network, "caller": "ann"}, "operator", networks)
    assert not heard("operation", {**instance, "caller": "ann"}, "operator", networks)
    assert heard("operation", network, "admin")
    assert not heard("audit", network, "operator")
    assert heard("audit", network, "admin", networks)
    assert not heard("audit", instance, "admin", networks)
    here = Scope(nodes=frozenset({"0F477DB4"}))
    assert heard("object", {**network, "node": "0f477db4"}, "viewer", here)
    assert not heard("object", {**network, "node": "other"}, "viewer", here)


def test_who_asks_for_the_audit_and_may_not_hear_it_is_told(app: FastAPI, index: Index) -> None:
    refused = caller(app, index, "operator")("GET", "/api/events?kinds=operation,audit")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:jvp:forbidden")


def test_a_caller_sees_and_cancels_its_own_operations_alone(app: FastAPI, index: Index) -> None:
    one, other = caller(app, index, "operator"), caller(app, index, "operator", kinds=["Network"])
    _, text = tokens.create(index, "somebody else", "operator", expires_s=600)
    stranger, admin = Caller(app, text), caller(app, index, "admin")
    place = one("POST", "/api/instances", {"name": "none"}).json()["operation"]
    assert one("GET", place).json()["caller"] == "test operator"
    assert admin("GET", place).status_code == 200
    none = stranger("GET", "/api/operations/none")
    for who in (stranger, other):  # the other has the same subject, and may not know of instances
        for method in ("GET", "DELETE"):
            refused = who(method, place)
            assert (refused.status_code, refused.json()) == (404, none.json())
        assert place not in {f"/api/operations/{item['id']}" for item in who("GET", "/api/operations").json()["items"]}
    assert place in {f"/api/operations/{item['id']}" for item in one("GET", "/api/operations").json()["items"]}


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/api/storage-pools", {"name": "x", "path": "/srv/x"}, "/path"),
        ("/api/storage-pools", {"name": "x", "type": "fs", "source": {"device": "/dev/sdb"}}, "/source/device"),
        ("/api/instances", {"name": "x", "directKernel": {"kernel": "/boot/vmlinuz"}}, "/directKernel/kernel"),
        ("/api/instances", {"name": "x", "iso": "/srv/a.iso"}, "/iso"),
        ("/api/instances", {"name": "x", "nics": [{"name": "a", "device": "eth0"}]}, "/nics/0/device"),
        ("/api/networks", {"name": "x", "dnsmasqOptions": ["conf-file=/etc/shadow"]}, "/dnsmasqOptions"),
        ("/api/networks", {"name": "x", "boot": {"file": "x", "tftpRoot": "/etc"}}, "/boot/tftpRoot"),
        ("/api/instances", {"name": "x", "disks": [{"name": "a", "volume": "/srv/v"}]}, "/disks/0/volume"),
        ("/api/instances", {"name": "x", "directKernel": {"kernel": 5}}, "/directKernel/kernel"),
        ("/api/networks", {"name": "x", "portForwards": [{"name": "a", "hostPort": 1}]}, "/portForwards"),
        ("/api/templates", {"source": {"url": "http://169.254.169.254/x"}}, "/source/url"),
        ("/api/templates?plan=true", {"source": {"url": "https://localhost/x"}}, "/source/url"),
        ("/api/templates", {"source": {"url": "http://[fd00::1]/x"}}, "/source/url"),
    ],
)
def test_what_reaches_into_the_node_takes_an_admin(
    app: FastAPI, index: Index, path: str, body: dict[str, Any], pointer: str
) -> None:
    answer = caller(app, index, "operator")("POST", path, body)
    assert answer.status_code == 403
    problem = answer.json()
    assert problem["type"] == "urn:jvp:forbidden"
    assert problem["errors"] == [{"detail": problem["detail"], "pointer": pointer}]
    assert "role admin" in problem["detail"]
    assert caller(app, index, "admin")("POST", path, body).status_code != 403


def test_the_name_of_a_property_in_python_is_none(app: FastAPI, index: Index) -> None:
    operator = caller(app, index, "operator")
    for path, body, name in (
        ("/api/instances", {"name": "x", "direct_kernel": {"kernel": "/boot/vmlinuz"}}, "direct_kernel"),
        ("/api/volumes", {"name": "x", "pool": "p", "image_path": "/etc/shadow"}, "image_path"),
    ):
        answer = operator("POST", f"{path}?plan=true", body)
        assert answer.status_code == 422
        assert [one["pointer"] for one in answer.json()["errors"]] == [f"/{name}"]


def test_what_an_admin_declared_may_be_sent_back() -> None:
    there = {"path": "/srv/x/", "source": {"device": "/dev/sdb"}, "disks": [{"name": "a", "volume": "/srv/v"}]}
    pool, instance = registry.TYPES["StoragePool"].spec, registry.TYPES["Instance"].spec
    bodies.refuse_for_admins(pool, {"path": "/srv/x", "source": {"device": "/dev/sdb"}}, there)
    bodies.refuse_for_admins(instance, {"disks": [{"name": "b"}, {"name": "a", "volume": "/srv/v"}]}, there)
    network, web = registry.TYPES["Network"].spec, {"name": "web", "hostPort": 80, "to": "10.0.0.9"}
    one = {**web, "name": "one", "hostAddress": "192.0.2.1"}
    there = {"portForwards": [web, {**one, "protocol": "tcp"}]}
    for same in ([one, web], []):
        bodies.refuse_for_admins(network, {"portForwards": same}, there)
    for other in ([{**one, "hostAddress": None}, web], [{**web, "hostPort": 81}], [{**web, "protocol": "udp"}], 5):
        with pytest.raises(Forbidden, match="opens ports of the node"):
            bodies.refuse_for_admins(network, {"portForwards": other}, there)


SOUNDS = re.compile(r"path|file on|\buris?\b|\bxml\b|device|/dev|kernel", re.IGNORECASE)


def declarable(model: type[Spec], seen: set[type[Spec]]) -> Iterator[tuple[str, Any]]:
    if model in seen:
        return
    seen.add(model)
    for name, facts in fields(model).items():
        if facts.fact(Output) is None:
            yield f"{model.__name__}.{name}", facts
            if facts.item is not None:
                yield from declarable(facts.item, seen)


def test_every_property_that_sounds_like_the_nodes_is_decided_on() -> None:
    """A new one that names a path, a device, a uri or XML wants the type NodePath, or the fact ForAdmins, or a line."""
    models = [kind.spec for kind in registry.TYPES.values()] + [action.args for action in registry.ACTIONS.values()]
    seen: set[type[Spec]] = set()
    found = {name: facts for model in models for name, facts in declarable(model, seen)}
    sounding = {
        name for name, facts in found.items()
        if SOUNDS.search(name) or (facts.unit and SOUNDS.search(facts.unit)) or SOUNDS.search(facts.description)
    }  # fmt: skip
    undecided = {
        name for name in sounding
        if found[name].item is None and found[name].fact(ForAdmins) is None and found[name].fact(LocalFile) is None
    }  # fmt: skip
    assert undecided == DECIDED.keys()
    assert {"StoragePool.path", "StoragePoolSource.device", "DirectKernel.kernel"} <= sounding


DECIDED = {
    "StoragePool.type": "a word; the device of a file system is source.device",
    "StoragePoolSource.format": "a word",
    "TemplateSource.digest": "a digest, that nobody sets",
    "Network.mtu": "a number",
    "Network.mode": "a word; what of the node it is on is said beside it",
    "Network.virtualPort": "a word",
    "Network.deviceMode": "a word; the interface is device",
    "Nic.virtualPort": "a word; the bridge is a network's too",
    "Disk.serial": "what the guest sees",
    "Disk.wwn": "what the guest sees",
    "RootDisk.wwn": "what the guest sees",
    "User.shell": "a file of the guest",
    "File.path": "a file of the guest",
    "DirectKernel.cmdline": "what the guest's kernel reads",
}
"""What sounds like it and is for operators all the same, and why."""


def test_a_page_of_another_site_changes_nothing_and_is_told_nothing(app: FastAPI, index: Index) -> None:
    admin = caller(app, index, "admin")
    for origin in ("https://evil.example", "null"):
        refused = admin("DELETE", "/api/tokens/none", Origin=origin)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:jvp:forbidden")
    assert admin("DELETE", "/api/tokens/none", Origin="http://jvp").status_code == 404
    asked = Caller(app, None)(
        "OPTIONS", "/api/tokens", Origin="https://evil.example", **{"Access-Control-Request-Method": "POST"}
    )
    answers = (asked, admin("GET", "/api/operations", Origin="https://evil.example"), refused)
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]
    assert asked.status_code in (401, 403)


def test_wrong_tokens_of_one_address_are_answered_later_each_time_and_those_of_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    slowness = doorkeeper.Slowness()
    waits = [slowness.note("192.0.2.1", now) for now in range(12)]
    assert waits == sorted(waits)
    assert waits[0] == doorkeeper.FIRST_S
    assert waits[-1] == doorkeeper.LONGEST_S
    assert slowness.note("192.0.2.2", 12) == doorkeeper.FIRST_S
    assert slowness.note("192.0.2.1", 12 + 61) == doorkeeper.FIRST_S
    slowness.note("2001:db8::1", 12)
    assert slowness.note("2001:db8::2", 12) > doorkeeper.FIRST_S  # one machine has the whole network
    for number in range(doorkeeper.ADDRESSES_MAX + 5):
        slowness.note(f"address {number}", 12)
    assert len(slowness._seen) == doorkeeper.ADDRESSES_MAX


def test_no_token_is_in_a_log_or_a_problem(app: FastAPI, index: Index, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    _, text = tokens.create(index, "log", "admin", expires_s=600)
    one = Caller(app, text)
    answers = [
        one("GET", f"/api/{text}"),
        one("DELETE", f"/api/instances/{text}"),
        one("DELETE", f"/api/tokens/{text}"),
    ]
    secret = text.split("_", 2)[2]  # which may hold one itself
    assert not [record for record in caplog.records if record.name == "jvp" and secret in record.getMessage()]
    assert secret not in "".join(answer.text for answer in answers)
    assert secret not in one("GET", "/api/operations").text
    assert masked(f"x {text} y") == f"x {text[:17]}*** y"


def test_without_an_index_nobody_comes_in_by_a_token(tmp_path: Path) -> None:
    provider = settings("qemu+unix:///system?socket=/nonexistent")
    bare = make_app(registry.objects(provider), provider, Operations())
    assert Caller(bare, "jvp_x")("GET", "/api/operations").status_code == 409


def test_paths_of_kinds_are_those_of_the_table() -> None:
    for token in registry.TYPES:
        assert roles.kind_of(f"/api/{plural(token)}/x/actions/start") == token
    assert roles.kind_of("/api/operations") is None

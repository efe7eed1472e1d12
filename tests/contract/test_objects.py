"""Objects without an engine's state, on the real daemon: made, planned, changed and deleted by what their marks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.kinds import KINDS, Kind, foreign_network, pool, running, stopped, volume
from tests.contract.test_registry import definition, described

from jvp.core.declaration import Noted
from jvp.core.errors import Invalid, NotFound, Rejected, dotted
from jvp.core.identity import DeclaredBy
from jvp.core.objects import Found, Objects
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.resources import registry
from jvp.resources.provider import Provider

CLI = DeclaredBy("cli")
STACK = DeclaredBy.of("pulumi", "shop/dev", "urn:pulumi:dev::shop::::it")
ONE_OF_EACH = [kind for kind in KINDS if kind.id != "running instance"]
CLOUD_INIT: Bag = {
    "hostname": "guest", "packages": ["nginx"],
    "users": [{"name": "u", "password": "not-to-be-shown", "sudo": True}],
    "files": [{"path": "/etc/motd", "content": "hello", "permissions": "0644"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def objects() -> Objects:
    return registry.objects(Provider(virt_type="qemu"))


@pytest.fixture(params=ONE_OF_EACH, ids=lambda kind: kind.id)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(autouse=True)
def images(furnished: Bench) -> Iterator[None]:
    yield
    for path in Path("/var/tmp").glob(f"{furnished.prefix}image-*"):
        path.unlink()


@pytest.fixture
def gone(objects: Objects) -> Iterator[Callable[[str, str], None]]:
    """Has an object deleted at the end, if it is there."""
    made: list[tuple[str, str]] = []
    yield lambda token, reference: made.append((token, reference))
    for token, reference in reversed(made):
        with_suppressed(lambda token=token, reference=reference: objects.delete(token, reference, Work(), force=True))


def with_suppressed(call: Callable[[], None]) -> None:
    try:
        call()
    except NotFound:
        return


def document(bench: Bench, kind: Kind, name: str) -> Bag:
    """A full declaration, which says more than the least."""
    more: dict[str, Bag] = {
        "StoragePool": {"deleteData": True},
        "Instance": {"cloudInit": CLOUD_INIT, "shutdownTimeout": "7s", "updatePolicy": "restart", "virtType": "auto"},
        "Network": {"domain": "example.test", "reservations": []},
        "Volume": {"detachOnDelete": False},
    }
    return {**kind.minimal(bench, name), **more.get(kind.token, {})}


def place(objects: Objects, token: str, raw: Bag) -> str:
    return objects.handlers[token].place(raw)


def applied(objects: Objects, token: str, raw: Bag, **more: Any) -> Any:
    return objects.apply(token, raw, Work(), by=more.pop("by", CLI), **more)


def planned(objects: Objects, token: str, raw: Bag) -> list[str]:
    return [dotted(change.path) for change in objects.plan(token, None, raw, Work()).changes]


def got(objects: Objects, token: str, reference: str) -> Found:
    found = objects.get(token, reference, Work())
    assert found is not None
    return found


def test_an_apply_makes_it_and_the_same_or_its_export_changes_nothing(
    bench: Bench, objects: Objects, kind: Kind, gone: Callable[[str, str], None]
) -> None:
    raw = document(bench, kind, bench.name("apply"))
    where = place(objects, kind.token, raw)
    gone(kind.token, where)
    told = objects.plan(kind.token, None, raw, Work())
    assert (told.id, told.changes) == (None, ())
    with pytest.raises(NotFound, match=r"there is no .*; there are: "):
        objects.get(kind.token, where, Work())
    made = applied(objects, kind.token, raw)
    assert (made.created, made.reasons) == (True, ())
    before = definition(bench, kind, made.stored)
    assert planned(objects, kind.token, raw) == []
    assert applied(objects, kind.token, raw).changes == ()
    for reference in (where, made.stored.id):
        found = got(objects, kind.token, reference)
        assert (found.id, found.holder) == (made.stored.id, None)
        assert str(found.declared_by) == f"the command line, {objects.handlers[kind.token].kind} {where}"
        assert "not-to-be-shown" not in repr(found)
        assert planned(objects, kind.token, found.inputs) == []
        assert applied(objects, kind.token, found.inputs).changes == ()
    assert definition(bench, kind, made.stored) == before
    objects.delete(kind.token, where, Work(), force=True)
    with pytest.raises(NotFound):
        objects.delete(kind.token, where, Work())


def test_what_an_engine_made_reads_and_plans_the_same_and_is_changed_by_force_alone(
    bench: Bench, objects: Objects, kind: Kind
) -> None:
    name = bench.name("engine")
    raw = document(bench, kind, name)
    where = place(objects, kind.token, raw)
    key = replace(bench.key(kind.token, name), declared_by=STACK)
    made = bench.calls.create(kind.token, key, bench.inputs(kind.token, raw), Work()).stored
    stored = bench.read(kind.token, made)
    assert stored is not None
    try:
        refused_and_forced(bench, objects, kind, stored, raw, where)
    finally:
        bench.delete(kind.token, stored)


def refused_and_forced(bench: Bench, objects: Objects, kind: Kind, stored: Stored, raw: Bag, where: str) -> None:
    before = definition(bench, kind, stored)
    found = got(objects, kind.token, where)
    assert (found.id, found.holder) == (stored.id, f"declared by {STACK}")
    assert planned(objects, kind.token, raw) == planned(objects, kind.token, found.inputs) == []
    changed = kind.changed(raw)
    said: list[str] = []
    ours = objects.plan(kind.token, None, changed, Work(warn=said.append))
    lines: list[str] = []
    inputs = bench.inputs(kind.token, changed)
    theirs = bench.calls.diff(kind.token, stored, inputs, Work(warn=lines.append))
    bench.calls.preview_update(kind.token, stored, inputs, Work(warn=lines.append), theirs, defaults=True)
    assert [(one.path, one.kind, one.effect, one.note) for one in ours.changes] == [
        (one.path, one.kind, one.effect, one.note) for one in theirs.changes
    ]
    assert ours.changes
    assert said == lines
    for call, done in (
        (lambda: applied(objects, kind.token, changed), "changed"),
        (lambda: objects.delete(kind.token, where, Work()), "deleted"),
    ):
        with pytest.raises(Rejected) as caught:
            call()
        assert caught.value.message.endswith(f"is declared by {STACK}, and is not {done} without force")
        assert raw["name"] in caught.value.message
    assert definition(bench, kind, stored) == before
    noted = noted_on(objects, kind.token, stored.id)
    forced = applied(objects, kind.token, changed, force=True)
    assert {one.path[0] for one in forced.changes} == {one.path[0] for one in theirs.changes}
    again = noted_on(objects, kind.token, stored.id)
    assert (again.mark is None, noted.mark is None) == (False, False)
    assert again.mark.declared_by == noted.mark.declared_by == STACK  # type: ignore[union-attr]
    assert names(again) == names(noted)


def noted_on(objects: Objects, token: str, object_id: str) -> Noted:
    noted = objects.handlers[token].noted(Work(), object_id)
    assert noted is not None
    return noted


def names(noted: Noted) -> Any:
    return noted.declaration.names if noted.declaration is not None else None


def test_what_nobody_of_ours_made_is_shown_and_changed_by_force_alone(
    bench: Bench, objects: Objects, kind: Kind
) -> None:
    if kind.foreign is None:
        pytest.skip(f"a {kind.id} is always one of ours")
    raw = kind.minimal(bench, bench.name("foreign"))
    where = place(objects, kind.token, raw)
    foreign = kind.foreign(bench, raw)
    before = described(foreign)
    found = got(objects, kind.token, where)
    assert (found.declared_by, found.holder) == (None, "not one that jvp made")
    assert found.state["name"] == raw["name"]
    for call, done in (
        (lambda: applied(objects, kind.token, {**found.inputs, **raw}), "changed"),
        (lambda: objects.delete(kind.token, where, Work()), "deleted"),
    ):
        with pytest.raises(Rejected, match=f"is not one that jvp made, and is not {done} without force"):
            call()
    assert described(foreign) == before
    objects.delete(kind.token, where, Work(), force=True)
    with pytest.raises(NotFound):
        objects.get(kind.token, where, Work())


class Died(BaseException):
    """The process is no more."""


def test_a_create_whose_process_died_goes_on(
    bench: Bench, objects: Objects, kind: Kind, gone: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = kind.minimal(bench, bench.name("cut"))
    where = place(objects, kind.token, raw)
    gone(kind.token, where)

    def died(*_arguments: Any, **_named: Any) -> Any:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(objects.handlers[kind.token], "read", died)
        with pytest.raises(Died):
            applied(objects, kind.token, raw)
    half_made = objects.handlers[kind.token].find(Work(), where)
    noted = noted_on(objects, kind.token, half_made)
    assert noted.mark is not None
    assert not noted.mark.acknowledged
    assert objects.plan(kind.token, None, raw, Work()).id is None
    made = applied(objects, kind.token, raw)
    assert (made.created, made.stored.id) == (True, half_made)
    assert noted_on(objects, kind.token, half_made).mark.acknowledged  # type: ignore[union-attr]
    assert planned(objects, kind.token, raw) == []


TAKEN_OUT: list[tuple[str, Bag, tuple[str, ...]]] = [
    ("network", {"domain": "example.test", "autostart": False}, ("domain", "autostart")),
    ("pool", {"autostart": False, "deleteData": True}, ("autostart", "deleteData")),
    ("volume", {"detachOnDelete": False}, ("detachOnDelete",)),
    ("template", {"os": "debian"}, ("os",)),
    ("stopped instance", {"cpus": 2, "autostart": True, "updatePolicy": "restart"}, ("cpus", "autostart")),
]  # fmt: skip


@pytest.mark.parametrize(("id", "more", "out"), TAKEN_OUT, ids=[one[0] for one in TAKEN_OUT])
def test_what_is_taken_out_goes_back_to_its_default(
    bench: Bench, objects: Objects, id: str, more: Bag, out: tuple[str, ...], gone: Callable[[str, str], None]
) -> None:
    (kind,) = [one for one in KINDS if one.id == id]
    raw = kind.minimal(bench, bench.name("out"))
    where = place(objects, kind.token, raw)
    gone(kind.token, where)
    applied(objects, kind.token, {**raw, **more})
    assert {dotted(one.path) for one in objects.plan(kind.token, None, raw, Work()).changes} >= set(out)
    applied(objects, kind.token, raw)
    assert planned(objects, kind.token, raw) == []
    found = got(objects, kind.token, where)
    assert not set(out) & set(found.inputs)
    # And what was never in is not taken out: somebody else set it, which is drift.
    assert applied(objects, kind.token, raw).changes == ()


REPLACING: dict[str, Bag] = {
    "pool": {"path": "/var/lib/jvp-elsewhere"},
    "volume": {"format": "raw"},
    "stopped instance": {"template": "base/no-such"},
}


@pytest.mark.parametrize("id", REPLACING)
def test_a_replacement_is_refused_unasked(
    bench: Bench, objects: Objects, id: str, gone: Callable[[str, str], None]
) -> None:
    (kind,) = [one for one in KINDS if one.id == id]
    raw = kind.minimal(bench, bench.name("anew"))
    gone(kind.token, place(objects, kind.token, raw))
    made = applied(objects, kind.token, raw).stored
    before = definition(bench, kind, made)
    other = {**raw, **REPLACING[id]}
    assert objects.plan(kind.token, None, other, Work()).replaces
    what = next(iter(REPLACING[id]))
    with pytest.raises(Rejected, match=f"would have to be made anew to change in {what}, which is not done unasked"):
        applied(objects, kind.token, other)
    assert definition(bench, kind, made) == before


def test_write_only_values_are_compared_with_what_was_declared(
    bench: Bench, objects: Objects, gone: Callable[[str, str], None]
) -> None:
    raw = {**stopped(bench, bench.name("cloud")), "cloudInit": CLOUD_INIT}
    gone("Instance", raw["name"])
    applied(objects, "Instance", raw)
    users = [{**CLOUD_INIT["users"][0], "password": "another"}]
    other = {**raw, "cloudInit": {**CLOUD_INIT, "users": users}}
    assert {path.partition(".")[0] for path in planned(objects, "Instance", other)} == {"cloudInit"}
    lines: list[str] = []
    objects.plan("Instance", None, other, Work(warn=lines.append))
    assert any("cloud-init" in line or "cloudInit" in line for line in lines)
    assert "another" not in "".join(lines)
    applied(objects, "Instance", other)
    assert planned(objects, "Instance", other) == []
    assert {path.partition(".")[0] for path in planned(objects, "Instance", raw)} == {"cloudInit"}
    # What a document leaves out, for nobody can read it, stays as it is declared.
    export = got(objects, "Instance", raw["name"]).inputs
    assert "cloudInit" not in export
    assert planned(objects, "Instance", {**export, "cpus": 2}) == ["cpus", "maxCpus"]
    applied(objects, "Instance", {**export, "cpus": 2})
    assert planned(objects, "Instance", {**other, "cpus": 2}) == []


def test_a_pool_is_deleted_as_it_was_declared_or_as_is_asked(
    bench: Bench, objects: Objects, gone: Callable[[str, str], None]
) -> None:
    for declared, options, stays in ((True, None, False), (False, None, True), (False, {"deleteData": True}, False)):
        raw = {**pool(bench, bench.name("data")), "deleteData": declared}
        gone("StoragePool", raw["name"])
        applied(objects, "StoragePool", raw)
        applied(objects, "Volume", {"name": "data", "pool": raw["name"], "size": "1MiB"})
        lines: list[str] = []
        objects.delete("StoragePool", raw["name"], Work(warn=lines.append), options=options)
        assert (Path(raw["path"]) / "data").exists() == stays
        if stays:
            assert any("stays: it holds " in line for line in lines), lines
            for file in Path(raw["path"]).iterdir():
                file.unlink()
            Path(raw["path"]).rmdir()
    with pytest.raises(NotFound):
        objects.delete("StoragePool", raw["name"], Work(), options={"deleteData": True})


def test_what_instances_use_is_deleted_by_force_alone(
    bench: Bench, objects: Objects, gone: Callable[[str, str], None]
) -> None:
    disk, lan = volume(bench, bench.name("used")), {"name": bench.name("used"), "cidr": bench.cidr()}
    where = place(objects, "Volume", disk)
    raw = {
        **stopped(bench, bench.name("user")), "nics": [{"name": "eth0", "network": lan["name"]}],
        "disks": [{"name": "data", "volume": where}],
    }  # fmt: skip
    for token, document in (("Volume", disk), ("Network", lan), ("Instance", raw)):
        gone(token, place(objects, token, document))
        applied(objects, token, document)
    for token, reference in (("Volume", where), ("Network", lan["name"])):
        with pytest.raises(Rejected, match=f"is used by {raw['name']}, and is not deleted without force"):
            objects.delete(token, reference, Work())
        objects.delete(token, reference, Work(), force=True)
    found = got(objects, "Instance", raw["name"])
    assert (found.state["disks"], found.state["nics"]) == ([], [])
    objects.delete("Instance", raw["name"], Work())


def test_a_pool_with_a_disk_of_an_instance_is_deleted_by_force_alone(
    bench: Bench, objects: Objects, gone: Callable[[str, str], None]
) -> None:
    place = pool(bench, bench.name("home"))
    raw = {**stopped(bench, bench.name("lodger")), "rootDisk": {"pool": place["name"], "size": "1MiB"}}
    for token, document in (("StoragePool", place), ("Instance", raw)):
        gone(token, document["name"])
        applied(objects, token, document)
    for options in (None, {"deleteData": True}):
        with pytest.raises(Rejected, match=f"is used by {raw['name']}, and is not deleted without force"):
            objects.delete("StoragePool", place["name"], Work(), options=options)
    objects.delete("StoragePool", place["name"], Work(), force=True)
    assert Path(place["path"]).is_dir()
    applied(objects, "StoragePool", place)
    objects.delete("Instance", raw["name"], Work())
    objects.delete("StoragePool", place["name"], Work())
    Path(place["path"]).rmdir()  # it was there before the pool that was made last


def test_what_cannot_be_read_is_taken_out_by_a_null(
    bench: Bench, objects: Objects, gone: Callable[[str, str], None]
) -> None:
    raw = {**stopped(bench, bench.name("null")), "cloudInit": CLOUD_INIT}
    gone("Instance", raw["name"])
    applied(objects, "Instance", raw)
    out = {**raw, "cloudInit": None}
    assert planned(objects, "Instance", out) == ["cloudInit"]
    applied(objects, "Instance", out)
    assert planned(objects, "Instance", out) == []
    assert planned(objects, "Instance", {name: value for name, value in raw.items() if name != "cloudInit"}) == []
    assert planned(objects, "Instance", raw) == ["cloudInit"]


def test_what_nobody_of_ours_made_can_be_taken_over(
    bench: Bench, objects: Objects, gone: Callable[[str, str], None]
) -> None:
    raw = {"name": bench.name("adopted"), "cidr": bench.cidr(), "autostart": False}
    gone("Network", raw["name"])
    foreign = foreign_network(bench, raw)
    made = applied(objects, "Network", raw, adopt=True)
    assert made.stored.id == foreign.UUIDString()
    found = got(objects, "Network", raw["name"])
    assert (found.holder, str(found.declared_by)) == (None, f"the command line, network {raw['name']}")
    assert planned(objects, "Network", raw) == []
    assert planned(objects, "Network", {**raw, "autostart": True}) == ["autostart"]
    assert {one["name"] for one in objects.list("Network", {"name": raw["name"]}, Work())} == {raw["name"]}
    with pytest.raises(Invalid) as caught:
        objects.list("Network", {"nmae": "x"}, Work())
    assert caught.value.path == ("nmae",)
    objects.delete("Network", raw["name"], Work())


def test_options_are_settings_and_are_checked(bench: Bench, objects: Objects, gone: Callable[[str, str], None]) -> None:
    raw = volume(bench, bench.name("options"))
    gone("Volume", place(objects, "Volume", raw))
    applied(objects, "Volume", raw)
    for options, path in (({"size": "1GiB"}, ("size",)), ({"detachOnDelete": "maybe"}, ("detachOnDelete",))):
        with pytest.raises(Invalid) as caught:
            objects.delete("Volume", place(objects, "Volume", raw), Work(), options=options)
        assert caught.value.path == path


def test_actions_go_by_whose_the_object_is(bench: Bench, objects: Objects, gone: Callable[[str, str], None]) -> None:
    raw = pool(bench, bench.name("acts"))
    gone("StoragePool", raw["name"])
    applied(objects, "StoragePool", raw)
    assert objects.act("stopStoragePool", raw["name"], {}, Work()) == {"state": "inactive"}
    assert planned(objects, "StoragePool", raw) == ["active"]
    assert [one.path for one in applied(objects, "StoragePool", raw).changes] == [("active",)]
    assert bench.pool is not None
    with pytest.raises(
        Rejected, match="is declared by an engine, name not recorded, and is not acted on without force"
    ):
        objects.act("refreshStoragePool", bench.pool.id, {}, Work())
    assert objects.act("refreshStoragePool", bench.pool.id, {}, Work(), force=True)["state"] == "running"


def test_what_waits_for_an_address_and_was_stopped_since_is_exported_and_changed_as_it_is(
    bench: Bench, objects: Objects, gone: Callable[[str, str], None]
) -> None:
    raw = {**running(bench, bench.name("waits")), "waitFor": "ip", "waitTimeout": "1s"}
    made = objects.apply("Instance", raw, Work(), by=CLI)
    gone("Instance", raw["name"])
    assert made.reasons
    objects.act("stopInstance", raw["name"], {"force": True}, Work())
    export = got(objects, "Instance", raw["name"]).inputs
    assert "waitFor" not in export
    assert planned(objects, "Instance", export) == []
    changed = objects.apply("Instance", {**export, "autostart": True}, Work(), by=CLI)
    assert changed.stored.state["state"] == "stopped"
    assert "powerState" in planned(objects, "Instance", raw)  # as it was declared, it runs

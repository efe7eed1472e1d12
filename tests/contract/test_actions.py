"""Actions on real objects: what they do, that they may be called again, and what is refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.kinds import foreign_network
from tests.contract.test_instance_power import bare, crash

from jvp.core.action import KEPT, Request, digest
from jvp.core.errors import Invalid, JvpError, NotFound, Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import parse, value
from jvp.resources.instance.power import REQUESTS, Guest

Made = Callable[[Bag], Stored]


def act(
    bench: Bench, token: str, reference: str, work: Work | None = None, request: str | None = None, **args: Any
) -> Any:
    return bench.calls.act(token, reference, args, work or Work(), request_id=request)


def test_an_instance_is_started_halted_and_stopped(bench: Bench, made: Made) -> None:
    raw = bare(bench, "acts", powerState="stopped")
    stored = made(raw)
    name = raw["name"]
    for token, state in (
        ("startInstance", "running"), ("pauseInstance", "paused"), ("resumeInstance", "running"),
        ("stopInstance", "stopped"),
    ):  # fmt: skip
        for reference in (name, stored.id):  # the second time it is so already
            assert act(bench, token, reference) == {"state": state}
            found = bench.read("Instance", stored)
            assert found is not None
            assert found.state["state"] == state
    bench.converged("Instance", stored, raw)


def test_a_guest_that_does_not_listen_is_cut_off_at_the_limit(bench: Bench, made: Made) -> None:
    stored = made(bare(bench, "deaf"))
    lines: list[str] = []
    assert act(bench, "stopInstance", stored.id, Work(status=lines.append), timeout="1s") == {"state": "stopped"}
    assert any("waiting for the guest to shut down" in line for line in lines)
    act(bench, "startInstance", stored.id)
    lines.clear()
    assert act(bench, "stopInstance", stored.id, Work(status=lines.append), force=True) == {"state": "stopped"}
    assert lines == []


REFUSED = [
    ("stopped", "pauseInstance", "is stopped, and only a running one can be paused"),
    ("stopped", "resumeInstance", "is stopped, and only a paused one can go on; start it"),
    ("paused", "startInstance", "is paused; resume it"),
    ("paused", "stopInstance", "is paused; resume it, for it answers no request to shut down; or stop it by force"),
    ("paused", "restartInstance", "is paused; resume it, for it answers no request to shut down; or stop it by force"),
]


def test_what_cannot_be_is_refused_in_a_sentence(bench: Bench, made: Made) -> None:
    raw = bare(bench, "refused", powerState="stopped")
    stored = made(raw)
    for state, token, sentence in REFUSED:
        if state == "paused" and not domain_of(bench, stored).isActive():
            act(bench, "startInstance", stored.id)
            act(bench, "pauseInstance", stored.id)
        with pytest.raises(Rejected) as caught:
            act(bench, token, raw["name"])
        assert caught.value.message == f'instance "{raw["name"]}" {sentence}'
    assert act(bench, "stopInstance", stored.id, force=True) == {"state": "stopped"}
    crash_and_start(bench, stored, raw)


def crash_and_start(bench: Bench, stored: Stored, raw: Bag) -> None:
    act(bench, "startInstance", stored.id)
    crash(bench, stored)
    with pytest.raises(Rejected, match="crashed and is kept for a look at it; stop it by force"):
        act(bench, "startInstance", raw["name"])
    assert act(bench, "restartInstance", stored.id, force=True) == {"state": "running"}


def test_bad_arguments_and_unknown_objects_are_errors(bench: Bench, made: Made) -> None:
    with pytest.raises(Invalid) as wrong:
        act(bench, "stopInstance", "whoever", timeout="soon")
    assert wrong.value.path == ("timeout",)
    for token, kind in (
        ("startInstance", "instance"),
        ("startNetwork", "network"),
        ("stopStoragePool", "storage pool"),
    ):
        with pytest.raises(NotFound, match=f'no {kind} "no-such" on the node; there are: '):
            act(bench, token, "no-such")


def runs(bench: Bench, stored: Stored) -> int:
    return int(domain_of(bench, stored).ID())


def noted(bench: Bench, stored: Stored) -> tuple[Request, ...]:
    return Guest(Node("qemu:///system"), stored.id).read()


def test_a_request_to_restart_is_done_once(bench: Bench, made: Made) -> None:
    stored = made(bare(bench, "restarted"))
    before = runs(bench, stored)
    assert act(bench, "restartInstance", stored.id, request="one", timeout="0s") == {"state": "running"}
    once = runs(bench, stored)
    assert once != before
    assert act(bench, "restartInstance", stored.id, request="one", timeout="0s") == {"state": "running"}
    assert runs(bench, stored) == once
    act(bench, "restartInstance", stored.id, request="two", timeout="0s")
    assert runs(bench, stored) != once
    act(bench, "restartInstance", stored.id, timeout="0s")  # without an id it is done each time
    assert [one.since for one in noted(bench, stored)] == [None, None]
    others = tuple(Request(digest("restartInstance", f"more {number}")) for number in range(KEPT))
    Guest(Node("qemu:///system"), stored.id).write(others)
    assert noted(bench, stored) == others
    again = runs(bench, stored)
    act(bench, "restartInstance", stored.id, request="one", timeout="0s")  # so long ago that nobody remembers it
    assert runs(bench, stored) != again
    bench.converged("Instance", stored, stored.inputs)


class Died(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("step", ["before", "between", "after"])
def test_a_restart_that_was_cut_off_goes_on(
    bench: Bench, made: Made, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = made(bare(bench, "cut"))
    before = runs(bench, stored)
    with monkeypatch.context() as patched:
        patched.setattr(Guest, {"before": "restart", "between": "_started"}.get(step, "write"), died_at(step))
        with pytest.raises(Died):
            act(bench, "restartInstance", stored.id, request="cut", timeout="0s")
    (one,) = noted(bench, stored)
    assert one.since == str(before)
    then = runs(bench, stored)
    assert (then == before, then == -1, then > before) == (step == "before", step == "between", step == "after")
    assert act(bench, "restartInstance", stored.id, request="cut", timeout="0s") == {"state": "running"}
    assert runs(bench, stored) > before
    assert runs(bench, stored) == (then if step == "after" else runs(bench, stored))
    assert [one.since for one in noted(bench, stored)] == [None]


def died_at(step: str) -> Any:
    def died(*_arguments: Any, **_named: Any) -> Any:
        raise Died

    write, count = Guest.write, [0]

    def died_at_the_second(self: Guest, requests: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise Died
        write(self, requests)

    return died_at_the_second if step == "after" else died


def test_a_request_is_noted_on_a_mark_that_anybody_may_write_to(bench: Bench, made: Made) -> None:
    stored = made(bare(bench, "odd"))
    for text in ("[", "{}", '[["x"]]', "[[1, 2]]", '[["x", 5]]', f'[["x", "{"y" * 100}"]]'):
        root = devices.inactive_xml(domain_of(bench, stored))
        marks.set_fact(root, REQUESTS, text)
        bench.connection.defineXML(str(tostring(root)))
        assert noted(bench, stored) == ()
    assert act(bench, "restartInstance", stored.id, request="x", timeout="0s") == {"state": "running"}
    assert len(noted(bench, stored)) == 1


def tostring(root: Any) -> str:
    from jvp.libvirt.link.xml import text_of

    return text_of(root)


def test_a_guest_that_would_be_gone_once_it_is_off_is_not_restarted(bench: Bench, made: Made) -> None:
    stored = made(bare(bench, "undefined"))
    domain = domain_of(bench, stored)
    definition = domain.XMLDesc(2)
    domain.undefineFlags(4)
    try:
        with pytest.raises(Rejected, match="was undefined while it runs, and would be gone once it is off"):
            bench.calls.act("restartInstance", stored.id, {}, Work(), request_id="x", force=True)
        assert domain.isActive()
        assert not domain.isPersistent()
    finally:
        bench.connection.defineXML(definition)


def test_an_engine_that_died_before_it_saved_its_state_restarts_nothing_twice(bench: Bench, made: Made) -> None:
    """By the resource that stands for the restart."""
    stored = made(bare(bench, "stands"))
    raw: Bag = {"instance": stored.id, "timeout": "0s", "triggers": {"word": "a"}}
    before = runs(bench, stored)
    one = bench.create("RestartInstance", "restart", raw).stored
    once = runs(bench, stored)
    assert once > before
    assert bench.create("RestartInstance", "restart", raw).stored == one
    assert runs(bench, stored) == once
    other = {**raw, "triggers": {"word": "b"}}
    two = bench.update("RestartInstance", one, other).stored
    twice = runs(bench, stored)
    assert twice > once
    assert bench.update("RestartInstance", one, other).stored == two
    assert runs(bench, stored) == twice
    assert two.state["state"] == "running"
    bench.delete("RestartInstance", two)
    assert [one.since for one in noted(bench, stored)] == [None]
    assert runs(bench, stored) == twice


def test_a_request_that_comes_twice_at_once_is_done_once(bench: Bench, made: Made) -> None:
    stored = made(bare(bench, "twice"))
    told: list[Any] = []

    def restart() -> None:
        told.append(act(bench, "restartInstance", stored.id, request="one", timeout="1s"))

    threads = [threading.Thread(target=restart) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert told == [{"state": "running"}] * 3
    assert len(starts(stored)) == 2


def starts(stored: Stored) -> list[str]:
    """When QEMU was started for the guest, as its log has it."""
    text = Path(f"/var/log/libvirt/qemu/{stored.state['name']}.log").read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines() if "starting up" in line]


def test_the_dynamic_form_has_the_resource_that_stands_for_it(bench: Bench, made: Made) -> None:
    from jvp.doors.dynamic.reference import RESOURCE
    from jvp.doors.dynamic.verbs import Verbs

    stored = made(bare(bench, "dynamic"))
    settings: dict[str, str] = {}
    verbs = Verbs("RestartInstance", settings.get, threading.Event())
    who = {"address": f"urn:pulumi:dev::{bench.prefix}::::restart", "name": "restart", "secrets": []}
    given = {"instance": stored.id, "timeout": "0s", "triggers": {"word": "a"}, RESOURCE: who}
    before = runs(bench, stored)
    one = verbs.create(verbs.check(given).inputs)
    assert one.outs is not None
    once = runs(bench, stored)
    assert once > before
    news = verbs.check({**given, "triggers": {"word": "b"}}).inputs
    assert verbs.diff(one.id, one.outs, news).changes
    two = verbs.update(one.id, one.outs, news)
    assert two.outs is not None
    assert runs(bench, stored) > once
    verbs.delete(one.id, two.outs)


@pytest.fixture
def pool_of_its_own(bench: Bench) -> Any:
    name = bench.name("acts")
    stored = bench.create("StoragePool", name, {"name": name, "path": f"{bench.folder}/{name}"}).stored
    bench.read("StoragePool", stored)
    yield stored
    bench.delete("StoragePool", stored)


def test_a_pool_is_stopped_started_and_refreshed(bench: Bench, pool_of_its_own: Stored) -> None:
    stored = pool_of_its_own
    name, path = stored.state["name"], Path(stored.state["path"])
    for reference in (name, stored.id):
        assert act(bench, "stopStoragePool", reference) == {"state": "inactive"}
    with pytest.raises(Rejected, match=f'storage pool "{name}" is not active; start it'):
        act(bench, "refreshStoragePool", name)
    for reference in (name, stored.id):
        told = act(bench, "startStoragePool", reference)
        assert (told["state"], set(told)) == (
            "running", {"state", "capacityBytes", "allocationBytes", "availableBytes"},
        )  # fmt: skip
    handle = bench.connection.storagePoolLookupByName(name)
    (path / "new").write_bytes(b"x")
    assert "new" not in handle.listVolumes()
    assert act(bench, "refreshStoragePool", name)["state"] == "running"
    assert "new" in handle.listVolumes()
    (path / "new").unlink()
    bench.converged("StoragePool", stored, stored.inputs)


def test_a_pool_over_another_folder_is_not_started(bench: Bench, pool_of_its_own: Stored) -> None:
    stored = pool_of_its_own
    path = Path(stored.state["path"])
    act(bench, "stopStoragePool", stored.id)
    away = path.with_name(f"{path.name}-away")
    path.rename(away)
    with pytest.raises(Rejected, match="is not there; mount the file system"):
        act(bench, "startStoragePool", stored.id)
    path.mkdir()
    with pytest.raises(Rejected, match="is not the one that it was"):
        act(bench, "startStoragePool", stored.id)
    assert not bench.connection.storagePoolLookupByUUIDString(stored.id).isActive()
    shutil.rmtree(path)
    away.rename(path)
    assert act(bench, "startStoragePool", stored.id)["state"] == "running"


def test_guests_whose_pool_is_stopped_run_on_and_are_named(bench: Bench, made: Made) -> None:
    assert bench.pool is not None
    raw = bare(bench, "on-the-pool")
    stored = made(raw)
    lines: list[str] = []
    try:
        act(bench, "stopStoragePool", bench.pool.id, Work(warn=lines.append))
        assert any(raw["name"] in line and "on with disks in this pool" in line for line in lines)
        assert domain_of(bench, stored).isActive()
    finally:
        act(bench, "startStoragePool", bench.pool.id)


def test_a_network_is_stopped_and_its_guests_get_their_cards_back(bench: Bench, made: Made) -> None:
    assert bench.network is not None
    name = bench.network.state["name"]
    raw = bare(bench, "carded", nics=[{"name": "eth0", "network": bench.network.id}])
    stored = made(raw)
    lines: list[str] = []
    for reference in (name, bench.network.id):
        assert act(bench, "stopNetwork", reference, Work(warn=lines.append)) == {"state": "inactive"}
    assert lines == [f"what runs on this network is cut off until it is active again: {raw['name']}"]
    for reference in (name, bench.network.id):
        assert act(bench, "startNetwork", reference) == {"state": "active"}
    network = bench.connection.networkLookupByName(name)
    owners = [value(parse(port.XMLDesc(0)), "owner/name") for port in network.listAllPorts()]
    found = bench.read("Instance", stored)
    assert found is not None
    assert owners == [raw["name"]] or found.state["pending"]
    bench.converged("Network", bench.network, bench.network.inputs)


def test_a_network_that_does_not_start_keeps_no_note_of_a_restart(
    bench: Bench, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jvp.libvirt.network.networks import NetworkApi

    assert bench.network is not None
    made(bare(bench, "stays", nics=[{"name": "eth0", "network": bench.network.id}]))
    act(bench, "stopNetwork", bench.network.id)

    def refused(*_: Any) -> None:
        raise Rejected("it does not start")

    with monkeypatch.context() as patched:
        patched.setattr(NetworkApi, "start", refused)
        with pytest.raises(Rejected, match="it does not start"):
            act(bench, "startNetwork", bench.network.id)
    network = bench.connection.networkLookupByUUIDString(bench.network.id)
    assert "restarting" not in marks.facts_of(parse(network.XMLDesc(NetworkApi.INACTIVE)))
    act(bench, "startNetwork", bench.network.id)
    bench.converged("Network", bench.network, bench.network.inputs)


def test_what_nobody_of_ours_made_is_acted_on_by_force_alone(bench: Bench) -> None:
    name = bench.name("foreign")
    foreign = foreign_network(bench, {"name": name})
    try:
        before = foreign.XMLDesc(1)
        with pytest.raises(JvpError, match=f'network "{name}"'):
            act(bench, "startNetwork", name)
        assert not foreign.isActive()
        assert foreign.XMLDesc(1) == before
    finally:
        foreign.undefine()

"""Who waits for the calls of others hears a cancel and the deadline, and sends nothing after it was left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import libvirt
import pytest
from tests.unit.libvirt.test_libvirt_vanishing import error

from jvp.core import abandon
from jvp.core.abandon import run
from jvp.core.errors import Cancelled
from jvp.core.identity import Mark
from jvp.core.work import Work
from jvp.libvirt import disk_chain
from jvp.libvirt.domain import devices, domains
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import node, one_at_a_time
from jvp.libvirt.link.node import Node
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import lookup, templates
from jvp.libvirt.storage.volume_record import Sidecar
from jvp.resources.storage.template import Templates, TemplateState
from jvp.resources.storage.volume import Volumes, VolumeState

ENOUGH_S = 30.0


@pytest.fixture
def cancelled(monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr(abandon, "PATIENCE_S", 0.3)
    work = Work()
    work.cancelled.set()
    return work


class Verb:
    """A verb that says when it is over, though nobody may wait for it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call, self.over = call, threading.Event()

    def __call__(self) -> None:
        try:
            self._call()
        finally:
            self.over.set()


class Network:
    """An object of a connection whose calls wait for each other; `sent` has those that went to the daemon."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.back, self.busy = threading.Event(), threading.Event()
        one_at_a_time._lines[self] = one_at_a_time._Line()

    def connect(self) -> Network:
        return self

    def hang(self) -> None:
        self.busy.set()
        self.back.wait(ENOUGH_S)

    def create(self) -> None:
        self.sent.append("create")


hang, create = (
    one_at_a_time._waiting("virNetwork.hang", Network.hang),
    one_at_a_time._waiting("virNetwork.create", Network.create),
)


def test_a_call_that_still_queues_is_not_sent_after_its_verb_was_left(cancelled: Work) -> None:
    network = Network()
    earlier = threading.Thread(target=hang, args=(network,))
    earlier.start()
    assert network.busy.wait(ENOUGH_S)
    verb = Verb(lambda: create(network))
    with pytest.raises(Cancelled, match="an earlier call on the same connection has not come back"):
        run(cancelled, verb)
    network.back.set()
    assert verb.over.wait(ENOUGH_S)
    earlier.join(ENOUGH_S)
    assert network.sent == []
    create(network)
    assert network.sent == ["create"]


def test_a_call_that_was_sent_is_said_by_its_name(cancelled: Work) -> None:
    network = Network()
    verb = Verb(lambda: hang(network))
    with pytest.raises(Cancelled, match=r"libvirt's virNetwork\.hang has not come back"):
        run(cancelled, verb)
    network.back.set()
    assert verb.over.wait(ENOUGH_S)


class Told(Node):
    """A node whose daemon answers with the same text to everything, when `answers` is set."""

    def __init__(self, text: str) -> None:
        super().__init__("test:///none")
        self._text, self.asked, self.answers, self.count = text, threading.Event(), threading.Event(), 0

    @property
    def connection(self) -> Any:
        return self

    def getHostname(self) -> str:
        self.count += 1
        self.asked.set()
        self.answers.wait(ENOUGH_S)
        return self._text

    getCapabilities = getHostname


@pytest.mark.parametrize("ask", ["hostname", "host_uuid", "is_here"])
def test_what_one_verb_asks_of_a_node_holds_up_no_other(ask: str) -> None:
    text = "<capabilities><host><uuid>u</uuid></host></capabilities>" if ask == "host_uuid" else "a"
    hanging, well, done = Told(text), Told(text), threading.Event()
    well.answers.set()
    first = threading.Thread(target=getattr, args=(hanging, ask))
    first.start()
    assert hanging.asked.wait(ENOUGH_S)

    def twice() -> None:
        getattr(well, ask)
        getattr(well, ask)
        done.set()

    second = threading.Thread(target=twice)
    second.start()
    heard = done.wait(ENOUGH_S / 3)
    hanging.answers.set()
    first.join(ENOUGH_S)
    second.join(ENOUGH_S)
    assert heard
    assert well.count == 1


def test_what_many_verbs_ask_of_a_node_at_once_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "ASKED_S", ENOUGH_S)
    told = Told("a")
    with ThreadPoolExecutor(4) as threads:
        heard = [threads.submit(getattr, told, "hostname") for _ in range(4)]
        assert told.asked.wait(ENOUGH_S)
        told.answers.set()
        assert [one.result(ENOUGH_S) for one in heard] == ["a"] * 4
    assert told.count == 1


def test_who_waits_for_another_to_defer_something_is_left_behind(
    cancelled: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []
    monkeypatch.setattr(devices, "inactive_xml", lambda _: noted.append("read"))
    domain: Any = None
    verb = Verb(lambda: DomainApi(Node("test:///none")).defer(domain, "size", "why"))
    held, back = threading.Event(), threading.Event()

    def hold() -> None:
        with domains._DEFERRING:
            held.set()
            back.wait(ENOUGH_S / 3)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(ENOUGH_S)
    with pytest.raises(Cancelled, match="another change that waits for a power cycle has not come back"):
        run(cancelled, verb)
    back.set()
    other.join(ENOUGH_S)
    assert verb.over.wait(ENOUGH_S)
    assert noted == []
    assert domains._DEFERRING.acquire(timeout=ENOUGH_S)
    domains._DEFERRING.release()


class Busy:
    """A pool that makes volumes all the while, and a node on which there is no other and no volume is known."""

    def __init__(self) -> None:
        self.connection = self

    def __getattr__(self, name: str) -> Any:
        answers = {
            "isActive": 1, "name": "p", "UUIDString": "u", "listVolumes": [], "listAllStoragePools": [self],
            "connect": self, "getURI": "test:///busy",
        }  # fmt: skip
        return lambda *_: answers[name]

    def storagePoolLookupByTargetPath(self, _: str) -> Busy:
        return self

    def _none(self, *_: Any) -> None:
        raise error(libvirt.VIR_ERR_NO_STORAGE_VOL)

    storageVolLookupByName = storageVolLookupByPath = _none

    def refresh(self, _: int) -> None:
        raise error(libvirt.VIR_ERR_OPERATION_TIMEOUT)


RECORD = Sidecar("Template", Mark("", 0), "whole", facts={"current": "0" * 12})


@pytest.mark.parametrize(
    "look",
    [
        lambda busy: lookup.volume_of(busy, "p/v"),
        lambda busy: View(busy).learned("/p/v"),
        lambda busy: disk_chain._learn(busy, "/p", {"/p/v": []}),
        lambda busy: templates._usable(busy, "t", RECORD, ()),
    ],
    ids=["volume", "file", "overlays", "template"],
)
def test_a_cancel_ends_the_wait_for_a_busy_pool(look: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_REFRESH_S", 3.0)
    work = Work()
    work.cancelled.set()
    with pytest.raises(Cancelled):
        run(work, lambda: look(Busy()))


@pytest.mark.parametrize(("kind", "state"), [(Volumes, VolumeState), (Templates, TemplateState)])
def test_a_plan_looks_for_its_object_as_long_as_its_verb_may(
    kind: Any, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[Work] = []
    handler = kind(Node("test:///none"))

    def find(work: Work, *_: str) -> None:
        works.append(work)

    monkeypatch.setattr(handler, "api", type("Api", (), {"find": staticmethod(find)}))
    monkeypatch.setattr(handler, "_place", lambda _: ("p", "t"), raising=False)
    work = Work(time.monotonic() + ENOUGH_S)
    prior = state.model_construct(pool_uuid="u", name="t", nonce="n")
    run(work, lambda: [*handler.looked(work, (), prior, {})])
    assert [one is work for one in works] == [True]

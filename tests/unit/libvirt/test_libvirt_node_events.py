"""What happens on a node, as libvirt's test driver tells it: a host that lives in this process alone."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from jvp.core.errors import Unreachable
from jvp.core.happened import Happened
from jvp.libvirt.link import event_words, events
from jvp.libvirt.link.node_events import NodeEvents

PATIENCE_S = 60
UUID = "0f477db4-deb3-4b18-9fcd-0b6db3563055"


class Told:
    """A node of the test driver, and what is told of it."""

    shown, host_uuid = "test", UUID

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.heard: queue.SimpleQueue[Happened | str] = queue.SimpleQueue()
        self.errors: list[str] = []
        events.start_loop()
        self.opened: list[Any] = []
        self.watch = NodeEvents(self, self.heard.put, self.heard.put)  # type: ignore[arg-type]

    @property
    def connection(self) -> Any:
        if self.errors:
            raise Unreachable(self.errors.pop(0))
        self.opened.append(libvirt.open(self.uri))
        return self.opened[-1]

    def next(self) -> tuple[str, ...] | str:
        found = self.heard.get(timeout=PATIENCE_S)
        return found if isinstance(found, str) else (found.kind, found.name, found.event, found.detail)


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told("test:///default")
    yield found
    found.watch.stop()


def test_what_happens_to_domains_networks_and_pools_is_told_once(told: Told) -> None:
    told.watch.start()
    assert told.watch.ready.wait(PATIENCE_S)
    connection = libvirt.open(told.uri)  # the test driver has one default host
    domain = connection.lookupByName("test")
    domain.destroy()
    domain.create()
    domain.suspend()
    domain.resume()
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    other = connection.defineXML(xml.replace("<name>test<", "<name>\u202eevil<").replace(domain.UUIDString(), UUID))
    other.undefine()
    network = connection.networkLookupByName("default")
    network.destroy()
    network.create()
    pool = connection.storagePoolLookupByName("default-pool")
    pool.refresh()
    pool.destroy()
    pool.create()
    assert [told.next() for _ in range(11)] == [
        ("Instance", "test", "stopped", "destroyed"),
        ("Instance", "test", "started", "booted"),
        ("Instance", "test", "paused", "paused"),
        ("Instance", "test", "resumed", "unpaused"),
        ("Instance", "\\u202eevil", "defined", "added"),
        ("Instance", "\\u202eevil", "undefined", "removed"),
        ("Network", "default", "stopped", ""),
        ("Network", "default", "started", ""),
        ("StoragePool", "default-pool", "refreshed", ""),
        ("StoragePool", "default-pool", "stopped", ""),
        ("StoragePool", "default-pool", "started", ""),
    ]
    assert told.heard.empty()
    connection.close()


def test_a_node_that_does_not_answer_is_told_once_and_heard_when_it_does(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jvp.libvirt.link.node_events.AGAIN_S", 0.0)
    told.errors += ["no route", "no route", "refused"]
    told.watch.start()
    assert [told.next() for _ in range(3)] == [
        "nothing is heard of objects until the node answers: no route",
        "nothing is heard of objects until the node answers: refused",
        "the node was not heard for a while",
    ]
    assert told.watch.ready.is_set()


def test_after_the_loss_of_the_connection_it_is_asked_anew(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jvp.libvirt.link.node_events.LOOK_S", 0.01)
    told.watch.start()
    assert told.watch.ready.wait(PATIENCE_S)
    monkeypatch.setattr(type(told.opened[0]), "isAlive", lambda one: one is not told.opened[0])
    assert told.next() == "the node was not heard for a while"
    connection = libvirt.open(told.uri)
    connection.networkLookupByName("default").destroy()
    connection.networkLookupByName("default").create()
    assert [told.next() for _ in range(2)] == [
        ("Network", "default", "stopped", ""), ("Network", "default", "started", "")
    ]  # fmt: skip
    assert told.heard.empty()
    connection.close()


def test_what_libvirt_refuses_to_tell_of_is_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_connection: Any, *_: Any) -> int:
        raise libvirt.libvirtError("access denied")

    monkeypatch.setattr(libvirt.virConnect, "networkEventRegisterAny", refused)
    told.watch.start()
    assert told.next() == "some objects of the node are not heard of: access denied"


SAID = {
    "LIFECYCLE": ((5, 2), "crashed", ""), "REBOOT": ((), "rebooted", ""), "WATCHDOG": ((2,), "watchdog", "reset"),
    "IO_ERROR_REASON": (("/disk", "virtio-disk0", 1, "enospc"), "io-error", "virtio-disk0 enospc"),
    "BLOCK_JOB_2": (("vda", 1, 0), "block-job-completed", "vda"),
    "DISK_CHANGE": (("/a", None, "sata0", 0), "medium-changed", "sata0"),
    "TRAY_CHANGE": (("sata0", 0), "tray-open", "sata0"), "BALLOON_CHANGE": ((65536,), "memory-changed", "65536 KiB"),
    "DEVICE_ADDED": (("net1",), "device-added", "net1"), "DEVICE_REMOVED": (("net1",), "device-removed", "net1"),
    "DEVICE_REMOVAL_FAILED": (("net1",), "device-removal-failed", "net1"),
    "TUNABLE": (({"b": 1, "a": 2},), "tunables-changed", "a b"),
    "AGENT_LIFECYCLE": ((1, 2), "agent-connected", ""), "JOB_COMPLETED": (({},), "job-completed", ""),
    "METADATA_CHANGE": ((2, None), "metadata-changed", ""),
}  # fmt: skip
"""Of each event what libvirt tells, and the words for it."""


@pytest.mark.parametrize("part", event_words.DOMAIN)
def test_each_event_of_a_domain_has_its_words(part: str) -> None:
    given, event, detail = SAID[part]
    assert event_words.DOMAIN[part](*given) == (event, detail)


def test_a_reason_of_a_newer_libvirt_is_no_error() -> None:
    assert event_words.DOMAIN["LIFECYCLE"](5, 77) == ("stopped", "")
    assert event_words.DOMAIN["LIFECYCLE"](99, 0) == ("changed", "")
    assert event_words.NETWORK["LIFECYCLE"](9, 0) == ("changed", "")
    assert event_words.POOL["LIFECYCLE"](4, 0) == ("built", "")
    assert event_words.NETWORK["METADATA_CHANGE"](2, "urn:x") == ("metadata-changed", "urn:x")

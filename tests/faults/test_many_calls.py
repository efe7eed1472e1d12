"""More calls at once than libvirtd takes from one client, all slow; and a daemon that hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults.slow import PATIENCE_S, SlowHost, until
from jvp.core.errors import JvpError
from jvp.core.work import Work
from jvp.libvirt.link import node as nodes
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node

CALLS = 12
LOST_S = 7.0
"""This daemon takes a client for dead after 1 * (5 + 1) seconds without an answer."""


@pytest.fixture
def slow(hosts_folder: Path) -> Iterator[SlowHost]:
    with contextlib.closing(SlowHost(hosts_folder / "slow", f"{hosts_folder.name}-slow")) as found:
        yield found


def outcome(call: Callable[[], object]) -> str:
    """What a call says to a user."""
    try:
        with libvirt_errors("it"):
            call()
    except JvpError as error:
        return str(error)
    return "fine"


def networks(node: Node) -> list[str]:
    """Networks to be started, by uuid: a look-up by name waits for every network that is starting."""
    define = node.connection.networkDefineXML
    return [define(f"<network><name>n{number}</name></network>").UUIDString() for number in range(CALLS)]


def test_more_slow_calls_than_libvirtd_takes_from_one_client(slow: SlowHost) -> None:
    node = Node(slow.host.uri)
    connection = node.connection
    uuids = networks(node)

    def start(uuid: str) -> str:
        return outcome(lambda: node.connection.networkLookupByUUIDString(uuid).create())

    with ThreadPoolExecutor(CALLS) as threads:
        told = [threads.submit(start, uuid) for uuid in uuids]
        until(lambda: slow.begun() >= nodes.CONTROLS, "the calls never came")
        time.sleep(LOST_S)
        begun = slow.begun()
        slow.release()
        said = [one.result(PATIENCE_S) for one in told]
    assert all("hook script" in one.lower() for one in said), said
    assert (begun, slow.begun()) == (nodes.CONTROLS, CALLS)
    assert node.connection is connection


def test_long_calls_have_connections_of_their_own(slow: SlowHost) -> None:
    node = Node(slow.host.uri)
    uuids = networks(node)

    def start(uuid: str) -> str:
        with node.job(Work()) as connection:
            return outcome(connection.networkLookupByUUIDString(uuid).create)

    with ThreadPoolExecutor(CALLS) as threads:
        told = [threads.submit(start, uuid) for uuid in uuids]
        until(lambda: slow.begun() >= nodes.JOBS, "the calls never came")
        assert node.connection.getVersion()
        assert slow.begun() == nodes.JOBS
        slow.release()
        assert all("hook script" in one.result(PATIENCE_S).lower() for one in told)


def test_a_daemon_that_hangs(slow: SlowHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread hears of it, those that are in a call too, and the process outlives it."""
    monkeypatch.setattr(nodes, "KEEPALIVE", (1, 3))
    node = Node(slow.host.uri)

    def ask() -> str:
        return outcome(lambda: node.connection.getVersion())

    silent = f'cannot connect to "{node.uri}": no answer within 2 s; restart libvirtd there, or set the provider\'s uri'
    # Of a daemon that is well, and has just been started, the first connections may take longer.
    assert said(*[ask] * CALLS) == ["fine"] * CALLS
    monkeypatch.setattr(nodes, "OPEN_S", 2.0)
    os.kill(slow.host.daemon.pid, signal.SIGSTOP)
    try:
        told = said(*[ask] * CALLS)
        assert all(one == silent or "lost the connection" in one for one in told), told
        assert any("lost the connection" in one for one in told)
        assert said(*[ask] * CALLS) == [silent] * CALLS
    finally:
        os.kill(slow.host.daemon.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert said(*[ask] * CALLS) == ["fine"] * CALLS


def said(*asks: Callable[[], str]) -> list[str]:
    """Their answers, all asked at once. A thread that hangs must not hang the tests."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda ask=ask: found.append(ask()), daemon=True) for ask in asks]
    for thread in threads:
        thread.start()
    until(lambda: len(found) == len(asks), f"{len(asks) - len(found)} of {len(asks)} hang")
    return found

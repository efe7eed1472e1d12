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

from hosts.daemon import SystemHost
from jvp.core.errors import JvpError
from jvp.libvirt import calls
from jvp.libvirt import node as nodes
from jvp.libvirt.errors import libvirt_errors
from jvp.libvirt.node import Node

CALLS = 12
LOST_S = 7.0
"""This daemon takes a client for dead after 1 * (5 + 1) seconds without an answer."""
PATIENCE_S = 60.0
_HOOK = """#!/bin/sh
[ "$2 $3" = "start begin" ] || exit 0
touch "{folder}/begun-$1"
while [ -e "{folder}/hold" ]; do sleep 0.1; done
exit 1
"""


class SlowHost:
    """A node on which starting a network lasts until `release`, and is then refused."""

    def __init__(self, folder: Path, name: str) -> None:
        self.host = SystemHost(folder, name, libvirtd="keepalive_interval = 1\nkeepalive_count = 5\n")
        self.hold = folder / "hold"
        hook = folder / "etc/hooks/network"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK.format(folder=folder))
        hook.chmod(0o755)
        self.hold.touch()
        self.host.daemon.restart()

    def begun(self) -> int:
        return len(list(self.host.folder.glob("begun-*")))

    def release(self) -> None:
        self.hold.unlink(missing_ok=True)

    def close(self) -> None:
        self.release()
        self.host.close()


@pytest.fixture
def slow(hosts_folder: Path) -> Iterator[SlowHost]:
    with contextlib.closing(SlowHost(hosts_folder / "slow", f"{hosts_folder.name}-slow")) as found:
        yield found


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def outcome(call: Callable[[], object]) -> str:
    """What a call says to a user."""
    try:
        with libvirt_errors("it"):
            call()
    except JvpError as error:
        return str(error)
    return "fine"


def test_more_slow_calls_than_libvirtd_takes_from_one_client(slow: SlowHost) -> None:
    node = Node(slow.host.uri)
    connection = node.connection
    networks = [connection.networkDefineXML(f"<network><name>n{number}</name></network>") for number in range(CALLS)]
    with ThreadPoolExecutor(CALLS) as threads:
        told = [threads.submit(outcome, network.create) for network in networks]
        until(lambda: slow.begun() >= calls.IN_FLIGHT, "the calls never came")
        time.sleep(LOST_S)
        begun = slow.begun()
        slow.release()
        said = [one.result(PATIENCE_S) for one in told]
    assert all("hook script" in one.lower() for one in said), said
    assert (begun, slow.begun()) == (calls.IN_FLIGHT, CALLS)
    assert node.connection is connection


def test_a_daemon_that_hangs(slow: SlowHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "KEEPALIVE", (1, 3))
    monkeypatch.setattr(nodes, "OPEN_S", 2.0)
    node = Node(slow.host.uri)
    connection = node.connection
    os.kill(slow.host.daemon.pid, signal.SIGSTOP)
    try:
        assert "lost the connection" in said(lambda: outcome(connection.getVersion))[0]
        for one in said(*[lambda: outcome(lambda: node.connection)] * CALLS):
            assert one == f'cannot connect to "{node.uri}": no answer within 2 s; ' + (
                "restart libvirtd there, or set the provider's uri"
            )
    finally:
        os.kill(slow.host.daemon.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert said(lambda: outcome(node.connection.getVersion)) == ["fine"]


def said(*asks: Callable[[], str]) -> list[str]:
    """Their answers, all asked at once. A thread that hangs must not hang the tests."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda ask=ask: found.append(ask()), daemon=True) for ask in asks]
    for thread in threads:
        thread.start()
    until(lambda: len(found) == len(asks), f"{len(asks) - len(found)} of {len(asks)} hang")
    return found

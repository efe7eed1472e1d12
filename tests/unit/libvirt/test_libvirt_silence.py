"""A daemon that takes connections and never answers: how long one waits for it, and what ends the wait."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jvp.core import outlook
from jvp.core.calls import Calls
from jvp.core.errors import Cancelled, Unreachable
from jvp.core.identity import Key
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link import node as nodes
from jvp.libvirt.link.node import Node
from jvp.resources import registry
from jvp.resources.provider import Provider

PROMPT_S = 5.0
KEY = Key("urn", "network", "n")
STORED = Stored(
    "e4de9c1c-9a54-4d4e-8f0a-4a1f2a6a5d11",
    {"name": "n", "mode": "isolated"},
    {"name": "n", "mode": "isolated"},
    {"host": "somewhere"},
)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """The kernel takes connections for it, and nobody reads them."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as found:
        yield found


@pytest.fixture
def silent(server: socket.socket) -> str:
    """The uri of a daemon that never answers."""
    return f"qemu+tcp://127.0.0.1:{server.getsockname()[1]}/system"


@pytest.mark.parametrize(
    "call",
    [
        lambda calls, work: calls.create("Network", KEY, calls.check("Network", {"name": "n"}).inputs, work),
        lambda calls, work: calls.read("Network", STORED, work),
        lambda calls, work: calls.update("Network", STORED, calls.check("Network", {"name": "n"}).inputs, work),
        lambda calls, work: calls.delete("Network", STORED, work),
        lambda calls, work: calls.import_("Network", "n", work),
        lambda calls, work: list(calls.list("Network", work)),
        lambda calls, work: calls.invoke("getNetwork", {"network": "n"}, work),
    ],
    ids=["create", "read", "update", "delete", "import", "list", "function"],
)
def test_a_cancel_ends_the_wait(silent: str, call: Callable[[Calls, Work], object]) -> None:
    work = Work()
    threading.Timer(0.3, work.cancelled.set).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled, match="run the command again"):
        call(registry.calls(Provider(uri=silent)), work)
    assert time.monotonic() - begin < PROMPT_S


def test_a_plan_of_something_new_waits_a_moment_and_says_it_once(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "LOOK_S", 0.3)
    said: list[str] = []
    calls = registry.calls(Provider(uri=silent))
    for name in ("a", "b"):
        inputs = calls.check("Network", {"name": name, "mode": "isolated"}).inputs
        asked = outlook.Asked(lambda: KEY)
        assert calls.preview_create("Network", inputs, Work(warn=said.append), asked)["name"] == name
    assert len(said) == 1
    assert said[0].startswith(f'cannot connect to "{silent}": no answer within')


def test_a_cancel_ends_the_wait_of_a_plan_too(silent: str) -> None:
    """A plan that cannot ask the host does without."""
    work, calls = Work(), registry.calls(Provider(uri=silent))
    checked = calls.check("Instance", {"name": "n", "directKernel": {"kernel": "/k"}})
    inputs, stored = checked.inputs, Stored(STORED.id, checked.inputs, {**checked.whole, "uuid": STORED.id})
    threading.Timer(0.3, work.cancelled.set).start()
    begin = time.monotonic()
    assert calls.diff("Instance", stored, inputs, work).changes == ()
    assert 0.2 < time.monotonic() - begin < PROMPT_S


def test_a_cancel_ends_the_wait_for_a_long_calls_connection(silent: str) -> None:
    work = Work()
    threading.Timer(0.3, work.cancelled.set).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled), Node(silent).job(work):
        pass
    assert time.monotonic() - begin < PROMPT_S


def test_the_waits_for_several_connections_do_not_add_up(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "OPEN_S", 2.0)
    monkeypatch.setattr(nodes, "AGAIN_S", 0.1)
    node = Node(silent)

    def job() -> Any:
        with node.job(Work()) as connection:
            return connection

    begin = time.monotonic()
    for ask in (lambda: node.connection, job, lambda: node.connection, job):
        with pytest.raises(Unreachable, match="no answer within 2 s"):
            ask()
    assert 2.0 <= time.monotonic() - begin < 7.5  # not four times two


def test_a_daemon_that_answers_at_last_is_heard(
    server: socket.socket, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the answer is that it ends."""
    monkeypatch.setattr(nodes, "PAUSES_S", ())
    monkeypatch.setattr(nodes, "OPEN_S", 0.2)
    monkeypatch.setattr(nodes, "AGAIN_S", 0.1)
    node = Node(silent)
    with pytest.raises(Unreachable, match="no answer within"):
        _ = node.connection
    monkeypatch.setattr(nodes, "AGAIN_S", PROMPT_S)
    threading.Timer(0.5, lambda: server.accept()[0].close()).start()
    with pytest.raises(Unreachable) as told:
        _ = node.connection
    assert "no answer" not in str(told.value)


def test_a_password_in_the_uri_is_in_no_sentence() -> None:
    with pytest.raises(Unreachable, match=r'"qemu\+tcp://eve:\*\*\*@127\.0\.0\.1:1/system"') as refused:
        registry.calls(Provider(uri="qemu+tcp://eve:hunter22@127.0.0.1:1/system")).read("Network", STORED, Work())
    assert "hunter22" not in str(refused.value)

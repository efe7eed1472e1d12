"""A daemon that refuses or drops the first connections, as one that restarts does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import libvirt
import pytest

from jvp.core.errors import Unreachable
from jvp.core.work import Work, running
from jvp.libvirt.link import node as nodes
from jvp.libvirt.link.node import Node

PASSING = (
    "Failed to connect socket to '/run/libvirt/libvirt-sock': Connection refused",
    "End of file while reading data: Input/output error",
    "Cannot recv data: Connection reset by peer",
    "Cannot recv data: kex_exchange_identification: Connection closed by remote host: Connection reset by peer",
    "unable to connect to server at 'alpha:16514': Connection refused",
)
LASTING = (
    "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory",
    "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied",
    "Cannot recv data: root@alpha: Permission denied (publickey).: Connection reset by peer",
    "Cannot recv data: Host key verification failed.: Connection reset by peer",
    "unable to resolve address 'alpha' service '16514': Name or service not known",
)


class Said(libvirt.libvirtError):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.err = (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, text, 2, text, None, None, 0, 0)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have the next connections fail in these words; returns the uris that were tried."""
    monkeypatch.setattr(nodes, "PAUSES_S", (0.3, 0.01, 0.01))
    # Who waits looks often enough to see the first attempt fail, on a busy machine too.
    monkeypatch.setattr(nodes, "SLICE_S", 0.02)

    def prepare(*texts: str) -> list[str]:
        tried: list[str] = []

        def open_(uri: str) -> Any:
            if uri != "qemu:///system":  # of a thread that an earlier test has left behind
                raise Said(LASTING[0])
            tried.append(uri)
            if len(tried) <= len(texts):
                raise Said(texts[len(tried) - 1])
            return Mock()

        monkeypatch.setattr(libvirt, "open", open_)
        return tried

    return prepare


@pytest.mark.parametrize("text", PASSING)
def test_the_first_contact_is_tried_again(opened: Any, text: str) -> None:
    tried, lines = opened(text, text), list[str]()
    with running(Work(status=lines.append)):
        assert Node("qemu:///system").connection.isAlive()
    assert len(tried) == 3
    assert lines[0] == '"qemu:///system" does not answer yet; attempt 2 of 4 to connect follows'


@pytest.mark.parametrize("text", LASTING)
def test_what_lasts_is_told_at_once(opened: Any, text: str) -> None:
    tried = opened(text)
    with pytest.raises(Unreachable):
        _ = Node("qemu:///system").connection
    assert len(tried) == 1


def test_a_daemon_that_goes_on_refusing_is_given_up(opened: Any) -> None:
    tried = opened(*[PASSING[0]] * 9)
    with pytest.raises(Unreachable, match="nothing listens on"):
        _ = Node("qemu:///system").connection
    assert len(tried) == 4


def test_the_socket_of_a_daemon_that_was_there_is_waited_for(opened: Any) -> None:
    opened()
    node = Node("qemu:///system")
    assert node.connection.isAlive()
    tried = opened(LASTING[0], LASTING[0])
    with node.job(Work()) as connection:
        assert connection.isAlive()
    assert len(tried) == 3

"""Events of a node whose daemon is restarted: the listeners are told of the gap, and hear again."""

from __future__ import annotations

import pytest
from tests.contract.rest_support import server

from hosts.daemon import SystemHost

pytestmark = pytest.mark.contract


def test_a_restart_of_the_daemon_is_a_gap_and_then_it_is_heard_again(node: SystemHost) -> None:
    folder = node.folder / "server"
    folder.mkdir()
    with server(folder, "--uri", node.uri) as rest, rest.listening(kinds="object", names="one") as heard:
        node.daemon.restart()
        lost = heard.until("gap", reason="the node was not heard for a while")
        assert {kind for kind, _ in lost} == {"gap"}
        rest.done("PUT", "networks/one", {"mode": "isolated"})
        assert heard.until("object", event="started")[-1][1]["name"] == "one"
        rest.done("DELETE", "networks/one")
        told = heard.until("object", event="undefined")
        assert [one["event"] for _, one in told].count("stopped") == 1  # not once for each daemon

"""Lists and gets on many objects while libvirtd restarts, and creates at once: none of them fails, nothing piles up.

`make test` asks some hundred, `make test-all` 200 in each second for a minute.
"""

from __future__ import annotations

import pytest
from tests import extent
from tests.contract.rest_support import server

from hosts import load
from hosts.daemon import SystemHost

pytestmark = pytest.mark.contract
RATE, SECONDS, FEW = 200, 60, 300
GROWS = 1.1
"""So many times what it takes once it is warm."""


def test_a_server_bears_a_load_while_its_libvirtd_restarts(node: SystemHost) -> None:
    folder = node.folder / "server"
    folder.mkdir()
    with load.domains(node.uri), server(folder, "--uri", node.uri) as rest:
        whole = extent.everything()
        load.made_at_once(rest, node.pools, load.CREATES if whole else load.CREATES // 5)
        assert load.asked(rest, FEW).keys() == {"200"}
        before = load.resident_mib(rest)
        count, rate = (RATE * SECONDS, RATE) if whole else (FEW, None)
        answers = load.asked(rest, count, rate, halfway=node.daemon.restart)
        assert answers == {"200": count}
        assert load.resident_mib(rest) <= GROWS * before
        assert "Traceback" not in rest.log.read_text()

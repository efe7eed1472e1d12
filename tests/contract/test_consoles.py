"""Where the consoles of guests are reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.counted import counting
from tests.contract.rest_support import server
from tests.contract.test_cli import jvp

from jvp.core.work import Work


@pytest.fixture
def seen(bench: Bench) -> Iterator[Any]:
    """A guest of somebody else with a console of each kind, stopped."""
    domain = bench.connection.defineXML(
        f"""<domain type='qemu'><name>{bench.name("consoles")}</name><memory unit='MiB'>32</memory>
        <os><type>hvm</type></os><devices>
        <serial type='pty'><target port='0'/></serial>
        <serial type='tcp'><source mode='bind' host='127.0.0.1' service='0'/><target port='1'/></serial>
        <console type='pty'><target type='virtio' port='1'/></console>
        <graphics type='vnc' passwd='hushhush'><listen type='socket'/></graphics>
        </devices></domain>"""
    )
    yield domain
    if domain.isActive():
        domain.destroy()
    domain.undefine()


def test_the_consoles_of_a_guest_are_told_through_every_door(bench: Bench, seen: Any, tmp_path: Path) -> None:
    name, text = seen.name(), {"name": "serial1", "type": "tcp", "address": "127.0.0.1"}
    told = {
        "id": seen.UUIDString(),
        "running": False,
        "texts": [{"name": "serial0", "type": "pty"}, text, {"name": "virtio0", "type": "pty"}],
        "screens": [{"type": "vnc", "listen": "socket", "passwordSet": True}],
    }
    with counting() as asked:
        found, failures = bench.calls.invoke("getInstanceConsole", {"instance": name}, Work())
    assert (found, failures) == (told, ())
    assert asked["virDomainGetXMLDesc"] == 1
    seen.create()
    found, _ = bench.calls.invoke("getInstanceConsole", {"instance": name}, Work())
    assert found is not None
    assert found["running"]
    assert [one["name"] for one in found["texts"]] == ["serial0", "serial1", "virtio0"]
    assert all(found["texts"][at]["path"].startswith("/dev/pts/") for at in (0, 2))
    assert found["screens"][0]["socket"].startswith("/")
    assert "hushhush" not in repr(found)
    assert json.loads(jvp("instance", "console", name, "-o", "json")[0]) == found
    with server(tmp_path) as rest:
        assert rest.ask("POST", "functions/getInstanceConsole", {"instance": name}).json() == found

"""The REST API of an ordinary user: who serves it without root, and who may call."""

from __future__ import annotations

import json
import secrets
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosts.daemon import SystemHost, home_environment
from hosts.namespace import User

pytestmark = pytest.mark.contract
PATIENCE_S = 60


@pytest.fixture
def socket(group_node: SystemHost, member: User, hosts_folder: Path) -> Iterator[Path]:
    """A server of a user of the group libvirt, at its own place."""
    home = hosts_folder / secrets.token_hex(3)
    home.mkdir(mode=0o755)
    environment = home_environment(home, member)
    variables = [f"{name}={value}" for name, value in environment.items()]
    command = ["env", *variables, sys.executable, "-m", "jvp.doors.cli.main", "serve"]
    path = Path(environment["XDG_RUNTIME_DIR"], "jvp/jvp.sock")
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(group_node.namespace.command(*command, user=member), stdout=log, stderr=log)
    try:
        end = time.monotonic() + PATIENCE_S
        while b"serves" not in (home / "log").read_bytes():
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < end, (home / "log").read_text()
            time.sleep(0.05)
        yield path
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert not path.exists()


def called(node: SystemHost, user: User, path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "-sS", "--max-time", str(PATIENCE_S), "--unix-socket", str(path), *more]
    return subprocess.run(node.namespace.command(*command, user=user), capture_output=True, text=True, timeout=90)


def test_an_ordinary_user_serves_and_calls_and_nobody_else_does(
    socket: Path, group_node: SystemHost, member: User, stranger: User
) -> None:
    if subprocess.run(["which", "curl"], capture_output=True).returncode != 0:
        pytest.skip("there is no curl on this machine")
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    name = f"rest-{secrets.token_hex(2)}"
    made = called(
        group_node, member, socket, "-X", "PUT", f"http://jvp/api/networks/{name}?wait=1m",
        "-H", "Content-Type: application/json", "-d", '{"mode": "isolated"}',
    )  # fmt: skip
    found: dict[str, Any] = json.loads(made.stdout)
    assert found["name"] == name, found
    assert found["declaredBy"]["label"] == f"user {member.name}"
    refused = called(group_node, stranger, socket, "http://jvp/api/networks")
    assert refused.returncode != 0
    assert refused.stdout == ""
    called(group_node, member, socket, "-X", "DELETE", f"http://jvp/api/networks/{name}?wait=1m")
    gone = called(
        group_node, member, socket, "-o", "/dev/null", "-w", "%{http_code}", f"http://jvp/api/networks/{name}"
    )
    assert gone.stdout == "404"

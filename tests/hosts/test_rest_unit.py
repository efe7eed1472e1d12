"""The units in `contrib`: what systemd says of them, and the service as its user under what they allow."""

from __future__ import annotations

import grp
import os
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from hosts import hardened
from hosts.daemon import SystemHost
from hosts.namespace import User

pytestmark = pytest.mark.contract
CONTRIB = Path(__file__).parents[2] / "contrib"
UNIT = CONTRIB / "jvp.service"
EXPOSURE_MAX = "15"
"""In tenths, of 100."""
PATIENCE_S = 60

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")


@needs_systemd
def test_systemd_finds_no_fault_and_little_that_is_exposed(tmp_path: Path) -> None:
    for file in CONTRIB.iterdir():
        text = file.read_text().replace("/usr/local/bin/jvp", sys.executable)  # it looks whether it is there
        (tmp_path / file.name).write_text(text)
    for arguments in (
        ["verify", "jvp.socket", "jvp.service"],
        ["security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", "jvp.service"],
    ):
        done = subprocess.run(
            ["systemd-analyze", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if arguments[0] == "verify":
            assert done.stdout + done.stderr == ""


def test_the_folder_is_where_root_looks_for_the_index_and_pools_below_it_are_left_alone() -> None:
    unit = hardened.settings(UNIT)
    assert unit["Environment"] == ["XDG_STATE_HOME=/var/lib"]
    assert unit["ReadWritePaths"] == ["-/var/lib/jvp"]
    assert "StateDirectory" not in unit  # systemd would give all below it to the user
    (folder,) = unit["ExecStartPre"]
    assert folder.split()[-1] == "/var/lib/jvp"
    assert "-R" not in folder


@needs_systemd
def test_the_service_runs_under_what_its_unit_allows(group_node: SystemHost, member: User, hosts_folder: Path) -> None:
    home = hosts_folder / secrets.token_hex(3)
    state = home / "state/jvp"
    state.mkdir(mode=0o755, parents=True)
    os.chown(state, member.uid, member.uid)
    unit = UNIT.read_text().replace("XDG_STATE_HOME=/var/lib", f"XDG_STATE_HOME={home}/state")
    (home / UNIT.name).write_text(unit)
    (command,) = hardened.settings(UNIT)["ExecStart"]
    server = [sys.executable, "-m", "jvp.doors.cli.main", *command.split()[1:]]
    with socket.socket(socket.AF_UNIX) as listener, (home / "log").open("wb") as log:
        listener.bind(str(home / "jvp.sock"))
        os.chown(home / "jvp.sock", 0, grp.getgrnam("libvirt").gr_gid)
        (home / "jvp.sock").chmod(0o660)
        listener.listen()
        number = listener.fileno()
        process = subprocess.Popen(
            group_node.namespace.command(
                "env", "-i", "PATH=/usr/bin:/bin", "HOME=/nonexistent", sys.executable, hardened.__file__,
                home / UNIT.name, str(number), *server, user=member,
            ),
            pass_fds=[number], stdout=log, stderr=log,
        )  # fmt: skip
        try:
            transport = httpx.HTTPTransport(uds=str(home / "jvp.sock"))
            with httpx.Client(transport=transport, base_url="http://jvp", timeout=PATIENCE_S) as client:
                used(client)
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, (home / "log").read_text()
    text = (home / "log").read_text()
    assert f"serves {home}/jvp.sock" in text
    assert "without an index" not in text
    assert "Traceback" not in text
    assert (state / "jvp.db").stat().st_mode & 0o777 == 0o600


def used(client: httpx.Client) -> None:
    """A change, a question and the events."""
    name = f"unit-{secrets.token_hex(2)}"
    with client.stream("GET", "/api/events", params={"kinds": "object", "names": name}) as events:
        lines = events.iter_lines()
        assert next(lines) == ": listening"
        made = client.put(f"/api/networks/{name}", params={"wait": "1m"}, json={"mode": "isolated"})
        assert made.status_code == 201, made.text
        assert any('"event":"started"' in line for line in lines)
    assert client.get("/api/instances").status_code == 200
    assert client.delete(f"/api/networks/{name}", params={"wait": "1m"}).status_code == 204
    done: list[Any] = client.get("/api/operations").json()["items"]
    assert {one["state"] for one in done} == {"succeeded"}

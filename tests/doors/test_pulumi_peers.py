"""The plugin answers its own user and root: another user's call is refused, whatever the connection was before."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi_rpc import ROOT, Client, refusal, within

from jvp.doors.pulumi import peers
from jvp.doors.pulumi.peers import REFUSAL, Peers, uid_of
from jvp.doors.pulumi.server import Service, serve

NOBODY = 65534
REFUSED = (grpc.StatusCode.PERMISSION_DENIED, REFUSAL)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user beside itself")


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    server, found = serve(service)
    yield found
    server.stop(0).wait()


class Line:
    """A connection to the plugin that belongs to a user, from a chosen port; a client calls through it."""

    def __init__(self, port: int, uid: int, source: int = 0) -> None:
        setfsuid = ctypes.CDLL(None).setfsuid  # of this thread alone
        setfsuid(uid)
        try:
            self.out = socket.socket()
        finally:
            setfsuid(0)
        assert os.fstat(self.out.fileno()).st_uid == uid
        self.out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.out.bind(("127.0.0.1", source))
        # Not until the connection before has gone, of which a thread may hold the last end.
        within(10, lambda: self.out.connect_ex(("127.0.0.1", port)) in (0, errno.EISCONN))
        self.source = self.out.getsockname()[1]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.client = Client(self._listener.getsockname()[1])

    def _serve(self) -> None:
        inside, _ = self._listener.accept()
        with inside:
            back = threading.Thread(target=_pump, args=(self.out, inside), daemon=True)
            back.start()
            _pump(inside, self.out)
            back.join(10)

    def end(self, *, reset: bool) -> None:
        """End the connection; with `reset` at once, and its port is free."""
        if reset:
            self.out.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.out.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
        self.out.close()
        self.client.close()
        self._listener.close()
        self._thread.join(10)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def test_another_user_is_refused_and_the_own_one_is_not(port: int) -> None:
    own, other = Line(port, 0), Line(port, NOBODY)
    assert own.client("GetPluginInfo").version
    assert refusal(lambda: other.client("GetPluginInfo")) == REFUSED
    assert refusal(lambda: other.client("GetSchema")) == REFUSED
    assert own.client("GetPluginInfo").version
    own.end(reset=True)
    other.end(reset=True)


def test_no_pass_outlives_its_connection(port: int) -> None:
    """The next connection from the same port may be anybody's."""
    own = Line(port, 0)
    assert own.client("GetPluginInfo").version
    own.end(reset=True)
    other = Line(port, NOBODY, own.source)
    assert other.source == own.source
    assert refusal(lambda: other.client("GetPluginInfo")) == REFUSED
    other.end(reset=True)
    again = Line(port, 0, own.source)
    assert again.client("GetPluginInfo").version
    again.end(reset=True)


def test_it_looks_once_for_a_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[Any]()
    monkeypatch.setattr(peers, "uid_of", lambda *ends: looks.append(ends) or uid_of(*ends))
    own = Line(port, 0)
    for _ in range(5):
        assert own.client("GetPluginInfo").version
    assert len(looks) == 1
    own.end(reset=True)


def test_of_a_connection_that_has_ended_the_table_tells_nothing() -> None:
    """In TIME_WAIT and FIN_WAIT2 it says uid 0, which would be root."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = server.getsockname()
        client = socket.create_connection(ours)
        theirs, (inside, _) = client.getsockname(), server.accept()
        with inside:
            assert uid_of(theirs, ours) == 0
            client.close()
            within(5, lambda: _told(theirs, ours) == [("05", "0", "0")])
            assert uid_of(theirs, ours) is None
        within(5, lambda: _told(theirs, ours) == [("06", "0", "0")])
        assert uid_of(theirs, ours) is None
    assert not Peers().admits(f"ipv4:127.0.0.1:{theirs[1]}")


def _told(theirs: Any, ours: Any) -> list[tuple[str, str, str]]:
    """State, uid and inode of the lines about one end of a connection."""
    spelled = f" {peers._spelled(theirs, mapped=False)} {peers._spelled(ours, mapped=False)} "
    lines = [line.split() for line in peers.TABLES[0].read_text().splitlines() if spelled in line]
    return [(line[3], line[7], line[9]) for line in lines]


def test_a_socket_of_the_newer_family_stands_in_the_other_table() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        theirs = ("127.0.0.1", client.getsockname()[1])
        inside, _ = server.accept()
        with inside:
            assert uid_of(theirs, server.getsockname()) == 0
            assert Peers().admits(f"ipv4:127.0.0.1:{theirs[1]}")


@pytest.mark.parametrize("peer", ["", "unix:", "unix:/run/x", "ipv4:127.0.0.1", "ipv4:127.0.0.1:1", "ipv6:%5B::1%5D:1"])
def test_who_cannot_be_looked_up_is_refused(peer: str) -> None:
    assert not Peers().admits(peer)


@pytest.mark.parametrize(("inode", "uid"), [("77", 1000), ("0", None)])
def test_a_line_counts_with_an_inode(tmp_path: Path, inode: str, uid: int | None) -> None:
    theirs, ours = ("127.0.0.1", 40000), ("127.0.0.1", 50000)
    line = f"0: {peers._spelled(theirs, mapped=False)} {peers._spelled(ours, mapped=False)}"
    table = tmp_path / "tcp"
    table.write_text(
        f"{line} 06 0:0 0:0 0 0 0 0 0\n{line} 01 00000000:00000000 00:00000000 00000000 1000 0 {inode} 1\n"
    )
    assert uid_of(theirs, ours, (table,)) == uid


def test_the_real_plugin_refuses_a_process_of_another_user(plugin: Any) -> None:
    code = (
        "import os, sys; sys.path[:0] = sys.argv[2:]; import grpc; from pulumi_rpc import Client\n"
        "if sys.argv[1].startswith('-'): os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: print(Client(abs(int(sys.argv[1])))('GetPluginInfo').version)\n"
        "except grpc.RpcError as error: print(error.code().name)\n"
    )
    process = plugin("127.0.0.1:1")
    port = int(process.stdout.readline())
    for argument, said in ((f"-{port}", "PERMISSION_DENIED"), (f"{port}", "0.")):
        command = [sys.executable, "-c", code, argument, str(ROOT / "tests/doors"), str(ROOT / "provider")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.startswith(said), done.stdout + done.stderr

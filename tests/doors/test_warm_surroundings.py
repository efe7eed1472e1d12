"""What makes a start plain: other surroundings than the warm process has, and whoever is not of our user."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi_rpc import ROOT
from tests.starting import gone
from warm_support import LIMIT_S, Start, launches, runtime, start, told, warmed

from jvp.warm.ask import ask

__all__ = ["runtime", "start"]
NOBODY = 65534
TELL = "import json; from jvp.warm import place; print(json.dumps(place.surrounding('self')))"


def needs(*commands: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be in another place or another user")
    if absent := [command for command in commands if shutil.which(command) is None]:
        pytest.skip(f"needs {', '.join(absent)}")


def surrounding(*before: str) -> set[str]:
    done = subprocess.run(
        [*before, sys.executable, "-c", TELL], env={**os.environ, "PYTHONPATH": str(ROOT / "provider")},
        capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("before", "differs"),
    [
        (["unshare", "--net"], {"net"}),
        (["unshare", "--uts"], {"uts"}),
        (["unshare", "--ipc"], {"ipc"}),
        (["unshare", "--mount"], {"mnt"}),
        (["unshare", "--cgroup"], {"cgroup"}),
        (["setpriv", "--groups", "12345"], {"Groups"}),
        (["setpriv", "--bounding-set", "-sys_time"], {"CapBnd", "CapPrm", "CapEff"}),
        (["setpriv", "--no-new-privs"], {"NoNewPrivs"}),
        (["choom", "-n", "500", "--"], {"oom_score_adj"}),
        (["prlimit", "--nofile=300:400"], {"limits"}),
        (["nice", "-n", "3"], {"scheduled"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_process_hands_on_is_told_apart(before: list[str], differs: set[str]) -> None:
    needs(before[0])
    usual = surrounding()
    assert surrounding() == usual
    changed = {line.replace(":", "=").partition("=")[0] for line in surrounding(*before) - usual}
    assert changed
    assert changed <= differs


@contextlib.contextmanager
def listener(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Somebody who listens there, answers this, and keeps what was said."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    heard.append(connection.recv(4))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join(LIMIT_S)


def place_of(start: Start, runtime: Path) -> Path:
    """Where a launcher looks, and nobody listens any more."""
    one = warmed(start)
    (path,) = (found for found in (runtime / "jvp-warm").iterdir() if found.suffix != ".lock")
    list(ask("stop"))
    gone(one.pid)
    return path


@pytest.mark.parametrize("answer", [b"", b"x", b"r\0", b"what is that"])
def test_an_answer_that_is_none_is_followed_by_a_plain_start(start: Start, runtime: Path, answer: bytes) -> None:
    with listener(place_of(start, runtime), answer) as heard:
        process = start("exit", "4")
        assert told(process)["pid"] == process.pid
        assert process.wait(LIMIT_S) == 4
    assert len(heard[0]) == 4


LISTEN = """
import socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen()
    print("ready", flush=True)
    connection, _ = server.accept()
    print(repr(connection.recv(4)), flush=True)
"""


def test_a_listener_of_another_user_is_told_nothing(start: Start, runtime: Path) -> None:
    needs("setpriv", "/usr/bin/python3")
    path = place_of(start, runtime)
    runtime.chmod(0o711)
    path.parent.chmod(0o777)
    as_nobody = ["setpriv", "--reuid", str(NOBODY), "--clear-groups", "/usr/bin/python3"]
    with subprocess.Popen([*as_nobody, "-c", LISTEN, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        path.parent.chmod(0o700)
        process = start("exit", "4")
        assert told(process)["pid"] == process.pid
        assert process.wait(LIMIT_S) == 4
        assert other.stdout.readline() == "b''\n"


ASK = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(10)
    connection.connect(sys.argv[1])
    message = b"stop\\0" + b"63\\0%d\\0" % os.getpid() + b"0"
    try:
        connection.sendall(len(message).to_bytes(4, "little") + message)
        print(repr(connection.recv(4096)))
    except ConnectionError:  # it was closed at once
        print(repr(b""))
"""


def test_another_user_is_not_answered_even_where_the_folder_is_open(start: Start, runtime: Path) -> None:
    needs("setpriv", "/usr/bin/python3")
    one = warmed(start)
    (path,) = (found for found in (runtime / "jvp-warm").iterdir() if found.suffix != ".lock")

    def asked(*before: str) -> str:
        command = [*before, "/usr/bin/python3", "-c", ASK, str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout

    runtime.chmod(0o711)
    path.parent.chmod(0o711)
    path.chmod(0o666)
    assert asked("setpriv", "--reuid", str(NOBODY), "--clear-groups") == "b''\n"
    path.parent.chmod(0o700)
    assert [found.pid for found in ask("status")] == [one.pid]
    assert launches() == 0
    assert str(one.pid) in asked()  # our user is
    gone(one.pid)

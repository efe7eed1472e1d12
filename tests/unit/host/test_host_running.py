"""Commands on a node: how they get there, and what becomes of them."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.login import LOGIN

from jvp.core.errors import Busy, Cancelled, Invalid, Rejected, Unreachable
from jvp.core.work import Work
from jvp.host import running, way
from jvp.host.way import Way, quoted, way_to
from jvp.libvirt.link.node import Node

ODD = ["", "a b", "'", '"', "$(id)", "`id`", "a\nb", "\\", "*", "-n", "ä", "#", "!x", "a'b\"c", "~"]


def here() -> Node:
    """This machine, without asking a daemon whether it is."""
    node = Node("qemu:///system")
    node.__dict__.update(hostname=socket.gethostname(), is_here=True)
    return node


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on the path. `ssh` in it is a login to this machine: it does with its words as sshd does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(LOGIN)
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def write(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run_quoted(argv: list[str]) -> list[str]:
    out = subprocess.run(["sh", "-c", f"printf '%s\\0' {quoted(argv)}"], capture_output=True, check=True).stdout
    return out.decode().split("\0")[:-1]


def test_each_argument_stays_one_word() -> None:
    assert run_quoted(ODD) == ODD
    with pytest.raises(Invalid, match="NUL"):
        quoted(["a\0b"])


@given(st.lists(st.text(st.characters(min_codepoint=1, max_codepoint=127)), min_size=1, max_size=4))
def test_any_argument_is_read_back_by_a_shell(argv: list[str]) -> None:
    assert shlex.split(quoted(argv)) == argv


def test_a_command_here_is_given_its_words_and_bytes() -> None:
    ran = running.run(here(), Work(), ["sh", "-c", 'cat; printf "%s" "$1"; echo no >&2; exit 3', "-", ODD[4]], b"\0in")
    assert (ran.status, ran.out, ran.error) == (3, b"\0in$(id)", "no")


def test_over_ssh_with_the_login_of_the_uri(program: Path) -> None:
    node = Node("qemu+ssh://r%6Fot@[fd00::2]:2222/system?keyfile=/k&known_hosts=/h")
    assert running.done(node, Work(), ["printf", "%s|", *ODD], b"") == "".join(f"{one}|" for one in ODD).encode()
    said = (program / "ssh.said").read_text().split("\n")
    for words in (["-p", "2222"], ["-l", "root"], ["-i", "/k"], ["--", "fd00::2"], ["-o", "BatchMode=yes"]):
        assert any(said[at : at + len(words)] == words for at in range(len(said))), words
    assert {"UserKnownHostsFile=/h", "LogLevel=ERROR"} <= {*said}
    # Nothing opens the standard input of a login: it is a socket.
    assert running.run(node, Work(), ["cp", "/dev/stdin", str(program / "copy")], b"in").status != 0
    assert running.done(node, Work(), ["tee", str(program / "copy")], b"in") == (program / "copy").read_bytes() == b"in"


def test_a_login_that_is_not_root_uses_sudo_and_is_asked_once(program: Path) -> None:
    write(program / "id", 'echo >> "$0.asked"; echo 1000')
    write(program / "sudo", '[ "$1 $2" = "-n --" ] || exit 9; shift 2; exec "$@"')
    node = Node("qemu+ssh://somebody@alpha/system")
    assert [running.done(node, Work(), ["echo", one]) for one in "ab"] == [b"a\n", b"b\n"]
    assert (program / "id.asked").read_text() == "\n"
    write(program / "sudo", 'echo "sudo: unable to resolve host x" >&2; shift 2; exec "$@"')
    assert [running.run(node, Work(), ["sh", "-c", f"exit {one}"]).status for one in (0, 1)] == [0, 1]
    with pytest.raises(Rejected, match='there is no "nothing-like-it" on the node'):
        running.run(node, Work(), ["nothing-like-it"])
    write(program / "sudo", "echo 'Warning: new host' >&2; echo 'sudo: a password is required' >&2; exit 1")
    with pytest.raises(Rejected, match=r'on the node "qemu.*" need root, or sudo without a password'):
        running.run(node, Work(), ["true"])


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("qemu+tcp://alpha/system", "lets no command run on the node; use a uri like qemu"),
        ("qemu+tls://me:pass@alpha/system", r"qemu\+tls://me:\*\*\*@alpha"),
        ("qemu+unix:///system?socket=/x", "a node that is not this machine"),
    ],
)
def test_a_uri_without_a_way_says_so(uri: str, why: str) -> None:
    with pytest.raises(Rejected, match=why) as caught:
        way_to(Node(uri))
    assert "pass" not in str(caught.value).replace("***", "")


def test_what_cannot_be_run(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for node in (here(), Node("qemu+ssh://root@alpha/system")):
        with pytest.raises(Rejected, match='there is no "nothing-like-it" on the node'):
            running.run(node, Work(), ["nothing-like-it"])
    with pytest.raises(Rejected, match=r'"sh" failed on the node "qemu:///system": so it is$'):
        running.done(here(), Work(), ["sh", "-c", "echo so it is >&2; false"])
    write(program / "ssh", "echo 'alpha: no route' >&2; exit 255")
    with pytest.raises(Unreachable, match=r"ssh did not reach the node .*: alpha: no route"):
        running.run(Node("qemu+ssh://root@alpha/system"), Work(), ["true"])
    monkeypatch.setattr(Way, "is_root", False)
    monkeypatch.setattr(way, "_AS_ROOT", ("no-such-sudo", "-n", "--"))
    with pytest.raises(Rejected, match="no-such-sudo"):
        running.run(here(), Work(), ["true"])


def test_it_ends_at_its_limit_when_it_says_too_much_and_on_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = [sys.executable, "-c", "import time\nwhile True: time.sleep(9)"]
    with pytest.raises(Busy, match="did not end in time"):
        running.run(here(), Work(), endless, limit_s=0.01)
    work = Work()
    threading.Timer(0.05, work.cancelled.set).start()
    with pytest.raises(Cancelled):
        running.run(here(), work, endless)
    real = os.killpg

    def not_ours(pid: int, number: int) -> None:
        """What sudo runs, only that here it ends."""
        real(pid, number)
        raise PermissionError

    monkeypatch.setattr(os, "killpg", not_ours)
    monkeypatch.setattr(running, "MOST_BYTES", 1 << 16)
    with pytest.raises(Rejected, match="says more than"):
        running.run(here(), Work(deadline=time.monotonic() + 60), ["yes"])

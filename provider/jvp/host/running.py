"""Running one command on a node to its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from jvp.core.errors import Busy, Rejected, Unreachable
from jvp.core.text import shortened
from jvp.core.work import Work
from jvp.host.way import Way, environment, way_to
from jvp.libvirt.link.node import Node

LIMIT_S = 60.0
MOST_BYTES = 8 << 20
"""So much a command may say."""
_LOOK_S = 0.005, 0.1
"""How often a command is looked at that runs: at first, and later."""
_ROOT = "runs commands as root"
_REFUSES = re.compile(
    r"^sudo: .*(password is required|terminal is required|have a tty|no new privileges|effective uid is not 0|uid 0)"
    r"|is not in the sudoers file|^Sorry, user .* not allowed|may not run sudo"
)
"""What sudo says where it runs nothing. With its other lines it only warns. Source: sudo(8), sudoers(5)."""
_GRACE_S = 1.0
"""So long a command that was killed is waited for. What sudo runs is root's, and nobody else can kill it."""
_NO_PROGRAM = 127
"""Source: POSIX, of a shell that finds no such command."""
_SSH_FAILED = 255
"""Source: ssh(1)."""


@dataclass(frozen=True)
class Ran:
    """What became of a command. `error` is what it said of its troubles, as one harmless line."""

    status: int
    out: bytes
    error: str
    lines: tuple[str, ...] = ()
    """The same as it was said."""


def run(node: Node, work: Work, argv: Sequence[str], stdin: bytes = b"", *, limit_s: float = LIMIT_S) -> Ran:
    """Run a command on the node as root, whatever its status.

    `argv` holds nothing secret: every user of a machine sees the arguments of its processes. Raises Rejected in one
    sentence where commands cannot be run there, or not this one; Unreachable, Busy at its time limit, Cancelled.
    """
    way = way_to(node)
    root = _is_root(node, work, way)
    ran = _run(node, work, way, way.command(argv, root=root), stdin, limit_s)
    failed = ran.lines if ran.status != 0 else ()
    if ran.status == _NO_PROGRAM or (not root and f"sudo: {argv[0]}: command not found" in failed):
        raise _absent(node, argv[0])
    if not root and (why := next(filter(_REFUSES.search, failed), None)):
        raise _refused(node, why)
    return ran


def done(node: Node, work: Work, argv: Sequence[str], stdin: bytes = b"") -> bytes:
    """What a command says that must not fail. Raises as `run` does; Rejected with what it says where it fails."""
    ran = run(node, work, argv, stdin)
    if ran.status != 0:
        said = shortened(ran.error, 300) or f"it ended with status {ran.status}"
        raise Rejected(f'"{argv[0]}" failed on the node "{node.shown}": {said}')
    return ran.out


def _is_root(node: Node, work: Work, way: Way) -> bool:
    """Whether who comes this way is root. A login that does not say so is asked once."""
    if way.is_root is not None:
        return way.is_root
    if _ROOT not in node.__dict__:
        asked = _run(node, work, way, way.command(["id", "-u"], root=True), b"", LIMIT_S)
        node.__dict__[_ROOT] = asked.status == 0 and asked.out.strip() == b"0"
    return bool(node.__dict__[_ROOT])


def _absent(node: Node, program: str) -> Rejected:
    return Rejected(f'there is no "{program}" on the node "{node.shown}"; install it there')


def _refused(node: Node, why: str) -> Rejected:
    return Rejected(f'commands on the node "{node.shown}" need root, or sudo without a password: {shortened(why, 200)}')


def _run(node: Node, work: Work, way: Way, command: list[str], stdin: bytes, limit_s: float) -> Ran:
    """Through files without a name: nothing is read while it runs, and none of the two can wait for the other."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=given, stdout=out, stderr=err, env=environment(), start_new_session=True
            )
        except FileNotFoundError:
            raise _no_program(node, way, command[0]) from None
        except OSError as error:
            raise Rejected(f'"{command[0]}" cannot be run: {error.strerror}') from None
        try:
            _wait(work, process, (out, err), f'a command on the node "{node.shown}"', limit_s)
        except BaseException:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            raise
        said = _read(err).decode(errors="replace").strip()
        ran = Ran(process.returncode, _read(out), shortened(said, 2000), tuple(said.splitlines()))
    if way.login and ran.status == _SSH_FAILED:
        raise Unreachable(f'ssh did not reach the node "{node.shown}": {shortened(ran.error, 300)}')
    return ran


def _no_program(node: Node, way: Way, program: str) -> Rejected:
    if way.login:
        return Rejected(f'there is no "{program}" on this machine, which runs commands on the node "{node.shown}"')
    if program == "sudo":
        return _refused(node, "there is no sudo")
    return _absent(node, program)


def _wait(work: Work, process: subprocess.Popen[bytes], said: Sequence[IO[bytes]], what: str, limit_s: float) -> None:
    """Until it ends. Raises Busy after the limit, Rejected when it has said too much, Cancelled."""
    end, pause_s = time.monotonic() + work.left(limit_s), _LOOK_S[0]
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause_s)
            return
        work.check()
        if time.monotonic() >= end:
            raise Busy(f"{what} did not end in time; run the command again")
        if sum(os.fstat(one.fileno()).st_size for one in said) > MOST_BYTES:
            raise Rejected(f"{what} says more than {MOST_BYTES >> 20} MiB")
        pause_s = min(pause_s * 2, _LOOK_S[1])


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(MOST_BYTES)

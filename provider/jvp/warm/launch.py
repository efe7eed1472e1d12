"""One launch: what the launcher hands over, and a forked process that becomes what the launcher would have been."""

from __future__ import annotations

import array
import contextlib
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from jvp.core import parent
from jvp.warm.launcher import GO, READY

MESSAGE_MAX = 16 * 2**20
"""More than a process can be started with. Source: execve(2), 6 MiB for arguments and environment."""
GO_S = 5.0


@dataclass(frozen=True)
class Launch:
    """What a process has from its parent."""

    door: str
    """Which plugin; or a question of `jvp warm`."""
    umask: int
    pid: int
    """The launcher's own."""
    arguments: tuple[str, ...]
    environment: dict[bytes, bytes]
    descriptors: tuple[int, ...]
    """Standard input, output, error, and the folder."""

    @classmethod
    def received(cls, connection: socket.socket) -> Launch:
        """Read it. Raises OSError, ValueError."""
        head, descriptors = _with_descriptors(connection)
        try:
            length = int.from_bytes(head, "little")
            if len(head) != 4 or length > MESSAGE_MAX:
                raise ValueError("not a launch")
            door, umask, pid, count, *rest = _exactly(connection, length).split(b"\0")
            arguments = tuple(map(os.fsdecode, rest[: int(count)]))
            pairs = (one.partition(b"=") for one in rest[int(count) :])
            environment = {name: value for name, _, value in pairs if name}
            return cls(door.decode(), int(umask), int(pid), arguments, environment, descriptors)
        except BaseException:
            _close(descriptors)
            raise

    def close(self) -> None:
        """The descriptors are the child's."""
        _close(self.descriptors)

    def take_over(self, set_by_imports: dict[str, str]) -> None:
        """Be like the launcher: limits, niceness, folder, umask, signals, environment, descriptors. Raises OSError."""
        for kind in _LIMITS:
            resource.setrlimit(kind, resource.prlimit(self.pid, kind))
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, self.pid))
        os.sched_setaffinity(0, os.sched_getaffinity(self.pid))
        for ignored in _ignored(self.pid):
            signal.signal(ignored, signal.SIG_IGN)
        os.umask(self.umask)
        parent.launched_by(self.pid)
        *standard, here = self.descriptors
        os.fchdir(here)
        for number, given in enumerate(standard):
            os.dup2(given, number)
        self.close()
        os.environb.clear()
        os.environb.update(self.environment)
        for name, value in set_by_imports.items():
            os.environ.setdefault(name, value)
        sys.argv = [sys.argv[0], *self.arguments]
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115

    def may_go(self, connection: socket.socket) -> bool:
        """Say that all is ready, and hear whether the launcher still waits: else it has started plainly."""
        connection.settimeout(GO_S)
        try:
            connection.sendall(READY + os.getpid().to_bytes(4, "little"))
            return connection.recv(1) == GO
        except OSError:
            return False


_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))


def _with_descriptors(connection: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    numbers = array.array("i")
    head, messages, _, _ = connection.recvmsg(4, socket.CMSG_LEN(4 * numbers.itemsize))
    for level, kind, data in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return head, tuple(numbers)


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(min(length, 2**20))
        if not part:
            raise ValueError("the launcher is gone")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _ignored(pid: int) -> list[signal.Signals]:
    """The signals that a process ignores. Source: proc(5), SigIgn."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("SigIgn:"):
            mask = int(line.split()[1], 16)
            return [number for number in signal.valid_signals()
                    if isinstance(number, signal.Signals) and mask >> (number - 1) & 1]  # fmt: skip
    return []


def _close(descriptors: tuple[int, ...]) -> None:
    for number in descriptors:
        with contextlib.suppress(OSError):
            os.close(number)

"""One launch: what the launcher hands over, and a forked process that becomes what the launcher would have been."""

from __future__ import annotations

import array
import contextlib
import ctypes
import os
import socket
import sys
from dataclasses import dataclass

from jvp.core import parent
from jvp.warm.launcher import GO, READY

MESSAGE_MAX = 16 * 2**20
"""More than a process can be started with. Source: execve(2), 6 MiB for arguments and environment."""
GO_S = 5.0
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30, "ppc64le": 273, "s390x": 282}
"""The number of this call, by machine; that of ioprio_get is the next one. Source: ioprio_set(2), <sys/syscall.h>."""
_IOPRIO_WHO_PROCESS = 1


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
        """Be like the launcher in what may differ. Raises OSError.

        That is its processors, disk access, folder, umask, environment and descriptors. In the rest the warm process is
        like it already: `place.surrounding`.
        """
        os.sched_setaffinity(0, os.sched_getaffinity(self.pid))
        _access_disks_like(self.pid)
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


def _access_disks_like(pid: int) -> None:
    """Take over the class and level that `ionice` gave to this process. Raises OSError.

    On machines that are not in the list it stays what the first launch had.
    """
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is None or sys.maxsize < 2**32:
        return
    call = ctypes.CDLL(None, use_errno=True).syscall
    theirs, ours = (call(number + 1, _IOPRIO_WHO_PROCESS, one) for one in (pid, 0))
    if theirs >= 0 and theirs != ours and call(number, _IOPRIO_WHO_PROCESS, 0, theirs) < 0:
        raise OSError(ctypes.get_errno(), "ioprio_set")


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


def _close(descriptors: tuple[int, ...]) -> None:
    for number in descriptors:
        with contextlib.suppress(OSError):
            os.close(number)

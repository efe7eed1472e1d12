"""The warm process: it imports everything once, and forks a plugin for each launcher that asks.

It is single-threaded, and uses neither gRPC nor libvirt itself: both are first used after a fork.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from jvp.warm import place
from jvp.warm.launch import Launch
from jvp.warm.launcher import DOORS, PATIENCE_S

IDLE_S = 60.0
IMPORTED = (
    *DOORS.values(),
    "jvp.resources.everything", "jvp.core.trail",
    "jvp.doors.pulumi.server", "jvp.doors.pulumi.provider", "jvp.doors.pulumi.status",
    "jvp.doors.terraform.server", "jvp.doors.terraform.provider", "jvp.doors.terraform.certificate",
)  # fmt: skip
"""What brings in all that a plugin needs."""
_PR_SET_PDEATHSIG = 1
"""Source: prctl(2)."""


@dataclass
class Warm:
    """The process with its socket, its children and their launchers' connections."""

    listener: socket.socket
    woken: int
    """Readable when a child has ended."""
    private: tuple[int, ...]
    """Descriptors that no child may keep: it would hold the lock of this process."""
    set_by_imports: dict[str, str]
    """Variables that modules set when they are imported: a plain start would have them, too."""
    surrounding: list[str]
    children: dict[int, socket.socket] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)
    """Children that are about to end."""
    launches: int = 0
    stopping: bool = False

    def serve(self) -> None:
        """Until nobody has asked for a while, or `stop`."""
        begun = time.monotonic()
        while self.children or not (self.stopping or time.monotonic() - begun >= IDLE_S):
            ready = self._wait()
            if self.woken in ready:
                os.read(self.woken, 4096)
            for child, connection in self.children.items():
                if connection.fileno() in ready:
                    # Its launcher is gone without a word, killed: the plugin goes, too.
                    self.killed.add(child)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            self._reap()
            if not self.stopping and self.listener.fileno() in ready:
                self._accept()
            if ready or self.children:
                begun = time.monotonic()

    def _wait(self) -> set[int]:
        """The descriptors at which something happened."""
        poll = select.poll()
        poll.register(self.woken, select.POLLIN)
        if not self.stopping:
            poll.register(self.listener, select.POLLIN)
        for child, connection in self.children.items():
            if child not in self.killed:
                poll.register(connection, select.POLLRDHUP)  # what else comes is for the child to read
        return {number for number, _ in poll.poll(IDLE_S * 1000)}

    def _accept(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:  # no descriptor left, or the launcher has gone on plainly
            return
        connection.settimeout(PATIENCE_S)
        try:
            pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            launch = Launch.received(connection) if uid == os.getuid() else None
        except (OSError, ValueError):
            launch = None
        if launch is None:
            connection.close()
            return
        if launch.door in DOORS and launch.pid == pid and self._is_alike(pid):
            self._fork(launch, connection)
        launch.close()
        if launch.door not in DOORS:
            self._answer(launch.door, connection)
        elif connection not in self.children.values():
            connection.close()

    def _is_alike(self, pid: int) -> bool:
        """Whether the launcher may no less than we, and sees the same machine: else it must not get a child of ours."""
        try:
            return place.surrounding(pid) == self.surrounding
        except OSError:  # gone already
            return False

    def _fork(self, launch: Launch, connection: socket.socket) -> None:
        try:
            child = os.fork()
        except OSError:  # no room for a process: the launcher starts plainly, and those that run are not touched
            return
        if child == 0:
            self._be(launch, connection)
        self.children[child] = connection
        self.launches += 1

    def _be(self, launch: Launch, connection: socket.socket) -> NoReturn:
        """Be the plugin: nothing of this process but its modules stays."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.listener.close()
            for number in self.private:
                os.close(number)
            for other in self.children.values():
                other.close()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            launch.take_over(self.set_by_imports)
            if not launch.may_go(connection):
                os._exit(1)
            connection.close()
            code = int(importlib.import_module(DOORS[launch.door]).main() or 0)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code & 0xFF)

    def _answer(self, question: str, connection: socket.socket) -> None:
        """What `jvp warm` asks."""
        told = {"pid": os.getpid(), "launches": self.launches, "running": len(self.children)}
        with contextlib.suppress(OSError), connection:
            connection.sendall(json.dumps(told).encode())
        self.stopping = self.stopping or question == "stop"
        if self.stopping:
            self.listener.close()

    def _reap(self) -> None:
        while self.children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            self.killed.discard(child)
            with contextlib.suppress(OSError), self.children.pop(child) as connection:
                connection.sendall(b"%d" % os.waitstatus_to_exitcode(status))


def main() -> int:
    """`python -m jvp.warm.process SOCKET`."""
    path = Path(sys.argv[1])
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # another launcher was quicker
        try:
            _warm(path, lock.fileno()).serve()
        finally:
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)
    return 0


def _warm(path: Path, lock: int) -> Warm:
    """Import everything; then listen, for who cannot connect starts plainly."""
    before = dict(os.environ)
    for module in IMPORTED:
        importlib.import_module(module)
    added = {name: value for name, value in os.environ.items() if name not in before}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Children share these pages for as long as nobody writes to them, not even the collector.
    gc.collect()
    gc.freeze()
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    return Warm(listener, woken, (lock, woken, wake), added, place.surrounding("self"))


if __name__ == "__main__":
    sys.exit(main())

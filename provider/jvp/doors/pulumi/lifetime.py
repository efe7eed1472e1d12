"""When this process ends: told to by a signal, or because the engine that started it is gone.

An engine starts a plugin with a pipe as stdin and keeps the other end open until it ends, however it ends. Where
stdin is something else (a wrapper, a language host) the engine's port is tried now and then, as providers written
in Go do. A process that nobody gave an engine is one to attach to: it stays.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading

from jvp.core import signals
from jvp.doors.pulumi import journal

SIGNAL_GRACE_S = 4.0
"""An engine kills what is still there 5 s after its SIGINT (`plugin/plugin.go`, ExecPlugin)."""
ORPHAN_GRACE_S = 30.0
"""With the engine gone nobody hurries us: what runs may take back what it made."""
EVERY_S = 20.0
MISSES = 3


class Lifetime:
    """Waits for the end. `wait` returns how long running calls may still take."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._grace = SIGNAL_GRACE_S

    def wait(self) -> float:
        """Block until then."""
        self._over.wait()
        return self._grace

    def obey_signals(self) -> None:
        """Explicitly, for a process started in the background by a shell has SIGINT ignored."""
        signals.obey((signal.SIGINT, signal.SIGTERM), lambda number: self.end(number.name, SIGNAL_GRACE_S))

    def end(self, why: str, grace_s: float) -> None:
        """Let `wait` return."""
        if not self._over.is_set():
            journal.note(f"ending: {why}")
            self._grace = grace_s
            self._over.set()

    def watch(self, engine: str) -> None:
        """End when the engine at this address is gone."""
        if engine:
            threading.Thread(target=self._watch, args=(engine,), name="engine", daemon=True).start()

    def _watch(self, engine: str) -> None:
        if _is_pipe(0):
            while _read(0):
                pass
        else:
            misses = 0
            while misses < MISSES and not self._over.wait(EVERY_S):
                misses = 0 if _answers(engine) else misses + 1
        self.end("the engine is gone", ORPHAN_GRACE_S)


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def _answers(engine: str) -> bool:
    host, _, port = engine.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True

"""The engine that a process of `pulumi.dynamic` works for. That process itself never looks whether it is still there.

An engine starts a plugin with a pipe as stdin and keeps the other end open until it ends, however it ends.
"""

from __future__ import annotations

import atexit
import os
import signal
import stat
import sys
import threading
from functools import cache

from jvp.core import abandon


@cache
def gone() -> threading.Event:
    """Set when the engine has ended: our verbs stop, and with them the process, when nothing else runs in it.

    Call it in a process of `pulumi.dynamic` alone.
    """
    event = threading.Event()
    atexit.register(_end)
    if _is_pipe(0):
        threading.Thread(target=_watch, args=(event,), name="engine", daemon=True).start()
    return event


def _watch(event: threading.Event) -> None:
    while _read(0):
        pass
    event.set()
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C would: the server takes no more calls and waits for those that run


def _end() -> None:
    """Where a call of libvirt hangs, closing its connections would hang too."""
    if abandon.hangs():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


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

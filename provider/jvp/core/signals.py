"""Signals that are to end a process, whichever of its threads they reach."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable


def obey(numbers: Iterable[signal.Signals], tell: Callable[[signal.Signals], None]) -> None:
    """Have `tell` called with each of these signals that comes, in a thread of its own.

    A handler in Python runs in the main thread and not before that wakes up. The kernel may hand a signal to a thread
    that gRPC or libvirt starts at that moment, and a main thread that waits for a lock sleeps on (on a busy machine 5
    of 180 ends got lost). The byte of `signal.set_wakeup_fd` is written by whichever thread it is. Again: the last
    call counts. Raises ValueError outside of the main thread.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_listen, args=(reader, tell), name="signals", daemon=True).start()


def _listen(reader: int, tell: Callable[[signal.Signals], None]) -> None:
    while True:
        for number in os.read(reader, 16):
            tell(signal.Signals(number))

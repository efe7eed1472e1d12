"""Claims on volumes, MACs and addresses: which call of this process is about to give which one to a machine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Claims:
    """Claims by path, MAC or network and address, each of one thread.

    Two machines that are made at once would both find it free, and both write it down: libvirt lets them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, int] = {}

    def take(self, what: str) -> bool:
        """Claim a volume's path, a MAC or an address until `held` ends; False when another thread has."""
        me = threading.get_ident()
        with self._lock:
            return self._threads.setdefault(what, me) == me

    def wanted(self, what: str) -> bool:
        """Whether another thread has claimed it."""
        with self._lock:
            return self._threads.get(what, threading.get_ident()) != threading.get_ident()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """At the end what this thread has claimed is free again."""
        try:
            yield
        finally:
            me = threading.get_ident()
            with self._lock:
                self._threads = {what: thread for what, thread in self._threads.items() if thread != me}

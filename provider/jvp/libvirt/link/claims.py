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
        self._threads: dict[str, dict[int, bool]] = {}
        """Who has it, and whether they share it."""

    def take(self, what: str, *, share: bool = False) -> bool:
        """Claim a volume's path, a MAC or an address until `held` ends; False when another thread has, unless both
        share it."""
        me = threading.get_ident()
        with self._lock:
            holders = self._threads.setdefault(what, {})
            free = all(thread == me or (share and shares) for thread, shares in holders.items())
            if free:
                holders[me] = share
            return free

    def wanted(self, what: str) -> bool:
        """Whether another thread has claimed it."""
        with self._lock:
            return any(thread != threading.get_ident() for thread in self._threads.get(what, ()))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """At the end what this thread has claimed is free again."""
        try:
            yield
        finally:
            me = threading.get_ident()
            with self._lock:
                for holders in self._threads.values():
                    holders.pop(me, None)
                self._threads = {what: holders for what, holders in self._threads.items() if holders}

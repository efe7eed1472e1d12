"""Claims on volumes: which call of this process is about to attach which volume to a machine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Claims:
    """Claims by path, each of one thread.

    Two machines that are made at once would both find a volume free, and both write it down: libvirt lets them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, int] = {}

    def take(self, path: str) -> bool:
        """Claim the volume at a path until `held` ends; False when another thread has."""
        me = threading.get_ident()
        with self._lock:
            return self._threads.setdefault(path, me) == me

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """At the end what this thread has claimed is free again."""
        try:
            yield
        finally:
            me = threading.get_ident()
            with self._lock:
                self._threads = {path: thread for path, thread in self._threads.items() if thread != me}

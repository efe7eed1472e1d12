"""What lasts longer than one call: the engine on the other side, and which calls run.

Imports nothing heavy: the first calls of an engine are answered before the models are loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Session:
    """One engine's use of this process. An attached process (PULUMI_DEBUG_PROVIDERS) sees many, one by one."""

    def __init__(self) -> None:
        self.engine = ""
        """Where Engine.Log is; empty when nobody said."""
        self.refreshes = False
        """Whether the engine reads a resource before it plans, when we ask for it."""
        self.imported: set[str] = set()
        """The ids of what this engine imported."""
        self._lock = threading.Lock()
        self._running: set[threading.Event] = set()
        self._cancelled = False

    def begin(self, engine: str, *, refreshes: bool | None = None) -> None:
        """A new engine, or the same one once more: a Cancel that came before is over."""
        with self._lock:
            self.engine = engine or self.engine
            self.refreshes = self.refreshes if refreshes is None else refreshes
            self._cancelled = False
            self.imported.clear()

    def cancel(self) -> None:
        """Stop what runs, and what comes until the next `begin`. Engines also do this when they are done."""
        with self._lock:
            self._cancelled = True
            for event in self._running:
                event.set()

    @contextmanager
    def call(self) -> Iterator[threading.Event]:
        """The cancellation of one call while it runs."""
        event = threading.Event()
        with self._lock:
            self._running.add(event)
            if self._cancelled:
                event.set()
        try:
            yield event
        finally:
            with self._lock:
                self._running.discard(event)

    @property
    def idle(self) -> bool:
        """Whether no call runs."""
        with self._lock:
            return not self._running

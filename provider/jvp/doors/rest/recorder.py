"""Where a server's audit goes: into the index, and into the lines of its machine where that does not answer."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field

from jvp.audit import lines
from jvp.core import trail
from jvp.core.audit import BEGUN, Entry
from jvp.core.errors import JvpError
from jvp.core.text import sentence
from jvp.doors.rest.bus import Bus
from jvp.index import audit
from jvp.index.store import Index

WAIT_S = 1.0
"""So long a call waits for the index, once; then the lines have its entry."""
AGAIN_S = 10.0
"""So long an index that failed is left alone."""


@dataclass
class _Job:
    """An entry on its way into the index."""

    entry: Entry
    done: threading.Event = field(default_factory=threading.Event)
    in_lines: bool = False


class Recorder:
    """The sink of a server. Safe to use from many threads.

    One thread writes to the index, so a database that hangs holds up nobody else for long. A call whose begin is in the
    lines has its end there, too: who reads both finds them together.
    """

    def __init__(self, index: Index | None, bus: Bus) -> None:
        self._index, self._bus = index, bus
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._aside: set[str] = set()
        """Calls whose begin is in the lines."""
        self._rests_until = 0.0
        self._thread: threading.Thread | None = None

    def __call__(self, entry: Entry) -> None:
        """Add an entry. Raises OSError where neither can be written."""
        try:
            self._add(entry)
        finally:
            if entry.outcome != BEGUN:
                self._bus.publish("audit", trail.document(entry))

    def _add(self, entry: Entry) -> None:
        if self._index is None:
            return lines.write(entry)
        job = _Job(entry)
        if not self._offer(job):
            self._put_aside(job)
        elif not job.done.wait(WAIT_S):
            self._rest("it does not answer in time")
            self._put_aside(job)
        elif entry.outcome != BEGUN and entry.call in self._aside:
            self._aside.discard(entry.call)
            lines.write(entry)
        return None

    def _offer(self, job: _Job) -> bool:
        """Whether the index is asked at all."""
        with self._lock:
            if time.monotonic() < self._rests_until:
                return False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
                self._thread.start()
            self._jobs.put(job)
            return True

    def _work(self) -> None:
        assert self._index is not None
        while True:
            job = self._jobs.get()
            try:
                audit.add(self._index, job.entry)
            except Exception as error:  # whatever ails the database, the lines have it
                self._rest(str(error) if isinstance(error, JvpError) else f"{type(error).__name__}: {error}")
                self._keep(job)
            job.done.set()

    def _keep(self, job: _Job) -> None:
        try:
            self._put_aside(job)
        except (OSError, ValueError) as error:
            logging.getLogger("jvp").warning("%s", sentence(f"an entry of the audit is lost: {error}"))

    def _rest(self, why: str) -> None:
        """Leave the index alone for a while. One line tells of it."""
        with self._lock:
            was_resting = time.monotonic() < self._rests_until
            self._rests_until = time.monotonic() + AGAIN_S
        if not was_resting:
            text = f"the audit goes to {lines.folder()} for now, for the index cannot be written: {why}"
            logging.getLogger("jvp").warning("%s", sentence(text))

    def _put_aside(self, job: _Job) -> None:
        with self._lock:
            if job.in_lines:
                return
            job.in_lines = True
            if job.entry.outcome == BEGUN:
                self._aside.add(job.entry.call)
            else:
                self._aside.discard(job.entry.call)
        lines.write(job.entry)

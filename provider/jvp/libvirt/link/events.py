"""libvirt's event loop in one daemon thread, and waiting on a domain's events."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import libvirt

from jvp.core.work import Work
from jvp.libvirt.link import handles, raised

_started = threading.Lock()
_running = False


def start_loop() -> None:
    """Start the event loop. Must happen before the first connection is opened; again is harmless.

    Source: virEventRegisterDefaultImpl, "must be called before any connection is opened".
    """
    global _running
    with _started:
        if _running:
            return
        raised.keep()
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_loop, name="libvirt-events", daemon=True).start()
        _running = True


def _loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


class Event(NamedTuple):
    """One thing that happened to a domain: the kind, and what it is about (an alias, a lifecycle number)."""

    kind: str
    detail: Any


class Watch:
    """The events of one domain since the watch began."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        self._queue.put(event)

    def next(self, work: Work, seconds: float) -> Event | None:
        """The next event, or None after `seconds`. Raises Cancelled when the engine stops us."""
        end = time.monotonic() + work.left(seconds)
        while True:
            work.check()
            left = end - time.monotonic()
            try:
                # In slices, so that a Cancel is noticed.
                return self._queue.get(timeout=max(0.0, min(left, 0.2)))
            except queue.Empty:
                if left <= 0.2:
                    return None


_KINDS = {
    "lifecycle": libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    "device added": libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    "device removed": libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    "balloon": libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
    "block job": libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
    "agent": libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
}


@contextlib.contextmanager
def watch(connection: handles.Connection, domain: handles.Domain, *kinds: str) -> Iterator[Watch]:
    """Collect a domain's events of these kinds while inside. Begin it before what causes the event."""
    seen = Watch()

    def note(_connection: handles.Connection, _domain: handles.Domain, *rest: Any) -> None:
        seen.put(Event(rest[-1], rest[0] if len(rest) > 1 else None))

    tickets: list[int] = []
    try:
        for kind in kinds:
            tickets.append(connection.domainEventRegisterAny(domain, _KINDS[kind], note, kind))
        yield seen
    finally:
        for ticket in tickets:
            with contextlib.suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(ticket)

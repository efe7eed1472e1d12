"""What happens to the node's objects, on the bus: asked of libvirt while somebody listens, and not before."""

from __future__ import annotations

from jvp.core.happened import Happened, Watch
from jvp.doors.rest.bus import Bus
from jvp.resources import registry
from jvp.resources.provider import Provider


class Watching:
    """libvirt's events of one server. Used by the thread of its event loop alone."""

    def __init__(self, bus: Bus, provider: Provider) -> None:
        self._bus, self._provider = bus, provider
        self._events: Watch | None = None

    @property
    def is_on(self) -> bool:
        return self._events is not None

    @property
    def is_ready(self) -> bool:
        """Whether libvirt tells from now on, or it was told that it does not."""
        return self._events is not None and self._events.ready.is_set()

    def start(self) -> None:
        """Have libvirt asked, once. Does not wait for it."""
        if self._events is None:
            self._events = registry.node_events(self._provider, self._tell, self._bus.gap)
            self._events.start()

    def rest(self) -> None:
        """Ask no more where nobody has listened for long."""
        if self._bus.is_idle():
            self.stop()

    def stop(self) -> None:
        """Ask no more."""
        if self._events is not None:
            self._events.stop()
            self._events = None

    def _tell(self, happened: Happened) -> None:
        self._bus.publish("object", happened.document())

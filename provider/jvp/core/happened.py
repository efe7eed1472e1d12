"""What happened to an object of a node, as the node tells it: whoever caused it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Protocol

from jvp.core.types import utc_text


@dataclass(frozen=True)
class Happened:
    """One thing that happened to an object. Its texts are harmless."""

    kind: str
    """The token of the resource: `Instance`."""
    id: str
    name: str
    """As it was called when it happened."""
    event: str
    """The word for it: `started`, `crashed`, `device-added`."""
    detail: str
    """What it is about, or why: a device, `booted`; may be empty."""
    node: str
    """The host's uuid."""
    at: float
    """When, in seconds since 1970."""

    def document(self) -> dict[str, Any]:
        """As it is shown to programs."""
        found = {"kind": self.kind, "id": self.id, "name": self.name, "event": self.event}
        detail = {"detail": self.detail} if self.detail else {}
        return {**found, **detail, "node": self.node, "at": utc_text(self.at)}


class Watch(Protocol):
    """Who is told what happens on a node, between `start` and `stop`."""

    ready: threading.Event
    """Set once the node was asked to tell: what happens after that is told, or that something may be missing."""

    def start(self) -> None: ...
    def stop(self) -> None: ...

"""Calls in flight on a connection: never more than libvirtd reads, however many threads there are.

libvirtd serves `max_client_requests` (5) calls of a connection at a time. With the fifth it reads nothing more of the
socket, and so misses the answers to its own keepalive: after 30 s (`keepalive_interval` * (`keepalive_count` + 1)) it
takes the client for dead, and closes the connection under every call. So four are sent, and the others wait here.
Source: virNetServerClientDispatchRead. Measured (9.0): 4 calls of 50 s end well, 5 are cut off after 30 s; what the
client asks of keepalive changes nothing, nor do busy workers, for keepalive needs none.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

import libvirt

IN_FLIGHT = 4
_LOCAL = {"UUID", "UUIDString", "ID", "c_pointer", "close", "connect", "isAlive", "key", "name", "newStream",
          "setKeepAlive"}  # fmt: skip
"""Methods that ask nobody."""
_places: WeakKeyDictionary[libvirt.virConnect, SimpleQueue[None]] = WeakKeyDictionary()
"""The free places of our connections alone: who shares the process with us keeps theirs as they are.

A queue, because a semaphore is written in Python: with many threads it takes longer than a short call.
"""
_lock = threading.Lock()
_waits = False


def limit(connection: libvirt.virConnect) -> None:
    """Have the calls on a new connection, and on what is found through it, wait for one of its places."""
    global _waits
    with _lock:
        _places[connection] = places = SimpleQueue[None]()
        for _ in range(IN_FLIGHT):
            places.put(None)
        if not _waits:
            _have_methods_wait()
            _waits = True


def _have_methods_wait() -> None:
    """In libvirt's own classes, because objects make objects. Not in streams: their data holds up no other call."""
    for kind in list(vars(libvirt).values()):
        if inspect.isclass(kind) and kind.__name__.startswith("vir") and kind is not libvirt.virStream:
            for name, method in list(vars(kind).items()):
                if inspect.isfunction(method) and not name.startswith("_") and name not in _LOCAL:
                    setattr(kind, name, _waiting(method))


def _waiting(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(this: Any, *arguments: Any, **named: Any) -> Any:
        places = _places.get(this if isinstance(this, libvirt.virConnect) else this.connect())
        if places is None:
            return method(this, *arguments, **named)
        places.get()
        try:
            return method(this, *arguments, **named)
        finally:
            places.put(None)

    return call

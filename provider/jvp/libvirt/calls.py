"""Calls on a connection, one at a time, however many threads there are.

Several at once are more than libvirt's client bears (9.0, measured): now and then one is lost or never ends, with ten
threads and short calls; and when a silent peer is given up, one of them is told, the others hang, and the process may
die of SIGSEGV. And with the fifth the daemon reads nothing more, misses the answers to its own keepalive, and closes
the connection after 30 s (`max_client_requests`; source: virNetServerClientDispatchRead). So a call waits here until
the one before it has its answer. Who wants more at once takes more connections: see `node.py`.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import libvirt

_LOCAL = {"UUID", "UUIDString", "ID", "c_pointer", "close", "connect", "getURI", "isAlive", "key", "name", "newStream",
          "setKeepAlive"}  # fmt: skip
"""Methods that ask nobody."""
_locks: WeakKeyDictionary[libvirt.virConnect, threading.RLock] = WeakKeyDictionary()
"""Of our connections alone: who shares the process with us keeps theirs as they are. A method may call another."""
_lock = threading.Lock()
_waits = False


def one_by_one(connection: libvirt.virConnect) -> None:
    """Have the calls on a new connection, and on what is found through it, wait for each other."""
    global _waits
    with _lock:
        _locks[connection] = threading.RLock()
        if not _waits:
            _have_methods_wait()
            _waits = True


def _have_methods_wait() -> None:
    """In libvirt's own classes, because objects make objects."""
    for kind in list(vars(libvirt).values()):
        if inspect.isclass(kind) and kind.__name__.startswith("vir"):
            for name, method in list(vars(kind).items()):
                if inspect.isfunction(method) and not name.startswith("_") and name not in _LOCAL:
                    setattr(kind, name, _waiting(method))


def _waiting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(this: Any, *arguments: Any, **named: Any) -> Any:
        lock = _locks.get(this if isinstance(this, libvirt.virConnect) else this.connect())
        if lock is None:
            return method(this, *arguments, **named)
        with lock:
            return method(this, *arguments, **named)

    return call

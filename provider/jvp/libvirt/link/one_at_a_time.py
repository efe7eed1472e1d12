"""Calls on a connection, one at a time, however many threads there are.

Several at once are more than libvirt's client bears (9.0, measured): now and then one is lost or never ends, with ten
threads and short calls; and when a silent peer is given up, one of them is told, the others hang, and the process may
die of SIGSEGV. And with the fifth the daemon reads nothing more, misses the answers to its own keepalive, and closes
the connection after 30 s (`max_client_requests`; source: virNetServerClientDispatchRead). So a call waits here until
the one before it has its answer. Who wants more at once takes more connections: see `node.py`.

A call that never gets its answer is left behind with its connection (`core/abandon.py`), and who waits for it is told.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import libvirt

from jvp.core.abandon import Seat, outside, seat, turn
from jvp.core.errors import Unreachable
from jvp.libvirt.link import handles

_LOCAL = {"UUID", "UUIDString", "ID", "c_pointer", "close", "connect", "getURI", "isAlive", "key", "name", "newStream",
          "setKeepAlive"}  # fmt: skip
"""Methods that ask nobody."""
_LOOK_S = 0.5
_EARLIER = "an earlier call on the same connection"


class _Line:
    """The calls on one connection, each waiting for the one before. A method may call another."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._seat: Seat | None = None
        self.given_up = False

    @property
    def hangs(self) -> bool:
        """Whether the call whose turn it is was left behind, or one beside the line."""
        return self.given_up or (self._seat is not None and self._seat.left)

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=_LOOK_S):
            if self.hangs:
                raise Unreachable(f"{_EARLIER} has not come back; run the command again")
        self._depth += 1
        self._seat = seat()

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._seat = None
        self._lock.release()


_lines: WeakKeyDictionary[handles.Connection, _Line] = WeakKeyDictionary()
"""Of our connections alone: who shares the process with us keeps theirs as they are."""
_lock = threading.Lock()
_waits = False


def one_by_one(connection: handles.Connection) -> None:
    """Have the calls on a new connection, and on what is found through it, wait for each other."""
    global _waits
    with _lock:
        _lines[connection] = _Line()
        if not _waits:
            _have_methods_wait()
            _waits = True


def hangs(connection: handles.Connection) -> bool:
    """Whether a call on it was left behind and has not come back."""
    line = _lines.get(connection)
    return line is not None and line.hangs


def give_up(connection: handles.Connection) -> None:
    """Have nobody use a connection any more on which a call beside the line does not come back."""
    line = _lines.get(connection)
    if line is not None:
        line.given_up = True


def beside_the_line(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of libvirt's classes that neither waits for other calls nor has them wait."""
    return getattr(method, "__wrapped__", method)


def _have_methods_wait() -> None:
    """In libvirt's own classes, because objects make objects."""
    for kind in list(vars(libvirt).values()):
        if inspect.isclass(kind) and kind.__name__.startswith("vir"):
            for name, method in list(vars(kind).items()):
                if inspect.isfunction(method) and not name.startswith("_") and name not in _LOCAL:
                    setattr(kind, name, _waiting(f"{kind.__name__}.{name}", method))


def _waiting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    what = f"libvirt's {name}"

    @functools.wraps(method)
    def call(this: handles.Bound, *arguments: Any, **named: Any) -> Any:
        line = _lines.get(this if isinstance(this, libvirt.virConnect) else this.connect())
        if line is None:
            return method(this, *arguments, **named)
        with turn(line, _EARLIER), outside(what):
            return method(this, *arguments, **named)

    return call

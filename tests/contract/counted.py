"""Counts what libvirt is asked, so that a test can hold the number: every call that goes to the daemon, by its name.

    with counting() as asked:
        bench.read("Volume", stored)
    assert asked.total() <= 5, asked
    assert asked["virDomainGetXMLDesc"] == 1

The names are libvirt's own, of its C functions. All threads of the process count, for a verb may run in another one;
so nothing else may ask meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import libvirt

_LOCAL = (
    "Free", "Unref", "Ref", "GetName", "GetUUID", "GetUUIDString", "GetConnect", "GetKey", "virDomainGetID",
    "virConnectIsAlive", "virConnectGetURI", "virConnectSetKeepAlive", "virStreamNew",
)  # fmt: skip
"""How the names of those end that ask nobody."""
_BESIDE = ("virEvent", "virGet", "virInitialize", "virRegister", "virSetError", "virReset", "virCopyLast",
           "virConnectOpen", "virConnectClose")  # fmt: skip
"""How those begin that are not about a connection, and opening or closing one: which thread has one already, and when
one is closed that nobody has any more, chance tells."""


class _Counting:
    """libvirt's C module, which counts into `asked` on the way through."""

    def __init__(self, module: Any, asked: Counter[str]) -> None:
        self._module, self._asked, self._lock = module, asked, threading.Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if not callable(found) or name.endswith(_LOCAL) or name.startswith(_BESIDE):
            return found

        def call(*arguments: Any) -> Any:
            with self._lock:
                self._asked[name] += 1
            return found(*arguments)

        return call


@contextlib.contextmanager
def counting() -> Iterator[Counter[str]]:
    """The calls to the daemon from now on, by libvirt's name for them."""
    module, asked = libvirt.libvirtmod, Counter[str]()
    libvirt.libvirtmod = _Counting(module, asked)
    try:
        yield asked
    finally:
        libvirt.libvirtmod = module

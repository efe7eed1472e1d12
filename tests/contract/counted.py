"""Counts what libvirt is asked, so that a test can hold the number: every call that goes to the daemon, by its name.

    with counting() as asked:
        bench.read("Volume", stored)
    assert asked.total() <= 5, asked
    assert asked["virDomainGetXMLDesc"] == 1

The names are libvirt's own, of its C functions. All threads of the process count, for a verb may run in another one;
so nothing else may ask meanwhile. What else is on the node (guests of others, their volumes) may be asked about too:
`counting(about=name)` counts what volumes with this in their name are asked, and the streams from and to them.
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

_OF_OTHERS = ("virStorageVolLookup", "virStorageVolCreate")
"""How those begin that sound as if a volume were asked, and ask a connection or a pool."""


class _Counting:
    """libvirt's C module, which counts into `asked` on the way through."""

    def __init__(self, module: Any, asked: Counter[str], about: str | None) -> None:
        self._module, self._asked, self._about, self._lock = module, asked, about, threading.Lock()
        self._streams: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if not callable(found) or name.endswith(_LOCAL) or name.startswith(_BESIDE):
            return found

        def call(*arguments: Any) -> Any:
            with self._lock:
                self._asked[name] += self._counts(name, arguments)
            return found(*arguments)

        return call

    def _counts(self, name: str, arguments: tuple[Any, ...]) -> bool:
        if self._about is None:
            return True
        if name.startswith("virStream"):
            return any(arguments[0] is one for one in self._streams)
        if not name.startswith("virStorageVol") or name.startswith(_OF_OTHERS):
            return False
        if self._about not in self._module.virStorageVolGetName(arguments[0]):
            return False
        if name in ("virStorageVolDownload", "virStorageVolUpload"):
            self._streams.append(arguments[1])
        return True


@contextlib.contextmanager
def counting(about: str | None = None) -> Iterator[Counter[str]]:
    """The calls to the daemon from now on, by libvirt's name for them."""
    module, asked = libvirt.libvirtmod, Counter[str]()
    libvirt.libvirtmod = _Counting(module, asked, about)
    try:
        yield asked
    finally:
        libvirt.libvirtmod = module

"""Counts the calls that change something through libvirt, and ends this very process by SIGKILL at one of them.

A place is "after:3" (before, during, after). "During" sends the call and dies while libvirtd works on it. "hold:3:FILE"
does not die: it makes the file and waits until that is removed. Nothing of the product knows of this.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

WRITES = {
    "virConnect": "createXML defineXML defineXMLFlags networkCreateXML networkDefineXML nwfilterBindingCreateXML "
    "nwfilterDefineXML restoreFlags storagePoolCreateXML storagePoolDefineXML",
    "virDomain": "abortJob attachDeviceFlags blockCommit blockJobAbort blockResize create createWithFlags destroy "
    "destroyFlags detachDevice detachDeviceAlias detachDeviceFlags managedSaveRemove pMWakeup rename resume "
    "setAutostart setMaxMemory setMemory setMemoryFlags setMetadata setVcpus setVcpusFlags shutdown shutdownFlags "
    "snapshotCreateXML suspend undefine undefineFlags updateDeviceFlags",
    "virNWFilter": "undefine",
    "virNetwork": "create destroy setAutostart undefine update",
    "virStoragePool": "build create createXML createXMLFrom delete destroy refresh setAutostart undefine",
    "virStorageVol": "delete resize upload wipe",
    "virStream": "finish send sendHole",
}
DURING_S = 0.0005
HOLD_S = 120.0


class Cut:
    """Where to die, who hears of each call, and who dies: this process, unless another's number is told."""

    def __init__(self, place: str, note: Callable[[str], None], victim: Callable[[], int] = os.getpid) -> None:
        self.position, number, *rest = place.split(":")
        self.number, self.file, self.note = int(number), Path(rest[0]) if rest else None, note
        self.victim = victim
        self._counter, self._lock = itertools.count(1), threading.Lock()

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*arguments: Any, **named: Any) -> Any:
            if name in ("virStream.send", "virStream.sendHole"):
                arguments[0].writes = True
            elif name == "virStream.finish" and not hasattr(arguments[0], "writes"):
                return call(*arguments, **named)  # of a download, which changes nothing
            with self._lock:
                number = next(self._counter)
                self.note(name)
            if number != self.number:
                return call(*arguments, **named)
            if self.file is not None:
                _hold(self.file)
                return call(*arguments, **named)
            if self.position == "before":
                self._die()
            if self.position == "during":
                threading.Thread(target=self._die_in_a_moment).start()
            try:
                return call(*arguments, **named)
            finally:
                self._die()  # also after a call that was refused

        return counted

    def _die(self) -> None:
        os.kill(self.victim(), signal.SIGKILL)
        time.sleep(60)

    def _die_in_a_moment(self) -> None:
        time.sleep(DURING_S)
        self._die()


def _hold(file: Path) -> None:
    file.touch()
    end = time.monotonic() + HOLD_S
    while file.exists() and time.monotonic() < end:
        time.sleep(0.005)


def arm(libvirt: ModuleType, cut: Cut) -> None:
    """Have every writing call of libvirt's classes counted."""
    for kind, names in WRITES.items():
        for name in names.split():
            call = getattr(getattr(libvirt, kind), name, None)
            if call is not None:
                setattr(getattr(libvirt, kind), name, cut.wrap(f"{kind}.{name}", call))

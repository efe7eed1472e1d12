"""Counts the calls that change something through libvirt, and ends this very process by SIGKILL at one of them.

JVP_CUT=after:3 (before, during, after) says where; JVP_CUT_LOG names a file that gets a line for each call. "During"
sends the call and dies while libvirtd works on it. "hold:3:FILE" does not die: it makes the file and waits until that
is removed. Nothing of the product knows of this.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

WRITES = {
    "virConnect": "createXML defineXML defineXMLFlags networkCreateXML networkDefineXML storagePoolCreateXML "
    "storagePoolDefineXML",
    "virDomain": "attachDeviceFlags blockResize create createWithFlags destroy destroyFlags detachDevice "
    "detachDeviceAlias detachDeviceFlags managedSaveRemove pMWakeup rename resume setAutostart setMaxMemory setMemory "
    "setMemoryFlags setMetadata setVcpus setVcpusFlags shutdown shutdownFlags suspend undefine undefineFlags "
    "updateDeviceFlags",
    "virNetwork": "create destroy setAutostart undefine update",
    "virStoragePool": "build create createXML createXMLFrom delete destroy refresh setAutostart undefine",
    "virStorageVol": "delete resize upload wipe",
    "virStream": "finish send sendHole",
}
DURING_S = 0.0005
HOLD_S = 120.0


class Cut:
    """Where to die, and who hears of each call."""

    def __init__(self, place: str, note: Callable[[str], None]) -> None:
        self.position, number, *rest = place.split(":")
        self.number, self.file, self.note = int(number), Path(rest[0]) if rest else None, note
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
                _die()
            if self.position == "during":
                threading.Thread(target=_die_in_a_moment).start()
            try:
                return call(*arguments, **named)
            finally:
                _die()  # also after a call that was refused

        return counted


def _hold(file: Path) -> None:
    file.touch()
    end = time.monotonic() + HOLD_S
    while file.exists() and time.monotonic() < end:
        time.sleep(0.005)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _die_in_a_moment() -> None:
    time.sleep(DURING_S)
    _die()


def arm(libvirt: ModuleType, cut: Cut) -> None:
    """Have every writing call of libvirt's classes counted."""
    for kind, names in WRITES.items():
        for name in names.split():
            call = getattr(getattr(libvirt, kind), name, None)
            if call is not None:
                setattr(getattr(libvirt, kind), name, cut.wrap(f"{kind}.{name}", call))


def arm_on_import() -> None:
    """As the environment says, once libvirt is imported."""
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name != "libvirt":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_arm(module: ModuleType) -> None:
            execute(module)
            log = os.environ.get("JVP_CUT_LOG")
            note = functools.partial(_append, log) if log else lambda _name: None
            arm(module, Cut(os.environ.get("JVP_CUT", "never:0"), note))

        spec.loader.exec_module = execute_and_arm  # type: ignore[method-assign]
        return spec


def _append(path: str, name: str) -> None:
    with Path(path).open("a") as out:
        out.write(f"{os.getpid()} {name}\n")

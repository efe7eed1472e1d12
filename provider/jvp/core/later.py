"""Modules that a library imports at its top and we never use: each is loaded when something of it is asked for."""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.RLock()


class _Later(ModuleType):
    """Stands for a module until somebody asks it for something."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_loaded(self), name)


def put_off(*names: str) -> None:
    """Have `import` of these modules load nothing yet. Again: as good as once, also for what is loaded already."""
    for name in names:
        sys.modules.setdefault(name, _Later(name))


def _loaded(stand_in: ModuleType) -> ModuleType:
    """The module itself, which takes the place of what stood for it."""
    name = stand_in.__name__
    with _lock:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        try:
            return importlib.import_module(name)
        except BaseException:
            sys.modules.setdefault(name, stand_in)
            raise

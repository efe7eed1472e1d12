"""What is loaded or made when it is first needed, and once.

A plugin is started for each of a few calls. Above all it should not pay for what its libraries import at their top and
it never uses: such a module is loaded when something of it is asked for.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_swapping = threading.Lock()
"""Never held while something is imported: who imports holds a lock that another thread may be waiting for."""
_making = threading.RLock()
"""One for all, for what is made imports modules that need each other."""


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
    with _swapping:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
    try:
        return importlib.import_module(name)
    except BaseException:
        sys.modules.setdefault(name, stand_in)
        raise


class Once(Generic[T]):
    """What `make` makes, when it is first asked for. Safe to use from many threads; what failed is tried again."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []

    def __call__(self) -> T:
        if not self._made:
            with _making:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]


class Lazily(Mapping[str, T]):
    """A mapping whose values are made by their names, each when it is first asked for."""

    def __init__(self, names: Iterable[str], make: Callable[[str], T]) -> None:
        self._values = {name: Once(partial(make, name)) for name in names}

    def __getitem__(self, name: str) -> T:
        return self._values[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

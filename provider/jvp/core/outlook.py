"""What plans say beforehand: why a create would fail as its host is now, and what still waits in an object.

Such lines are warnings: what is missing may be made until the apply, by the same program or by somebody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from jvp.core.abandon import run
from jvp.core.errors import JvpError, NameTaken, Unreachable
from jvp.core.identity import Key
from jvp.core.work import Work

T = TypeVar("T")
LOOK_S = 4.5
"""How long a plan of something new may wait for its host."""


@dataclass(frozen=True)
class Asked:
    """Of a create that is planned: what the door would give to it."""

    key: Callable[[], Key]
    adopt: bool = False
    worded: Callable[[NameTaken, Key], JvpError] = lambda error, _: error
    """The error of a name that is taken as the door's users read it, with the way to import."""


class Plans:
    """What the plans of one process are about to make and to change on a node. Safe to use from many threads."""

    def __init__(self) -> None:
        self._made: set[tuple[str, str]] = set()
        self._wishes: dict[tuple[str, str], Any] = {}
        self._seen: set[str] = set()
        self._moving: set[str] = set()
        self._staying: set[str] = set()

    def make(self, kind: str, *names: object) -> None:
        """An object of one of these names will be there, or run again, before what refers to it is made."""
        self._made |= {(kind, name) for name in names if isinstance(name, str)}

    def makes(self, kind: str, name: str) -> bool:
        return (kind, name) in self._made

    def others(self, kind: str, object_id: str, wish: T) -> list[T]:
        """What the other new objects of a kind wish for themselves; this one's `wish` is kept for them."""
        self._wishes[kind, object_id] = wish
        return [found for (of, who), found in [*self._wishes.items()] if of == kind and who != object_id]

    def see(self, object_id: str) -> None:
        """A state has the object."""
        self._seen.add(object_id)

    def sees(self, object_id: str) -> bool:
        return object_id in self._seen

    def move(self, object_id: str) -> None:
        """An object that is there is changed or goes: what it has now it may have no longer."""
        self._moving.add(object_id)

    def moves(self, object_id: str, *, ours: bool = False) -> bool:
        """Whether it may give up what it has: it is planned to change or to go, or is `ours` (this program's) and may
        be planned so later."""
        return object_id in self._moving or (ours and object_id not in self._staying)

    def stay(self, object_id: str) -> None:
        """An object that is there is planned to stay as it is."""
        self._staying.add(object_id)


class Outlook:
    """What the plans of one provider have said already. Safe to use from many threads."""

    def __init__(self, plans: Plans | None = None, *, asks: bool = True) -> None:
        """Without `asks` no host is known yet."""
        self.plans = plans or Plans()
        self._asks = asks
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def obstacles(self, work: Work, asked: Asked, find: Callable[[Work], Iterable[JvpError]]) -> None:
        """Warn of what `find` yields: why the create would fail. A host that is not reached is told of once."""
        if not self._asks:
            return
        brief = replace(work, deadline=min(work.deadline, time.monotonic() + LOOK_S))
        try:
            for error in run(brief, lambda: [*find(brief)]):
                told = self._own_words(error, asked) if isinstance(error, NameTaken) else error
                if told is not None:
                    work.warn(str(told))
        except Unreachable as error:
            with self._lock:
                first, self._asks = self._asks, False
            if first:
                work.warn(str(error))

    def _own_words(self, error: NameTaken, asked: Asked) -> JvpError | None:
        """None where the name is given up until then: by what changes, or by the object that this one replaces."""
        key, holder = asked.key(), error.holder
        replaced = holder is not None and holder.of(key) and self.plans.sees(error.id)
        adopted = asked.adopt and not (holder is not None and holder.is_declared_by(key))
        ours = holder is not None and not holder.of(key) and bool(key.stack) and holder.stack == key.stack
        if adopted or replaced or self.plans.moves(error.id, ours=ours):
            return None
        return asked.worded(error, key)

    def standing(self, work: Work, object_id: str, lines: Iterable[str], *, again: bool) -> None:
        """Warn of what stands in an object: with `again` (a read) always, else where no read has said it before."""
        with self._lock:
            silent = object_id in self._told and not again
            self._told.add(object_id)
        self.plans.see(object_id)
        for line in lines if not silent else ():
            work.warn(line)

"""The inventory of the index: filled with what lists and changes tell anyway.

No request waits for it, or fails for it: it is written a while later, in a thread of its own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jvp.core.errors import JvpError
from jvp.core.model import fields
from jvp.core.text import sentence
from jvp.doors.rest.operations import Answer
from jvp.index import inventory
from jvp.index.inventory import Note
from jvp.index.store import Index
from jvp.resources import registry

if TYPE_CHECKING:
    from jvp.doors.rest.changes import Call

EVERY_S = 5.0
"""It is written no more often."""
NOTES_MAX = 100
"""So many notes wait at most: what is lost here, the next list tells."""
Bag = dict[str, Any]


class Inventory:
    """What is noted of one node. Safe to use from many threads; without an index nothing is kept."""

    def __init__(self, index: Index | None, host: Callable[[], str]) -> None:
        self._index, self._host = index, host
        self._notes: list[Note] = []
        self._timer: threading.Timer | None = None
        self._is_failing = False
        self._lock, self._writing = threading.Lock(), threading.Lock()

    def listed(self, kind: str, items: Sequence[Bag], filters: Bag, began: float) -> None:
        """Note a list."""
        whole = filters.keys() <= {"details"}
        self._note(Note(kind, items, began, bool(filters.get("details")), whole))

    def changed(self, call: Call, answer: Answer) -> None:
        """Note what a change has left. What an action changed is seen by the next list."""
        if call.verb == "delete":
            self._note(Note(call.token, (), time.time(), gone=(call.id,) if call.id else ()))
        elif call.verb != "act" and answer.body is not None:
            own = [name for name in fields(registry.TYPES[call.token].item) if name != "declaredBy"]
            item = {name: answer.body[name] for name in own if answer.body.get(name) is not None}
            if (by := answer.body.get("declaredBy")) is not None:
                item["declaredBy"] = ":".join(filter(None, (by["door"], by.get("label"))))
            self._note(Note(call.token, [item], time.time()))

    def flush(self) -> None:
        """Write what is noted. A failure is told in the log, once until it works again."""
        with self._writing:
            with self._lock:
                notes, self._notes = self._notes, []
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            if not notes or self._index is None:
                return
            try:
                inventory.write(self._index, self._host(), notes)
                self._is_failing = False
            except Exception as error:  # no request is any the worse for it
                if not self._is_failing:
                    why = str(error) if isinstance(error, JvpError) else f"{type(error).__name__}: {error}"
                    logging.getLogger("jvp").warning("%s", sentence(f"the inventory is not kept: {why}"))
                self._is_failing = True

    def _note(self, note: Note) -> None:
        if self._index is None:
            return
        with self._lock:
            if note.whole:  # it tells all that earlier ones did
                self._notes = [one for one in self._notes if not _is_told_by(note, one)]
            self._notes = [*self._notes[1 - NOTES_MAX :], note]
            if self._timer is None:
                timer = threading.Timer(EVERY_S, self.flush)
                timer.daemon = True
                with contextlib.suppress(RuntimeError):  # the system gives no more threads: the next note tries again
                    timer.start()
                    self._timer = timer


def _is_told_by(whole: Note, other: Note) -> bool:
    """Whether a list of all tells what another note did."""
    return other.kind == whole.kind and other.at <= whole.at and other.details <= whole.details

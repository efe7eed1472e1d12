"""Actions: what is done to an object that is there. Declared like a function: arguments in, a result out.

Most may be called again: a running guest that is started runs. One that may not carries the id of its request. The
object's own mark notes it as open before the act and as closed after it, so that the same request acts once, whoever
died meanwhile: closed, it answers without acting; open, it goes on from where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from jvp.core.errors import Rejected
from jvp.core.model import Spec
from jvp.core.work import Work

A = TypeVar("A", bound=Spec)
R = TypeVar("R", bound=Spec)

KEPT = 4
"""So many requests the mark of an object remembers, the last ones."""
_LONGEST = 60
"""No note of ours of where an object stood is longer."""


@dataclass(frozen=True)
class Request:
    """One request, as the mark notes it."""

    id: str
    """A digest of the id that the caller gave."""
    since: str | None = None
    """While it is open, where the object stood before; None once it is closed."""
    made: str = ""
    """Once it is closed, what of its result the answer to the same request needs."""


def digest(token: str, id: str) -> str:
    """What is noted of a request's id, which may be any text."""
    return hashlib.sha256(f"{token}\0{id}".encode()).hexdigest()[:16]


class Requests(Protocol):
    """The last requests of one object, in its mark. Each call looks at the object anew. Raises JvpError."""

    def read(self) -> tuple[Request, ...]: ...

    def write(self, requests: tuple[Request, ...]) -> None: ...


def noted(text: str) -> tuple[Request, ...]:
    """The requests in a mark's text. Anybody may write there: what is odd is left out."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    rows = [one for one in found if isinstance(one, list) and len(one) in (2, 3)] if isinstance(found, list) else []
    return tuple(
        Request(id, since, made)
        for id, since, made in ((*row, "")[:3] for row in rows[-KEPT:])
        if isinstance(id, str) and (since is None or _is_short(since)) and _is_short(made)
    )


def _is_short(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= _LONGEST


def text_of(requests: Iterable[Request]) -> str:
    """The requests as a mark's text; empty where there are none."""
    found = [[one.id, one.since, *([one.made] if one.made else [])] for one in requests]
    return json.dumps(found, separators=(",", ":")) if found else ""


class Action(Generic[A, R]):
    """One action. Its docstring says what it does. The declaration needs no host, `call` does."""

    token: ClassVar[str]
    """Its name among all actions: "startInstance"."""
    on: ClassVar[str]
    """The token of the resource that it acts on: "Instance"."""
    others: ClassVar[tuple[str, ...]] = ()
    """The tokens of other resources that it changes as well."""
    word: ClassVar[str]
    """Its name among the actions of that resource: "start"."""
    args: ClassVar[type[Spec]]
    result: ClassVar[type[Spec]]
    effect: ClassVar[str]
    """What it may change, in a sentence, for plans and the reference."""
    local: ClassVar[bool] = False
    """Whether it writes files of the machine where it runs, and changes nothing on the node. Servers do not have it."""
    idempotent: ClassVar[bool] = True
    """Whether it may be called twice. If not, the methods below `call` are needed."""

    def call(self, work: Work, object_id: str, args: A) -> R:
        """Act. Progress goes through `work.status`. Raises NotFound when the object is gone, JvpError."""
        raise NotImplementedError

    def meant(self, work: Work, object_id: str, args: A) -> tuple[AnyAction, str, Any]:
        """What is to be done to what, and with what: where the arguments name another object, what is done to that.

        Raises NotFound where they name none.
        """
        return self, object_id, args

    def foreseen(self, work: Work, object_id: str) -> Iterable[str]:
        """What a plan says beside `effect`, from a look at the object. Best effort: the caller drops errors."""
        return ()

    def requests(self, work: Work, object_id: str) -> Requests:
        """Where the object's last requests are noted. Raises NotFound when the object is gone."""
        raise NotImplementedError

    def since(self, work: Work, object_id: str) -> str:
        """Where the object stands, in a few words that `go_on` understands."""
        raise NotImplementedError

    def go_on(self, work: Work, object_id: str, args: A, since: str) -> R:
        """Act on an object that stood there when the request came, and may have been acted on since."""
        raise Rejected(
            "whether this request was done is not known, for what did it was stopped halfway; look at the object, and "
            "ask again with another request id"
        )

    def made(self, result: R) -> str:
        """What of a result is noted for `told`, in a few words: by default the object alone tells all."""
        return ""

    def told(self, work: Work, object_id: str, made: str = "") -> R:
        """What an act would answer that has just been done, and that `made` is noted of."""
        raise NotImplementedError

    def alone(self, work: Work, object_id: str) -> contextlib.AbstractContextManager[None]:
        """While inside, no other call of this process does it to the object: a request may come twice at once."""
        return contextlib.nullcontext()


AnyAction = Action[Any, Any]


def perform(action: AnyAction, work: Work, object_id: str, args: Any, request_id: str | None = None) -> Any:
    """Have the action done; one that is not idempotent once for each `request_id`. Without one it acts each time."""
    action, object_id, args = action.meant(work, object_id, args)
    if action.idempotent or request_id is None:
        return action.call(work, object_id, args)
    with action.alone(work, object_id):
        return _once(action, work, object_id, args, digest(action.token, request_id))


def _once(action: AnyAction, work: Work, object_id: str, args: Any, id: str) -> Any:
    notes = action.requests(work, object_id)
    found = next((one for one in notes.read() if one.id == id), None)
    if found is None:
        _note(notes, Request(id, action.since(work, object_id)))
        result = action.call(work, object_id, args)
    elif found.since is not None:
        result = action.go_on(work, object_id, args, found.since)
    else:
        return action.told(work, object_id, found.made)
    _note(notes, Request(id, made=action.made(result)))
    return result


def forget(action: AnyAction, work: Work, object_id: str, request_id: str) -> None:
    """A request will not come again. Raises JvpError."""
    if not action.idempotent:
        notes, id = action.requests(work, object_id), digest(action.token, request_id)
        there = notes.read()
        if any(one.id == id for one in there):
            notes.write(tuple(one for one in there if one.id != id))


def _note(notes: Requests, request: Request) -> None:
    others = [one for one in notes.read() if one.id != request.id]
    notes.write((*others[-(KEPT - 1) :], request))

"""What the routes share: who asks, how long a request waits, and how an answer is written."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request, Response
from starlette.responses import JSONResponse

from jvp.core.audit import Caller
from jvp.core.check import unknown_property
from jvp.core.errors import Invalid
from jvp.core.objects import Objects
from jvp.core.text import sentence
from jvp.core.types import duration_s
from jvp.core.values import UNKNOWN, Secret
from jvp.core.work import Work
from jvp.doors.rest import problems
from jvp.doors.rest.bus import Bus
from jvp.doors.rest.conditions import Conditions, is_among
from jvp.doors.rest.inventory import Inventory
from jvp.doors.rest.keys import Key
from jvp.doors.rest.login import login_of, masked
from jvp.doors.rest.operations import Answer, Asked, Operation, Operations
from jvp.doors.rest.waiting import Pending
from jvp.index.store import Index
from jvp.resources.provider import Provider

if TYPE_CHECKING:
    from jvp.doors.rest.changes import Call, Changes

SOON_S = 1.0
"""What takes longer is answered as an operation."""
WAIT_MAX_S = 300.0
READ_S = 60.0
WAIT = f"How long to wait for the end, like 30s; at most {WAIT_MAX_S:g}s."
Body = dict[str, Any]


@dataclass(frozen=True)
class Door:
    """What every route works with."""

    objects: Objects
    provider: Provider
    operations: Operations
    changes: Changes
    inventory: Inventory
    index: Index | None = None
    """None where the server has none: then it serves the socket alone."""
    bus: Bus = field(default_factory=Bus)

    def reading(self) -> Work:
        """The work of a question."""
        return Work(deadline=time.monotonic() + READ_S)

    def make(self, request: Request, call: Call, wait: str, look: Callable[[Call], Call] | None = None) -> Response:
        """Make a change as an operation, and answer with its end when that comes soon.

        `look` decides what the change is about. It is not asked where the request came before with the same key.
        """
        limit_s, caller = max(SOON_S, seconds(wait)), caller_of(request)
        key = Key.of(request, caller, call)
        operation = self.operations.kept(key)
        if operation is None:
            id, login = str(uuid.uuid4()), login_of(request)
            call = replace(
                call, caller=caller, operation=id, key=key.id if key is not None else None,
                open_internet=not login.is_admin, token_id=login.token_id,
                tags=None if login.scope.tags is None else sorted(login.scope.tags),
            )  # fmt: skip
            call = look(call) if look is not None else call
            asked = Asked(id, key, call.kind, call.id or "", call.place, call.document())
            operation = self._begun(request, call.timeout, lambda work: self.changes.make(call, work), asked)
        return Pending(operation, limit_s, _answered)

    def _begun(self, request: Request, verb: str, run: Callable[[Work], Answer], asked: Asked) -> Operation:
        timeout_s = duration_s(getattr(self.provider.timeouts, verb))
        what = sentence(masked(f"{request.method} {request.url.path}"))
        asked = replace(asked, by=audited(request))
        return self.operations.start(what, caller_of(request), run, timeout_s, asked)


def _answered(operation: Operation) -> Response:
    place = f"/api/operations/{operation.id}"
    if not operation.done.is_set():
        return JSONResponse(operation.document(), 202, {"Location": place})
    if operation.problem is not None:
        return shown({**operation.problem, "operation": place})
    answer = operation.answer
    assert answer is not None
    headers = {"Jvp-Operation": place}
    if answer.location is not None:
        headers["Location"] = answer.location
    if answer.etag is not None:
        headers["ETag"] = answer.etag
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    return JSONResponse(answer.body, answer.status, headers)


def caller_of(request: Request) -> str:
    """Who asks: the socket's user, or the subject of a token."""
    return login_of(request).subject


def audited(request: Request) -> Caller:
    """Who asks, as the audit names them."""
    login = login_of(request)
    return Caller(login.subject if login.token_id is None else f"token {login.subject}", "rest", login.origin)


def seconds(text: str) -> float:
    """A duration of the query. Raises Invalid."""
    try:
        return min(duration_s(text), WAIT_MAX_S)
    except ValueError as error:
        raise Invalid(str(error), path=("wait",)) from None


def shown(problem: Mapping[str, Any]) -> Response:
    """A problem document as an answer."""
    text = json.dumps(problem, ensure_ascii=False, separators=(",", ":"))
    return Response(masked(text), int(problem["status"]), media_type=problems.MEDIA_TYPE)


def plain(value: Any) -> Any:
    """A bag as JSON has it: secrets are left out, and what is not known yet is null."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if not isinstance(inner, Secret)}
    if isinstance(value, list):
        return [plain(inner) for inner in value if not isinstance(inner, Secret)]
    return None if value is UNKNOWN or isinstance(value, Secret) else value


def etag_of(declared: Mapping[str, Any]) -> str:
    """The tag of an object's content: equal for the same declaration, whatever its counters say."""
    text = json.dumps(plain(declared), sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has this already."""
    return is_among(Conditions.of(request).none_match, etag)


def path_of(*parts: str) -> str:
    """A path under `/api` as a header has it: a name may hold any letter."""
    return quote("/".join(("/api", *parts)))


def once(request: Request) -> None:
    """Raise Invalid for a name that the query has twice: which one is meant, nobody could tell."""
    seen = set[str]()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise Invalid("is given twice", path=(name,))
        seen.add(name)


def strict(request: Request) -> None:
    """Raise Invalid for a name in the query that the route does not know: `?paln=true` must not act."""
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            raise Invalid(unknown_property(name, known) if known else "this takes nothing in the query", path=(name,))

"""What the routes share: who asks, how long a request waits, and how an answer is written."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from starlette.responses import JSONResponse

from jvp.core.check import unknown_property
from jvp.core.errors import Invalid
from jvp.core.objects import Objects
from jvp.core.text import sentence
from jvp.core.types import duration_s
from jvp.core.values import UNKNOWN, Secret
from jvp.core.work import Work
from jvp.doors.rest import problems
from jvp.doors.rest.bus import Bus
from jvp.doors.rest.operations import Answer, Operation, Operations
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.turns import Turns
from jvp.doors.rest.waiting import Pending
from jvp.index.store import Index
from jvp.resources.provider import Provider

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
    index: Index | None = None
    """None where the server has none: then it serves the socket alone."""
    turns: Turns = field(default_factory=Turns)
    bus: Bus = field(default_factory=Bus)

    def reading(self) -> Work:
        """The work of a question."""
        return Work(deadline=time.monotonic() + READ_S)

    def change(self, request: Request, verb: str, wait: str, run: Callable[[Work], Answer]) -> Response:
        """Run a change as an operation, and answer with its end when that comes soon."""
        limit_s = max(SOON_S, seconds(wait))
        timeout_s = duration_s(getattr(self.provider.timeouts, verb))
        what = sentence(f"{request.method} {request.url.path}")
        operation = self.operations.start(what, caller_of(request), run, timeout_s)
        return Pending(operation, limit_s, _answered)


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
    """Who asks: the socket's user."""
    return request.client.host if request.client is not None else "nobody"


def seconds(text: str) -> float:
    """A duration of the query. Raises Invalid."""
    try:
        return min(duration_s(text), WAIT_MAX_S)
    except ValueError as error:
        raise Invalid(str(error), path=("wait",)) from None


def shown(problem: Mapping[str, Any]) -> JSONResponse:
    """A problem document as an answer."""
    return JSONResponse(dict(problem), int(problem["status"]), media_type=problems.MEDIA_TYPE)


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
    """Whether the client has this already. Source: RFC 9110, If-None-Match, which compares weakly."""
    tags = {tag.removeprefix("W/") for tag in _tags(request, "if-none-match")}
    return etag in tags or "*" in tags


def is_conditional(request: Request) -> bool:
    """Whether it is to be done to what the client has seen alone."""
    return bool(_tags(request, "if-match") or _tags(request, "if-none-match"))


def refuse_changed(request: Request, etag: str | None) -> None:
    """Raise Refused when the object is not what the request thinks. Source: RFC 9110, If-Match and If-None-Match."""
    tags = _tags(request, "if-match")
    if tags and (etag is None or (etag not in tags and "*" not in tags)):
        raise Refused(412, "precondition", "the object is not what If-Match says; read it again")
    if etag is not None and is_known(request, etag):
        raise Refused(412, "precondition", "the object is there, which If-None-Match refuses")


def _tags(request: Request, name: str) -> set[str]:
    return {tag for given in request.headers.getlist(name) for one in given.split(",") if (tag := one.strip())}


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

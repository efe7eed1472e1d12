"""Who may do what: one table of all paths, by which each request is held to its caller's role and scope.

A route that stands not in it is an admin's. `{kind}`, `{action}` and `{function}` stand for each registered one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import anyio.to_thread
from fastapi import Request

from jvp.doors.rest.doorkeeper import JOIN
from jvp.doors.rest.login import Login, login_of
from jvp.doors.rest.names import actions, plural
from jvp.doors.rest.problems import Refused
from jvp.resources import registry


@dataclass(frozen=True)
class Row:
    """What one route takes."""

    method: str
    path: str
    role: str
    """The least that it takes."""
    narrows: bool = False
    """Whether the route itself tells a limited token what is in its scope alone. Of no kind and without this it is for
    tokens without a scope."""
    kind: str | None = None
    """The token of the kind that it is about."""
    others: tuple[str, ...] = ()
    """Those of other kinds that it changes as well."""


TABLE = (
    Row("GET", "/api/{kind}", "viewer"),
    Row("GET", "/api/{kind}/{ref:path}", "viewer"),
    Row("GET", "/api/volumes/{ref:path}/content", "operator", kind="Volume"),
    Row("GET", "/api/instances/{ref:path}/screenshot", "operator", kind="Instance"),
    Row("POST", "/api/{kind}", "operator"),
    Row("PUT", "/api/{kind}/{ref:path}", "operator"),
    Row("PATCH", "/api/{kind}/{ref:path}", "operator"),
    Row("DELETE", "/api/{kind}/{ref:path}", "operator"),
    Row("POST", "/api/{kind}/{ref:path}/actions/{action}", "operator"),
    Row("POST", "/api/functions/{function}", "viewer"),
    Row("POST", "/api/functions/getInstanceScreenshot", "operator", kind="Instance"),  # in the place of the row above
    Row("GET", "/api/operations", "viewer", narrows=True),
    Row("GET", "/api/operations/{id}", "viewer", narrows=True),
    Row("DELETE", "/api/operations/{id}", "operator", narrows=True),
    Row("GET", "/api/search", "viewer", narrows=True),
    Row("GET", "/api/events", "viewer", narrows=True),
    Row("GET", "/api/audit", "admin"),
    Row("GET", "/api/uploads", "operator", narrows=True),
    Row("POST", "/api/uploads", "operator", narrows=True),
    Row("GET", "/api/uploads/{id}", "operator", narrows=True),
    Row("PATCH", "/api/uploads/{id}", "operator", narrows=True),
    Row("DELETE", "/api/uploads/{id}", "operator", narrows=True),
    Row("GET", "/api/tokens", "admin"),
    Row("POST", "/api/tokens", "admin"),
    Row("DELETE", "/api/tokens/{id}", "admin"),
    Row("POST", "/api/tokens/join", "viewer", narrows=True),
    Row("GET", "/api/openapi.json", "viewer", narrows=True),
)


@cache
def every() -> dict[tuple[str, str], Row]:
    """The rows of all routes, by method and path."""
    return {(row.method, row.path): row for general in TABLE for row in _rows(general)}


def _rows(row: Row) -> Iterator[Row]:
    if "{kind}" in row.path:
        for token in registry.TYPES:
            path = row.path.replace("{kind}", plural(token))
            words = {one.word: one.others for one in actions().values() if one.on == token and "{action}" in path}
            for word, others in {**words, "{action}": ()}.items():
                yield Row(row.method, path.replace("{action}", word), row.role, row.narrows, token, others)
    elif "{function}" in row.path:
        for token, function in registry.FUNCTIONS.items():
            kind = getattr(function, "on", None)
            yield Row(row.method, row.path.replace("{function}", token), row.role, row.narrows, kind)
    else:
        yield row


def kind_of(path: str) -> str | None:
    """The kind that a path is about; None of no kind."""
    word = path.removeprefix("/api/").partition("/")[0]
    return next((token for token in registry.TYPES if plural(token) == word), None)


async def permitted(request: Request) -> None:
    """Raise Refused for what the caller's role or scope does not allow."""
    login = login_of(request)
    row = every().get((request.method, request.scope["route"].path), Row(request.method, request.url.path, "admin"))
    if not login.may(row.role):
        raise Refused(403, "forbidden", f"this takes the role {row.role}, and {login.subject} is {login.role}")
    if not login.scope.is_whole and row.path != JOIN:
        await _refuse_outside(request, login, row)


async def _refuse_outside(request: Request, login: Login, row: Row) -> None:
    scope = login.scope
    if not row.narrows and (row.kind is None or not all(map(scope.has_kind, (row.kind, *row.others)))):
        raise Refused(403, "forbidden", f"this token is for {scope} alone")
    if scope.nodes is not None:
        host = await anyio.to_thread.run_sync(request.app.state.door.objects.host)
        if not scope.has_node(host.partition(" ")[0]):
            raise Refused(403, "forbidden", f"this token is for {scope} alone, and this node is {host}")

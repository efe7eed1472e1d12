"""The routes of functions: read-only questions, `POST /api/functions/getInstance` with the arguments as the body."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Depends, FastAPI, Request, Response
from starlette.responses import JSONResponse

from jvp.doors.rest import problems
from jvp.doors.rest.bodies import Arguments
from jvp.doors.rest.login import login_of
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.requests import Door, plain, shown, strict
from jvp.resources import registry


def add_to(app: FastAPI, door: Door) -> None:
    """Add a route for each registered function."""
    for token, function in registry.FUNCTIONS.items():
        app.add_api_route(
            f"/api/functions/{token}", _asking(door, token), methods=["POST"], tags=["functions"],
            dependencies=[Depends(strict)], operation_id=token, summary=" ".join((function.__doc__ or "").split()),
        )  # fmt: skip


def _asking(door: Door, token: str) -> Callable[..., Response]:
    def ask(request: Request, body: Arguments = None) -> Response:
        if (scope := login_of(request).scope).tags is not None:  # what it tells cannot be told apart by tags
            raise Refused(403, "forbidden", f"this token is for {scope} alone")
        result, failures = door.objects.invoke(token, body or {}, door.reading())
        return shown(problems.of_failures(failures)) if result is None else JSONResponse(plain(result))

    return ask

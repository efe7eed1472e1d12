"""What is on an instance's screen: `GET /api/instances/REF/screenshot`, as PNG."""

from __future__ import annotations

import base64

from fastapi import Depends, FastAPI, Request, Response

from jvp.core.errors import Rejected
from jvp.doors.rest import problems
from jvp.doors.rest.login import login_of
from jvp.doors.rest.requests import Door, shown, strict

TYPE = "image/png"
DESCRIBED = {"description": "The picture.", "content": {TYPE: {"schema": {"type": "string", "format": "binary"}}}}


def add_to(app: FastAPI, door: Door) -> None:
    """Add the route. Before that of an instance, whose reference takes any path."""

    @app.get(
        "/api/instances/{ref:path}/screenshot", dependencies=[Depends(strict)], operation_id="screenshotInstance",
        tags=["instances"], response_class=Response, responses={200: DESCRIBED},
        summary="What is on the screen of an instance that runs.",
    )  # fmt: skip
    def screenshot(ref: str, request: Request) -> Response:
        work, scope = door.reading(), login_of(request).scope
        if scope.tags is not None:
            scope.refuse_outside(door.changes.found("Instance", ref, work).state)
        found, failures = door.objects.invoke("getInstanceScreenshot", {"instance": ref}, work)
        if found is None:
            return shown(problems.of_failures(failures))
        if "png" not in found:
            raise Rejected(f'instance "{ref}" {found["missing"]}')
        return Response(base64.b64decode(found["png"]), media_type=TYPE, headers={"Cache-Control": "no-store"})

"""`GET /api/search`: objects by a part of what they are called, from the inventory of the index."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request

from jvp.core.errors import Rejected, Unreachable
from jvp.core.types import utc_text
from jvp.doors.rest.login import login_of
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.requests import Door, strict
from jvp.doors.rest.scope import Scope
from jvp.index import inventory

LIMIT, LIMIT_MAX = 100, 1000
Bag = dict[str, Any]


def add_to(app: FastAPI, door: Door) -> None:
    """Add the route."""

    @app.get(
        "/api/search", dependencies=[Depends(strict)], operation_id="search", tags=["search"],
        summary="Objects by a part of their name, address or tags, or the begin of their id, as they were seen last.",
    )  # fmt: skip
    def search(
        text: Annotated[str, Query(min_length=1, max_length=300, description="What to look for, in any case.")],
        request: Request,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most.")] = LIMIT,
    ) -> Bag:
        if door.index is None:
            raise Rejected("the server has no index to search in; start it with --index")
        door.inventory.flush()
        scope = login_of(request).scope
        try:
            hits = inventory.search(door.index, text, limit=limit, takes=lambda hit: _is_in(scope, hit))
        except Unreachable as error:
            raise Refused(503, "index", error.message) from None
        return {"items": [document(one) for one in hits]}


def _is_in(scope: Scope, hit: inventory.Hit) -> bool:
    return scope.has_kind(hit.kind) and scope.has_node(hit.node.partition(" ")[0]) and scope.has(hit.item)


def document(hit: inventory.Hit) -> Bag:
    """A hit as it is shown: what a list told of it, and when."""
    return {**hit.item, "kind": hit.kind, "node": hit.node, "seen": utc_text(hit.seen)}

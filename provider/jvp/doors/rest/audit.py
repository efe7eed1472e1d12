"""The route of the audit. It is read alone: no method changes or deletes an entry."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from starlette.responses import JSONResponse, Response

from jvp.audit.finding import FILTERS, find, query_of
from jvp.core import trail
from jvp.core.errors import Invalid
from jvp.doors.rest import history, listing
from jvp.doors.rest.requests import Door, strict
from jvp.index import audit as rows
from jvp.resources import registry

_ABOUT = "Who changed what, the newest first: the server's index, and what was noted on its machine."


def add_to(app: FastAPI, door: Door) -> None:
    """Add the route."""
    index = door.index

    @app.get("/api/audit", dependencies=[Depends(strict)], operation_id="listAudit", tags=["audit"], summary=_ABOUT)
    def listed(
        since: Annotated[str | None, Query(description=FILTERS["since"])] = None,
        kind: Annotated[str | None, Query(description=FILTERS["kind"])] = None,
        name: Annotated[str | None, Query(description=FILTERS["name"])] = None,
        who: Annotated[str | None, Query(description=FILTERS["who"])] = None,
        outcome: Annotated[str | None, Query(description=FILTERS["outcome"])] = None,
        of_door: Annotated[str | None, Query(alias="door", description=FILTERS["door"])] = None,
        limit: Annotated[str | None, Query(description=listing.PAGING["limit"])] = None,
        after: Annotated[str | None, Query(description=listing.PAGING["after"])] = None,
    ) -> Response:
        if kind is not None and kind not in registry.RESOURCES:
            raise Invalid(f"must be one of {', '.join(registry.RESOURCES)}", path=("kind",))
        given = {"since": since, "kind": kind, "name": name, "who": who, "outcome": outcome, "door": of_door}
        count = listing.limit_of(limit)
        query = query_of({name: text for name, text in given.items() if text is not None}, count, history.after(after))
        found = find(query, None if index is None else lambda query: rows.newest(index, query))
        shown: dict[str, Any] = {"items": [trail.document(one) for one in found[:count]]}
        if len(found) > count:
            place = json.dumps(trail.place(found[count - 1]))
            shown["next"] = base64.urlsafe_b64encode(place.encode()).decode()
        return JSONResponse(shown)

"""The application: every registered kind, function and action under `/api`, and the operations under way."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import jvp
from jvp.core.audit import Audit
from jvp.core.check import Failure
from jvp.core.errors import JvpError, NotFound
from jvp.core.objects import Objects
from jvp.core.text import sentence
from jvp.doors.rest import audit, events, functions, history, kinds, listing, openapi, problems, searching, tokenroutes
from jvp.doors.rest.bus import Bus
from jvp.doors.rest.changes import Changes
from jvp.doors.rest.doorkeeper import Doorkeeper
from jvp.doors.rest.durable import Durable
from jvp.doors.rest.history import STATES
from jvp.doors.rest.inventory import Inventory
from jvp.doors.rest.login import login_of, masked
from jvp.doors.rest.operations import Operation, Operations
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.recorder import Recorder
from jvp.doors.rest.requests import WAIT, Door, once, seconds, shown, strict
from jvp.doors.rest.roles import permitted
from jvp.doors.rest.spool import Uploads
from jvp.doors.rest.turns import Turns
from jvp.doors.rest.uploads import PATH as UPLOADS
from jvp.doors.rest.uploads import add_to as add_uploads
from jvp.doors.rest.uploads import sweeping
from jvp.doors.rest.waiting import Pending
from jvp.doors.rest.watching import Watching
from jvp.index.ledger import Ledger
from jvp.index.store import Index
from jvp.resources import registry
from jvp.resources.provider import Provider

THREADS = 100
"""So many requests may look at the node at once; who waits for an operation holds no thread."""
BODY_MAX = 4 * 1024**2
SILENCE_S = 30.0
"""How long a client may send nothing of a body that it has begun."""


def make_app(
    objects: Objects, provider: Provider, operations: Operations, *, index: Index | None = None, bus: Bus | None = None,
    uploads: Uploads | None = None,
) -> FastAPI:  # fmt: skip
    """The application over one node. Connects only when a request needs it. What happens is told on the bus.

    Without `uploads` it takes none.
    """
    bus, taken = bus or Bus(), uploads or Uploads(None)
    watching = Watching(bus, provider)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> Any:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        if operations.durable is not None:
            operations.durable.open()
        async with sweeping(taken):
            yield
        watching.stop()
        await anyio.to_thread.run_sync(inventory.flush)

    app = FastAPI(
        title="JVP", version=jvp.__version__, summary="Virtual machines on libvirt.", lifespan=lifespan,
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
        telemetry={"tracing": False}, dependencies=[Depends(permitted), Depends(once)],
    )  # fmt: skip
    ledger = Ledger(index) if index is not None else None
    inventory = Inventory(index, objects.host)
    changes = Changes(objects, Turns(ledger), taken, inventory.changed)
    operations.publish = bus.publish
    if ledger is not None:
        operations.durable = Durable(operations, ledger, objects.host, changes.make_again)
    door = app.state.door = Door(objects, provider, operations, changes, inventory, index=index, bus=bus)
    objects.audit = Audit(Recorder(index, bus))
    _add_routes(app, door, watching)
    _add_errors(app)
    app.add_middleware(Doorkeeper, index=index)
    app.add_middleware(_Edge)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]

    @app.get("/api/openapi.json", include_in_schema=False)
    async def described() -> Response:
        return JSONResponse(app.openapi())


def _add_routes(app: FastAPI, door: Door, watching: Watching) -> None:
    for token, kind in registry.TYPES.items():
        kinds.add_to(app, door, token, kind)
    functions.add_to(app, door)
    searching.add_to(app, door)
    events.add_to(app, door, watching)
    _add_operations(app, door.operations)
    tokenroutes.add_to(app, door)
    audit.add_to(app, door)
    add_uploads(app, door.changes.uploads)


def _add_operations(app: FastAPI, operations: Operations) -> None:
    strictly = [Depends(strict)]

    def _found(request: Request, id: str) -> Operation:
        """Raises Refused, in the same words, for one that there is not and for that of another caller."""
        found = operations.get(id)
        return found if _seen(request, history.Filter()).takes(found) else operations.get("")

    @app.get(
        "/api/operations",
        dependencies=strictly,
        operation_id="listOperations",
        tags=["operations"],
        summary="Operations, the newest first.",
    )
    def listed(
        request: Request,
        state: Annotated[str | None, Query(description=f"Those in one of these states: {', '.join(STATES)}.")] = None,
        caller: Annotated[str | None, Query(description="Those that this caller asked for.")] = None,
        kind: Annotated[str | None, Query(description="Those on objects of these kinds, like Instance.")] = None,
        limit: Annotated[str | None, Query(description=listing.PAGING["limit"])] = None,
        after: Annotated[str | None, Query(description=listing.PAGING["after"])] = None,
    ) -> Response:
        wanted, count = _seen(request, history.Filter.of(state, caller, kind)), listing.limit_of(limit)
        found = operations.page(wanted, count + 1, history.after(after))
        return JSONResponse(history.page(found, count))

    @app.get(
        "/api/operations/{id}", dependencies=strictly, operation_id="readOperation", tags=["operations"],
        summary="One operation; `wait` waits for its end.",
    )  # fmt: skip
    def one(id: str, request: Request, wait: Annotated[str, Query(description=WAIT)] = "0s") -> Response:
        return Pending(_found(request, id), seconds(wait), lambda found: JSONResponse(found.document()))

    @app.delete(
        "/api/operations/{id}", dependencies=strictly, operation_id="cancelOperation", tags=["operations"],
        status_code=202, summary="Cancel an operation.",
    )  # fmt: skip
    def cancel(id: str, request: Request) -> dict[str, Any]:
        return operations.cancel(_found(request, id)).document()


def _seen(request: Request, wanted: history.Filter) -> history.Filter:
    """Those of them that the caller may know of: an admin of each, others of their own, within their scope."""
    login = login_of(request)
    return wanted.within(caller=None if login.is_admin else login.subject, kinds=login.scope.kinds)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> Response:
        return shown(error.problem)

    @app.exception_handler(JvpError)
    async def failed(request: Request, error: JvpError) -> Response:
        if isinstance(error, NotFound) and login_of(request).scope.tags is not None:  # it names those that there are
            error = NotFound("there is no such object that this token is for", path=error.path)
        return shown(problems.of(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> Response:
        failures = [Failure(_place(one), _sentence(one)) for one in error.errors()]
        return shown({**problems.of_failures(failures), "status": 400, "type": "urn:jvp:malformed"})

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        kind = {404: "not-found", 408: "interrupted", 413: "too-large"}.get(error.status_code, "malformed")
        detail = masked(f"{request.method} {request.url.path}: {str(error.detail).lower()}")
        response = shown({**Refused(error.status_code, kind, detail).problem})
        response.headers.update(error.headers or {})
        return response


def _place(error: Any) -> tuple[str | int, ...]:
    return () if error["type"] == "json_invalid" else tuple(error["loc"][1:])


def _sentence(error: Any) -> str:
    if error["type"] == "json_invalid":
        return "is not JSON"
    if error["type"] == "dict_type":
        return "must be a JSON object, with the header Content-Type: application/json"
    return str(error["msg"][:1].lower() + error["msg"][1:])


class _Edge:
    """What surrounds every request.

    Refuses a body that is too large while it is read, or does not go on, makes a problem document of an error that
    nobody expected, lets a HEAD be a GET whose body the server leaves out, and logs a line: neither query nor headers
    nor body, which may hold a secret.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, length, whole, method = 0, 0, False, scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET", events.HEAD: True}

        async def receiving() -> Message:
            nonlocal length, whole
            try:
                async with asyncio.timeout(None if whole else SILENCE_S):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"of the body nothing came for {SILENCE_S:g} s") from None
            whole = not message.get("more_body", False)
            length += len(message.get("body", b""))
            if length > BODY_MAX and not scope["path"].startswith(UPLOADS):
                raise HTTPException(413, f"a body has at most {BODY_MAX} bytes")
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            status = status or message["status"]
            await send(message)

        try:
            await self._app(scope, receiving, sending)
        except Exception as error:
            problem = problems.defect(error)
            if not status:
                await shown(problem)(scope, receive, sending)
        finally:
            who = (scope.get("client") or ("nobody",))[0]
            line = masked(f"{who}: {method} {scope['path']} {status or 'went away'}")
            logging.getLogger("jvp").info("%s", sentence(line))

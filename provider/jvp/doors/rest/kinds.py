"""The routes of one kind of resource: all of its objects, one of them, and what can be done to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query, Request, Response
from starlette.responses import JSONResponse

from jvp.core.errors import Invalid, NotFound
from jvp.core.handler import AnyType
from jvp.core.identity import DeclaredBy
from jvp.core.objects import Found
from jvp.core.work import Work
from jvp.doors.rest import bodies, listing
from jvp.doors.rest.bodies import Bag
from jvp.doors.rest.names import plural
from jvp.doors.rest.operations import Answer
from jvp.doors.rest.requests import WAIT, Door, caller_of, etag_of, plain, refuse_changed
from jvp.resources import registry

Declared = Annotated[dict[str, Any], Body()]
Arguments = Annotated[dict[str, Any] | None, Body()]
Wait = Annotated[str, Query(description=WAIT)]
Force = Annotated[bool, Query(description="Also where another program declares the object, or none of jvp does.")]
Adopt = Annotated[bool, Query(description="Declare it here from now on, where no program of jvp does.")]
Planned = Annotated[bool, Query(description="Tell what would change, and change nothing.")]


def add_to(app: FastAPI, door: Door, token: str, kind: AnyType) -> None:
    """Add the routes of one kind."""
    routes = Routes(door, token, kind)
    all_, one = f"/api/{plural(token)}", f"/api/{plural(token)}/{{ref:path}}"
    tags: list[str | Enum] = [plural(token)]
    for action_token, action in registry.ACTIONS.items():
        if action.on == token:
            app.add_api_route(
                f"{one}/actions/{action.word}", routes.acting(action_token), methods=["POST"], tags=tags,
                operation_id=action_token, summary=" ".join((action.__doc__ or "").split()),
            )  # fmt: skip
    app.add_api_route(f"{one}/actions/{{action}}", routes.no_action, methods=["POST"], include_in_schema=False)
    for path, endpoint, method, verb, summary in (
        (all_, routes.list, "GET", "list", f"Every {kind.kind} of the node, or those that the filters take."),
        (all_, routes.create, "POST", "create", f"Make a new {kind.kind}."),
        (one, routes.get, "GET", "read", f"One {kind.kind}, by its id or name."),
        (one, routes.put, "PUT", "apply", f"Have the {kind.kind} as declared: make it, or change it."),
        (one, routes.patch, "PATCH", "change", f"Change single properties of a {kind.kind} (RFC 7396)."),
        (one, routes.delete, "DELETE", "delete", f"Delete a {kind.kind}. One that is gone is deleted."),
    ):
        app.add_api_route(
            path, endpoint, methods=[method], tags=tags, operation_id=f"{verb}{token}{'s' * (verb == 'list')}",
            summary=summary,
        )  # fmt: skip


class Routes:
    """The endpoints of one kind."""

    def __init__(self, door: Door, token: str, kind: AnyType) -> None:
        self.door, self.token, self.kind = door, token, kind

    def list(self, request: Request) -> Bag:
        return listing.page(self.door, self.token, self.kind, request.query_params)

    def get(self, ref: str, request: Request) -> Response:
        found = self._found(ref, self.door.reading())
        etag = etag_of(found.inputs)
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return JSONResponse(bodies.document(found), headers={"ETag": etag})

    def create(self, request: Request, body: Declared, plan: Planned = False, wait: Wait = "0s") -> Response:
        bodies.refuse_local_files(self.kind.spec, body)
        if plan:
            return self._plan(None, body)
        return self.door.change(
            request, "create", wait, lambda work: self._applied(request, None, body, work, new=True)
        )

    def put(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        declared = bodies.declarable(self.kind, body)
        there = self._checked(ref, request)
        if there is None and "name" not in declared:
            declared = self._named(ref, declared)
        target = None if there is None else ref
        bodies.refuse_local_files(self.kind.spec, declared)
        if plan:
            return self._plan(target, declared)
        verb = "create" if there is None else "update"
        return self.door.change(
            request, verb, wait, lambda work: self._applied(request, target, declared, work, force=force, adopt=adopt)
        )

    def patch(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        self._checked(ref, request)
        bodies.refuse_local_files(self.kind.spec, body)
        bodies.refuse_parts(self.kind.spec, body)
        if plan:
            return self._plan(ref, bodies.merged(self._found(ref, self.door.reading()).inputs, body))

        def run(work: Work) -> Answer:
            declared = bodies.merged(self._found(ref, work).inputs, body)
            return self._applied(request, ref, declared, work, force=force, adopt=adopt)

        return self.door.change(request, "update", wait, run)

    def delete(
        self, ref: str, request: Request, plan: Planned = False, force: Force = False, wait: Wait = "0s"
    ) -> Response:
        there, options = self._checked(ref, request), listing.settings(self.kind, request.query_params)
        if plan:
            return JSONResponse({"action": "none" if there is None else "delete", "changes": [], "warnings": []})

        def run(work: Work) -> Answer:
            with contextlib.suppress(NotFound):
                self.door.objects.delete(self.token, ref, work, force=force, options=options)
            return Answer(204)

        return self.door.change(request, "delete", wait, run)

    def acting(self, action: str) -> Callable[..., Response]:
        """The endpoint of one action."""

        def act(
            ref: str, request: Request, body: Arguments = None, force: Force = False, wait: Wait = "0s"
        ) -> Response:
            request_id = request.headers.get("idempotency-key")

            def run(work: Work) -> Answer:
                result = self.door.objects.act(action, ref, body or {}, work, request_id=request_id, force=force)
                return Answer(200, plain(result))

            return self.door.change(request, "update", wait, run)

        return act

    def no_action(self, ref: str, action: str) -> Response:
        words = sorted(one.word for one in registry.ACTIONS.values() if one.on == self.token)
        raise NotFound(f'there is no action "{action}" of a {self.kind.kind}; there are: {", ".join(words) or "none"}')

    # What they share

    def _there(self, ref: str, work: Work) -> Found | None:
        with contextlib.suppress(NotFound):
            return self.door.objects.get(self.token, ref, work)
        return None

    def _found(self, ref: str, work: Work) -> Found:
        """Raises NotFound, naming those that exist."""
        found = self.door.objects.get(self.token, ref, work)
        if found is None:
            raise NotFound(f'{self.kind.kind} "{ref}" is gone')
        return found

    def _checked(self, ref: str, request: Request) -> Found | None:
        """The object. Raises Refused when it is not what If-Match says."""
        found = self._there(ref, self.door.reading())
        refuse_changed(request, None if found is None else etag_of(found.inputs))
        return found

    def _named(self, ref: str, declared: Bag) -> Bag:
        """A declaration with the name of its path. Raises Invalid for an id of nothing."""
        pool, _, name = ref.rpartition("/")
        if pool and declared.get("pool", pool) != pool:
            raise Invalid(f'is another one than that of the path, "{pool}"', path=("pool",))
        return {**declared, **({"pool": pool} if pool else {}), "name": name}

    def _plan(self, ref: str | None, declared: Bag) -> Response:
        work, lines = self.door.reading(), list[str]()
        work.warn = lines.append
        return JSONResponse(bodies.planned(self.door.objects.plan(self.token, ref, declared, work), lines))

    def _applied(
        self, request: Request, ref: str | None, declared: Bag, work: Work, **how: bool
    ) -> Answer:  # fmt: skip
        by = DeclaredBy.of("rest", caller_of(request), "")
        result = self.door.objects.apply(self.token, declared, work, by=by, reference=ref, **how)
        for reason in result.reasons:
            work.warn(reason)
        found = self._found(result.stored.id, work)
        place = f"/api/{plural(self.token)}/{found.id}"
        return Answer(201 if result.created else 200, bodies.document(found), place, etag_of(found.inputs))

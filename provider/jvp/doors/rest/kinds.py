"""The routes of one kind of resource: all of its objects, one of them, and what can be done to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response
from starlette.responses import JSONResponse

from jvp.core.errors import Invalid, NotFound
from jvp.core.handler import AnyType
from jvp.core.objects import Found
from jvp.core.work import Work
from jvp.doors.rest import bodies, listing
from jvp.doors.rest.bodies import Arguments, Bag, Declared
from jvp.doors.rest.changes import Call
from jvp.doors.rest.conditions import Conditions
from jvp.doors.rest.names import plural
from jvp.doors.rest.requests import WAIT, Door, etag_of, is_known, strict
from jvp.resources import registry

Wait = Annotated[str, Query(description=WAIT)]
Force = Annotated[bool, Query(description="Also where another program declares the object, or none of jvp does.")]
Adopt = Annotated[bool, Query(description="Declare it here from now on, where no program of jvp does.")]
Planned = Annotated[bool, Query(description="Tell what would change, and change nothing.")]


def add_to(app: FastAPI, door: Door, token: str, kind: AnyType) -> None:
    """Add the routes of one kind."""
    routes = Routes(door, token, kind)
    all_, one = f"/api/{plural(token)}", f"/api/{plural(token)}/{{ref:path}}"
    tags: list[str | Enum] = [plural(token)]
    strictly = [Depends(strict)]  # a list and a delete look at the query themselves
    for action_token, action in registry.ACTIONS.items():
        if action.on == token:
            app.add_api_route(
                f"{one}/actions/{action.word}", routes.acting(action_token), methods=["POST"], tags=tags,
                dependencies=strictly, operation_id=action_token, summary=" ".join((action.__doc__ or "").split()),
            )  # fmt: skip
    app.add_api_route(f"{one}/actions/{{action}}", routes.no_action, methods=["POST"], include_in_schema=False)
    for path, endpoint, method, verb, summary in (
        (all_, routes.list, "GET", "list", f"Every {kind.kind} of the node, or those that the filters take."),
        (all_, routes.create, "POST", "create", f"Make a new {kind.kind}."),
        (one, routes.get, "GET", "read", f"One {kind.kind}, by its id or name."),
        (one, routes.put, "PUT", "apply", f"Have the {kind.kind} as declared: make it, or change it."),
        (one, routes.patch, "PATCH", "change", f"Change single properties of the {kind.kind} (RFC 7396)."),
        (one, routes.delete, "DELETE", "delete", f"Delete the {kind.kind}. One that is gone is deleted."),
    ):
        app.add_api_route(
            path, endpoint, methods=[method], tags=tags, operation_id=f"{verb}{token}{'s' * (verb == 'list')}",
            summary=summary, dependencies=[] if verb in ("list", "delete") else strictly,
        )  # fmt: skip


class Routes:
    """The endpoints of one kind."""

    def __init__(self, door: Door, token: str, kind: AnyType) -> None:
        self.door, self.token, self.kind = door, token, kind

    def list(self, request: Request) -> Response:
        # Written in this thread: thousands of items would hold up all others in the loop.
        return JSONResponse(listing.page(self.door, self.token, self.kind, request.query_params))

    def get(self, ref: str, request: Request) -> Response:
        found = self._found(ref, self.door.reading())
        etag = etag_of(found.inputs)
        if is_known(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
        return JSONResponse(bodies.document(found), headers={"ETag": etag})

    def create(self, request: Request, body: Declared, plan: Planned = False, wait: Wait = "0s") -> Response:
        bodies.refuse_local_files(self.kind.spec, body)
        if plan:
            return self._plan(None, body)
        return self.door.make(request, Call("create", self.token, given=body), wait)

    def put(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        given, conditions = bodies.declarable(self.kind, body), Conditions.of(request)
        call = Call("apply", self.token, ref, given, force, adopt, conditions)
        if plan:
            call = self._put(call)
            return self._plan(call.ref, call.given)
        return self.door.make(request, call, wait, self._put)

    def patch(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        call = Call("change", self.token, ref, body, force, adopt, Conditions.of(request))
        if plan:
            self._patched(call)
            return self._plan(ref, bodies.merged(self._found(ref, self.door.reading()).inputs, body))
        return self.door.make(request, call, wait, self._patched)

    def delete(
        self, ref: str, request: Request, plan: Planned = False, force: Force = False, wait: Wait = "0s"
    ) -> Response:
        options = listing.settings(self.kind, request.query_params)
        call = Call("delete", self.token, ref, options, force, conditions=Conditions.of(request))
        if plan:
            there = self._checked(call)
            if there is None and not self.door.changes.is_gone(self.token, ref, work := self.door.reading()):
                self._found(ref, work)
            return JSONResponse({"action": "none" if there is None else "delete", "changes": [], "warnings": []})
        return self.door.make(request, call, wait, lambda call: call.looked(self._checked(call)))

    def acting(self, action: str) -> Callable[..., Response]:
        """The endpoint of one action."""

        def act(
            ref: str, request: Request, body: Arguments = None, force: Force = False, wait: Wait = "0s"
        ) -> Response:
            return self.door.make(request, Call("act", action, ref, body or {}, force), wait)

        return act

    def no_action(self, ref: str, action: str) -> Response:
        words = sorted(one.word for one in registry.ACTIONS.values() if one.on == self.token)
        raise NotFound(f'the {self.kind.kind} has no action "{action}"; there are: {", ".join(words) or "none"}')

    # What they share

    def _found(self, ref: str, work: Work) -> Found:
        """Raises NotFound, naming those that exist."""
        return self.door.changes.found(self.token, ref, work)

    def _checked(self, call: Call) -> Found | None:
        """The object as it is before the change. Raises Refused where it is not what If-Match says."""
        found = self.door.changes.there(call, self.door.reading())
        call.conditions.refuse(None if found is None else etag_of(found.inputs))
        return found

    def _put(self, call: Call) -> Call:
        """What a declaration under a path is about: the object that is there, or one to be made of that name."""
        there, declared = self._checked(call), call.given
        assert call.ref is not None
        if "name" not in declared:
            declared = self._named(call.ref, declared) if there is None else {**self._place(there), **declared}
        bodies.refuse_local_files(self.kind.spec, declared)
        return replace(call.looked(there), ref=None if there is None else call.ref, given=declared)

    def _patched(self, call: Call) -> Call:
        call = call.looked(self._checked(call))
        bodies.refuse_local_files(self.kind.spec, call.given)
        bodies.refuse_parts(self.kind.spec, call.given)
        return call

    def _place(self, there: Found) -> Bag:
        """What an object that is there is called, and in what it is."""
        return {name: there.inputs[name] for name in ("pool", "name") if name in there.inputs}

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

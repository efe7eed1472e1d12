"""The routes of one kind of resource: all of its objects, one of them, and what can be done to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response
from starlette.responses import JSONResponse

from jvp.core.errors import Forbidden, Invalid, NotFound
from jvp.core.handler import AnyType
from jvp.core.objects import Found
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.doors.rest import bodies, download, listing, screenshot
from jvp.doors.rest.bodies import Arguments, Bag, Declared
from jvp.doors.rest.changes import Call
from jvp.doors.rest.conditions import Conditions
from jvp.doors.rest.login import Login, login_of
from jvp.doors.rest.names import actions, plural
from jvp.doors.rest.requests import WAIT, Door, caller_of, etag_of, is_known, strict
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
    if token == "Volume":
        download.add_to(app, door, routes.get)
    if token == "Instance":
        screenshot.add_to(app, door)
    for action_token, action in actions().items():
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
        scope = login_of(request).scope
        needs = () if scope.tags is None else ("tags",)
        return JSONResponse(listing.page(self.door, self.token, self.kind, request.query_params, scope.has, needs))

    def get(self, ref: str, request: Request) -> Response:
        found = self._found(ref, self.door.reading())
        login_of(request).scope.refuse_outside(found.state)
        etag = etag_of(found.inputs)
        if is_known(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
        return JSONResponse(bodies.document(found), headers={"ETag": etag})

    def create(self, request: Request, body: Declared, plan: Planned = False, wait: Wait = "0s") -> Response:
        self._refuse(login_of(request), body, {})
        login_of(request).scope.refuse_outside(body)
        call = Call("create", self.token, given=body, caller=caller_of(request))
        if plan:
            return self._plan(self._named_uploads(call))
        return self.door.make(request, call, wait, self._named_uploads)

    def put(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        given, conditions = bodies.declarable(self.kind, body), Conditions.of(request)
        call = Call("apply", self.token, ref, given, force, adopt, conditions, caller_of(request))
        login = login_of(request)
        if plan:
            return self._plan(self._put(call, login))
        return self.door.make(request, call, wait, lambda call: self._put(call, login))

    def patch(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        call = Call("change", self.token, ref, body, force, adopt, Conditions.of(request), caller_of(request))
        login = login_of(request)
        if plan:
            call = self._patched(call, login)
            whole = bodies.merged(self._found(ref, self.door.reading()).inputs, call.given)
            return self._plan(replace(call, given=whole))
        return self.door.make(request, call, wait, lambda call: self._patched(call, login))

    def delete(
        self, ref: str, request: Request, plan: Planned = False, force: Force = False, wait: Wait = "0s"
    ) -> Response:
        login = login_of(request)
        options = listing.settings(self.kind, request.query_params)
        call = Call("delete", self.token, ref, options, force, conditions=Conditions.of(request))
        if plan:
            there = self._checked(call, login)
            if there is None and not self.door.changes.is_gone(self.token, ref, work := self.door.reading()):
                self._found(ref, work)
            return JSONResponse({"action": "none" if there is None else "delete", "changes": [], "warnings": []})
        return self.door.make(request, call, wait, lambda call: self._deleted(call, login))

    def acting(self, action: str) -> Callable[..., Response]:
        """The endpoint of one action."""

        def act(
            ref: str, request: Request, body: Arguments = None, force: Force = False, wait: Wait = "0s"
        ) -> Response:
            login, call = login_of(request), Call("act", action, ref, body or {}, force)
            if not login.is_admin:
                bodies.refuse_for_admins(registry.ACTIONS[action].args, call.given, {})
            if login.scope.tags is not None:
                login.scope.refuse_outside(self._found(ref, self.door.reading()).state)
            return self.door.make(request, call, wait)

        return act

    def no_action(self, ref: str, action: str) -> Response:
        words = sorted(one.word for one in actions().values() if one.on == self.token)
        raise NotFound(f'the {self.kind.kind} has no action "{action}"; there are: {", ".join(words) or "none"}')

    # What they share

    def _found(self, ref: str, work: Work) -> Found:
        """Raises NotFound, naming those that exist."""
        return self.door.changes.found(self.token, ref, work)

    def _checked(self, call: Call, login: Login) -> Found | None:
        """The object as it is before the change. Raises Refused where it is not what If-Match says, Forbidden."""
        found = self.door.changes.there(call, self.door.reading())
        if found is not None:
            login.scope.refuse_outside(found.state)
        call.conditions.refuse(None if found is None else etag_of(found.inputs))
        return found

    def _put(self, call: Call, login: Login) -> Call:
        """What a declaration under a path is about: the object that is there, or one to be made of that name."""
        there, declared = self._checked(call, login), call.given
        assert call.ref is not None
        if "name" not in declared:
            declared = self._named(call.ref, declared) if there is None else {**self._place(there), **declared}
        self._refuse(login, declared, {} if there is None else there.inputs)
        login.scope.refuse_outside(declared)
        call = replace(call.looked(there), ref=None if there is None else call.ref, given=declared)
        return self._named_uploads(call)

    def _deleted(self, call: Call, login: Login) -> Call:
        there = self._checked(call, login)
        if there is not None and call.force and not login.scope.has_kind("Instance"):
            users = self.door.objects.users(self.token, there.id, self.door.reading())
            if users:
                raise Forbidden(f"it is used by {listed(users)}, and this token is for {login.scope} alone")
        return call.looked(there)

    def _patched(self, call: Call, login: Login) -> Call:
        there = self._checked(call, login)
        inputs, call = {} if there is None else there.inputs, call.looked(there)
        self._refuse(login, call.given, inputs)
        login.scope.refuse_outside(bodies.merged(inputs, call.given))
        bodies.refuse_parts(self.kind.spec, call.given)
        return self._named_uploads(call)

    def _named_uploads(self, call: Call) -> Call:
        """What it declares, with uploads named by their checksums. Raises Invalid, Rejected for one of a part."""
        uploads, spec = self.door.changes.uploads, self.kind.spec
        given = bodies.named_by_checksum(spec, call.given, lambda id, path: uploads.checksum(call.caller, id, path))
        return replace(call, given=given)

    def _refuse(self, login: Login, declared: Bag, there: Bag) -> None:
        """Raise for what nobody may declare over this door, and for what this caller may not: Invalid, Forbidden."""
        bodies.refuse_local_files(self.kind.spec, declared)
        if not login.is_admin:
            bodies.refuse_for_admins(self.kind.spec, declared, there)

    def _place(self, there: Found) -> Bag:
        """What an object that is there is called, and in what it is."""
        return {name: there.inputs[name] for name in (self.kind.within, "name") if name in there.inputs}

    def _named(self, ref: str, declared: Bag) -> Bag:
        """A declaration with the name of its path. Raises Invalid for an id of nothing."""
        holder, _, name = ref.rpartition("/")
        within = self.kind.within or "pool"
        if holder and declared.get(within, holder) != holder:
            raise Invalid(f'is another one than that of the path, "{holder}"', path=(within,))
        return {**declared, **({within: holder} if holder else {}), "name": name}

    def _plan(self, call: Call) -> Response:
        work, lines = self.door.reading(), list[str]()
        work.warn = lines.append
        work.uploads = self.door.changes.uploads.files(call.caller, bodies.uploads_in(self.kind.spec, call.given))
        return JSONResponse(bodies.planned(self.door.objects.plan(self.token, call.ref, call.given, work), lines))

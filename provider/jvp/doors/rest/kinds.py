"""The routes of one kind of resource: all of its objects, one of them, and what can be done to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response
from starlette.responses import JSONResponse

from jvp.core.errors import Invalid, NotFound
from jvp.core.handler import AnyType
from jvp.core.identity import DeclaredBy
from jvp.core.model import fields
from jvp.core.objects import Found
from jvp.core.work import Work
from jvp.doors.rest import bodies, listing
from jvp.doors.rest.bodies import Arguments, Bag, Declared
from jvp.doors.rest.names import plural
from jvp.doors.rest.operations import Answer
from jvp.doors.rest.requests import (
    WAIT,
    Door,
    caller_of,
    etag_of,
    is_conditional,
    is_known,
    path_of,
    plain,
    refuse_changed,
    strict,
)
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


Guard = Callable[[Work], AbstractContextManager[None]]


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
        return self.door.change(
            request, "create", wait, lambda work: self._applied(request, None, body, work, new=True)
        )

    def put(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        declared = bodies.declarable(self.kind, body)
        there, unchanged = self._checked(ref, request)
        if "name" not in declared:
            declared = self._named(ref, declared) if there is None else {**self._place(there), **declared}
        target = None if there is None else ref
        bodies.refuse_local_files(self.kind.spec, declared)
        if plan:
            return self._plan(target, declared)
        verb = "create" if there is None else "update"

        def run(work: Work) -> Answer:
            with unchanged(work):
                return self._applied(request, target, declared, work, force=force, adopt=adopt)

        return self.door.change(request, verb, wait, run)

    def patch(
        self, ref: str, request: Request, body: Declared, plan: Planned = False, force: Force = False,
        adopt: Adopt = False, wait: Wait = "0s",
    ) -> Response:  # fmt: skip
        _, unchanged = self._checked(ref, request)
        bodies.refuse_local_files(self.kind.spec, body)
        bodies.refuse_parts(self.kind.spec, body)
        if plan:
            return self._plan(ref, bodies.merged(self._found(ref, self.door.reading()).inputs, body))

        def run(work: Work) -> Answer:
            with unchanged(work):
                declared = bodies.merged(self._found(ref, work).inputs, body)
                return self._applied(request, ref, declared, work, force=force, adopt=adopt)

        return self.door.change(request, "update", wait, run)

    def delete(
        self, ref: str, request: Request, plan: Planned = False, force: Force = False, wait: Wait = "0s"
    ) -> Response:
        options = listing.settings(self.kind, request.query_params)
        there, unchanged = self._checked(ref, request)
        if plan:
            if there is None and not self._is_gone(ref, work := self.door.reading()):
                self._found(ref, work)
            return JSONResponse({"action": "none" if there is None else "delete", "changes": [], "warnings": []})

        def run(work: Work) -> Answer:
            with unchanged(work):
                try:
                    self.door.objects.delete(self.token, ref, work, force=force, options=options)
                except NotFound:
                    if not self._is_gone(ref, work):
                        raise
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
        raise NotFound(f'the {self.kind.kind} has no action "{action}"; there are: {", ".join(words) or "none"}')

    # What they share

    def _there(self, ref: str, work: Work) -> Found | None:
        with contextlib.suppress(NotFound):
            return self.door.objects.get(self.token, ref, work)
        return None

    def _is_gone(self, ref: str, work: Work) -> bool:
        """Whether a reference that leads to nothing is surely to nothing: the pool that it names is there, and runs.

        Another node, or a pool that is not there or stopped, tells nothing of what it may hold. Raises NotFound.
        """
        pool, slash, _ = ref.rpartition("/")
        if "pool" not in fields(self.kind.spec):
            return not slash
        if not pool or "/" in pool:
            return False
        holder = self.door.objects.get("StoragePool", pool, work)
        return holder is not None and holder.state["state"] == "running"

    def _found(self, ref: str, work: Work) -> Found:
        """Raises NotFound, naming those that exist."""
        found = self.door.objects.get(self.token, ref, work)
        if found is None:
            raise NotFound(f'{self.kind.kind} "{ref}" is gone')
        return found

    def _checked(self, ref: str, request: Request) -> tuple[Found | None, Guard]:
        """The object, and a look at it again before its change. Both raise Refused where it is not what If-Match says.

        Of two changes that both go by the same tag one is made: the second look is one after the other.
        """
        found = self._there(ref, self.door.reading())
        self._refuse_changed(request, found)

        @contextlib.contextmanager
        def unchanged(work: Work) -> Iterator[None]:
            if not is_conditional(request):
                yield
                return
            with self.door.turns.of(f"{self.token} {ref if found is None else found.id}", work):
                self._refuse_changed(request, self._there(ref, work))
                yield

        return found, unchanged

    def _refuse_changed(self, request: Request, found: Found | None) -> None:
        refuse_changed(request, None if found is None else etag_of(found.inputs))

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

    def _applied(
        self, request: Request, ref: str | None, declared: Bag, work: Work, **how: bool
    ) -> Answer:  # fmt: skip
        by = DeclaredBy.of("rest", caller_of(request), "")
        result = self.door.objects.apply(self.token, declared, work, by=by, reference=ref, **how)
        for reason in result.reasons:
            work.warn(reason)
        found = self._found(result.stored.id, work)
        place, body = path_of(plural(self.token), found.id), bodies.document(found, result.reasons)
        return Answer(201 if result.created else 200, body, place, etag_of(found.inputs))

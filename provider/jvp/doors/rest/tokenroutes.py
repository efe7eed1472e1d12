"""The routes of tokens: an admin makes and revokes them, and a token for one use is changed into a lasting one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Body, Depends, FastAPI, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from jvp.core.errors import Invalid, Rejected
from jvp.core.types import lifetime_s, utc_text
from jvp.doors.rest.login import login_of
from jvp.doors.rest.requests import Door, strict
from jvp.index import tokens
from jvp.index.store import Index
from jvp.resources import registry

EXPIRES = "90d"
"""How long a token is valid that is not said to be for longer."""


def _lifetime(text: str) -> str:
    lifetime_s(text)
    return text


Expires = Annotated[
    str, AfterValidator(_lifetime), Field(description="How long it is valid, like 12h or 90d, or never.")
]


class ScopeOf(BaseModel):
    """What a token is for. What is left out is not limited."""

    model_config = ConfigDict(extra="forbid")

    kinds: Annotated[list[str] | None, Field(min_length=1, description="The kinds that it is for, like Instance.")] = (
        None
    )
    nodes: Annotated[
        list[str] | None, Field(min_length=1, description="The nodes that it is for, by their hosts' uuids.")
    ] = None
    tags: Annotated[
        list[str] | None,
        Field(min_length=1, description="The objects that it is for: with one of these tags, `team` or `team=web`."),
    ] = None


class NewToken(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[str, Field(min_length=1, max_length=200, description="Who it is for: operations tell it.")]
    role: Annotated[Literal["viewer", "operator", "admin"], Field(description="What it may do.")]
    scope: Annotated[ScopeOf | None, Field(description="What it is for; by default all.")] = None
    expires: Expires = EXPIRES
    once: Annotated[
        bool, Field(description="Whether it is taken once alone: `POST /api/tokens/join` gives a lasting one for it.")
    ] = False


class Joining(BaseModel):
    """What a lasting token is to be like."""

    model_config = ConfigDict(extra="forbid")

    expires: Expires = EXPIRES


def add_to(app: FastAPI, door: Door) -> None:
    """Add the routes."""
    common: dict[str, Any] = {"tags": ["tokens"], "dependencies": [Depends(strict)]}
    index = door.index

    @app.get("/api/tokens", operation_id="listTokens", summary="Tokens, the newest first, without texts.", **common)
    def listed() -> dict[str, Any]:
        return {"items": [_document(one) for one in tokens.all_of(_there(index))]}

    @app.post("/api/tokens", operation_id="makeToken", summary="Make a token. Its text is told once.", **common)
    def create(body: NewToken) -> Response:
        scope = body.scope.model_dump(exclude_none=True) if body.scope is not None else {}
        for number, kind in enumerate(scope.get("kinds", ())):
            if kind not in (known := [*registry.TYPES, "Node"]):
                raise Invalid(f"must be one of {', '.join(known)}", path=("scope", "kinds", number))
        made, text = tokens.create(
            _there(index), body.subject, body.role, scope=scope, expires_s=lifetime_s(body.expires), once=body.once
        )
        return _told(made, text)

    @app.delete(
        "/api/tokens/{id}", operation_id="deleteToken", status_code=204, summary="Revoke a token, at once.", **common
    )
    def revoke(id: str) -> Response:
        tokens.revoke(_there(index), id)
        return Response(status_code=204)

    @app.post(
        "/api/tokens/join", operation_id="joinByToken", summary="A lasting token for one that is taken once.", **common
    )
    def join(request: Request, body: Annotated[Joining | None, Body()] = None) -> Response:
        login, expires_s = login_of(request), lifetime_s((body or Joining()).expires)
        scope = {name: sorted(part) for name, part in vars(login.scope).items() if part is not None}
        made, text = tokens.create(_there(index), login.subject, login.role, scope=scope, expires_s=expires_s)  # type: ignore[arg-type]
        return _told(made, text)


def _there(index: Index | None) -> Index:
    """Raises Rejected where the server has none."""
    if index is None:
        raise Rejected("the server has no index, where tokens are kept; start it with --index")
    return index


def _told(made: tokens.Token, text: str) -> Response:
    return JSONResponse({**_document(made), "token": text}, 201, {"Cache-Control": "no-store"})


def _document(one: tokens.Token) -> dict[str, Any]:
    """A token as it is shown; a property without a value is left out."""
    times = {"createdAt": one.created, "expiresAt": one.expires, "usedAt": one.used}
    shown = {name: utc_text(value) for name, value in times.items() if value is not None}
    return {"id": one.id, "subject": one.subject, "role": one.role, "scope": one.scope, "once": one.once,
            "state": one.state, **shown}  # fmt: skip

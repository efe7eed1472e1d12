"""The OpenAPI document: FastAPI's paths, with the bodies, answers and filters of the registered models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from jvp.core.facts import ForAdmins
from jvp.core.handler import AnyType
from jvp.core.model import FieldFacts, Spec, fields
from jvp.doors.rest import uploads
from jvp.doors.rest.examples import EXAMPLES
from jvp.doors.rest.listing import PAGING, later
from jvp.doors.rest.names import actions
from jvp.doors.rest.schemas import ENTRY, HIT, MADE_TOKEN, OPERATION, PLAN, PROBLEM, TOKEN
from jvp.resources import registry

Json = dict[str, Any]
CONDITIONS = ("If-Match", "If-None-Match")
HEADERS = {
    "If-Match": "The ETag that the object must have; else 412.",
    "If-None-Match": "The ETag that the object must not have; * where there must be none.",
    "Idempotency-Key": "Any text of yours: the same request with the same one is done once, and answered alike.",
}


SECURITY = "A token, `jvp_...`, over TCP. Over the unix socket none is needed: whoever may open it is an admin."


def document(app: FastAPI) -> Json:
    """The document, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> Json:
    found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    bodies = {name: found["components"]["schemas"][name] for name in ("NewToken", "ScopeOf", "Joining")}
    ours = {"Problem": PROBLEM, "Operation": OPERATION, "Plan": PLAN, "Token": TOKEN, "MadeToken": MADE_TOKEN}
    schemas = found["components"]["schemas"] = {**_models(), **bodies, **ours, "AuditEntry": ENTRY, "Hit": HIT}
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": SECURITY}}
    found["security"] = [{"token": []}]
    calls = {call["operationId"]: call for path in found["paths"].values() for call in path.values()}
    for token, kind in registry.TYPES.items():
        schemas[f"{token}Object"] = _object(kind)
        _describe_kind(calls, token, kind)
    for token, action in actions().items():
        _body(calls[token], action.args, required=False)
        _describe_reference(calls[token])
        _answers(calls[token], {"200": _reference(action.result.__name__)}, changes=True)
    for token, function in registry.FUNCTIONS.items():
        _body(calls[token], function.args, required=False)
        _answers(calls[token], {"200": _reference(function.result.__name__)}, changes=False)
    _answers(calls["search"], {"200": _page("Hit")}, changes=False)
    _answers(calls["listOperations"], {"200": _page("Operation")}, changes=False)
    _answers(calls["readOperation"], {"200": _reference("Operation")}, changes=False)
    _answers(calls["listAudit"], {"200": _page("AuditEntry")}, changes=False)
    _answers(calls["listenToEvents"], {}, changes=False)
    for one in ("downloadVolume", "screenshotInstance"):
        _answers(calls[one], {}, changes=False)
        _describe_reference(calls[one])
    _answers(calls["cancelOperation"], {"202": _reference("Operation")}, changes=False)
    tokens = {"type": "object", "properties": {"items": {"type": "array", "items": _reference("Token")}}}
    _answers(calls["listTokens"], {"200": {**tokens, "required": ["items"]}}, changes=False)
    _answers(calls["makeToken"], {"201": _reference("MadeToken")}, changes=False)
    _answers(calls["joinByToken"], {"201": _reference("MadeToken")}, changes=False)
    _answers(calls["deleteToken"], {"204": None}, changes=False)
    found["components"]["links"] = {name: _link(name, "id") for name in ("readOperation", "cancelOperation")}
    schemas["Upload"] = uploads.described(calls)
    every = {"type": "object", "properties": {"items": {"type": "array", "items": _reference("Upload")}}}
    _answers(calls["listUploads"], {"200": {**every, "required": ["items"]}}, changes=False)
    for name, status in (("beginUpload", "201"), ("readUpload", "200"), ("appendUpload", "200")):
        _answers(calls[name], {status: _reference("Upload")}, changes=False)
    _answers(calls["deleteUpload"], {"204": None}, changes=False)
    return found


def _describe_kind(calls: dict[str, Json], token: str, kind: AnyType) -> None:
    whole, name = _reference(f"{token}Object"), kind.spec.__name__
    listed = calls[f"list{token}s"]
    listed["parameters"] = [*_filters(kind.filters), *(_parameter(one, text) for one, text in PAGING.items())]
    _answers(listed, {"200": _page(kind.item.__name__)}, changes=False)
    _answers(calls[f"read{token}"], {"200": whole}, changes=False)
    changed = {"200": {"anyOf": [_reference("Plan"), whole]}, "201": whole}
    for verb in ("create", "apply", "change"):
        call = calls[f"{verb}{token}"]
        media = "application/merge-patch+json" if verb == "change" else "application/json"
        example = {"example": EXAMPLES[token]} if token in EXAMPLES else {}
        call["requestBody"] = {"required": True, "content": {media: {"schema": _reference(name), **example}}}
        if verb == "change":  # a patch takes a property out with null, and need not say what is required
            call["requestBody"]["content"] = {media: {"schema": {"type": "object", "additionalProperties": True}}}
        _answers(call, changed, changes=True)
    acts = (name for name, action in actions().items() if action.on == token)
    nexts = (*(f"{verb}{token}" for verb in ("read", "apply", "change", "delete")), *acts)
    calls[f"create{token}"]["responses"]["201"]["links"] = {one: _link(one, "ref") for one in nexts}
    gone = calls[f"delete{token}"]
    gone["parameters"] += _queried(kind.spec, later(kind))
    _answers(gone, {"200": _reference("Plan"), "204": None}, changes=True)
    for verb in ("apply", "change", "delete"):
        calls[f"{verb}{token}"]["parameters"] += map(_header, CONDITIONS)
    for verb in ("read", "apply", "change", "delete"):
        _describe_reference(calls[f"{verb}{token}"])


def _page(item: str) -> Json:
    """The schema of one page of a list."""
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": _reference(item)},
            "next": {"type": "string", "description": "Where the next page begins; absent on the last one."},
        },
        "required": ["items"],
    }


def _answers(call: Json, good: Mapping[str, Json | None], *, changes: bool) -> None:
    kept = {code: one for code, one in call["responses"].items() if code not in ("200", "422")} if good else {
        code: one for code, one in call["responses"].items() if code != "422"
    }  # fmt: skip
    accepted = {"202": _answer(_reference("Operation"), "It goes on as an operation; Location says where.")}
    accepted["202"]["links"] = {
        name: {"$ref": f"#/components/links/{name}"} for name in ("readOperation", "cancelOperation")
    }
    if changes:
        call.setdefault("parameters", []).append(_header("Idempotency-Key"))
    call["responses"] = {
        **kept,
        **{code: _answer(schema) for code, schema in good.items()},
        **(accepted if changes else {}),
        "401": _problem("Over TCP: there is no token, or none that is valid."),
        "403": _problem("The token's role or scope does not allow it."),
        "default": _problem("A problem."),
    }


def _problem(description: str) -> Json:
    content = {"application/problem+json": {"schema": _reference("Problem")}}
    return {"description": description, "content": content}


def _answer(schema: Json | None, description: str = "As asked.") -> Json:
    content = {"content": {"application/json": {"schema": schema}}} if schema is not None else {}
    return {"description": description, **content}


def _link(call: str, parameter: str) -> Json:
    """What can be asked next about the id in the answer."""
    return {"operationId": call, "parameters": {parameter: "$response.body#/id"}}


def _body(call: Json, model: type[Spec], *, required: bool) -> None:
    call["requestBody"] = {
        "required": required, "content": {"application/json": {"schema": _reference(model.__name__)}}
    }  # fmt: skip


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, text: str, schema: Json | None = None) -> Json:
    return {"name": name, "in": "query", "description": text, "required": False, "schema": schema or {"type": "string"}}


def _header(name: str) -> Json:
    return {**_parameter(name, HEADERS[name]), "in": "header"}


def _describe_reference(call: Json) -> None:
    for one in call["parameters"]:
        if one["name"] == "ref":
            one["description"] = "The id or the name; of a volume or template POOL/NAME, of a snapshot INSTANCE/NAME."


def _filters(model: type[Spec]) -> Iterator[Json]:
    return _queried(model, fields(model))


def _queried(model: type[Spec], names: Mapping[str, FieldFacts]) -> Iterator[Json]:
    properties = model.model_json_schema()["properties"]
    for name, facts in names.items():
        schema = {key: value for key, value in properties[name].items() if key not in ("description", "title")}
        commas = {"explode": False} if facts.is_list else {}
        yield {**_parameter(name, facts.description, schema), **commas}


def _models() -> Json:
    """Each model that a call takes or gives, with the units of its numbers."""
    models: dict[type[BaseModel], None] = {}
    for kind in registry.TYPES.values():
        models |= dict.fromkeys((kind.spec, kind.state, kind.item))
    for action in actions().values():
        models |= dict.fromkeys((action.args, action.result))
    for function in registry.FUNCTIONS.values():
        models |= dict.fromkeys((function.args, function.result))
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas: Json = found["$defs"]
    for model in _every(models):
        for name, facts in fields(model).items():
            _annotate(schemas[model.__name__]["properties"][name], facts)
    return schemas


def _every(models: Iterable[type[BaseModel]]) -> set[type[Spec]]:
    found: set[type[Spec]] = set()
    waiting = [model for model in models if issubclass(model, Spec)]
    while waiting:
        model = waiting.pop()
        if model not in found:
            found.add(model)
            waiting += [facts.item for facts in fields(model).values() if facts.item is not None]
    return found


def _annotate(schema: Json, facts: FieldFacts) -> None:
    if facts.unit is not None:
        schema["x-unit"] = facts.unit
    if facts.sensitive or facts.write_only:
        schema["writeOnly"] = True
    if facts.output is not None:
        schema["readOnly"] = True
    if (fact := facts.fact(ForAdmins)) is not None and fact.always and facts.output is None:
        schema["x-role"] = "admin"
    if schema.get("default", 0) is None:
        del schema["default"]


def _object(kind: AnyType) -> Json:
    """An object as it is shown. What is secret is not in it, so nothing is required but its id."""
    state = kind.state.model_json_schema(ref_template="#/components/schemas/{model}")
    by = {
        "description": "Who declares it; null where none of jvp does, or an older version noted nothing.",
        "type": ["object", "null"],
        "properties": {name: {"type": "string"} for name in ("door", "label", "address")},
    }
    left = {
        "description": "What the change that answers left undone: ask again, and it goes on. Absent when it is done.",
        "type": "array",
        "items": {"type": "string"},
    }
    return {
        "type": "object",
        "description": state.get("description", ""),
        "properties": {
            "id": {"type": "string", "description": "Its id, which `ref` takes."},
            **state["properties"],
            "declaredBy": by,
            "unfinished": left,
        },
        "required": ["id"],
    }

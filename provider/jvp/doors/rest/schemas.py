"""The schemas of what is no model: problems, operations, plans."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time"}
PROBLEM: Json = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "The kind of the problem, like urn:jvp:invalid."},
        "title": {"type": "string", "description": "The kind in words."},
        "status": {"type": "integer", "description": "The status of HTTP."},
        "detail": {"type": "string", "description": "One sentence for people."},
        "operation": {"type": "string", "description": "The path of the operation that failed."},
        "errors": {
            "type": "array",
            "description": "The properties that it is about.",
            "items": {
                "type": "object",
                "properties": {
                    "detail": _TEXT,
                    "pointer": {"type": "string", "description": "The property, as a JSON pointer (RFC 6901)."},
                },
                "required": ["detail", "pointer"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}
OPERATION: Json = {
    "type": "object",
    "description": "A change under way, or over.",
    "properties": {
        "id": {"type": "string", "description": "The last part of its path."},
        "what": {"type": "string", "description": "The request."},
        "caller": {"type": "string", "description": "Who asked."},
        "kind": {"type": "string", "description": "The kind of the object, like Instance."},
        "ref": {"type": "string", "description": "The object as the request calls it: its name, POOL/NAME or its id."},
        "state": {
            "enum": ["running", "cancelling", "succeeded", "failed", "cancelled", "interrupted"],
            "type": "string",
            "description": "All but the first two are over.",
        },
        "startedAt": {**_TIME, "description": "When it began."},
        "endedAt": {**_TIME, "description": "When it was over."},
        "progress": {"type": "string", "description": "What it does now."},
        "transferred": {
            "type": "object",
            "description": "How far the image is that it moves, in bytes.",
            "properties": {"done": {"type": "integer"}, "total": {"type": ["integer", "null"]}},
            "required": ["done", "total"],
        },
        "messages": {"type": "array", "items": _TEXT, "description": "What it warned of."},
        "location": {"type": "string", "description": "The path of the object."},
        "result": {"description": "What the request would have answered."},
        "problem": {"$ref": "#/components/schemas/Problem", "description": "Why it failed."},
    },
    "required": ["id", "what", "caller", "state", "startedAt", "messages"],
}
_NAMES: Json = {"type": "array", "items": _TEXT}
ENTRY: Json = {
    "type": "object",
    "description": "One call that may have changed something.",
    "properties": {
        "at": {**_TIME, "description": "When it began."},
        "call": {"type": "string", "description": "Its id."},
        "who": {"type": "string", "description": "Who asked."},
        "door": {
            "enum": ["pulumi", "terraform", "dynamic", "cli", "rest"],
            "type": "string",
            "description": "The way in.",
        },
        "origin": {"type": "string", "description": "The address that it came from, or local."},
        "program": {"type": "string", "description": "The stack or workspace."},
        "verb": {"type": "string", "description": "What was asked for."},
        "kind": {"type": "string", "description": "The type of resource."},
        "id": {"type": "string", "description": "The id of the object, where it is known."},
        "name": {"type": "string", "description": "The name of the object."},
        "properties": {**_NAMES, "description": "The names of what was given."},
        "changed": {**_NAMES, "description": "The names of what differed in an object that was there."},
        "outcome": {
            "enum": ["done", "partial", "failed", "cancelled", "unknown"],
            "type": "string",
            "description": "Unknown is what has begun and has no end: it still runs, or its process died.",
        },
        "seconds": {"type": "number", "description": "How long it took."},
        "detail": {"type": "string", "description": "The sentence of an error, or what is left to do."},
    },
    "required": ["at", "call", "who", "door", "verb", "kind", "id", "name", "properties", "changed", "outcome"],
}
PLAN: Json = {
    "type": "object",
    "description": "What a request would do.",
    "properties": {
        "action": {
            "enum": ["none", "create", "update", "replace", "delete"],
            "type": "string",
            "description": "A replacement is told and never done.",
        },
        "id": {"type": ["string", "null"], "description": "Of the object that is there."},
        "changes": {
            "type": "array",
            "description": "The properties that would change.",
            "items": {
                "type": "object",
                "properties": {
                    "property": _TEXT,
                    "pointer": _TEXT,
                    "kind": {"enum": ["add", "update", "delete"], "type": "string"},
                    "effect": {
                        "type": "string",
                        "description": "How it takes effect: live, next boot, network restart, power off, replace.",
                    },
                    "note": {"type": ["string", "null"]},
                },
                "required": ["property", "pointer", "kind", "effect"],
            },
        },
        "warnings": {"type": "array", "items": _TEXT, "description": "What a preview warns of."},
        "state": {"type": "object", "description": "As the object would be; null where only the host will tell."},
        "unfinished": {"type": "array", "items": _TEXT, "description": "What it goes on with, though nothing differs."},
        "holder": {"type": "string", "description": "Who else has the object: a change takes force."},
    },
    "required": ["action", "changes", "warnings"],
}
TOKEN: Json = {
    "type": "object",
    "description": "A token, without its text.",
    "properties": {
        "id": {"type": "string", "description": "The last part of its path."},
        "subject": {"type": "string", "description": "Who it is for."},
        "role": {"enum": ["viewer", "operator", "admin"], "type": "string", "description": "What it may do."},
        "scope": {
            "type": "object",
            "description": "What it is for. A part that is not there is not limited.",
            "properties": {name: {"type": "array", "items": _TEXT} for name in ("kinds", "nodes", "tags")},
        },
        "once": {"type": "boolean", "description": "Whether it is taken once alone."},
        "state": {"enum": ["valid", "expired", "used"], "type": "string", "description": "Whether it is taken."},
        "createdAt": {**_TIME, "description": "When it was made."},
        "expiresAt": {**_TIME, "description": "Until when it is valid."},
        "usedAt": {**_TIME, "description": "When it was taken last, to a minute."},
    },
    "required": ["id", "subject", "role", "scope", "once", "state", "createdAt"],
}
MADE_TOKEN: Json = {
    **TOKEN,
    "description": "A token that was just made, with its text, which is told this once.",
    "properties": {**TOKEN["properties"], "token": {"type": "string", "description": "Its text, `jvp_...`."}},
    "required": [*TOKEN["required"], "token"],
}
HIT: Json = {
    "type": "object",
    "description": "An object as it was seen last, with what a list of its kind tells.",
    "properties": {
        "kind": {"type": "string", "description": "Like Instance."},
        "id": {"type": "string", "description": "The id."},
        "name": {"type": "string", "description": "The name."},
        "node": {"type": "string", "description": "The node's host uuid."},
        "seen": {"type": "string", "format": "date-time", "description": "When it was seen."},
    },
    "required": ["kind", "id", "name", "node", "seen"],
    "additionalProperties": True,
}

"""Errors as problem documents. Source: RFC 9457, and RFC 6901 for the pointer to the property."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from typing import Any

from jvp.core.check import Failure
from jvp.core.errors import (
    Bug,
    Busy,
    Cancelled,
    Forbidden,
    Invalid,
    JvpError,
    NameTaken,
    NoSpace,
    NotFound,
    Path,
    Rejected,
    Unreachable,
    dotted,
)
from jvp.core.text import sentence

MEDIA_TYPE = "application/problem+json"
_KINDS: tuple[tuple[type[JvpError], int, str, str], ...] = (
    (Invalid, 422, "invalid", "The input is wrong"),
    (NotFound, 404, "not-found", "There is no such object"),
    (NameTaken, 409, "name-taken", "Another object has the name"),
    (Unreachable, 502, "unreachable", "The node does not answer"),
    (Busy, 503, "busy", "The object is in use"),
    (NoSpace, 507, "no-space", "There is no room"),
    (Forbidden, 403, "forbidden", "This is not allowed"),
    (Rejected, 409, "rejected", "This is refused"),
    (Cancelled, 409, "cancelled", "This was cancelled"),
    (Bug, 500, "defect", "This is a defect of jvp"),
)
"""Status, type and title of each kind of error, the first that fits."""


class Refused(Exception):
    """What the door itself refuses, with a status of HTTP."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = {"type": f"urn:jvp:{kind}", "title": _TITLES[kind], "status": status, "detail": sentence(detail)}


_TITLES = {
    "not-found": "There is no such thing",
    "malformed": "The request cannot be read",
    "precondition": "The object has changed",
    "too-large": "The request is too large",
    "too-many": "Too much is under way",
    "forbidden": "This is not allowed",
    "unauthenticated": "This needs a token",
    "interrupted": "This was interrupted",
    "index": "The index does not answer",
}


def pointer(path: Path) -> str:
    """A path as a JSON pointer: `/nics/0/mac`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def of(error: JvpError) -> dict[str, Any]:
    """The problem document of an error."""
    if isinstance(error, Invalid) and error.others:
        return of_failures([Failure(path, text) for path, text in ((error.path, error.message), *error.others)])
    _, status, kind, title = next(found for found in _KINDS if isinstance(error, found[0]))
    document = {"type": f"urn:jvp:{kind}", "title": title, "status": status, "detail": error.message}
    if error.path:
        document["errors"] = [{"detail": error.message, "pointer": pointer(error.path)}]
    return document


def defect(error: Exception) -> dict[str, Any]:
    """The problem document of an error that nobody expected; the log says where it was."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
    found = Bug(f"this is a defect of jvp, please report it: {type(error).__name__} at {place}")
    logging.getLogger("jvp").error("%s", found.message)
    return of(found)


def of_failures(failures: Sequence[Failure]) -> dict[str, Any]:
    """The problem document of input that breaks rules: all of them."""
    whole = ("",)  # as the core has the path of what is about the input as a whole
    paths = [() if failure.path == whole else failure.path for failure in failures]
    errors = [{"detail": one.message, "pointer": pointer(path)} for one, path in zip(failures, paths, strict=True)]
    detail = "; ".join(
        f"{dotted(path)}: {one.message}" if path else one.message for one, path in zip(failures, paths, strict=True)
    )
    return {
        "type": "urn:jvp:invalid", "title": "The input is wrong", "status": 422, "detail": detail, "errors": errors
    }  # fmt: skip

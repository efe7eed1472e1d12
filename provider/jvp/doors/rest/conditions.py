"""If-Match and If-None-Match: a change of what the client has seen alone. Source: RFC 9110."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import Request

from jvp.doors.rest.problems import Refused


@dataclass(frozen=True)
class Conditions:
    """The tags that a request names."""

    match: tuple[str, ...] = ()
    none_match: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Request) -> Conditions:
        return cls(_tags(request, "if-match"), _tags(request, "if-none-match"))

    def __bool__(self) -> bool:
        return bool(self.match or self.none_match)

    def refuse(self, etag: str | None) -> None:
        """Raise Refused when the object is not what the client thinks; its tag is None where there is none."""
        if self.match and (etag is None or (etag not in self.match and "*" not in self.match)):
            raise Refused(412, "precondition", "the object is not what If-Match says; read it again")
        if etag is not None and is_among(self.none_match, etag):
            raise Refused(412, "precondition", "the object is there, which If-None-Match refuses")


def is_among(tags: Iterable[str], etag: str) -> bool:
    """Whether If-None-Match names the tag. It compares weakly."""
    known = {tag.removeprefix("W/") for tag in tags}
    return etag in known or "*" in known


def _tags(request: Request, name: str) -> tuple[str, ...]:
    return tuple(tag for given in request.headers.getlist(name) for one in given.split(",") if (tag := one.strip()))

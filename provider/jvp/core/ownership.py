"""Whose an object is, as its own mark says: what may be changed, and what by force alone."""

from __future__ import annotations

from jvp.core.errors import NotFound, Rejected
from jvp.core.handler import AnyHandler
from jvp.core.identity import Mark
from jvp.core.work import Work

DOORS = ("cli", "rest")
"""The doors without an engine. They have the same objects under the same keys, and are no others to each other."""


def refuse_foreign(handler: AnyHandler, work: Work, object_id: str, reference: str) -> None:
    """Raise Rejected for an object that no program of jvp has, NotFound for one that is gone."""
    noted = handler.noted(work, object_id)
    if noted is None:
        raise NotFound(f'{handler.kind} "{reference}" is gone')
    if noted.mark is None:
        raise Rejected(
            f'{handler.kind} "{reference}" is not one that jvp has, and is left alone; import it, and apply once'
        )


def holder(mark: Mark | None, owner: str) -> str | None:
    """Who else has an object than this owner does without an engine, in words; None where nobody else does."""
    if mark is None:
        return "not one that jvp made"
    if mark.declared_by is None:
        return "declared by an engine, name not recorded"
    # One that was taken over has no key, and no owner's name.
    mine = mark.declared_by.door in DOORS and (mark.owner == owner or not mark.key)
    return None if mine else f"declared by {mark.declared_by}"

"""The audit in the index: entries are added, and read. The database itself refuses to change or delete one."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, exists, or_, select, tuple_
from sqlalchemy.orm import aliased

from jvp.core.audit import BEGUN, Caller, Entry
from jvp.core.trail import UNKNOWN, Query
from jvp.index.store import Index
from jvp.index.tables import AuditRow


def add(index: Index, entry: Entry) -> None:
    """Add an entry. Raises Unreachable."""
    caller = entry.caller
    row = AuditRow(
        call=entry.call, at=entry.at, who=caller.who, door=caller.door, origin=caller.origin, program=caller.program,
        verb=entry.verb, kind=entry.kind, object_id=entry.id, name=entry.name, properties=[*entry.properties],
        changed=[*entry.changed], outcome=entry.outcome, detail=entry.detail, seconds=entry.seconds,
    )  # fmt: skip
    with index.session() as session:
        session.add(row)


def newest(index: Index, query: Query) -> list[Entry]:
    """The entries that are asked for, the newest first, at most one more than the limit. Of each call the last one.

    Raises Unreachable.
    """
    asked = select(AuditRow).where(*_conditions(query)).order_by(AuditRow.at.desc(), AuditRow.call.desc())
    with index.reading() as session:
        return [_entry(row) for row in session.scalars(asked.limit(query.limit + 1))]


def _conditions(query: Query) -> Iterable[ColumnElement[bool]]:
    end = aliased(AuditRow)
    ended = exists().where(end.call == AuditRow.call, end.outcome != BEGUN)
    yield or_(AuditRow.outcome != BEGUN, ~ended)
    yield AuditRow.at >= query.since
    if query.before is not None:
        yield tuple_(AuditRow.at, AuditRow.call) < query.before
    if query.kind:
        yield AuditRow.kind == query.kind
    if query.name:
        names = (AuditRow.name == query.name, AuditRow.object_id == query.name)
        yield or_(*names, AuditRow.name.endswith(f"/{query.name}", autoescape=True))
    if query.who:
        yield AuditRow.who.icontains(query.who, autoescape=True)
    if query.door:
        yield AuditRow.door == query.door
    if query.outcome:
        yield AuditRow.outcome == (BEGUN if query.outcome == UNKNOWN else query.outcome)


def _entry(row: AuditRow) -> Entry:
    caller = Caller(row.who, row.door, row.origin, row.program)
    return Entry(
        row.call, row.at, caller, row.verb, row.kind, row.object_id, row.name, tuple(row.properties), row.outcome,
        tuple(row.changed), row.detail, row.seconds,
    )  # fmt: skip

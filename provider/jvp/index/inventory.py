"""The inventory: what lists and changes told of the objects of all nodes, for a quick search.

It may be behind the nodes, so each answer says when it was seen. What is older never takes the place of what is newer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jvp.index.store import Index
from jvp.index.tables import InventoryRow

Item = Mapping[str, Any]
TABLE = cast(Table, InventoryRow.__table__)
KEY = ("node", "kind", "id")
SEARCHED = ("ipAddress", "ipAddresses", "addresses", "cidr", "tags")
"""What a search goes by beside the name, where an item has it."""


@dataclass(frozen=True)
class Note:
    """What a look or a change has told of objects of one kind."""

    kind: str
    items: Sequence[Item]
    at: float
    """When the look began."""
    details: bool = True
    """Whether the items tell what takes a look at each; else they take the place of none but by another name."""
    whole: bool = False
    """Whether it is all objects of the kind: others are gone."""
    gone: Collection[str] = ()
    """The ids of those that a change removed."""


@dataclass(frozen=True)
class Hit:
    """One object that a search found, as it was when it was seen last."""

    node: str
    kind: str
    id: str
    name: str
    item: Item
    seen: float


def write(index: Index, node: str, notes: Iterable[Note]) -> None:
    """Keep what was told, in its order. Raises Unreachable."""
    with index.session() as session:
        for note in notes:
            _keep(session, node, note)
            gone = {*note.gone}
            if note.whole:
                gone |= _known(session, node, note) - {str(one["id"]) for one in note.items}
            _forget(session, node, note.kind, gone)


def rebuild(index: Index, node: str, notes: Iterable[Note]) -> None:
    """Forget all objects of a node, and keep these. Tokens, operations and the audit stay. Raises Unreachable."""
    with index.session() as session:
        session.execute(delete(InventoryRow).where(InventoryRow.node == node))
        for note in notes:
            _keep(session, node, note)


def search(
    index: Index, text: str, *, limit: int = 1000, takes: Callable[[Hit], bool] = lambda _hit: True
) -> list[Hit]:  # fmt: skip
    """What has the text in its name, address or tags, or at the begin of its id: by name, what `takes` takes of it.

    Raises Unreachable.
    """
    if not text.isprintable():  # nothing is called like that, and databases refuse it
        return []
    wanted = text.casefold()
    called = InventoryRow.words.contains(wanted, autoescape=True)
    found = select(InventoryRow).where(or_(called, InventoryRow.id.startswith(wanted, autoescape=True)))
    found = found.order_by(InventoryRow.name, InventoryRow.kind, InventoryRow.id)
    with index.reading() as session:
        hits = (Hit(one.node, one.kind, one.id, one.name, one.item, one.seen) for one in session.scalars(found))
        return [*islice(filter(takes, hits), limit)]


def words_of(item: Item) -> str:
    """What a search goes by."""
    found = [f"{item['pool']}/{item['name']}" if "pool" in item else str(item["name"])]
    for name in SEARCHED:
        value = item.get(name) or ()
        if isinstance(value, Mapping):
            found += [f"{key}={one}" for key, one in value.items()]
        else:
            found += [value] if isinstance(value, str) else map(str, value)
    return "\n".join(found).casefold()


def _keep(session: Session, node: str, note: Note) -> None:
    rows = [
        {"node": node, "kind": note.kind, "id": str(one["id"]), "name": str(one["name"]), "item": dict(one),
         "words": words_of(one), "seen": note.at}
        for one in sorted(note.items, key=lambda one: str(one["id"]))  # two servers take rows in the same order
    ]  # fmt: skip
    if not rows:
        return
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert(TABLE) if dialect == "postgresql" else sqlite.insert(TABLE)
    new = insert.excluded
    newer = TABLE.c.seen <= new.seen
    session.connection().execute(
        insert.on_conflict_do_update(
            index_elements=KEY,
            set_={name: new[name] for name in ("name", "item", "words", "seen")},
            where=newer if note.details else newer & (TABLE.c.name != new.name),
        ),
        rows,
    )


def _known(session: Session, node: str, note: Note) -> set[str]:
    """The ids of the kind that were seen before the look began."""
    known = select(InventoryRow.id).where(InventoryRow.node == node, InventoryRow.kind == note.kind)
    return {*session.scalars(known.where(InventoryRow.seen <= note.at))}


def _forget(session: Session, node: str, kind: str, ids: Collection[str]) -> None:
    if ids:
        rows = [{"gone": one} for one in sorted(ids)]
        this = (TABLE.c.node == node) & (TABLE.c.kind == kind) & (TABLE.c.id == bindparam("gone"))
        session.connection().execute(delete(TABLE).where(this), rows)

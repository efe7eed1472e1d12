"""A list as a page: filtered by the core, sorted, cut, and with the fields that were asked for.

`sort` names a field of the items, `-` before it turns the order around; `limit` and `after` page; `fields` picks.
All other names in the query are filters of the kind.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jvp.core.check import unknown_property
from jvp.core.errors import Invalid
from jvp.core.facts import Later
from jvp.core.handler import AnyType
from jvp.core.listing import is_detail
from jvp.core.model import FieldFacts, fields
from jvp.doors.rest import cursor
from jvp.doors.rest.requests import Door, plain

LIMIT, LIMIT_MAX = 1000, 10_000
PAGING = {
    "sort": "The field to sort by, by default name, of snapshots createdAt; with a - before it the other way round.",
    "limit": f"How many at most, by default {LIMIT}, no more than {LIMIT_MAX}.",
    "after": "Where to go on: `next` of the page before.",
    "fields": "The fields to tell, with commas between; by default all.",
}
Bag = dict[str, Any]


def page(
    door: Door, token: str, kind: AnyType, query: Mapping[str, str],
    is_seen: Callable[[Bag], bool] = lambda _: True, needs: Collection[str] = (),
) -> Bag:  # fmt: skip
    """One page of a list, of the objects that the caller may see: what it `needs` of each tells which.

    Raises Invalid for what the query says wrong.
    """
    known = fields(kind.item)
    by, backwards = _sort(query.get("sort", kind.item.order), known)
    wanted = _fields(query.get("fields"), known)
    limit = limit_of(query.get("limit"))
    after = _after(query.get("after"))
    filters = _filters(kind, query)
    if any(is_detail(known[name]) for name in {by, *(wanted or ())}):
        filters.setdefault("details", True)
    if any(is_detail(known[name]) for name in needs if name in known):
        filters["details"] = True
    began = time.time()
    every = [plain(one) for one in door.objects.list(token, filters, door.reading())]
    door.inventory.listed(token, every, filters, began)
    items = [one for one in every if is_seen(one)]
    placed = sorted(
        ((_place(one.get(by)), one["id"], one) for one in items), key=lambda one: one[:2], reverse=backwards
    )
    if after is not None:
        placed = [one for one in placed if (one[:2] < after if backwards else one[:2] > after)]
    cut = placed[:limit]
    found: Bag = {"items": [_picked(one, wanted) for *_, one in cut]}
    if len(placed) > limit:
        found["next"] = cursor.text_of([*cut[-1][:2]])
    return found


def _sort(text: str, known: Mapping[str, FieldFacts]) -> tuple[str, bool]:
    name = text.removeprefix("-")
    if name not in known:
        raise Invalid(unknown_property(name, [*known]), path=("sort",))
    return name, text.startswith("-")


def _fields(text: str | None, known: Mapping[str, FieldFacts]) -> set[str] | None:
    if text is None:
        return None
    names = {name.strip() for name in text.split(",")}
    for name in names - known.keys():
        raise Invalid(unknown_property(name, [*known]), path=("fields",))
    return names


def _picked(item: Bag, wanted: set[str] | None) -> Bag:
    return item if wanted is None else {name: value for name, value in item.items() if name in wanted}


def limit_of(text: str | None) -> int:
    """How many a page has. Raises Invalid."""
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= LIMIT_MAX:
        raise Invalid(f"must be a number from 1 to {LIMIT_MAX}", path=("limit",))
    return int(text)


def _place(value: Any) -> tuple[int, Any]:
    """Where a value stands in a list: what is not there first, then numbers, then texts."""
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, int | float) else (2, value if isinstance(value, str) else json.dumps(value))


def _after(text: str | None) -> tuple[tuple[int, Any], str] | None:
    if text is None:
        return None
    match cursor.place_in(text):
        case [[(0 | 1) as kind, int() | float() as value], str() as id_]:
            return (kind, value), id_
        case [[2, str() as value], str() as id_]:
            return (2, value), id_
    raise cursor.wrong()


def _filters(kind: AnyType, query: Mapping[str, str]) -> Bag:
    """The filters with the types of their fields: a query has texts alone."""
    known = fields(kind.filters)
    found: Bag = {}
    for name, text in query.items():
        if name in PAGING:
            continue
        facts = known.get(name)
        if facts is None:
            raise Invalid(unknown_property(name, [*known, *PAGING]), path=(name,))
        found[name] = _typed(facts, text)
    return found


def settings(kind: AnyType, query: Mapping[str, str]) -> Bag:
    """What the query of a delete says otherwise than the declaration: `deleteData=true`. Raises Invalid."""
    known = later(kind)
    found: Bag = {}
    for name, text in query.items():
        if name not in (ours := ("plan", "force", "wait")):
            if name not in known:
                raise Invalid(unknown_property(name, [*known, *ours]), path=(name,))
            found[name] = _typed(known[name], text)
    return found


def later(kind: AnyType) -> dict[str, FieldFacts]:
    """The settings that a delete goes by."""
    return {name: facts for name, facts in fields(kind.spec).items() if facts.fact(Later) is not None}


def _typed(facts: FieldFacts, text: str) -> Any:
    if facts.annotation is bool and text in ("true", "false"):
        return text == "true"
    if facts.annotation is int and re.fullmatch("-?[0-9]+", text):
        return int(text[:20])
    return text.split(",") if facts.is_list else text

"""The commands that change nothing: `list`, `show`, and the functions."""

from __future__ import annotations

import argparse
from typing import Any

from jvp.core.errors import Invalid, NotFound
from jvp.core.model import fields
from jvp.core.values import Bag
from jvp.doors.cli import exits, known, options, output
from jvp.doors.cli.session import Session


def list_(parsed: argparse.Namespace) -> int:
    """All objects of a kind, or those that the filters take. People and programs get the details, shells a name."""
    kind = known.type_of(parsed.token)
    format = output.chosen(parsed)
    filters: Bag = {"details": format != "name", **options.given(parsed, kind.filters)}
    session = Session(parsed)
    objects = session.objects()
    chosen = [_member(kind.item, name) for name in parsed.fields.split(",")] if parsed.fields else None
    by = _member(kind.item, parsed.sort or kind.item.order)
    with session.work() as work:
        items = objects.list(parsed.token, filters, work)
    # What has no such value comes last, either way.
    having = sorted((one for one in items if by in one), key=lambda one: _rank(one[by]), reverse=parsed.reverse)
    items = having + [one for one in items if by not in one]
    if chosen is not None and format in ("json", "yaml"):
        items = [{name: one[name] for name in chosen if name in one} for one in items]
    if format in ("json", "yaml"):
        output.structured(items, format)
    elif format == "name":
        for item in items:
            print(f"{item[kind.within]}/{item['name']}" if kind.within else item["name"])
    else:
        output.table(chosen or _columns(kind.item, items, whole=format == "wide"), items)
    return exits.DONE


def _rank(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value


def _member(item: Any, text: str) -> str:
    """The property of an item that is meant, as it is spelled or as a table's head has it. Raises Invalid."""
    for name in fields(item):
        if text.strip() in (name, known.kebab(name), output.heading(name), output.heading(name).lower()):
            return name
    raise Invalid(f'there is no "{text}" in this list; there are {", ".join(fields(item))}')


def _columns(item: Any, items: list[Bag], *, whole: bool) -> list[str]:
    """The properties of items, who declares it last; in a plain table without ids and what no item has."""
    names = [name for name in fields(item) if name not in ("id", "declaredBy")]
    found = [name for name in names if whole or name == "name" or any(one.get(name) is not None for one in items)]
    return [*found, "declaredBy", *(["id"] if whole else [])]


def show(parsed: argparse.Namespace) -> int:
    """One object as it is, with what its function tells beside its state, and who declares it."""
    session, function = Session(parsed), known.function_for(parsed.token)
    objects = session.objects()
    with session.work() as work:
        found = objects.get(parsed.token, parsed.reference, work)
    if found is None:
        raise NotFound(f'{known.type_of(parsed.token).kind} "{parsed.reference}" is gone')
    bag = {"id": found.id, **found.state}
    if function is not None and (subject := known.subject_of(known.function(function).args, parsed.token)):
        # What both tell is spelled here as it was declared.
        more = asked(session, function, {subject: found.id})
        bag |= {name: value for name, value in more.items() if name not in bag}
    return _print(parsed, {**bag, "declaredBy": str(found.declared_by) if found.declared_by else found.holder})


def ask(parsed: argparse.Namespace) -> int:
    """What a function answers."""
    args = options.given(parsed, known.function(parsed.function).args)
    if parsed.subject is not None and parsed.reference is not None:
        args[parsed.subject] = parsed.reference
    return _print(parsed, asked(Session(parsed), parsed.function, args))


def asked(session: Session, function: str, args: Bag) -> Bag:
    """A function's result. Raises Invalid for arguments that break a rule."""
    objects = session.objects()
    with session.work() as work:
        result, failures = objects.invoke(function, args, work)
    for failure in failures:
        raise exits.invalid(failure)
    assert isinstance(result, dict)
    return result


def _print(parsed: argparse.Namespace, bag: Bag) -> int:
    format = output.chosen(parsed)
    if format in ("json", "yaml"):
        output.structured(bag, format)
    elif format == "name":
        print(bag.get("name", ""))
    else:
        output.properties(bag)
    return exits.DONE

"""The commands that change one object: `create`, `set`, `delete`, and the actions. Each can be asked for as a plan."""

from __future__ import annotations

import argparse
from typing import Any

from jvp.core.errors import Invalid, NameTaken, NotFound, Rejected
from jvp.core.identity import DeclaredBy
from jvp.core.model import fields
from jvp.core.types import shortened
from jvp.core.values import Bag
from jvp.doors.cli import exits, known, options, output, plans
from jvp.doors.cli.session import Session

BY = DeclaredBy("cli")
"""Who declares what a command makes."""


def create(parsed: argparse.Namespace) -> int:
    """Make an object, or go on with one that an interrupted command has begun."""
    kind, session = known.type_of(parsed.token), Session(parsed)
    wanted = _named(kind, parsed.reference, options.given(parsed, kind.spec))
    objects = session.objects()
    with session.work("create", quiet=not parsed.plan) as work:  # what stands in its way the create says
        planned = objects.plan(parsed.token, None, wanted, work)
    if planned.id is not None:
        word = known.word_of(parsed.token)
        raise NameTaken(
            f'{kind.kind} "{parsed.reference}" is there already; change it with "jvp {word} set {parsed.reference}"'
        )
    if parsed.plan:
        return plans.show([plans.Plan(kind, parsed.reference, planned)], output.chosen(parsed))
    with session.work("create") as work:
        applied = objects.apply(parsed.token, wanted, work, by=BY, force=parsed.force)
    return _done(parsed, kind, applied)


def _named(kind: Any, reference: str, given: Bag) -> Bag:
    """The properties with the name; what is in a pool may be named as POOL/NAME, a snapshot as INSTANCE/NAME."""
    holder, slash, name = reference.rpartition("/")
    if kind.within and kind.within not in given:
        if not slash:
            raise Invalid(f'"{shortened(reference)}" does not say the {kind.within}; write it as {kind.within}/name')
        return {kind.within: holder, **given, "name": name}
    return {**given, "name": reference}


def set_(parsed: argparse.Namespace) -> int:
    """Change properties of an object; what is not named stays as it is declared."""
    kind, session = known.type_of(parsed.token), Session(parsed)
    given, out = options.given(parsed, kind.spec), [_property(kind.spec, name) for name in parsed.unset or ()]
    if not given and not out:
        raise Invalid("nothing is to be set: name a property, as --help lists them")
    objects = session.objects()
    with session.work() as work:
        found = objects.get(parsed.token, parsed.reference, work)
        if found is None:
            raise NotFound(f'{kind.kind} "{parsed.reference}" is gone')
        wanted = {name: value for name, value in {**found.inputs, **given}.items() if name not in out}
        if parsed.plan:
            planned = objects.plan(parsed.token, parsed.reference, wanted, work)
            return plans.show([plans.Plan(kind, parsed.reference, planned)], output.chosen(parsed))
        if found.holder is not None and not parsed.force:  # before what a rule says of what others wrote
            raise Rejected(f'{kind.kind} "{parsed.reference}" is {found.holder}, and is not changed without force')
        applied = objects.apply(parsed.token, wanted, work, by=BY, force=parsed.force, reference=parsed.reference)
    return _done(parsed, kind, applied)


def _property(model: Any, text: str) -> str:
    for name in fields(model):
        if text in (name, known.kebab(name)):
            return name
    raise Invalid(f'there is no property "{text}"', path=("unset",))


def delete(parsed: argparse.Namespace) -> int:
    """Delete objects, in the order in which they are named. The first that cannot be ends it."""
    kind, session = known.type_of(parsed.token), Session(parsed)
    settings = options.given(parsed, kind.spec)
    objects = session.objects()
    for reference in parsed.references:
        with session.work("delete") as work:
            if parsed.plan:
                plans.show_delete(kind, reference, objects.get(parsed.token, reference, work))
                continue
            objects.delete(parsed.token, reference, work, force=parsed.force, options=settings)
        print(f'{kind.kind} "{reference}" deleted')
    return exits.DONE


def act(parsed: argparse.Namespace) -> int:
    """Have an action done to an object."""
    action, session = known.action(parsed.action), Session(parsed)
    kind = known.type_of(action.on)
    args = options.given(parsed, action.args)
    objects = session.objects()
    with session.work() as work:
        if parsed.plan:
            if objects.get(action.on, parsed.reference, work) is None:
                raise NotFound(f'{kind.kind} "{parsed.reference}" is gone')
            effect, *more = objects.foreseen(parsed.action, parsed.reference, args, work)
            print(f'{kind.kind} "{parsed.reference}": {effect}')
            for line in more:
                work.warn(line)
            return exits.DONE
        result = objects.act(parsed.action, parsed.reference, args, work, force=parsed.force)
    format = output.chosen(parsed)
    if format in ("json", "yaml"):
        output.structured(result, format)
    else:
        told = output.in_words(result)
        print(f'{kind.kind} "{parsed.reference}"{f": {told}" if told else f" {action.word}: done"}')
    return exits.DONE


def _done(parsed: argparse.Namespace, kind: Any, applied: Any) -> int:
    """Say what an apply did."""
    format, stored = output.chosen(parsed), applied.stored
    if format in ("json", "yaml"):
        output.structured({"id": stored.id, **stored.state}, format)
    elif format == "name":
        print(parsed.reference)
    else:
        print(f'{kind.kind} "{parsed.reference}" {plans.told(kind.spec, applied)}')
    return incomplete(applied)


def incomplete(applied: Any) -> int:
    """Say what an apply left undone; the exit code."""
    for reason in applied.reasons:
        exits.complain(reason)
    return exits.PARTIAL if applied.reasons else exits.DONE

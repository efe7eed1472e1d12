"""What a plan promises: the values of every attribute after the apply.

The host holds us to it. A configured value is planned exactly as it is written, or exactly as it was before where it
means the same; only what the configuration leaves out is ours to choose; and a value that is planned comes back the
same from the apply. Source: OpenTofu, `internal/plans/objchange`.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import zip_longest
from typing import Any

from pydantic import BaseModel

from jvp.core.diff import respelled
from jvp.core.facts import Derived
from jvp.core.model import FieldFacts, fields
from jvp.core.tree import mapped
from jvp.core.values import UNKNOWN, Bag, reveal
from jvp.doors.terraform.values import Raw, to_bag, to_host, to_raw


def planned(model: type[BaseModel], config: Raw, preview: Bag, prior: Raw, changed: Collection[str]) -> Raw:
    """Every attribute: as configured, else as `preview` has it; what does not change stays as it is in `prior`.

    `changed` are the properties that differ, in the users' spelling. What a file says is known when it is read: the
    host plans once more in the apply, and another file must break no promise.
    """
    found = {}
    open_ = {name for name in changed if _follows_a_file(fields(model).get(name), config)}
    for name, facts in fields(model).items():
        was, given = prior.get(facts.attribute), config.get(facts.attribute)
        if name not in changed and was is not None and facts.output is None:
            found[facts.attribute] = was
        elif facts.output is not None and open_.intersection(facts.output.follows):
            found[facts.attribute] = UNKNOWN
        else:
            found[facts.attribute] = _configured(facts, given, to_host(facts, preview.get(name), model))
    return found


def _follows_a_file(facts: FieldFacts | None, config: Raw) -> bool:
    """Whether a part of this property is filled in from a file, and nobody has said that it stays as it was."""
    if facts is None or facts.item is None:
        return False
    given = config.get(facts.attribute)
    parts = (one.attribute for one in fields(facts.item).values() if one.fact(Derived) is not None)
    return any(not isinstance(given, dict) or given.get(part) is None for part in parts)


def _configured(facts: FieldFacts, given: Any, chosen: Any) -> Any:
    """What is configured, and what is chosen for the rest of it."""
    if given is None:
        return UNKNOWN if facts.fact(Derived) is not None else chosen
    return mapped(facts, given, _object, chosen, aligned=True) if facts.item is not None else given


def _object(model: type[BaseModel], given: Any, chosen: Any) -> Any:
    return {
        facts.attribute: _configured(facts, given.get(facts.attribute), chosen.get(facts.attribute))
        for facts in fields(model).values()
    }


def kept(model: type[BaseModel], state: Bag, promised: Raw) -> Raw:
    """The state after an apply, or a read, in the spelling of `promised`: the plan, or the state before."""
    raw = to_raw(model, respelled(model, reveal(state), reveal(to_bag(model, promised))))
    return {name: _as_empty(value, promised.get(name, UNKNOWN)) for name, value in raw.items()}


def _as_empty(value: Any, promised: Any) -> Any:
    """`value`, with nothing where that is promised in the place of an empty list, map or text, and the other way round.

    They mean the same, and are not the same to the host.
    """
    if isinstance(value, dict) and value and isinstance(promised, dict):
        return {name: _as_empty(inner, promised.get(name, UNKNOWN)) for name, inner in value.items()}
    if isinstance(value, list) and value and isinstance(promised, list):
        return [_as_empty(inner, was) for inner, was in zip_longest(value, promised[: len(value)], fillvalue=UNKNOWN)]
    return promised if _is_empty(value) and _is_empty(promised) else value


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, list | dict | str) and not value)


def untouched(model: type[BaseModel], promised: Raw, prior: Raw) -> Raw:
    """What the plan left as it was before, to which the host holds us.

    A reference that is now written as an id, not as a name, is such a thing; and an output that moved by itself since
    the plan: the next read tells it.
    """
    return {
        facts.attribute: prior[facts.attribute]
        for facts in fields(model).values()
        if facts.attribute in prior
        and promised.get(facts.attribute) == prior[facts.attribute]
        and (prior[facts.attribute] is not None or facts.output is not None)
    }

"""What a program wants of an object: what it sets, and for the rest a default or what an import found.

Set is set, also to what is the default. What the program does not set has its default, which follows from other
properties for some; of an object that was imported it stays as it was found, until the program has set it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jvp.core.check import Checked, check, hide
from jvp.core.diff import differs
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.tree import MISSING, at, by_place, mapped, parts, put
from jvp.core.values import Bag, reveal, secret_paths

Place = list[str]
"""Where a property stands; an item of a list stands under its key: nics, eth0, model."""


def unmanaged(model: type[Spec], state: Bag) -> list[Place]:
    """The properties in which an imported object differs from the defaults."""
    return list(_unlike(model, state, []))


def _unlike(model: type[Spec], state: Bag, here: Place) -> Iterator[Place]:
    for name, facts in fields(model).items():
        value = state.get(name)
        if value is None:
            continue
        as_default = facts.default is not None and not differs(facts, value, facts.default)
        if not (facts.required or facts.computed or as_default or value in ([], {})):
            yield [*here, name]
        if facts.item is not None:
            for _, place, item in parts(facts, value):
                yield from _unlike(facts.item, item, [*here, name, *map(str, place)])


def unset(model: type[Spec], places: Iterable[Any], inputs: Bag) -> list[Place]:
    """Those of the unmanaged properties that `inputs` do not set. (Older states have bare names at the top.)"""
    every = ([place] if isinstance(place, str) else place for place in places)
    plain = reveal(inputs)
    return [place for place in every if place[0] in fields(model) and not _is_set(model, place, plain)]


def _is_set(model: type[Spec], place: Place, inputs: Any) -> bool:
    """Whether it is set, or the item is gone that had it."""
    name, *inside = place
    if not isinstance(inputs, dict) or name not in inputs:
        return False
    field = fields(model)[name]
    if not inside or field.item is None:
        return True
    if not field.holds_many:
        return _is_set(field.item, inside, inputs[name])
    mine = by_place(field, inputs[name]).get((inside[0],))
    return mine is None or not inside[1:] or _is_set(field.item, inside[1:], mine)


def filled(model: type[Spec], inputs: Bag, places: Iterable[Any], state: Bag) -> Checked[Any]:
    """`inputs` with what they leave out: of the unmanaged properties the state's value, of others the default."""
    left, plain, secret = unset(model, places, inputs), reveal(inputs), secret_paths(inputs)
    while True:
        checked = check(model, hide(_with(model, plain, left, state), secret, model))
        # What followed from another property follows it still: maxCpus must not stay below cpus.
        broken = {failure.path[0] for failure in checked.failures}
        if not any(place[0] in broken for place in left):
            return checked
        left = [place for place in left if place[0] not in broken]


def _with(model: type[Spec], inputs: Bag, places: list[Place], state: Bag) -> Bag:
    """`inputs` with the state's values at these places; those inside of what is not set come with it."""
    for place in places:
        was = at(model, state, place)
        if was is not MISSING and was is not None:
            inputs = put(model, inputs, place, was)
    return inputs


def set_alone(model: type[Spec], inputs: Bag) -> Bag:
    """Inputs in which the first form of a state has every default, without what they would have anyway."""
    known = fields(model)
    found = {name: _without(known[name], value) for name, value in inputs.items() if name in known}
    for name in list(found):
        rest = {other: value for other, value in found.items() if other != name}
        filled = check(model, rest).whole
        if name in filled and not differs(known[name], inputs[name], filled[name]):
            found = rest
    return found


def _without(field: FieldFacts, value: Any) -> Any:
    return mapped(field, value, _without_defaults) if field.item is not None else value


def _without_defaults(model: type[Spec], value: Bag) -> Bag:
    known = fields(model)
    return {
        name: _without(known[name], inner)
        for name, inner in value.items()
        if name in known and (known[name].required or inner != known[name].default)
    }

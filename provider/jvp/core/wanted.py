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
from jvp.core.values import Bag, Secret, reveal, secret_paths

Place = list[str]
"""Where a property stands; an item of a list stands under its key: nics, eth0, model."""


def unmanaged(model: type[Spec], state: Bag) -> list[Place]:
    """The properties in which an imported object differs from the defaults."""
    return list(_unlike(model, state, []))


def _unlike(model: type[Spec], state: Bag, place: Place) -> Iterator[Place]:
    for name, facts in fields(model).items():
        value, here = state.get(name), [*place, name]
        default = facts.default is not None and not differs(facts, value, facts.default)
        if not facts.required and not facts.computed and not default and value not in (None, [], {}):
            yield here
        if facts.item is not None and isinstance(value, dict):
            yield from _unlike(facts.item, value, here)
        elif facts.item is not None and isinstance(value, list):
            for item in value:
                yield from _unlike(facts.item, item, [*here, str(item[facts.item.key])])


def unset(model: type[Spec], places: Iterable[Any], inputs: Bag) -> list[Place]:
    """Those of the unmanaged properties that `inputs` do not set. (Older states have bare names at the top.)"""
    every = ([place] if isinstance(place, str) else place for place in places)
    plain = reveal(inputs)
    return [place for place in every if place[0] in fields(model) and not _is_set(model, place, plain)]


def _is_set(model: type[Spec], place: Place, inputs: Any) -> bool:
    """Whether it is set, or the item of a list is gone that had it."""
    name, *inside = place
    if not isinstance(inputs, dict) or name not in inputs:
        return False
    item, value = fields(model)[name].item, inputs[name]
    if not inside or item is None:
        return True
    if not isinstance(value, list):
        return _is_set(item, inside, value)
    mine = [one for one in value if isinstance(one, dict) and one.get(item.key) == inside[0]]
    return not mine or _is_set(item, inside[1:], mine[0])


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
    found = dict(inputs)
    for name, facts in fields(model).items():
        inside = [place[1:] for place in places if place[0] == name]
        was, value = state.get(name), inputs.get(name)
        if not inside or was is None:
            continue
        if name not in inputs and [] in inside:
            found[name] = was
        elif facts.item is not None and isinstance(value, list):
            found[name] = [_with_item(facts.item, item, inside, _parts(was)) for item in value]
        elif facts.item is not None and isinstance(value, dict):
            found[name] = _with(facts.item, value, [place for place in inside if place], _parts(was))
    return found


def _with_item(model: type[Spec], item: Any, places: list[Place], state: list[Any]) -> Any:
    if not isinstance(item, dict):
        return item
    key = item.get(model.key)
    was: Any = next((one for one in state if reveal(one).get(model.key) == key), {})
    return _with(model, item, [place[1:] for place in places if place and place[0] == key], _parts(was))


def _parts(value: Any) -> Any:
    """A list or object of a state, opened; what is in a secret one is each a secret."""
    if not isinstance(value, Secret):
        return value
    inner = reveal(value)
    if isinstance(inner, dict):
        return {name: Secret(part) for name, part in inner.items()}
    return [Secret(part) for part in inner]


def set_alone(model: type[Spec], inputs: Bag) -> Bag:
    """Inputs in which the first form of a state has every default, without what they would have anyway."""
    known = fields(model)
    found = {name: _set_inside(known[name], value) for name, value in inputs.items() if name in known}
    for name in list(found):
        rest = {other: value for other, value in found.items() if other != name}
        filled = check(model, rest).whole
        if name in filled and not differs(known[name], inputs[name], filled[name]):
            found = rest
    return found


def _set_inside(field: FieldFacts, value: Any) -> Any:
    if field.item is None:
        return value
    if isinstance(value, list):
        return [_without_defaults(field.item, item) if isinstance(item, dict) else item for item in value]
    return _without_defaults(field.item, value) if isinstance(value, dict) else value


def _without_defaults(model: type[Spec], value: Bag) -> Bag:
    known = fields(model)
    return {
        name: _set_inside(known[name], inner)
        for name, inner in value.items()
        if name in known and (known[name].required or inner != known[name].default)
    }

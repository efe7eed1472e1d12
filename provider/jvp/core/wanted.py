"""What a program wants of an object: what it sets, and for the rest a default or what an import found.

Set is set, also to what is the default. What the program does not set has its default, which follows from other
properties for some; of an object that was imported it stays as it was found, until the program has set it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jvp.core.check import check
from jvp.core.diff import differs
from jvp.core.errors import Invalid
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.values import Bag


def unmanaged(model: type[Spec], state: Bag) -> list[str]:
    """The properties in which an imported object differs from the defaults."""
    return [
        name
        for name, facts in fields(model).items()
        if not facts.required and not facts.computed and state.get(name) not in (None, facts.default, [], {})
    ]


def whole(model: type[Spec], inputs: Bag, names: Iterable[str], state: Bag) -> Bag:
    """`inputs` with what they leave out: of `names`, which are not managed, the state's value, of others the default.

    Raises Invalid for inputs that break a rule.
    """
    kept = (name for name in names if name in fields(model) and name not in inputs and state.get(name) is not None)
    found = {name: state[name] for name in kept}
    # What followed from another property follows it still: maxCpus must not stay below cpus.
    for failure in check(model, {**inputs, **found}).failures if found else ():
        found.pop(str(failure.path[0]), None)
    checked = check(model, {**inputs, **found})
    if checked.spec is None:
        first = checked.failures[0]
        raise Invalid(first.message, path=first.path)
    return checked.whole


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

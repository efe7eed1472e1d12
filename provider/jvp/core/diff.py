"""Diff: what an update would change, and how each change takes effect. Pure; the same for every engine."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import BaseModel

from jvp.core.errors import Path, dotted
from jvp.core.facts import Derived, Effect
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.tree import NOTHING, by_place, mapped, nested, parts
from jvp.core.values import PLAIN, UNKNOWN, Bag, Secret, has_unknown, is_in, reveal


class Kind(enum.StrEnum):
    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    """One property that differs. `path` is in the new inputs, for a deleted list item in the old state."""

    path: Path
    kind: Kind
    effect: Effect
    old: Any = None
    new: Any = None
    note: str = ""
    """What a plan says of it beside its class."""

    def having(self, effect: Effect, note: str = "") -> Change:
        return replace(self, effect=effect, note=note)


def diff(model: type[Spec], state: Bag, old_inputs: Bag, new: Bag, *, imported: bool = False) -> list[Change]:
    """Changes that lead from `state` (as read) to `new` (checked inputs).

    A property missing in `new` was taken out of the program when `old_inputs` has it; when it never was in, or
    the object was imported and not updated since, it is not managed and does not differ.
    """
    return list(_models(model, reveal(state), reveal(old_inputs), reveal(new), (), Effect.LIVE, imported))


def _models(
    model: type[BaseModel], state: Bag, old: Bag, new: Bag, path: Path, floor: Effect, imported: bool
) -> Iterator[Change]:
    for name, field in fields(model).items():
        before, wanted = state.get(name), new.get(name)
        if field.output is not None or (wanted is not None and _alike(before, wanted)):
            continue
        # A sub-model's property is as hard to change as the property that holds it.
        effect, here = max(floor, field.effect), (*path, name)
        if wanted is None:
            yield from _removed(field, before, old.get(name), here, effect, imported)
        elif wanted is UNKNOWN:
            kind = Kind.ADD if before is None else Kind.UPDATE
            yield Change(here, kind, max(effect, _hardest(field)), before, UNKNOWN)
        else:
            yield from _field(field, before, old.get(name), wanted, here, effect, imported)


def _hardest(field: FieldFacts) -> Effect:
    """What a change may do at most, of a property or of anything inside it. An item among others may just be new."""
    inside = fields(field.item).values() if field.item is not None and not field.holds_many else ()
    return max(field.effect, *(_hardest(one) for one in inside), Effect.LIVE)


def _removed(
    field: FieldFacts, before: Any, old_input: Any, path: Path, effect: Effect, imported: bool
) -> Iterator[Change]:
    if field.computed or imported or old_input is None or before in (None, [], {}):
        return
    yield Change(path, Kind.DELETE, effect, before, None)


def _field(
    field: FieldFacts, before: Any, old: Any, wanted: Any, path: Path, effect: Effect, imported: bool
) -> Iterator[Change]:
    if field.holds_many:
        yield from _items(field, before, old, wanted, path, effect, imported)
    elif field.item is not None and isinstance(before, dict):
        yield from _models(field.item, before, old or {}, wanted, path, effect, imported)
    elif before is None:
        if wanted not in ([], {}):
            yield Change(path, Kind.ADD, effect, None, wanted)
    elif _alike(before, wanted):
        return
    elif has_unknown(wanted) or field.canonical(before) != field.canonical(wanted):
        yield Change(path, Kind.UPDATE, effect, before, wanted)


def _alike(one: Any, other: Any) -> bool:
    """Whether two values need no parser to be the same."""
    return type(one) is type(other) and bool(one == other)


def _items(
    field: FieldFacts, state: Any, old: Any, new: Any, path: Path, effect: Effect, imported: bool
) -> Iterator[Change]:
    assert field.item is not None
    before, asked, kept = by_place(field, state), by_place(field, old), set()
    for step, place, item in parts(field, new):
        here, was = (*path, *step), before.get(place)
        if was is None:
            yield Change(here, Kind.ADD, effect, None, item)
            continue
        kept.add(place)
        if item is UNKNOWN:
            hardest = max(_hardest(one) for one in fields(field.item).values())
            yield Change(here, Kind.UPDATE, max(effect, hardest), was, UNKNOWN)
        else:
            yield from _models(field.item, was, asked.get(place, {}), item, here, effect, imported)
    for step, place, item in parts(field, state):
        if place not in kept and (place in asked or not imported):
            yield Change((*path, *step), Kind.DELETE, effect, item, None)


def respelled(model: type[BaseModel], value: Bag, prior: Bag) -> Bag:
    """`value` as read from a host, in the spelling and order that `prior` has where the meaning is the same."""
    known = fields(model)
    names = [name for name in prior if name in value]
    names += [name for name in value if name not in prior]
    return {
        name: _respelled(known.get(name), value[name], was)
        if (was := prior.get(name)) is not None and not _alike(value[name], was)
        else value[name]
        for name in names
    }


def _respelled(field: FieldFacts | None, value: Any, prior: Any) -> Any:
    if field is None or field.output is not None or prior is None or prior is UNKNOWN or value is None:
        return value
    if isinstance(prior, Secret):
        inner = _respelled(field, reveal(value), prior.reveal())
        return Secret(inner)
    if field.item is not None and type(value) is type(prior):
        return mapped(field, value, respelled, prior, in_order=True)
    return prior if field.canonical(reveal(value)) == field.canonical(prior) else value


def differs(field: FieldFacts, before: Any, wanted: Any) -> bool:
    """Whether an object that has `before` would be changed to have `wanted`."""
    if wanted is not None and _alike(before, wanted):
        return False
    return any(_field(field, reveal(before), None, reveal(wanted), (), Effect.LIVE, False))


def declared(model: type[BaseModel], state: Bag, prior: Bag, whole: Bag) -> Bag:
    """The inputs that a program like `prior` would have for `state`. `whole` is `prior` with defaults filled in.

    What it never said stays unsaid, but for what is unlike the default: `state` needs that to be said.
    """
    known = fields(model)
    found = {
        name: state[name] if type(was) in PLAIN else _declared(known.get(name), state[name], was, whole.get(name))
        for name, was in prior.items()
        if state.get(name) is not None
    }
    unlike = (
        name
        for name, filled in whole.items()
        if name not in prior and state.get(name) is not None and differs(known[name], state[name], filled)
    )
    return found | {name: state[name] for name in unlike}


def _declared(field: FieldFacts | None, value: Any, prior: Any, whole: Any) -> Any:
    if isinstance(prior, Secret):
        return Secret(_declared(field, reveal(value), prior.reveal(), reveal(whole)))
    if field is None or field.item is None or isinstance(value, Secret):
        return value
    return mapped(field, value, _declared_inside, prior, whole)


def _declared_inside(model: type[Spec], item: Bag, prior: Bag, whole: Bag) -> Bag:
    """Of an item that no program declares, all."""
    return declared(model, item, item if prior is NOTHING else prior, whole)


def completed(model: type[BaseModel], new: Bag, prior: Bag) -> Bag:
    """`new` inputs with what is chosen inside nested values: as `prior` (the state) has it, else UNKNOWN.

    At the top level a preview may leave a value out, which means unknown; a nested one must say so.
    """
    found = dict(new)
    for field in nested(model):
        if field.name in new:
            found[field.name] = mapped(field, new[field.name], _chosen, prior.get(field.name))
    return found


def _chosen(model: type[Spec], value: Bag, prior: Bag) -> Bag:
    ours = {name: prior.get(name, UNKNOWN) for name in _choices(model)}
    return {**ours, **completed(model, value, prior)}


@cache
def _choices(model: type[Spec]) -> tuple[str, ...]:
    """The properties that are chosen where nobody sets them."""
    return tuple(name for name, one in fields(model).items() if one.computed and one.fact(Derived) is None)


def consequences(changes: Iterable[Change]) -> list[str]:
    """What a plan says beside the differences: which changes do not simply happen live, one line for each class."""
    paths: dict[str, list[str]] = {}
    for change in changes:
        words = "; ".join(filter(None, (change.effect.consequence, change.note)))
        if words:
            paths.setdefault(words, []).append(dotted(change.path))
    return [f"{', '.join(names)}: {consequence}" for consequence, names in paths.items()]


def defaulted(changes: Iterable[Change], given: Bag) -> list[str]:
    """What becomes of properties that are not `given`, in one line if any."""
    found = [
        f"{dotted(change.path)} {str(change.new).lower() if isinstance(change.new, bool) else change.new}"
        for change in changes
        if change.kind is Kind.UPDATE and not is_in(given, change.path) and isinstance(change.new, str | int)
    ]
    return [f"what is not set takes its default: {', '.join(found)}"] if found else []

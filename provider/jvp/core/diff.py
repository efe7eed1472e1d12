"""Diff: what an update would change, and how each change takes effect. Pure; the same for every engine."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from jvp.core.errors import Path, dotted
from jvp.core.facts import Derived, Effect
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.values import PLAIN, UNKNOWN, Bag, Secret, has_unknown, is_in, opened, reveal


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
        if field.output is not None:
            continue
        # A sub-model's property is as hard to change as the property that holds it.
        effect = max(floor, field.effect)
        before, wanted = state.get(name), new.get(name)
        if name not in new or wanted is None:
            yield from _removed(field, before, old.get(name), (*path, name), effect, imported)
        elif wanted is UNKNOWN:
            kind = Kind.ADD if before is None else Kind.UPDATE
            yield Change((*path, name), kind, max(effect, _hardest(field)), before, UNKNOWN)
        else:
            yield from _field(field, before, old.get(name), wanted, (*path, name), effect, imported)


def _hardest(field: FieldFacts) -> Effect:
    """What a change may do at most, of a property or of anything inside it. An item of a list may just be a new one."""
    inside = fields(field.item).values() if field.item is not None and not field.is_list else ()
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
    if field.item is not None and field.is_list:
        yield from _items(field.item, before or [], old or [], wanted, path, effect, imported)
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
    """Whether two plain values need no parser to be the same."""
    return type(one) in PLAIN and type(one) is type(other) and bool(one == other)


def _items(
    model: type[Spec], state: list[Bag], old: list[Bag], new: list[Any], path: Path, effect: Effect, imported: bool
) -> Iterator[Change]:
    """List items are matched by their key."""
    key = model.key
    before = {item[key]: (index, item) for index, item in enumerate(state)}
    asked = {item[key]: item for item in old if isinstance(item, dict) and item.get(key) is not UNKNOWN}
    kept: set[str] = set()
    for index, item in enumerate(new):
        if item is UNKNOWN or item.get(key) is UNKNOWN or item[key] not in before:
            yield Change((*path, index), Kind.ADD, effect, None, item)
            continue
        kept.add(item[key])
        _, was = before[item[key]]
        yield from _models(model, was, asked.get(item[key], {}), item, (*path, index), effect, imported)
    for name, (index, was) in before.items():
        if name not in kept and (name in asked or not imported):
            yield Change((*path, index), Kind.DELETE, effect, was, None)


def respelled(model: type[BaseModel], value: Bag, prior: Bag) -> Bag:
    """`value` as read from a host, in the spelling and order that `prior` has where the meaning is the same."""
    known = fields(model)
    ordered = [*(name for name in prior if name in value), *(name for name in value if name not in prior)]
    return {name: _respelled(known.get(name), value[name], prior.get(name)) for name in ordered}


def _respelled(field: FieldFacts | None, value: Any, prior: Any) -> Any:
    if field is None or field.output is not None or prior is None or prior is UNKNOWN or value is None:
        return value
    if _alike(value, prior):
        return prior
    if isinstance(prior, Secret):
        inner = _respelled(field, reveal(value), prior.reveal())
        return Secret(inner)
    if field.item is not None and field.is_list and isinstance(value, list) and isinstance(prior, list):
        return _respelled_items(field.item, value, prior)
    if field.item is not None and isinstance(value, dict) and isinstance(prior, dict):
        return respelled(field.item, value, prior)
    return prior if field.canonical(reveal(value)) == field.canonical(prior) else value


def _respelled_items(model: type[Spec], value: list[Any], prior: list[Any]) -> list[Any]:
    key = model.key
    found = {item[key]: item for item in value}
    before = {item[key]: item for item in prior if isinstance(item, dict) and isinstance(item.get(key), str)}
    first = [respelled(model, found.pop(name), was) for name, was in before.items() if name in found]
    return [*first, *found.values()]


def differs(field: FieldFacts, before: Any, wanted: Any) -> bool:
    """Whether an object that has `before` would be changed to have `wanted`."""
    return any(_field(field, reveal(before), None, reveal(wanted), (), Effect.LIVE, False))


def declared(model: type[BaseModel], state: Bag, prior: Bag, whole: Bag) -> Bag:
    """The inputs that a program like `prior` would have for `state`. `whole` is `prior` with defaults filled in.

    What it never said stays unsaid, but for what is unlike the default: `state` needs that to be said.
    """
    known = fields(model)
    found = {
        name: _declared(known.get(name), state[name], was, whole.get(name))
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
    if field.is_list and isinstance(prior, list):
        key = field.item.key
        before, filled = (
            {opened(item)[key]: item for item in items or () if isinstance(opened(item), dict)}
            for items in (prior, whole)
        )
        return [
            _declared_item(field.item, item, before.get(name, item), filled.get(name, {}))
            for item in value
            for name in [opened(item)[key]]
        ]
    if isinstance(value, dict) and isinstance(prior, dict):
        return declared(field.item, value, prior, whole or {})
    return value


def _declared_item(model: type[Spec], item: Any, prior: Any, whole: Any) -> Any:
    found = declared(model, opened(item), opened(prior), opened(whole))
    return Secret(found) if isinstance(item, Secret) or isinstance(prior, Secret) else found


def completed(model: type[BaseModel], new: Bag, prior: Bag) -> Bag:
    """`new` inputs with what is chosen inside nested values: as `prior` (the state) has it, else UNKNOWN.

    At the top level a preview may leave a value out, which means unknown; a nested one must say so.
    """
    return {name: _completed(fields(model).get(name), value, prior.get(name)) for name, value in new.items()}


def _completed(field: FieldFacts | None, value: Any, prior: Any) -> Any:
    if field is None or field.item is None:
        return value
    if field.is_list and isinstance(value, list):
        items = prior if isinstance(prior, list) else []
        key = field.item.key
        before = {item.get(key): item for item in items if isinstance(item, dict)}
        return [
            _chosen(field.item, item, before.get(item.get(key), {})) if isinstance(item, dict) else item
            for item in value
        ]
    return _chosen(field.item, value, prior if isinstance(prior, dict) else {}) if isinstance(value, dict) else value


def _chosen(model: type[Spec], value: Bag, prior: Bag) -> Bag:
    ours = {
        name: prior.get(name, UNKNOWN)
        for name, facts in fields(model).items()
        if facts.computed and facts.fact(Derived) is None
    }
    return {**ours, **completed(model, value, prior)}


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

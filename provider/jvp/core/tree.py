"""What stands inside a property of a model: an object, a list of objects or a map of them.

Here alone it is told how one walks them: which item of another value is the same one (in a list by its key, in a map by
the map's), that what is not known yet has nothing inside, and that what is in a Secret stays in one. Who walks a model
says what to do with one object, and leaves the rest to `mapped` or `parts`.

A place leads to a property by names and keys, so it holds while items move: ("nics", "eth0", "network"). A path leads
there by indices, as users read it: ("nics", 0, "network").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from jvp.core.errors import Path
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.values import UNKNOWN, Bag, Secret, opened

Place = tuple[str, ...]
MISSING: Any = object()
"""What `at` finds where nothing stands."""
NOTHING: Bag = {}
"""What `mapped` gives for the same object where there is none."""
_NOWHERE: Any = (UNKNOWN,)
_OBJECT = frozenset({dict})
"""The type of what most items are, and those that they are compared with."""


@cache
def nested(model: type[BaseModel]) -> tuple[FieldFacts, ...]:
    """The properties of a model that hold objects."""
    return tuple(field for field in fields(model).values() if field.item is not None)


@cache
def every(model: type[BaseModel]) -> tuple[FieldFacts, ...]:
    """The properties of a model, and those of all objects inside."""
    found: list[FieldFacts] = []
    for field in fields(model).values():
        found += [field, *(every(field.item) if field.item is not None else ())]
    return tuple(found)


def along(model: type[BaseModel], path: Sequence[str | int]) -> Iterator[tuple[str | int, FieldFacts | None, bool]]:
    """Each part of a path, the property that it names, and whether it is a key that a user made up.

    An index, a key and what the model does not know name none.
    """
    known, holder = fields(model), None
    for part in path:
        if holder is not None and (holder.is_map or isinstance(part, int)):
            made_up, holder = holder.is_map, None
            yield part, None, made_up
            continue
        holder = known.get(part) if isinstance(part, str) else None
        known = fields(holder.item) if holder is not None and holder.item is not None else {}
        yield part, holder, False


def parts(field: FieldFacts, value: Any) -> Iterator[tuple[Path, Place, Any]]:
    """What a property's value holds: of each item its step in a path, its step in a place, and itself, opened.

    An item that is not known yet is UNKNOWN, and so is its step in a place.
    """
    held = opened(value)
    if field.item is None:
        return
    if field.is_list and isinstance(held, list):
        for index, (key, item) in enumerate(zip(_keys(field, held), held, strict=True)):
            yield (index,), (key,), opened(item)
    elif field.is_map and isinstance(held, dict):
        for key, item in held.items():
            yield (key,), (key,), opened(item)
    elif not field.is_list and isinstance(held, dict):
        yield (), (), held


def by_place(field: FieldFacts, value: Any) -> dict[Place, Bag]:
    """The objects in a property's value by their steps in a place; none whose key is not known yet."""
    return {place: item for _, place, item in parts(field, value) if isinstance(item, dict) and place != _NOWHERE}


def mapped(
    field: FieldFacts, value: Any, make: Callable[..., Any], *others: Any, in_order: bool = False, aligned: bool = False
) -> Any:
    """`value` with each object in it replaced by what `make` gives for it: `make(model, object, ...)`.

    It is given the same object of each of `others` too, values of the same property; NOTHING where there is none.
    What is a Secret in any of them is one in the answer. What is no object stays as it is. With `in_order` the items of
    a list stand as the first of the others has them, new ones last. With `aligned` an item whose key is not known yet
    is the same one as that at its index.
    """
    if field.item is None:
        return value
    if not field.holds_many:
        return _made(field.item, make, value, *others)
    held, there = opened(value), [_items(field, other, aligned=aligned) for other in others]
    if field.is_list and isinstance(held, list):
        made: Any = _made_list(field, held, make, there, in_order, aligned)
    elif field.is_map and isinstance(held, dict):
        made = {
            key: _made(field.item, make, item, *(one.get(key, NOTHING) for one in there)) for key, item in held.items()
        }
    else:
        return value
    return Secret(made) if Secret in map(type, (value, *others)) else made


def _made_list(
    field: FieldFacts, items: list[Any], make: Callable[..., Any], others: list[Bag], in_order: bool, aligned: bool
) -> list[Any]:
    model = field.item
    if not others:
        return [make(model, item) if type(item) is dict else _made(model, make, item) for item in items]
    keys = _keys(field, items)
    if aligned:
        keys = [index if key is UNKNOWN else key for index, key in enumerate(keys)]
    if in_order and keys != [*others[0]]:
        index = {key: number for number, key in enumerate(others[0])}
        pairs = sorted(zip(keys, items, strict=True), key=lambda pair: index.get(pair[0], len(index)))
        keys, items = [key for key, _ in pairs], [item for _, item in pairs]
    columns = [[one.get(key, NOTHING) for key in keys] for one in others]
    rows = zip(items, *columns, strict=True)
    return [make(model, *row) if _OBJECT.issuperset(map(type, row)) else _made(model, make, *row) for row in rows]


def at(model: type[BaseModel], value: Any, place: Sequence[str]) -> Any:
    """What stands at the place of a property, a Secret where what holds it is one; MISSING where nothing does."""
    held, rest = opened(value), place[1:]
    found = held.get(place[0], MISSING) if isinstance(held, dict) else MISSING
    if rest and found is not MISSING:
        field = fields(model).get(place[0])
        found = _inside(field, found, rest) if field is not None and field.item is not None else MISSING
    return _like(value, found)


def put(model: type[BaseModel], bag: Bag, place: Sequence[str], value: Any) -> Bag:
    """A bag with `value` at the place of a property; None takes out what is there.

    It stays as it is where nothing holds the property.
    """
    name, rest = place[0], place[1:]
    field = fields(model).get(name)
    if field is None or (rest and (field.item is None or name not in bag)):
        return bag
    if not rest:
        return {**bag, name: value} if value is not None else {key: one for key, one in bag.items() if key != name}
    key, inside = (rest[0], rest[1:]) if field.holds_many else (None, rest)

    def there(model: type[Spec], found: Bag) -> Bag:
        is_it = not field.is_list or _key(model.key, found) == key
        return put(model, found, inside, value) if is_it and inside else found

    held = opened(bag[name])
    if not field.is_map:
        return {**bag, name: mapped(field, bag[name], there)}
    if not isinstance(held, dict) or key not in held:
        return bag
    return {**bag, name: _like(bag[name], {**held, **mapped(field, {key: held[key]}, there)})}


def _inside(field: FieldFacts, value: Any, place: Sequence[str]) -> Any:
    """What stands at a place in a property's value, which holds objects."""
    assert field.item is not None
    if not field.holds_many:
        return at(field.item, value, place)
    item = _items(field, opened(value)).get(place[0], MISSING)
    return _like(value, item if item is MISSING or not place[1:] else at(field.item, item, place[1:]))


def _like(holder: Any, found: Any) -> Any:
    is_secret = isinstance(holder, Secret) and found is not MISSING and not isinstance(found, Secret)
    return Secret(found) if is_secret else found


def _keys(field: FieldFacts, items: list[Any]) -> list[Any]:
    """What tells each item of a list from the others; UNKNOWN for one of which that is not known."""
    assert field.item is not None
    name = field.item.key
    return [key if type(item) is dict and type(key := item.get(name)) is str else _key(name, item) for item in items]


def _key(name: str, item: Any) -> Any:
    held = opened(item)
    key = opened(held.get(name)) if isinstance(held, dict) else None
    return UNKNOWN if key is None else key


def _items(field: FieldFacts, value: Any, *, aligned: bool = False) -> dict[Any, Any]:
    """The items of a list or map by their keys, as they are; if `aligned`, those of a list by their indices too."""
    value = opened(value)
    if field.is_map:
        return value if isinstance(value, dict) else NOTHING
    if not isinstance(value, list):
        return NOTHING
    found = dict(zip(_keys(field, value), value, strict=True))
    found.pop(UNKNOWN, None)
    return {**found, **dict(enumerate(value))} if aligned else found


def _made(model: Any, make: Callable[..., Any], item: Any, *others: Any) -> Any:
    """An object replaced, and a Secret if it or one of the others is."""
    held = opened(item)
    if not isinstance(held, dict):
        return item
    there = (inner if isinstance(inner := opened(other), dict) else NOTHING for other in others)
    made = make(model, held, *there)
    return Secret(made) if Secret in map(type, (item, *others)) else made

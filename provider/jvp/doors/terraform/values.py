"""Terraform's values <-> bags.

A raw value is what a host sends: a dict of every attribute in snake_case, None for what is not set, UNKNOWN for what is
known after the apply. A bag has the users' camelCase and leaves out what is not set. Sensitive values are marked in the
schema alone, so a raw value holds them bare, and a bag that is made of one hides them as the model says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import ormsgpack
from pydantic import BaseModel

from jvp.core.check import hide
from jvp.core.errors import Path
from jvp.core.facts import Sentences
from jvp.core.model import FieldFacts, fields
from jvp.core.tree import along, mapped, parts
from jvp.core.values import PLAIN, UNKNOWN, Bag, reveal
from jvp.doors.terraform.protocol import DynamicValue, Message
from jvp.doors.terraform.spelling import spoken

Raw = dict[str, Any]

_UNKNOWN = ormsgpack.Ext(0, b"\x00")


def decode(value: Message) -> Any:
    """What is in a DynamicValue; None for null. Any extension of msgpack means unknown (refinements are one too)."""
    if value.msgpack:
        return ormsgpack.unpackb(value.msgpack, ext_hook=lambda _code, _data: UNKNOWN)
    return json.loads(value.json) if value.json else None


def encode(raw: Any) -> Message:
    """A DynamicValue."""
    return DynamicValue(msgpack=ormsgpack.packb(raw, default=_extension, option=ormsgpack.OPT_PASSTHROUGH_BIG_INT))


def _extension(value: Any) -> Any:
    if value is UNKNOWN:
        return _UNKNOWN
    if isinstance(value, int):
        return str(value)  # more than 64 bits
    raise TypeError(f"a {type(value).__name__} is no value of a property")


def to_bag(model: type[BaseModel], raw: Raw) -> Bag:
    """The properties that are set, in the users' spelling, with Secrets where the model has them."""
    return hide(_bag(model, raw), set(), model)


def _bag(model: type[BaseModel], raw: Raw) -> Bag:
    return {
        name: _to_core(facts, value)
        for name, facts in fields(model).items()
        if (value := raw.get(facts.attribute)) is not None
    }


def _to_core(facts: FieldFacts, value: Any) -> Any:
    if facts.item is not None:
        return mapped(facts, value, _bag)
    return _number(value) if isinstance(value, str) and facts.annotation in (int, float) else value


def _number(text: str) -> int | float:
    """Numbers that are large or exact come as text."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def to_raw(model: type[BaseModel], bag: Bag) -> Raw:
    """Every attribute of the model, None where the bag has nothing. Opens Secrets: the host marks them itself."""
    return {facts.attribute: to_host(facts, bag.get(name), model) for name, facts in fields(model).items()}


def to_host(facts: FieldFacts, value: Any, model: type[BaseModel]) -> Any:
    """One attribute of the model."""
    if type(value) in PLAIN or value is UNKNOWN:
        return value
    value = reveal(value)
    if value is not None and facts.fact(Sentences) is not None:
        return [one if one is UNKNOWN else spoken(one, model) for one in value]
    return mapped(facts, value, to_raw) if facts.item is not None else value


def nulls(model: type[BaseModel], raw: Raw, path: Path = ()) -> Iterator[Path]:
    """Where lists and maps hold null. A bag has no null, and what is left out of a plan breaks its promise."""
    for name, facts in fields(model).items():
        value, here = raw.get(facts.attribute), (*path, name)
        if facts.item is not None:
            for step, _, item in parts(facts, value):
                if item is None:
                    yield (*here, *step)
                elif isinstance(item, dict):
                    yield from nulls(facts.item, item, (*here, *step))
        elif isinstance(value, list | dict):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            yield from ((*here, key) for key, item in items if item is None)


class Key(str):
    """A key of a map, in the path of an attribute."""


def attribute_path(model: type[BaseModel], path: Path) -> tuple[str | int, ...]:
    """A path of a bag as one of a raw value: `nics[0].mac`, `max_memory`. What the model does not know stays."""
    return tuple(
        Key(part) if is_key else facts.attribute if facts else part for part, facts, is_key in along(model, path)
    )

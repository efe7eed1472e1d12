"""A stored state, of this version or an older one, as this version has it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import BaseModel

from jvp.core.check import check
from jvp.core.errors import Invalid, dotted
from jvp.core.handler import AnyType
from jvp.core.model import Spec, fields
from jvp.core.types import is_uuid
from jvp.doors.terraform import moved, writeonly
from jvp.doors.terraform.schema import cty
from jvp.doors.terraform.values import Raw, to_bag, to_raw
from jvp.resources.provider import Timeouts

BESIDE: dict[str, Any] = {"id": "string", "unfinished": ["list", "string"], "adopt": "bool"}
"""The plain attributes of a resource that no model has, and their types; `adopt` where there is an object to adopt."""
ADVICE = "restore the state from a backup, or import the object again"


def upgraded(handler: AnyType, text: bytes) -> Raw:
    """Every attribute of a resource. What another version had goes, what is new is not set yet.

    Raises Invalid for what cannot be a state of the resource.
    """
    what = f"the state of the {handler.kind}"
    try:
        raw = json.loads(text, parse_float=_exact)
    except ValueError:
        raw = None
    refuse_broken(handler.state, raw, what)
    ours = {name: raw.get(name) for name in BESIDE if name != "adopt" or not handler.stands_for}
    for name, value in ours.items():
        _refuse_plain(BESIDE[name], value, f"{what}.{name}")
    timeouts = raw.get("timeouts")
    if timeouts is not None:
        refuse_broken(Timeouts, timeouts, f"{what}.timeouts")
        bag = to_bag(Timeouts, timeouts)
        for wrong in check(Timeouts, bag).failures:
            raise Invalid(f"{what}.timeouts.{dotted(wrong.path)} is broken: {wrong.message}; {ADVICE}")
        timeouts = to_raw(Timeouts, bag)
    for place, one in writeonly.written(handler.state, raw):
        _refuse_plain("number", one.version, f"{what}.{dotted(place)}")
    # Every id begins with a uuid: the object's own, its pool's, its domain's.
    if moved.reference_of(ours) is None and not is_uuid(str(ours["id"]).partition("/")[0]):
        raise Invalid(f"{what}.id is no id; {ADVICE}")
    whole = writeonly.closed(handler.state, to_raw(handler.state, to_bag(handler.state, raw)), raw)
    return {**whole, **ours, "timeouts": timeouts}


def _exact(digits: str) -> float | str:
    """A fraction of a state; as text, which hosts take too, where no float has all its digits."""
    return number if str(number := float(digits)) == digits else digits


def refuse_broken(model: type[BaseModel], raw: Any, where: str) -> None:
    """Raises Invalid for what cannot be a value of the model: no state of any version has it.

    A text that no program may declare, like the size of a file that an accident emptied, is told and mended.
    """
    if not isinstance(raw, dict):
        raise Invalid(f"{where} is no object; {ADVICE}")
    for facts in fields(model).values():
        value, name = raw.get(facts.attribute), f"{where}.{facts.attribute}"
        if value is None:
            continue
        if facts.item is None:
            _refuse_plain(_kinds(model)[facts.attribute], value, name)
        elif facts.holds_many and not isinstance(value, list if facts.is_list else dict):
            raise Invalid(f"{name} is no {'list' if facts.is_list else 'map'}; {ADVICE}")
        else:
            for item in value if facts.is_list else value.values() if facts.is_map else [value]:
                refuse_broken(facts.item, item, name)
                if facts.is_list and facts.output is None:
                    _refuse_without_key(facts.item, item, name)


@cache
def _kinds(model: type[BaseModel]) -> dict[str, Any]:
    """The types of the plain attributes."""
    return {facts.attribute: cty(facts.annotation) for facts in fields(model).values() if facts.item is None}


def _refuse_without_key(model: type[Spec], item: Raw, where: str) -> None:
    key = fields(model).get(model.key)
    if key is not None and item.get(key.attribute) is None:
        raise Invalid(f"{where}.{key.attribute} is missing; {ADVICE}")


def _refuse_plain(kind: Any, value: Any, where: str) -> None:
    if value is None:
        return
    if isinstance(kind, list):
        if not isinstance(value, list if kind[0] == "list" else dict):
            raise Invalid(f"{where} is no {kind[0]}; {ADVICE}")
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_plain(kind[1], item, where)
    elif not _is_a(kind, value):
        raise Invalid(f"{where} is no {kind}; {ADVICE}")


def _is_a(kind: str, value: Any) -> bool:
    if kind == "number" and isinstance(value, str):
        try:
            float(value)  # large ones come as text
        except ValueError:
            return False
        return True
    types: dict[str, Any] = {"string": str, "bool": bool, "number": int | float}
    return isinstance(value, types[kind]) and isinstance(value, bool) == (kind == "bool")

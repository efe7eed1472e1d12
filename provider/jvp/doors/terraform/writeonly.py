"""Secrets that no state and no plan holds.

Beside each secret of a resource that may be left out, `password`, stand `password_wo`, which a host sends with every
configuration and keeps nowhere, and `password_wo_version`, whose change writes it anew. To the core they are the
property itself: here it is put into what comes from a configuration, and taken out of what goes into a state.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import BaseModel

from jvp.core.check import Failure
from jvp.core.errors import Path, dotted
from jvp.core.facts import Derived
from jvp.core.model import FieldFacts, fields
from jvp.core.tree import mapped, parts, put
from jvp.core.values import UNKNOWN, Bag, Secret
from jvp.doors.terraform.values import Raw, attribute_path

Place = tuple[str, ...]
"""Where a property stands in a bag; an item of a list stands under its key: cloudInit, users, ann, password."""

_BEFORE = Secret("what was written before")


@dataclass(frozen=True)
class Written:
    """One write-only value of a configuration, or what a state knows of it: the version."""

    value: Any
    version: Any
    path: Path
    """Of its property in the raw value."""
    beside: bool
    """Whether the property itself is given too."""


def names(facts: FieldFacts) -> tuple[str, str] | None:
    """The write-only attribute of a property and its version's, None for a property that has none."""
    plain = facts.item is None and (facts.annotation is str or facts.is_list) and not facts.required
    if not (plain and facts.sensitive and _is_set_by_users(facts)):
        return None
    return f"{facts.attribute}_wo", f"{facts.attribute}_wo_version"


def _is_set_by_users(facts: FieldFacts) -> bool:
    return facts.output is None and facts.fact(Derived) is None


def written(model: type[BaseModel], raw: Raw, place: Place = (), path: Path = ()) -> Iterator[tuple[Place, Written]]:
    """Every write-only value of a raw value. Of a list, items whose key is not known yet are left out."""
    for name, facts, beside in _parts(model):
        inner, here = raw.get(facts.attribute), (*path, facts.attribute)
        if beside is not None:
            value, version = (raw.get(one) for one in beside)
            if value is not None or version is not None:
                yield (*place, name), Written(value, version, here, inner is not None)
        elif facts.item is not None:
            for step, key, item in parts(facts, inner):
                if isinstance(item, dict) and all(isinstance(one, str) for one in key):
                    yield from written(facts.item, item, (*place, name, *key), (*here, *step))


@cache
def _parts(model: type[BaseModel]) -> list[tuple[str, FieldFacts, tuple[str, str] | None]]:
    """The properties that have write-only attributes, with those, and the objects and lists in which some have."""
    every = ((name, facts, names(facts)) for name, facts in fields(model).items())
    return [
        (name, facts, beside)
        for name, facts, beside in every
        if beside is not None or (facts.item is not None and _is_set_by_users(facts) and _parts(facts.item))
    ]


def failures(model: type[BaseModel], raw: Raw, *, allowed: bool) -> Iterator[Failure]:
    """What is wrong with the write-only values of a configuration. `allowed` says that the host knows such."""
    for _, one in written(model, raw):
        *path, name = one.path
        here, version = (*path, f"{name}_wo"), f"{name}_wo_version"
        if one.value is None:
            yield Failure((*path, version), f"is of use beside {name}_wo alone")
        elif one.beside:
            yield Failure(here, f"cannot stand beside {name}; give one of them")
        elif one.version is None:
            yield Failure(here, f"needs {version}, a number: its change is what writes another {name}")
        elif not allowed:
            yield Failure(here, f"is kept out of the state by Terraform and OpenTofu from 1.11 on alone; give {name}")


def placed(model: type[BaseModel], raw: Raw, wrong: Iterable[Failure]) -> Iterator[Failure]:
    """What a check of a filled bag found, at the attributes that the configuration has."""
    given = _given(model, raw)
    for failure in wrong:
        path = attribute_path(model, failure.path)
        here = next((place for place in given if path[: len(place)] == place), None)
        yield replace(failure, path=(*given[here], *path[len(here) :]) if here else failure.path)


def named(model: type[BaseModel], raw: Raw, sentence: str) -> str:
    """A sentence with the attributes that the configuration has, in the place of the properties."""
    for path, given in _given(model, raw).items():
        sentence = re.sub(rf"(?<![\w.]){re.escape(dotted(path))}(?![\w.])", dotted(given), sentence)
    return sentence


def _given(model: type[BaseModel], raw: Raw) -> dict[Path, Path]:
    """The write-only attributes of a configuration by the properties that they stand for."""
    return {one.path: (*one.path[:-1], f"{one.path[-1]}_wo") for _, one in written(model, raw) if not one.beside}


def compared(
    model: type[BaseModel], prior: Raw | None, config: Raw | None, promised: Raw | None = None
) -> tuple[dict[Place, Any], dict[Place, Any]]:
    """Properties for the state and for the configuration, which differ exactly where the versions do.

    The versions are those of the plan where there is one: `ignore_changes` may have kept them.
    """
    given = dict(written(model, config or {}))
    planned = dict(written(model, promised or {}))
    before: dict[Place, Any] = {}
    # What the plan has not is ignored: it must reach neither the object nor what is kept.
    now = {place: one.value for place, one in given.items() if promised is None or place in planned}
    had = dict(written(model, prior or {}))
    # What the state holds in the clear is to leave it.
    before |= {place: _BEFORE for place in now if place not in had}
    for place, was in had.items():
        new = planned.get(place) or given.get(place)
        if new is None or new.version != was.version:
            before[place] = _BEFORE
        elif now.get(place) is UNKNOWN:
            now[place] = None
        else:
            before[place] = now.get(place)
    return before, now


def unchanged(model: type[BaseModel], config: Raw, prior: Raw, changed: Collection[str]) -> Raw:
    """The objects and lists of `prior` that a plan leaves as they are. `changed` are properties."""
    return {
        facts.attribute: was
        for name, facts in fields(model).items()
        if isinstance(was := prior.get(facts.attribute), dict | list)
        and (name not in changed or config.get(facts.attribute) is None)
    }


def filled(model: type[BaseModel], bag: Bag, found: Mapping[Place, Any]) -> Bag:
    """A bag with these properties; None takes one out, and one whose place the bag does not have is left out."""
    for place, value in found.items():
        bag = put(model, bag, place, Secret(value) if isinstance(value, str | list) else value)
    return bag


def without(model: type[BaseModel], bag: Bag, raw: Raw | None) -> Bag:
    """A bag without what `raw` says was given as write-only."""
    return filled(model, bag, {place: None for place, _ in written(model, raw or {})})


def closed(model: type[BaseModel], raw: Raw, like: Raw) -> Raw:
    """A raw value with the attributes of this module, whose versions are those of `like`, and without its secrets."""
    made = dict(raw)
    for _, facts, beside in _parts(model):
        value, was = raw.get(facts.attribute), like.get(facts.attribute)
        if beside is not None:
            version = like.get(beside[1])
            made |= {beside[0]: None, beside[1]: version}
            made[facts.attribute] = value if version is None else None
        else:
            made[facts.attribute] = mapped(facts, value, closed, was, aligned=True)
    return made

"""What is on a node, as configuration: each object a resource and the block that imports it.

Nothing is written to the node. A reference to an object that is exported too is an expression, so that the engine
knows the order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Invalid, JvpError
from jvp.core.handler import AnyHandler
from jvp.core.stored import Stored
from jvp.core.text import sentence
from jvp.core.work import Work
from jvp.doors.terraform.hcl import Expression, block
from jvp.doors.terraform.schema import type_name
from jvp.doors.terraform.spelling import spoken
from jvp.doors.terraform.values import to_raw
from jvp.resources import registry
from jvp.resources.instance.definition import root_name
from jvp.resources.provider import Provider

KINDS = {type_name(token): token for token in registry.TYPES}
"""The resource types with their tokens, in the order in which they stand on each other."""
REFERENCES = {
    "pool": "jvp_storage_pool",
    "network": "jvp_network",
    "template": "jvp_template",
    "volume": "jvp_volume",
    "iso": "jvp_volume",
    "instance": "jvp_instance",
    "firewall": "jvp_firewall",
}
"""Attributes that name another object, and of which type it is."""


@dataclass(frozen=True)
class _Found:
    type: str
    label: str
    stored: Stored


def export(uri: str | None, kind: str | None, names: list[str]) -> Iterator[str]:
    """Blocks of HCL: all objects of the node, those of a kind, or the named ones. Raises JvpError.

    An object of a whole kind that cannot be imported is left out, and a comment says why.
    """
    calls = registry.calls(_provider(uri))
    chosen = list(KINDS) if kind is None else [_type(kind)]
    found: list[_Found] = []
    comments: list[str] = []
    for type_ in chosen:
        handler = calls.handlers[KINDS[type_]]
        for name in names or _listed(calls, handler):
            try:
                found.append(_Found(type_, _label(found, type_, name), _imported(calls, handler, name)))
            except JvpError as error:
                if names:
                    raise
                comments.append(f'# {type_} "{sentence(name)}" is left out: {spoken(error.message, handler.spec)}\n')
    yield from comments
    named = {
        (one.type, spelling): Expression(f"{one.type}.{one.label}.id") for one in found for spelling in _spellings(one)
    }
    for one in found:
        yield _resource(registry.TYPES[KINDS[one.type]], one, named)


def _provider(uri: str | None) -> Provider:
    """The settings with this uri. Raises Invalid."""
    checked = check(Provider, {} if uri is None else {"uri": uri})
    for wrong in checked.failures:
        raise Invalid(wrong.message, path=wrong.path)
    assert checked.spec is not None
    return checked.spec


def _type(kind: str) -> str:
    """The resource type that a user means by `network` or `jvp_network`. Raises Invalid."""
    for type_ in KINDS:
        if kind in (type_, type_.removeprefix("jvp_")):
            return type_
    known = ", ".join(type_.removeprefix("jvp_") for type_ in KINDS)
    raise Invalid(f'"{sentence(kind)}" is no kind of resource; there are {known}')


def _listed(calls: Calls, handler: AnyHandler) -> list[str]:
    """The names of a kind's objects, without the root disks that belong to instances and go with them."""
    if handler.token == "Firewall":  # libvirt has two dozen of its own, which no program can declare
        return [one.name for one in handler.list(Work(), handler.filters(ours=True))]
    names = [listed.name for listed in calls.list(handler.token, Work())]
    if handler.token != "Volume":
        return names
    belonging = {root_name(instance.id) for instance in calls.list("Instance", Work())}
    return [name for name in names if name.rpartition("/")[2] not in belonging]


def _imported(calls: Calls, handler: AnyHandler, name: str) -> Stored:
    stored = calls.import_(handler.token, name, Work())
    if stored is None:
        raise Invalid(f'{handler.kind} "{sentence(name)}" is gone')
    return stored


def _label(found: list[_Found], type_: str, name: str) -> str:
    """A label for the object, the first of its type: of a volume the name without its pool."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", name.rpartition("/")[2])
    stem = stem if re.match(r"[A-Za-z_]", stem) else f"_{stem}"
    taken = {one.label for one in found if one.type == type_}
    labels = (stem if number == 1 else f"{stem}_{number}" for number in range(1, len(taken) + 2))
    return next(label for label in labels if label not in taken)


def _spellings(one: _Found) -> set[str]:
    """How references may name it."""
    name = one.stored.inputs["name"]
    holder = one.stored.state.get("poolName") or one.stored.state.get("instanceName")
    return {one.stored.id, f"{holder}/{name}" if holder else name}


def _resource(handler: Any, one: _Found, named: Mapping[tuple[str, str], Expression]) -> str:
    attributes = _referring(to_raw(handler.spec, one.stored.inputs), named)
    resource = block(f'resource "{one.type}" "{one.label}"', attributes)
    imported = block("import", {"to": Expression(f"{one.type}.{one.label}"), "id": one.stored.id})
    return f"{resource}\n{imported}"


def _referring(value: Any, named: Mapping[tuple[str, str], Expression], name: str = "") -> Any:
    """`value` with expressions in the place of references to exported objects."""
    if isinstance(value, str):
        return named.get((REFERENCES.get(name, ""), value), value)
    if isinstance(value, dict):
        return {key: _referring(item, named, key) for key, item in value.items()}
    return [_referring(item, named, name) for item in value] if isinstance(value, list) else value

"""What a host of Terraform's protocol holds a provider to, written down once more and on its own.

A value is what msgpack gives: None, bool, number, str, list, dict, or UNKNOWN. Every check lists what is wrong, and
where. Source: OpenTofu, `internal/plans/objchange` (plan_valid.go, compatible.go, objchange.go) and go-cty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jvp.core.values import UNKNOWN

Errors = list[str]
RESERVED = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner"}
"""Names that mean something else in the block of a resource."""


@dataclass(frozen=True)
class Attribute:
    """One attribute of a schema."""

    name: str
    type: Any
    """The JSON form of its type; None where it is nested."""
    nested: Mapping[str, Attribute] | None
    is_list: bool
    is_map: bool
    required: bool
    optional: bool
    computed: bool
    sensitive: bool
    write_only: bool
    choices: tuple[str, ...]
    """The words that its description allows; none where any will do."""

    @property
    def settable(self) -> bool:
        return self.required or self.optional


Block = Mapping[str, Attribute]


def block_of(attributes: Iterable[Any]) -> Block:
    """Attributes of the protocol's messages by name."""
    return {one.name: _attribute(one) for one in attributes}


def _attribute(one: Any) -> Attribute:
    nested = block_of(one.nested_type.attributes) if one.HasField("nested_type") else None
    return Attribute(
        name=one.name,
        type=None if nested is not None else json.loads(one.type),
        nested=nested,
        is_list=nested is not None and one.nested_type.nesting == 2,
        is_map=nested is not None and one.nested_type.nesting == 4,
        required=one.required,
        optional=one.optional,
        computed=one.computed,
        sensitive=one.sensitive,
        write_only=one.write_only,
        choices=tuple(re.findall(r"`(\w+)`", "".join(re.findall(r"One of (`[^.]*`)\.", one.description)))),
    )


def schema_errors(block: Block, where: str = "") -> Errors:
    """What a host refuses of a schema, and names that no configuration could use."""
    found = [] if where else [f"{name} is a reserved name" for name in sorted(RESERVED & set(block))]
    for name, one in block.items():
        path = f"{where}.{name}"
        if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
            found.append(f"{path} is not a name")
        if (one.required, one.optional, one.computed) not in (
            (True, False, False), (False, True, False), (False, False, True), (False, True, True),
        ):  # fmt: skip
            found.append(f"{path} must be required, optional, computed, or optional and computed")
        if one.write_only and one.computed:
            found.append(f"{path} cannot be computed, for it is never told")
        if one.nested is not None:
            found += schema_errors(one.nested, path)
    return found


# The type of a value


def mistyped(block: Block, value: Any, *, known: bool = False, where: str = "") -> Errors:
    """Where `value` is not of the schema's type; with `known`, also where something is unknown."""
    if value is UNKNOWN or value is None:
        return [f"{where} is unknown"] if known and value is UNKNOWN else []
    if not isinstance(value, dict):
        return [f"{where} is no object"]
    found = [f"{where}.{name} is not there" for name in block if name not in value]
    found += [f"{where}.{name} is in no schema" for name in value if name not in block]
    for name, one in block.items():
        if name in value:
            found += _mistyped(one, value[name], known, f"{where}.{name}")
    return found


def _mistyped(one: Attribute, value: Any, known: bool, where: str) -> Errors:
    if one.nested is None:
        return _of_other_type(one.type, value, known, where)
    if one.is_map and isinstance(value, dict):
        items = value.items()
        return [line for key, item in items for line in mistyped(one.nested, item, known=known, where=f"{where}.{key}")]
    if not one.is_list:
        return mistyped(one.nested, value, known=known, where=where)
    if isinstance(value, list):
        return [
            line
            for index, item in enumerate(value)
            for line in mistyped(one.nested, item, known=known, where=f"{where}[{index}]")
        ]
    return _of_other_type(["list", "string"], value, known, where)


def _of_other_type(kind: Any, value: Any, known: bool, where: str) -> Errors:
    if value is None or (value is UNKNOWN and not known):
        return []
    if isinstance(kind, list) and isinstance(value, {"list": list, "map": dict}[kind[0]]):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [line for key, item in items for line in _of_other_type(kind[1], item, known, f"{where}[{key}]")]
    fits = {
        "string": isinstance(value, str),
        "bool": isinstance(value, bool),
        # What has more than 64 bits goes as text, and what no float has all digits of.
        "number": (isinstance(value, int | float) and not isinstance(value, bool))
        or (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) is not None),
    }
    return [] if isinstance(kind, str) and fits[kind] else [f"{where} is no {kind}: {value!r}"]


def unknowns(value: Any, where: str = "") -> Iterator[str]:
    """Where a value is unknown."""
    if value is UNKNOWN:
        yield where
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from unknowns(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from unknowns(inner, f"{where}[{index}]")


def told(block: Block, value: Any, where: str = "") -> Errors:
    """The write-only attributes that an answer has a value for. Source: OpenTofu, `internal/plugin6/validation`."""
    found: Errors = []
    for name, one in block.items() if isinstance(value, dict) else ():
        inner = value[name]
        if one.write_only and inner is not None:
            found.append(f"{where}.{name} is told")
        in_map = one.is_map and isinstance(inner, dict)
        items = inner if isinstance(inner, list) else inner.values() if in_map else [inner]
        for item in items:
            found += told(one.nested or {}, item, f"{where}.{name}")
    return found


# The proposal


def proposed(block: Block, prior: Any, config: Any) -> Any:
    """What the host proposes: the configuration, and what was there where it says nothing and the provider may."""
    if config is None or config is UNKNOWN:
        return config
    before = prior if isinstance(prior, dict) else {}
    return {name: _proposed(one, before.get(name), config[name]) for name, one in block.items()}


def _proposed(one: Attribute, prior: Any, config: Any) -> Any:
    if config is None:
        return prior if one.computed else None
    if config is UNKNOWN or one.nested is None:
        return config
    if one.is_map:
        there = prior if isinstance(prior, dict) else {}
        return {key: proposed(one.nested, there[key], item) if key in there else item for key, item in config.items()}
    if not one.is_list:
        return proposed(one.nested, prior, config)
    before = prior if isinstance(prior, list) else []
    return [
        proposed(one.nested, before[index], item) if index < len(before) else item for index, item in enumerate(config)
    ]


# The plan


def plan_errors(block: Block, prior: Any, config: Any, planned: Any, where: str = "") -> Errors:
    """Where a plan is not the configuration's, nor as before, and not the provider's to choose."""
    if (planned is None) != (config is None):
        return [f"{where} is planned as {planned!r} for {config!r}"]
    if planned is None or planned is UNKNOWN or config is UNKNOWN:
        return [] if planned is config else [f"{where} is planned as {planned!r} for {config!r}"]
    before = prior if isinstance(prior, dict) else {}
    return [
        line
        for name, one in block.items()
        for line in _plan_errors(one, before.get(name), config[name], planned[name], f"{where}.{name}")
    ]


def _plan_errors(one: Attribute, prior: Any, config: Any, planned: Any, where: str) -> Errors:
    if one.write_only:
        return []
    if planned == config or (planned == prior and prior is not None and config is not None):
        return []
    if one.computed and (config is None or not one.optional):
        return []
    if one.nested is None or config is None or planned is None or planned is UNKNOWN or config is UNKNOWN:
        return [f"{where} is planned as {planned!r}; configured is {config!r}, before it was {prior!r}"]
    if one.is_map:
        if planned.keys() != config.keys():
            return [f"{where} has {sorted(planned)} in the plan, and {sorted(config)} in the configuration"]
        there = prior if isinstance(prior, dict) else {}
        return [
            line
            for key, item in planned.items()
            for line in plan_errors(one.nested, there.get(key), config[key], item, f"{where}.{key}")
        ]
    if not one.is_list:
        return plan_errors(one.nested, prior, config, planned, where)
    if len(planned) != len(config):
        return [f"{where} has {len(planned)} items in the plan, and {len(config)} in the configuration"]
    before = prior if isinstance(prior, list) else []
    return [
        line
        for index, item in enumerate(planned)
        for line in plan_errors(
            one.nested, before[index] if index < len(before) else None, config[index], item, f"{where}[{index}]"
        )
    ]


def replaces(prior: Any, planned: Any, paths: Iterable[tuple[Any, ...]]) -> tuple[bool, Errors]:
    """Whether the host makes a replacement of a plan, and which paths lead nowhere."""
    found, wrong = False, []
    for path in paths:
        was, will = _at(prior, path), _at(planned, path)
        if was is _NOWHERE and will is _NOWHERE:
            wrong.append(f"{path} leads nowhere")
        elif was != will or list(unknowns(will)):
            found = True
    return found, wrong


_NOWHERE = object()


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        if isinstance(step, int):
            there = isinstance(value, list) and step < len(value)
        else:
            there = isinstance(value, dict) and step in value
        if not there:
            return _NOWHERE
        value = value[step]
    return value


# The apply, and the plan that is made again when everything is known


def broken_promises(promised: Any, actual: Any, where: str = "") -> Errors:
    """Where `actual` is not what `promised` says, as far as that is known."""
    if promised is UNKNOWN:
        return []
    if isinstance(promised, dict) and isinstance(actual, dict):
        found = [f"{where}.{name} is new" for name in actual if name not in promised]
        for name, inner in promised.items():
            found += (
                broken_promises(inner, actual[name], f"{where}.{name}")
                if name in actual
                else [f"{where}.{name} has vanished"]
            )
        return found
    if isinstance(promised, list) and isinstance(actual, list):
        found = [] if len(promised) == len(actual) else [f"{where} had {len(promised)} items, and has {len(actual)}"]
        for index, (inner, now) in enumerate(zip(promised, actual, strict=False)):
            found += broken_promises(inner, now, f"{where}[{index}]")
        return found
    same = type(promised) is type(actual) or not isinstance(promised, bool)
    return [] if same and promised == actual else [f"{where} was {promised!r}, and is {actual!r}"]

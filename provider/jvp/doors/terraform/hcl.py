"""A resource's attributes as HCL, laid out as `tofu fmt` would."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LINE = 100
"""Longer values stand on several lines."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True)
class Expression:
    """What stands without quotes: `jvp_network.lan.id`."""

    text: str


def block(head: str, attributes: Mapping[str, Any]) -> str:
    """A block with these attributes; those that are None are left out."""
    return f"{head} {{\n{_body(attributes, 1)}}}\n"


def quoted(text: str) -> str:
    """A string literal: no text of an object is ever taken for a template."""
    # JSON's escapes are HCL's, but for the two letters that begin a template.
    return re.sub(r"([$%])\{", r"\1\1{", json.dumps(text, ensure_ascii=False))


def _body(attributes: Mapping[str, Any], depth: int) -> str:
    """The lines of a block or object. Neighbours of one line have their equals signs below each other."""
    rows = [
        (name if _KEY.fullmatch(name) else quoted(name), _value(value, depth))
        for name, value in attributes.items()
        if value is not None
    ]
    lines, group = "", list[tuple[str, str]]()
    for name, text in rows:
        if "\n" in text:
            lines += _aligned([*group], depth) + _aligned([(name, text)], depth)
            group = []
        else:
            group.append((name, text))
    return lines + _aligned(group, depth)


def _aligned(group: list[tuple[str, str]], depth: int) -> str:
    width = max((len(name) for name, _ in group), default=0)
    return "".join(f"{'  ' * depth}{name:<{width}} = {text}\n" for name, text in group)


def _value(value: Any, depth: int) -> str:
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return _object(value, depth)
    if isinstance(value, list):
        return _list(value, depth)
    return json.dumps(value)


def _object(value: Mapping[str, Any], depth: int) -> str:
    items = {name: item for name, item in value.items() if item is not None}
    names = (name if _KEY.fullmatch(name) else quoted(name) for name in items)
    line = ", ".join(f"{name} = {_value(item, depth)}" for name, item in zip(names, items.values(), strict=True))
    if len(line) <= LINE and "\n" not in line:
        return f"{{ {line} }}" if line else "{}"
    return f"{{\n{_body(items, depth + 1)}{'  ' * depth}}}"


def _list(value: list[Any], depth: int) -> str:
    line = ", ".join(_value(item, depth) for item in value)
    if len(line) <= LINE and "\n" not in line:
        return f"[{line}]"
    items = "".join(f"{'  ' * (depth + 1)}{_value(item, depth + 1)},\n" for item in value)
    return f"[\n{items}{'  ' * depth}]"

"""Values as `pulumi.dynamic` hands them over <-> bags.

It has them as plain Python: every number is a float, what is not known yet is an `Unknown`, a null is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi import Archive, Asset
from pulumi.output import Unknown
from pulumi.runtime import rpc

from jvp.core.errors import Invalid, Path
from jvp.core.values import UNKNOWN, Bag, Secret, Value

EXACT = 2**53
"""Beyond this a float is not a whole number any more."""


def decode(props: Mapping[str, Any]) -> Bag:
    """The properties as a bag. Raises Invalid with the path of a value that no property can take."""
    return {name: _meaning(value, (name,)) for name, value in props.items()}


def public(bag: Bag) -> Bag:
    """Without the properties that Pulumi and we keep for ourselves (`__provider`, `__resource`)."""
    return {name: value for name, value in bag.items() if not name.startswith("__")}


def encode(value: Value) -> Any:
    """A value as `pulumi.dynamic` takes it."""
    if value is UNKNOWN:
        return rpc.UNKNOWN
    if isinstance(value, Secret):
        return rpc.wrap_rpc_secret(encode(value.reveal()))
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def _meaning(value: Any, path: Path) -> Value:
    if isinstance(value, Unknown):
        return UNKNOWN
    if isinstance(value, Asset | Archive):
        raise Invalid("takes no asset or archive; give the text, or the path of a file", path=path)
    if rpc.is_rpc_secret(value):
        return Secret(_meaning(rpc.unwrap_rpc_secret(value), path))
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    if isinstance(value, list):
        return [_meaning(item, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {name: _meaning(item, (*path, name)) for name, item in value.items()}
    return value

"""Pulumi's values <-> bags.

On the wire a value that is more than JSON is an object with a signature under one fixed key; a value that is not
known yet is a fixed string. Both are the protocol's constants (`sdk/go/common/resource/sig`, `plugin/rpc.go`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jvp.core.errors import Invalid, Path
from jvp.core.values import UNKNOWN, Bag, Secret, Value
from jvp.doors.pulumi.protocol import Message, Struct

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"

UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWNS = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)

PRIVATE = "__jvp"
"""The output property that carries what only we read (`Stored.private`)."""
EXACT = 2**53
"""Beyond this a JSON number is not a whole number any more."""


def decode(struct: Message | None) -> Bag:
    """The properties of a Struct. Raises Invalid with the path of a value that no property can take."""
    return {} if struct is None else {key: meaning(_plain(value), (key,)) for key, value in struct.fields.items()}


def public(bag: Bag) -> Bag:
    """Without the properties that engines and we keep for ourselves (`__internal`, `__defaults`, `__jvp`)."""
    return {name: value for name, value in bag.items() if not name.startswith("__")}


def meaning(value: Any, path: Path = ()) -> Value:
    """What plain JSON data means: unknowns, secrets, references resolved to ids, whole numbers as int."""
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWNS else value
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    if isinstance(value, list):
        return [meaning(item, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        signature = value.get(SIGNATURE)
        if signature is not None:
            return _signed(str(signature), value, path)
        return {key: meaning(item, (*path, key)) for key, item in value.items()}
    return value


def encode(bag: Mapping[str, Value]) -> Message:
    """A bag as a Struct."""
    struct = Struct()
    for key, value in bag.items():
        _fill(struct.fields[key], value)
    return struct


def _signed(signature: str, value: dict[str, Any], path: Path) -> Value:
    if signature == SECRET:
        return _secret(meaning(value.get("value"), path))
    if signature == OUTPUT:
        inner = meaning(value["value"], path) if "value" in value else UNKNOWN
        return _secret(inner) if value.get("secret") else inner
    if signature == RESOURCE:
        # A resource that does not exist yet has an empty id; a component has none.
        return meaning(value.get("id", value.get("urn")) or UNKNOWN_STRING, path)
    if signature in (ASSET, ARCHIVE):
        raise Invalid("takes no asset or archive; give the text, or the path of a file", path=path)
    raise Invalid("is of a kind that this provider does not know; update pulumi-jvp", path=path)


def _secret(value: Value) -> Value:
    return value if isinstance(value, Secret) else Secret(value)


def _plain(value: Message) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {key: _plain(item) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _fill(target: Message, value: Value) -> None:
    """Set a protobuf Value. (A Value must be filled in place: assigning messages copies them.)"""
    if value is None:
        target.null_value = 0
    elif value is UNKNOWN:
        target.string_value = UNKNOWN_STRING
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Secret):
        target.struct_value.fields[SIGNATURE].string_value = SECRET
        _fill(target.struct_value.fields["value"], value.reveal())
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        for key, item in value.items():
            _fill(target.struct_value.fields[key], item)
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for item in value:
            _fill(target.list_value.values.add(), item)
    else:
        raise TypeError(f"no property can hold a {type(value).__name__}")

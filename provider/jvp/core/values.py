"""Values that a property can have beside the plain ones: not known yet, and secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from jvp.core.errors import Path

T = TypeVar("T")


class Unknown:
    """A value that a preview cannot know yet. There is one instance, `UNKNOWN`; compare with `is`."""

    _one: Unknown | None = None

    def __new__(cls) -> Unknown:
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __copy__(self) -> Unknown:
        return self

    def __deepcopy__(self, _memo: object) -> Unknown:
        return self

    def __bool__(self) -> bool:
        raise TypeError("an unknown value has no truth: compare it with `is UNKNOWN` first")


UNKNOWN: Final = Unknown()


class Secret(Generic[T]):
    """A value that must not be shown. `str`, `repr` and f-strings mask it; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "[secret]"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash((Secret, repr(self._value)))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A field of type `Secret[str]` takes a str or a Secret and holds a Secret."""
        inner = handler.generate_schema(get_args(source)[0])
        before = core_schema.no_info_before_validator_function(opened, inner)
        return core_schema.no_info_after_validator_function(cls, before)


def opened(value: Any) -> Any:
    """What is in a Secret, or the value itself. `reveal` also opens what is inside."""
    return value.reveal() if isinstance(value, Secret) else value


Value = Any
"""None, bool, int, float, str, list, dict with str keys, UNKNOWN or Secret, nested."""

Bag = dict[str, Value]
"""The properties of one object, spelled as users spell them (camelCase)."""


def known(*values: object) -> bool:
    """Whether none of the values is UNKNOWN itself. (Models type their fields as if nothing ever were.)"""
    return all(value is not UNKNOWN for value in values)


def surely(value: object) -> bool:
    """Whether a value is surely there: one that is not known yet may turn out to be nothing."""
    return value is not UNKNOWN and value not in (None, [], {})


PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of values that hold no other ones. Most are: asked first, the walks below cost half."""


def has_unknown(value: Value) -> bool:
    """Whether UNKNOWN stands anywhere inside, in a Secret too."""
    if type(value) in PLAIN:
        return False
    if isinstance(value, dict | list):
        return any(map(has_unknown, value.values() if isinstance(value, dict) else value))
    return value is UNKNOWN or (isinstance(value, Secret) and has_unknown(value.reveal()))


def walk(value: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Every leaf with its path; an empty list or dict is a leaf, a Secret is a leaf."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from walk(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from walk(item, (*path, index))
    else:
        yield path, value


def is_in(value: Value, path: Path) -> bool:
    """Whether something stands at `path`."""
    for part in path:
        value = opened(value)
        inside = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        if part not in inside:
            return False
        value = value[part]
    return True


def reveal(value: Value) -> Value:
    """The same value with every Secret opened."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return {key: item if type(item) in PLAIN else reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return reveal(value.reveal()) if isinstance(value, Secret) else value


def secret_paths(value: Value) -> set[Path]:
    """Where Secrets stand."""
    return {where for where, _ in _secrets(value, ())}


def _secrets(value: Value, path: Path) -> Iterator[tuple[Path, Secret[Any]]]:
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if type(item) not in PLAIN:
                yield from _secrets(item, (*path, key))


def secret_at(value: Value, paths: set[Path]) -> Value:
    """`value` with Secrets at these paths, as far as they lead to something."""
    if not paths or value is None or isinstance(value, Secret):
        return value
    if () in paths:
        return Secret(reveal(value))
    below: dict[str | int, set[Path]] = {}
    for first, *rest in paths:
        below.setdefault(first, set()).add(tuple(rest))
    if isinstance(value, dict):
        return {key: secret_at(item, below[key]) if key in below else item for key, item in value.items()}
    if isinstance(value, list):
        return [secret_at(item, below[key]) if key in below else item for key, item in enumerate(value)]
    return value


def secret_texts(value: Value) -> set[str]:
    """Every string of at least four characters inside a Secret: what a message must not show."""
    found: set[str] = set()
    for _, secret in _secrets(value, ()):
        inner = (text for _, text in walk(reveal(secret)))
        found.update(text for text in inner if isinstance(text, str) and len(text) >= 4)
    return found


def masked(text: str, secrets: set[str]) -> str:
    """`text` with every one of `secrets` replaced, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text

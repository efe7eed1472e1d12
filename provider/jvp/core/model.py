"""The base of every model: a pydantic model whose fields carry facts, and what can be asked of it.

Rules: users spell properties in camelCase, Python in snake_case. A field may hold UNKNOWN in a preview.
A list of sub-models is keyed by the items' `name` (or another `key`): its order never matters. `core.tree` walks them.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, ValidatorFunctionWrapHandler, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticUndefined

from jvp.core.errors import Path
from jvp.core.facts import Changes, Computed, Effect, Output, Same, Sensitive, Unit, WriteOnly
from jvp.core.values import PLAIN, UNKNOWN, Bag, Secret, opened

F = TypeVar("F")
Rule = tuple[Path, str]
"""One broken rule: the path and the sentence."""


class Spec(BaseModel):
    """What a user declares. Subclasses add fields; `rules` and `derived` speak across fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        # A run uses a few of the models: each is built when it first checks something (70 ms less at the start).
        defer_build=True,
    )

    schema_version: ClassVar[int] = 2
    """The form of what engines keep of an object. 1 kept defaults among the inputs as if the user had set them."""
    key: ClassVar[str] = "name"
    """The property that tells items of this model apart in a list: one word, which every door spells alike."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _let_unknown_pass(cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if value is UNKNOWN:
            return value
        if isinstance(value, dict) and any(item is UNKNOWN for item in value.values()) and _is_map(cls, info):
            given = {key: item for key, item in value.items() if item is not UNKNOWN}
            return {**value, **validate(given)}
        inner = opened(value)
        if isinstance(inner, list) and any(item is UNKNOWN for item in inner):
            checked = validate([item for item in inner if item is not UNKNOWN])
            known = iter(opened(checked))
            whole = [UNKNOWN if item is UNKNOWN else next(known) for item in inner]
            return Secret(whole) if isinstance(checked, Secret) else whole
        if isinstance(value, bool) and _is_number(cls, info):
            raise ValueError(f"must be a whole number, not {str(value).lower()}")
        return validate(value)

    def rules(self) -> Iterator[Rule]:
        """Rules across fields that can be checked offline; each broken one is (path, sentence). Mind UNKNOWN."""
        return iter(())

    def derived(self) -> dict[str, Any]:
        """Fields with the defaults that follow from other fields filled in. Called when every rule holds."""
        return {}

    def bag(self) -> Bag:
        """The properties as users spell them, without those that are None."""
        return bag_of(self)


def _is_map(model: type[BaseModel], info: ValidationInfo) -> bool:
    return attributes(model)[info.field_name or ""].is_map


def bag_of(model: BaseModel, *, given: bool = False) -> Bag:
    """`model` as a bag; nested models too. (`model_dump` cannot serialise UNKNOWN and Secret.)

    With `given` only what it was made with, without the defaults.
    """
    names = aliases(type(model))
    values = model.__dict__
    return {
        spelled: value if type(value) in PLAIN else plain(value, given=given)
        for name, spelled in names.items()
        if (value := values[name]) is not None and (not given or name in model.model_fields_set)
    }


def plain(value: Any, *, given: bool = False) -> Any:
    """`value` with every model inside turned into a bag."""
    if isinstance(value, BaseModel):
        return bag_of(value, given=given)
    if isinstance(value, list):
        return [plain(item, given=given) for item in value]
    if isinstance(value, dict):
        return {key: plain(item, given=given) for key, item in value.items()}
    return value


def _is_number(model: type[BaseModel], info: ValidationInfo) -> bool:
    return attributes(model)[info.field_name or ""].annotation is int


@cache
def aliases(model: type[BaseModel]) -> dict[str, str]:
    """Field name to the users' spelling."""
    return {name: info.alias or name for name, info in model.model_fields.items()}


@dataclass(frozen=True)
class FieldFacts:
    """One property with all that is known of it. `name` is the users' spelling."""

    attribute: str
    name: str
    description: str
    required: bool
    default: Any
    annotation: Any
    """The plain type without None: str, int, bool, a Spec, list[...] or dict[str, ...]."""
    item: type[Spec] | None
    """The Spec that this is, or is a list or a map of."""
    is_list: bool
    is_map: bool
    holds_many: bool
    """Whether it holds any number of objects, which a key tells from each other."""
    effect: Effect
    computed: bool
    output: Output | None
    write_only: bool
    sensitive: bool
    unit: str | None
    same: Same | None
    hides: bool
    """Whether it is always secret, or something inside it."""
    facts: Mapping[type, Any]
    """The first of each kind."""

    def fact(self, kind: type[F]) -> F | None:
        """The first fact of this kind, None when there is none."""
        found: F | None = self.facts.get(kind)
        return found

    def canonical(self, value: Any) -> object:
        """The form in which values are compared. What a host has, and no program may declare, is compared as it is."""
        if value is None or value is UNKNOWN or self.same is None:
            return value
        try:
            if isinstance(value, list):
                return [self.same.canonical(item) for item in value]
            if isinstance(value, dict):
                return {key: self.same.canonical(item) for key, item in value.items()}
            return self.same.canonical(value)
        except ValueError:
            return value


@cache
def fields(model: type[BaseModel]) -> dict[str, FieldFacts]:
    """The properties of a model by the users' spelling, in the order of declaration."""
    hints = typing.get_type_hints(model, include_extras=True)
    return {facts.name: facts for facts in (_facts(model, name, hints[name]) for name in model.model_fields)}


@cache
def attributes(model: type[BaseModel]) -> dict[str, FieldFacts]:
    """The same by the names that they have in Python."""
    return {name: fields(model)[spelled] for name, spelled in aliases(model).items()}


@cache
def having(model: type[BaseModel], kind: type) -> frozenset[str]:
    """The properties of a model that have a fact of this kind."""
    return frozenset(name for name, field in fields(model).items() if field.fact(kind) is not None)


@cache
def hides(model: type[BaseModel]) -> bool:
    """Whether a property of the model is always secret, or one inside it."""
    return any(facts.hides for facts in fields(model).values())


def _facts(model: type[BaseModel], attribute: str, hint: Any) -> FieldFacts:
    info = model.model_fields[attribute]
    # The first of each kind, the outermost, is the one that counts.
    facts = {type(fact): fact for fact in reversed((*info.metadata, *_nested_metadata(hint)))}
    annotation = _bare(hint)
    is_list, is_map = (typing.get_origin(annotation) is kind for kind in (list, dict))
    inner = _bare(typing.get_args(annotation)[-1]) if is_list or is_map else annotation
    item = inner if isinstance(inner, type) and issubclass(inner, Spec) else None
    sensitive = Sensitive in facts or _is_secret(hint)
    changes, unit = facts.get(Changes), facts.get(Unit)
    default = None if info.default is PydanticUndefined else info.default
    if info.default_factory is not None:
        default = info.get_default(call_default_factory=True, validated_data={})
    return FieldFacts(
        attribute=attribute.rstrip("_"),  # of a name that a model has for itself
        name=info.alias or attribute,
        description=info.description or "",
        required=info.is_required(),
        default=default,
        annotation=annotation,
        item=item,
        is_list=is_list,
        is_map=is_map,
        holds_many=item is not None and (is_list or is_map),
        effect=changes.effect if changes else Effect.LIVE,
        computed=Computed in facts,
        output=facts.get(Output),
        write_only=WriteOnly in facts,
        sensitive=sensitive,
        unit=unit.text if unit else None,
        same=facts.get(Same),
        hides=sensitive or (item is not None and hides(item)),
        facts=facts,
    )


def _bare(hint: Any) -> Any:
    """The type without Annotated, without Secret and without `| None`."""
    if typing.get_origin(hint) in (typing.Annotated, Secret):
        return _bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else hint
    return hint


def _is_secret(hint: Any) -> bool:
    return typing.get_origin(hint) is Secret or any(_is_secret(arg) for arg in typing.get_args(hint))


def _nested_metadata(hint: Any) -> Iterator[Any]:
    """Facts inside `Annotated`, through `| None`, `list[...]` and `dict[...]`, the outermost first."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        inner, *metadata = typing.get_args(hint)
        yield from metadata
        yield from _nested_metadata(inner)
    elif origin in (typing.Union, types.UnionType, list, dict):
        for arg in typing.get_args(hint):
            yield from _nested_metadata(arg)


def build(base: type[Spec] = Spec) -> None:
    """Make every model that there is ready, so that none is built when it first checks something."""
    for model in base.__subclasses__():
        model.model_rebuild()
        fields(model)
        build(model)


M = TypeVar("M", bound=BaseModel)


def load(model: type[M], bag: Bag) -> M:
    """A model from a stored bag without validation: a state may hold what a newer rule would refuse.

    Unknown properties are dropped, missing ones get their default.
    """
    values = {
        field.attribute: _loaded(field, bag[name])
        for name, field in fields(model).items()
        if name in bag and bag[name] is not None
    }
    missing = {field.attribute: field.default for field in fields(model).values() if field.attribute not in values}
    return model.model_construct(**values, **missing)


def _loaded(field: FieldFacts, value: Any) -> Any:
    if isinstance(value, Secret) and not field.sensitive:
        value = value.reveal()
    if field.item is not None and field.is_list and isinstance(value, list):
        return [load(field.item, opened(item)) for item in value]
    if field.item is not None and field.is_map and isinstance(value, dict):
        return {key: load(field.item, opened(item)) for key, item in value.items()}
    if field.item is not None and isinstance(value, dict):
        return load(field.item, value)
    if field.annotation is int and isinstance(value, float):
        return int(value)
    if field.sensitive and field.item is None and not isinstance(value, Secret):
        return Secret(value)
    return value

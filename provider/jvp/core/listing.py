"""Lists: what is asked of all objects of a kind at once, and the function that each kind answers it by.

An item holds what one call tells of all objects. What takes a look at each of them is told with `details`, or where a
filter goes by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, create_model

from jvp.core.identity import DeclaredBy
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.types import Text
from jvp.core.work import Work

if TYPE_CHECKING:
    from jvp.core.handler import AnyHandler, AnyType


class Filters(Spec):
    """Which objects to list."""

    name: Annotated[
        Text | None, Field(description="Only those of this name; `*` stands for any text, `?` for one character.")
    ] = None
    declared_by: Annotated[
        Text | None,
        Field(
            description="Only those that this program declares, as `declaredBy` of an item tells it; `*` and `?` stand "
            "as in a name: `pulumi:shop/*`."
        ),
    ] = None
    ours: Annotated[
        bool | None, Field(description="Only those that a program of jvp has; with false only those of others.")
    ] = None
    details: Annotated[
        bool, Field(description="Whether to tell, too, what takes a look at each object that is listed.")
    ] = False

    @property
    def looks(self) -> bool:
        """Whether each object is looked at for itself."""
        return self.details or self.ours is not None or self.declared_by is not None

    def takes(self, **known: Any) -> bool:
        """Whether an object of which this is known may be one of those: of texts `name` and `declared_by` are
        patterns."""
        for name, value in known.items():
            wanted = getattr(self, name)
            if wanted is not None and not _fits(name, wanted, value):
                return False
        return True

    def takes_declarer(self, by: str | None) -> bool:
        """The same of who declares it."""
        return self.ours in (None, by is not None) and self.takes(declared_by=by)


class Item(Spec):
    """One object in a list."""

    key: ClassVar[str] = "id"
    order: ClassVar[str] = "name"
    """The property that a list goes by unless it is said otherwise."""

    id: Annotated[str, Field(description="The id, by which others refer to it and by which it is imported.")]
    name: Annotated[str, Field(description="The name.")]
    declared_by: Annotated[
        str | None,
        Field(
            description="With details: the program that declares it, as door and label, like `pulumi:shop/dev`; "
            "unset where none of jvp does."
        ),
    ] = None

    @property
    def rank(self) -> tuple[str, ...]:
        """Where it stands in a list."""
        return (self.name, self.id)

    @classmethod
    def of(cls, **known: Any) -> Self:
        """From what was read, without a check.

        As `model_construct` makes it, in a quarter of the time, which would be most of what a list takes.
        """
        item = cls.__new__(cls)
        _put(item, "__dict__", {**_unset(cls), **known})
        _put(item, "__pydantic_fields_set__", {*known})
        _put(item, "__pydantic_extra__", None)
        _put(item, "__pydantic_private__", None)
        return item


_put = object.__setattr__
"""Of what pydantic keeps from being set. Source: BaseModel.model_construct."""


@cache
def _unset(model: type[Item]) -> dict[str, Any]:
    return {facts.attribute: facts.default for facts in fields(model).values()}


def is_detail(field: FieldFacts) -> bool:
    """Whether a field of an item takes a look at each object: its description says so."""
    return field.description.startswith("With details: ")


def _fits(name: str, wanted: Any, value: Any) -> bool:
    if name in ("name", "declared_by"):
        return value is not None and fnmatchcase(value, wanted)
    return bool(value == wanted)


def declarer(by: DeclaredBy | None) -> str:
    """Who declares an object of ours, as items tell it and filters take it."""
    if by is None:
        return "engine"  # older versions noted no name
    return f"{by.door}:{by.label}" if by.label else by.door


class Listing:
    """The function that lists the objects of a kind."""

    token: ClassVar[str]
    on: ClassVar[str]
    args: ClassVar[type[Spec]]
    result: ClassVar[type[Spec]]
    items: ClassVar[str]
    """The property of the result, as Python spells it."""

    def __init__(self, handler: AnyHandler) -> None:
        self.handler = handler

    def call(self, work: Work, args: Any) -> Any:
        """Raises Unreachable. What is removed meanwhile is left out."""
        found: dict[str, Any] = {self.items: ordered(self.handler.list(work, args))}
        return self.result.model_construct(**found)


def ordered(items: Iterable[Item]) -> list[Item]:
    """In an order that stays the same as long as the objects do."""
    return sorted(items, key=lambda item: item.rank)


def token_of(token: str) -> str:
    """What the function is called that lists a type of resource."""
    return f"get{token}s"


def function_of(kind: AnyType) -> type[Listing]:
    """The function that lists a type of resource, by its filters and its item."""
    plural = f"{kind.token}s"
    items = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plural).lower()
    listed = (list[kind.item], Field(description=f"The {kind.kind}s that the filters take, by name."))  # type: ignore[name-defined]
    result = create_model(f"{plural}Found", __base__=Spec, **{items: listed})  # type: ignore[call-overload]
    result.__doc__ = f"The {kind.kind}s of the node."
    body = {
        "__doc__": f"The {kind.kind}s of the node, whoever made them: all, or those that the filters take.",
        "token": token_of(kind.token),
        "on": kind.token,
        "args": kind.filters,
        "result": result,
        "items": items,
    }
    return type(token_of(kind.token), (Listing,), body)

"""The named types of the schema: a sub-model is `jvp:index:InstanceNic`, a choice of words `InstancePowerState`.

What several resources and functions use keeps the name that the first one gave it; a function gives a model no
name beside its own. A type is one for inputs and outputs: what an input may leave out, the type may leave out.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from jvp.core.model import FieldFacts, Spec, fields
from jvp.doors.pulumi.urns import token

Json = dict[str, Any]
PLAIN = {str: "string", int: "integer", bool: "boolean", float: "number"}


@dataclass
class _Model:
    token: str
    inputs: bool
    """Whether an input uses it."""


@dataclass
class _Shared:
    models: dict[type[Spec], _Model] = field(default_factory=dict)
    enums: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    """Tokens by the property's name and its words."""


@dataclass(frozen=True)
class Types:
    """Collects the types that properties name. `within` gives the same collection, seen from a resource."""

    describe: Callable[[FieldFacts, Types], Json]
    """Makes a property of a field."""
    holder: str = ""
    inputs: bool = True
    shared: _Shared = field(default_factory=_Shared)

    def within(self, holder: str, *, inputs: bool) -> Types:
        """For the inputs or outputs of `holder`."""
        return replace(self, holder=holder, inputs=inputs)

    def of(self, facts: FieldFacts) -> Json:
        """The type of a property."""
        return self._of(facts.annotation, facts)

    def declared(self) -> Json:
        """Every type that was named, in order."""
        entries: Json = {}
        done: set[type[Spec]] = set()
        while pending := [model for model in self.shared.models if model not in done]:
            for model in pending:  # describing one may name others
                done.add(model)
                entries[self.shared.models[model].token] = self._object(model)
        for (_, words), name in self.shared.enums.items():
            entries[name] = {"type": "string", "enum": [{"value": word} for word in words]}
        return dict(sorted(entries.items()))

    def _of(self, annotation: Any, facts: FieldFacts) -> Json:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation in PLAIN:
            return {"type": PLAIN[annotation]}
        if origin is list:
            return {"type": "array", "items": self._of(_bare(arguments[0]), facts)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._of(_bare(arguments[1]), facts)}
        if origin is typing.Literal and all(isinstance(word, str) for word in arguments):
            if not self.inputs:
                # A choice in an output is a plain string: of a function's result, Python's generator makes a dict.
                return {"type": "string"}
            return {"type": "string", "oneOf": [{"type": "string"}, self._reference(self._enum(facts, arguments))]}
        if isinstance(annotation, type) and issubclass(annotation, Spec):
            return self._reference(self._model(annotation))
        raise TypeError(f"{self.holder}.{facts.name}: the schema has no type for {annotation}")

    @staticmethod
    def _reference(name: str) -> Json:
        return {"$ref": f"#/types/{name}"}

    def _model(self, model: type[Spec]) -> str:
        known = self.shared.models.get(model)
        if known is None:
            own = model.__name__.startswith(self.holder) or self.holder[:1].islower()
            name = model.__name__ if own else self.holder + model.__name__
            known = _Model(token(name), self.inputs)
            if known.token in {other.token for other in self.shared.models.values()}:
                raise TypeError(f"two models would be called {known.token}")
            self.shared.models[model] = known
        known.inputs = known.inputs or self.inputs
        return known.token

    def _enum(self, facts: FieldFacts, words: tuple[str, ...]) -> str:
        name = token(_capital(self.holder) + _capital(facts.name))
        known = self.shared.enums.setdefault((facts.name, words), name)
        if known == name and list(self.shared.enums.values()).count(name) > 1:
            raise TypeError(f"two choices of words would be called {name}")
        return known

    def _object(self, model: type[Spec]) -> Json:
        known = self.shared.models[model]
        inside = self.within(known.token.rpartition(":")[2], inputs=known.inputs)
        needed = (name for name, facts in fields(model).items() if facts.required or _output(facts, known))
        return {
            "type": "object",
            "description": " ".join((model.__doc__ or "").split()),
            "properties": {name: self.describe(facts, inside) for name, facts in fields(model).items()},
            "required": sorted(needed),
        }


def _output(facts: FieldFacts, known: _Model) -> bool:
    return not known.inputs and facts.default is not None


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _bare(annotation: Any) -> Any:
    """The type inside `Annotated`, and without `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    return annotation

"""schema.json: what Pulumi's SDK generators, documentation and `pulumi do` know of this provider.

Everything is derived from the models and their facts. `python -m jvp.doors.pulumi.schema` prints it.

    Choices of words       a string or an enum of its own: `power_state="stopped"` type-checks, `PowerState.STOPPED`
                           completes, and the output is a plain string
    willReplaceOnChanges   tells the docs; never replaceOnChanges, which makes the engine replace by itself, even
                           where a handler knows a gentler way for this object
    required outputs       what a state always holds: a plain `Output[str]` in typed languages
    no defaults            in words alone: an SDK would send them as if the user had set them
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import jvp
from jvp.core.facts import Deprecated, Effect
from jvp.core.handler import AnyFunction, ResourceType
from jvp.core.listing import Listing
from jvp.core.model import FieldFacts, Spec, fields
from jvp.doors.pulumi.schema_types import Json, Types
from jvp.doors.pulumi.urns import PACKAGE, token
from jvp.resources.provider import Provider

DESCRIPTION = (
    "Virtual machines on libvirt as code: instances, volumes, templates, networks and storage pools, "
    "with exact previews and changes that are live where the guest allows."
)
KEYWORDS = ["libvirt", "kvm", "qemu", "virtual-machine", "category/infrastructure", "kind/native"]
LANGUAGES: Json = {
    "go": {"generateResourceContainerTypes": True, "respectSchemaVersion": True},
    "nodejs": {"respectSchemaVersion": True},
    "python": {
        # No project file of its own: the distribution that holds the provider holds the SDK too, and two of one name
        # cannot be installed together.
        "pyproject": {"enabled": False},
        "requires": {"pulumi": ">=3.142.0,<4.0.0"},
        "respectSchemaVersion": True,
    },
}
EFFECTS = {
    Effect.NEXT_BOOT: "A change takes effect at the next boot.",
    Effect.NETWORK_RESTART: "A change restarts the network.",
    Effect.POWER_OFF: "A change needs the instance to be off.",
    Effect.REPLACE: "A change replaces the resource.",
}


def schema(types: Iterable[type[ResourceType[Any, Any]]], functions: Iterable[type[AnyFunction]]) -> Json:
    """The schema of a provider with these resources and functions."""
    named = Types(_property)
    resources = {token(one.token): _resource(one, named) for one in types}
    # What a list and another function take has the list's name for it.
    lists_first = sorted(functions, key=lambda function: not issubclass(function, Listing))
    invokes = {token(function.token): _function(function, named) for function in lists_first}
    settings = _properties(Provider, named.within("Provider", inputs=True))
    return {
        "name": PACKAGE,
        "displayName": "JVP for libvirt",
        "version": jvp.__version__,
        "description": DESCRIPTION,
        "keywords": KEYWORDS,
        "publisher": "JVP",
        "license": "Apache-2.0",
        "language": LANGUAGES,
        "config": {"variables": settings},
        "provider": {"description": _text(Provider), "inputProperties": settings},
        "types": named.declared(),
        "resources": dict(sorted(resources.items())),
        "functions": dict(sorted(invokes.items())),
    }


def text(types: Iterable[type[ResourceType[Any, Any]]], functions: Iterable[type[AnyFunction]]) -> str:
    """The same as JSON text."""
    return json.dumps(schema(types, functions), indent=2, ensure_ascii=False) + "\n"


def _resource(handler: type[ResourceType[Any, Any]], types: Types) -> Json:
    inputs, outputs = fields(handler.spec), fields(handler.state)
    return {
        "description": _text(handler.spec),
        "inputProperties": _properties(handler.spec, types.within(handler.token, inputs=True)),
        "requiredInputs": sorted(name for name, field in inputs.items() if field.required),
        "properties": _properties(handler.state, types.within(handler.token, inputs=False)),
        "required": sorted(name for name, field in outputs.items() if _always(field)),
        "listInputs": {},
    }


def _function(function: type[AnyFunction], types: Types) -> Json:
    asked, answered = fields(function.args), fields(function.result)
    return {
        "description": _text(function) or _text(function.result),
        "inputs": {
            "type": "object",
            "properties": _properties(function.args, types.within(function.token, inputs=True)),
            "required": sorted(name for name, field in asked.items() if field.required),
        },
        "outputs": {
            "type": "object",
            "properties": _properties(function.result, types.within(function.token, inputs=False)),
            "required": sorted(name for name, field in answered.items() if _always(field)),
        },
    }


def _properties(model: type[Spec], types: Types) -> Json:
    return {name: _property(field, types) for name, field in fields(model).items()}


def _property(field: FieldFacts, types: Types) -> Json:
    entry: Json = {**types.of(field), "description": _words(field, types.inputs)}
    if field.sensitive:
        entry["secret"] = True
    if types.inputs and field.effect is Effect.REPLACE:
        entry["willReplaceOnChanges"] = True
    if (old := field.fact(Deprecated)) is not None:
        entry["deprecationMessage"] = old.instead
    return entry


def _words(field: FieldFacts, inputs: bool) -> str:
    """The description with the unit, the default and the effect in words."""
    sentences = [field.description.strip()]
    if field.unit:
        sentences.append(f"{'Unit' if field.annotation in (int, float) else 'Format'}: {field.unit}.")
    if inputs and _constant(field.default):
        sentences.append(f"Default: `{json.dumps(field.default).strip(chr(34))}`.")
    if inputs and field.effect in EFFECTS:
        sentences.append(EFFECTS[field.effect])
    return " ".join(sentence for sentence in sentences if sentence)


def _constant(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _always(field: FieldFacts) -> bool:
    """Whether a state always has this property."""
    return field.required or field.computed or field.default is not None


def _text(described: type) -> str:
    """A docstring as one Markdown text: lines joined, paragraphs kept."""
    paragraphs = (described.__doc__ or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def main() -> int:
    """Print the schema of everything that is registered."""
    from jvp.resources import registry

    sys.stdout.write(text(registry.RESOURCES.values(), registry.FUNCTIONS.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

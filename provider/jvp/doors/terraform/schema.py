"""The schemas of the provider, its resources and its data sources, derived from the models.

Sub-models are nested attributes. A property that may be left out is optional and computed, so that a plan can tell its
default, and what an import found stays as it is until somebody sets it.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Any

from pydantic import BaseModel

from jvp.core.facts import Deprecated, Derived, Effect
from jvp.core.handler import AnyFunction, AnyType
from jvp.core.model import FieldFacts, fields
from jvp.doors.terraform import functions as hcl_functions
from jvp.doors.terraform import writeonly
from jvp.doors.terraform.protocol import LIST, MAP, MARKDOWN, SINGLE, Attribute, Message, Object, Schema, message
from jvp.doors.terraform.spelling import spoken
from jvp.resources.provider import Provider, Timeouts

PREFIX = "jvp_"
PLAIN = {str: "string", int: "number", float: "number", bool: "bool"}
REPLACES = "A change replaces the resource."


class Part(Enum):
    """Who sets the attributes of a model."""

    SETTINGS = "the user; there is no state"
    RESOURCE = "the user, or the provider where the user sets nothing"
    OUTPUT = "the provider"


@cache
def type_name(token: str) -> str:
    """`StoragePool` -> `jvp_storage_pool`, `getNetworkLeases` -> `jvp_network_leases`."""
    return PREFIX + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", token.removeprefix("get")).lower()


def whole(types: Iterable[AnyType], functions: Iterable[type[AnyFunction]]) -> Message:
    """Everything that a host asks of the schemas: the answer to GetProviderSchema.

    A kind that no function answers for is looked up by a data source of its name.
    """
    capabilities = message("ServerCapabilities")(get_provider_schema_optional=True, move_resource_state=True)
    answer = message("GetProviderSchema.Response")(server_capabilities=capabilities, provider=provider())
    for name, called in hcl_functions.FUNCTIONS.items():
        answer.functions[name].CopyFrom(hcl_functions.declared(called))
    for function in functions:
        answer.data_source_schemas[type_name(function.token)].CopyFrom(data_source(function))
    for handler in types:
        name = type_name(handler.token)
        answer.resource_schemas[name].CopyFrom(resource(handler))
        if name not in answer.data_source_schemas and not handler.stands_for:
            answer.data_source_schemas[name].CopyFrom(lookup(handler))
    return answer


def provider() -> Message:
    """The provider's own settings."""
    return _schema(attributes(Provider, Part.SETTINGS), _first_line(Provider))


def resource(handler: AnyType) -> Message:
    """A resource: what is declared, what is known of it, and what Terraform alone wants."""
    listed = {one.name: one for one in attributes(handler.state, Part.RESOURCE, fields(handler.spec))}
    if "name" in listed:
        # There is no address of the resource in this protocol: the name tells one from another.
        listed["name"].required, listed["name"].optional, listed["name"].computed = True, False, False
        listed["name"].description = re.sub(r"; made .*?left out", "", listed["name"].description)
    listed |= {one.name: one for one in (_id(handler), _unfinished(), _timeouts())}
    if not handler.stands_for:
        listed["adopt"] = _adopt()
    return _schema(listed.values(), _first_line(handler.spec), handler.spec.schema_version)


def data_source(function: AnyFunction | type[Any]) -> Message:
    """A function: its arguments and its result."""
    listed = {one.name: one for one in attributes(function.result, Part.OUTPUT)}
    for one in attributes(function.args, Part.SETTINGS):
        one.computed = one.optional and one.name in listed
        listed[one.name] = one
    return _schema(listed.values(), _first_line(function))


def lookup(handler: AnyType) -> Message:
    """An object of a kind that no function answers for, by id or name."""
    listed = {one.name: one for one in attributes(handler.state, Part.OUTPUT)}
    for name, text in (("id", "The id."), ("name", "The name.")):
        listed[name] = Attribute(name=name, type=b'"string"', description=text, optional=True, computed=True)
    return _schema(listed.values(), f"Looks up a {handler.kind} by its id or name.")


def attributes(model: type[BaseModel], part: Part, inputs: Mapping[str, FieldFacts] | None = None) -> Iterator[Message]:
    """The attributes of a model. `inputs` are those of its properties that a user sets; by default all."""
    for name, facts in fields(model).items():
        its = Part.OUTPUT if inputs is not None and name not in inputs else part
        made = _attribute(facts, Part.OUTPUT if facts.output is not None else its)
        made.description = _here(made.description, model)
        yield made
        if its is Part.RESOURCE and (beside := writeonly.names(facts)) is not None:
            yield from _write_only(facts, *beside)


def _attribute(facts: FieldFacts, part: Part) -> Message:
    if facts.fact(Derived) is not None:
        part = Part.OUTPUT  # a configured value would have to be the planned one
    # Only the configuration tells these: what is not configured is not there. (A mock of the host's fills in all that
    # may be computed, and must not fill in the write-only values inside.)
    told = facts.write_only and facts.item is not None
    made = Attribute(
        name=facts.attribute,
        description=_description(facts, part),
        description_kind=MARKDOWN,
        sensitive=facts.sensitive,
        deprecated=facts.fact(Deprecated) is not None,
        required=part is not Part.OUTPUT and facts.required,
        optional=part is not Part.OUTPUT and not facts.required,
        computed=part is Part.OUTPUT or (part is Part.RESOURCE and not facts.required and not told),
    )
    if facts.item is None:
        made.type = json.dumps(cty(facts.annotation)).encode()
    else:
        nesting = LIST if facts.is_list else MAP if facts.is_map else SINGLE
        made.nested_type.CopyFrom(Object(attributes=attributes(facts.item, part), nesting=nesting))
    return made


def _write_only(facts: FieldFacts, name: str, version: str) -> Iterator[Message]:
    text = (
        f"`{facts.attribute}` as a value that neither the state nor a plan keeps, and that may be ephemeral. It is "
        f"written when the object is made, when `{version}` changes, and whenever what holds it is written anew."
    )
    yield Attribute(
        name=name,
        type=json.dumps(cty(facts.annotation)).encode(),
        description=text,
        description_kind=MARKDOWN,
        sensitive=True,
        optional=True,
        write_only=True,
    )
    text = f"A number that stands for the value of `{name}`; another number says that it is another value."
    yield Attribute(name=version, type=b'"number"', description=text, description_kind=MARKDOWN, optional=True)


def cty(annotation: Any) -> Any:
    """The type of a plain value in the JSON form of Terraform's types."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is typing.Literal:
        return "string"
    if origin is list:
        return ["list", cty(_bare(arguments[0]))]
    if origin is dict:
        return ["map", cty(_bare(arguments[1]))]
    raise TypeError(f"Terraform has no type for {annotation}")


def _bare(hint: Any) -> Any:
    return _bare(typing.get_args(hint)[0]) if typing.get_origin(hint) is typing.Annotated else hint


def _description(facts: FieldFacts, part: Part) -> str:
    words = [facts.description]
    if facts.unit:
        words.append(f"({facts.unit})")
    if (old := facts.fact(Deprecated)) is not None:
        words.append(f"Deprecated: {old.instead}")
    if part is not Part.OUTPUT:
        if typing.get_origin(facts.annotation) is typing.Literal:
            choices = ", ".join(f"`{word}`" for word in typing.get_args(facts.annotation))
            words.append(f"One of {choices}.")
        if facts.item is None and facts.default not in (None, "", [], {}):
            words.append(f"Default: `{json.dumps(facts.default)}`.")
        if part is Part.RESOURCE and facts.effect is Effect.REPLACE:
            words.append(REPLACES)
    return " ".join(word for word in words if word)


def _here(text: str, model: type[BaseModel]) -> str:
    """A description in this engine's names: of properties, and of functions, which are data sources here."""
    text = re.sub(r"\bget[A-Z]\w*", lambda found: f"The data source `{type_name(found.group())}`", text)
    return spoken(text, model)


def _id(handler: AnyType) -> Message:
    text = f"The id of the {handler.kind}, by which others refer to it and by which it is imported."
    if handler.stands_for:
        text = "An id of this resource alone: nothing on the node has it."
    return Attribute(name="id", type=b'"string"', description=text, computed=True)


def _unfinished() -> Message:
    text = "Why the last apply left the object short of its declaration; the next one goes on. Empty when it did not."
    return Attribute(name="unfinished", type=b'["list","string"]', description=text, computed=True)


def _adopt() -> Message:
    text = "Whether an object that is there already under the name is taken over; by default the provider's `adopt`."
    return Attribute(name="adopt", type=b'"bool"', description=text, optional=True)


def _timeouts() -> Message:
    made = Attribute(name="timeouts", description="How long the verbs of this resource may take.", optional=True)
    inner = attributes(Timeouts, Part.SETTINGS)
    made.nested_type.CopyFrom(Object(attributes=inner, nesting=SINGLE))
    return made


def _schema(listed: Iterable[Message], description: str, version: int = 0) -> Message:
    block = Schema.Block(
        version=version,
        attributes=sorted(listed, key=lambda one: str(one.name)),
        description=description,
        description_kind=MARKDOWN,
    )
    return Schema(version=version, block=block)


def _first_line(model: Any) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]

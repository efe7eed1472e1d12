"""schema.json from models."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from jvp.core.facts import Changes, Computed, Deprecated, Effect, Output, Sensitive, Unit
from jvp.core.handler import Handler
from jvp.core.model import Spec
from jvp.core.types import Name, Size
from jvp.core.values import Secret
from jvp.doors.pulumi import schema

pytestmark = pytest.mark.unit


class Nic(Spec):
    """A network card."""

    name: Annotated[Name, Field(description="Unique.")]
    mac: Annotated[str | None, Computed(), Field(description="Its address.")] = None
    model: Annotated[Literal["virtio", "e1000"], Field(description="What the guest sees.")] = "virtio"


class Box(Spec):
    """A box.

    It has two
    paragraphs.
    """

    name: Annotated[Name | None, Changes(Effect.REPLACE), Computed(), Field(description="Unique.")] = None
    template: Annotated[str, Changes(Effect.NEXT_BOOT), Field(description="What it is made from.")]
    max_memory: Annotated[Size, Field(description="How much.")] = "2GiB"
    weight: Annotated[float | None, Unit("kilograms"), Field(description="How heavy.")] = None
    nics: Annotated[list[Nic], Field(description="Cards.")] = []
    tags: Annotated[dict[str, str], Field(description="Words.")] = {}
    power: Annotated[Literal["on", "off"], Field(description="Whether it runs.")] = "on"
    password: Annotated[Secret[str] | None, Field(description="Hush.")] = None
    label: Annotated[str | None, Deprecated("Use tags."), Field(description="A word.")] = None


class Lease(Spec):
    """An address."""

    address: Annotated[str, Field(description="It.")]
    hours: Annotated[int, Field(description="For how long.")] = 1
    note: Annotated[str | None, Field(description="Why.")] = None


class BoxState(Box):
    """A box as it is."""

    uuid: Annotated[str, Output(), Field(description="Its id.")]
    token: Annotated[str | None, Output(), Sensitive(), Field(description="Hush.")] = None
    leases: Annotated[list[Lease], Output(), Field(description="Addresses.")] = []


class Boxes(Handler[Box, BoxState]):
    kind, token, spec, state = "box", "Box", Box, BoxState


class Which(Spec):
    name: Annotated[Name, Field(description="Which.")]


class GetBox:
    """One box."""

    token, args, result = "getBox", Which, BoxState


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return schema.schema([Boxes], [GetBox])


@pytest.fixture(scope="module")
def box(made: dict[str, Any]) -> dict[str, Any]:
    return made["resources"]["jvp:index:Box"]


def test_inputs(box: dict[str, Any]) -> None:
    inputs = box["inputProperties"]
    assert box["description"] == "A box.\n\nIt has two paragraphs."
    assert box["requiredInputs"] == ["template"]
    assert inputs["name"] == {
        "type": "string", "description": "Unique. A change replaces the resource.", "willReplaceOnChanges": True,
    }  # fmt: skip
    assert inputs["template"]["description"] == "What it is made from. A change takes effect at the next boot."
    assert inputs["maxMemory"] == {
        "type": "string",
        "description": "How much. Format: size with a unit, like 512MiB or 20GiB. Default: `2GiB`.",
    }  # fmt: skip
    assert inputs["weight"] == {"type": "number", "description": "How heavy. Unit: kilograms."}
    assert inputs["label"] == {"type": "string", "description": "A word.", "deprecationMessage": "Use tags."}
    assert inputs["tags"]["additionalProperties"] == {"type": "string"}
    assert inputs["nics"]["items"] == {"$ref": "#/types/jvp:index:BoxNic"}
    assert inputs["password"]["secret"]
    assert not set(inputs) & {"uuid", "token", "leases"}


def test_choices_are_strings_or_an_enum(made: dict[str, Any], box: dict[str, Any]) -> None:
    assert box["inputProperties"]["power"]["oneOf"] == [{"type": "string"}, {"$ref": "#/types/jvp:index:BoxPower"}]
    assert made["types"]["jvp:index:BoxPower"] == {"type": "string", "enum": [{"value": "on"}, {"value": "off"}]}
    assert "jvp:index:BoxNicModel" in made["types"]


def test_outputs_that_are_always_there_are_required(box: dict[str, Any]) -> None:
    assert box["required"] == ["leases", "maxMemory", "name", "nics", "power", "tags", "template", "uuid"]
    assert box["properties"]["token"]["secret"]
    assert "default" not in str(box).replace("Default: `", "")


def test_a_type_of_inputs_requires_what_inputs_do(made: dict[str, Any]) -> None:
    assert made["types"]["jvp:index:BoxNic"]["required"] == ["name"]
    assert made["types"]["jvp:index:BoxLease"]["required"] == ["address", "hours"]


def test_functions(made: dict[str, Any]) -> None:
    function = made["functions"]["jvp:index:getBox"]
    assert function["description"] == "One box."
    assert function["inputs"]["required"] == ["name"]
    assert function["outputs"]["properties"]["leases"]["items"] == {"$ref": "#/types/jvp:index:BoxLease"}


def test_settings_are_config_and_inputs_of_the_provider(made: dict[str, Any]) -> None:
    assert made["config"]["variables"] == made["provider"]["inputProperties"]
    assert made["config"]["variables"]["timeouts"]["$ref"] == "#/types/jvp:index:ProviderTimeouts"


def test_every_reference_is_declared_and_every_property_described(made: dict[str, Any]) -> None:
    text = json.dumps(made)
    named = {part.split('"')[0] for part in text.split("#/types/")[1:]}
    assert named == set(made["types"])

    def described(node: Any) -> None:
        if isinstance(node, dict):
            for key in ("properties", "inputProperties", "variables"):
                for name, entry in node.get(key, {}).items() if isinstance(node.get(key), dict) else ():
                    assert entry["description"], name
            for value in node.values():
                described(value)

    described(made)


def test_the_order_is_stable(made: dict[str, Any]) -> None:
    assert schema.text([Boxes], [GetBox]) == schema.text([Boxes], [GetBox])
    assert list(made["types"]) == sorted(made["types"])


def test_two_models_of_one_name_are_noticed() -> None:
    class Other(Spec):
        nic: Annotated[list[Nic], Field(description="x")] = []

    other = type("Nic", (Spec,), {"__doc__": "Another."})

    class Twice(Spec):
        first: Annotated[Nic | None, Field(description="x")] = None
        second: Annotated[other | None, Field(description="x")] = None  # type: ignore[valid-type]

    Twice.__annotations__["second"] = Annotated[other | None, Field(description="x")]

    class Handled(Handler[Any, Any]):
        kind, token, spec, state = "box", "Box", Twice, Twice

    with pytest.raises(TypeError, match="two models would be called jvp:index:BoxNic"):
        schema.schema([Handled], [])

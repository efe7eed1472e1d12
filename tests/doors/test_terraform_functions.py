"""The functions of HCL over real gRPC, as hosts call them: without any settings of the provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from terraform_rpc import Engine, packed, served, unpacked

from jvp.doors.terraform import plugin, server
from jvp.doors.terraform.protocol import message
from jvp.resources.instance.definition import mac_of

UUID = "0b1c7f0e-6a39-4a6d-9a55-1f0f3d6f9a10"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with served(server.Service(plugin.registered)) as there:
        yield there


def called(engine: Engine, name: str, *arguments: Any) -> Any:
    request = message("CallFunction.Request")(name=name, arguments=[packed(one) for one in arguments])
    return engine.call("CallFunction", request)


def of_any_type(kind: Any, value: Any) -> list[Any]:
    """A value whose type stands beside it."""
    return [json.dumps(kind).encode(), value]


def test_every_function_is_told_with_its_types_and_words(engine: Engine) -> None:
    told = engine.ask("GetFunctions").functions
    assert set(told) == {"size_bytes", "size", "mac", "cloud_init"}
    assert set(told) == {one.name for one in engine.ask("GetMetadata").functions}
    assert set(told) == set(engine.ask("GetProviderSchema").functions)
    for name, one in told.items():
        assert one.summary, name
        assert one.description, name
        types = [json.loads(each.type) for each in (*one.parameters, getattr(one, "return"))]
        assert set(types) <= {"string", "number", "dynamic"}, name


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("size_bytes", ("2GiB",), 2 * 2**30),
        ("size_bytes", ("1.5TB",), 1_500_000_000_000),
        ("size", (2 * 2**30,), "2GiB"),
        ("size", (5000,), "5kB"),
        ("mac", (UUID, "eth0"), mac_of(UUID, "eth0")),
    ],
)
def test_a_function_answers(engine: Engine, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    answer = called(engine, name, *arguments)
    assert (unpacked(answer.result), answer.error.text) == (result, "")


def test_cloud_init_is_the_object_without_what_is_null(engine: Engine) -> None:
    kind = ["object", {"packages": ["tuple", ["string"]], "timezone": "string", "swap": ["object", {"size": "number"}]}]
    given = {"packages": ["nginx"], "timezone": None, "swap": {"size": 1024}}
    text = unpacked(called(engine, "cloud_init", of_any_type(kind, given)).result)
    head, _, rest = text.partition("\n")
    assert head == "#cloud-config"
    assert "nginx" in rest
    assert "1024" in rest
    assert "timezone" not in rest


@pytest.mark.parametrize(
    ("name", "argument", "sentence"),
    [
        ("size_bytes", "2", '"2" is not a size; write it with a unit: "512MiB", "20GiB", "1.5TB"'),
        ("size", 1.5, "must be a whole number above zero"),
        ("cloud_init", of_any_type("string", "x"), "must be an object of cloud-init's keys"),
    ],
)
def test_an_argument_that_is_wrong_is_one_sentence(engine: Engine, name: str, argument: Any, sentence: str) -> None:
    error = called(engine, name, argument).error
    assert error.text.startswith(sentence)
    assert error.function_argument == 0


def test_a_function_that_is_not_there_is_an_error(engine: Engine) -> None:
    assert "has no function" in called(engine, "sizes").error.text

"""The functions of HCL: `provider::jvp::NAME(…)`. They look at their arguments alone, and need no host.

A Python function is all that there is to one: its parameters and their types, and its docstring, which is shown.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from jvp.core.errors import Invalid
from jvp.core.types import size_bytes as bytes_of
from jvp.core.types import size_text
from jvp.core.values import UNKNOWN
from jvp.doors.terraform.protocol import MARKDOWN, Message, message
from jvp.doors.terraform.values import decode, encode

TYPES = {str: "string", int: "number", Any: "dynamic"}
"""In the JSON form of Terraform's types."""


def size_bytes(size: str) -> int:
    """A size in bytes: `size_bytes("2GiB")` is 2147483648."""
    return bytes_of(size)


def size(bytes: int) -> str:
    """The shortest exact spelling of a number of bytes: `size(2147483648)` is `2GiB`."""
    if not isinstance(bytes, int) or bytes <= 0:
        raise ValueError("must be a whole number above zero")
    return size_text(bytes)


def mac(seed: str, card: str) -> str:
    """A MAC address that always follows from two texts.
    From an instance's `uuid` and a card's name it is that card's."""
    from jvp.resources.instance.definition import mac_of

    return mac_of(seed, card)


def cloud_init(config: Any) -> str:
    """User data: an object of cloud-init's keys as `#cloud-config`. What is null in it is left out."""
    from jvp.images.seed import yaml

    if not isinstance(config, dict):
        raise ValueError("must be an object of cloud-init's keys, like { packages = [...] }")
    return "#cloud-config\n" + yaml(_said(config))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {one.__name__: one for one in (size_bytes, size, mac, cloud_init)}


def declared(function: Callable[..., Any]) -> Message:
    """A function as hosts are told of it."""
    hints, text = get_type_hints(function), " ".join((function.__doc__ or "").split())
    summary = re.split(r"[:.] |[.]$", text, maxsplit=1)[0]
    made = message("Function")(summary=summary, description=text, description_kind=MARKDOWN)
    for name in inspect.signature(function).parameters:
        made.parameters.add(name=name, type=_type(hints[name]))
    getattr(made, "return").type = _type(hints["return"])
    return made


def call(request: Message) -> Message:
    """The answer to a call of a function."""
    answer, function = message("CallFunction.Response")(), FUNCTIONS.get(request.name)
    if function is None:
        there = ", ".join(sorted(FUNCTIONS))
        raise Invalid(f'this version of jvp has no function "{request.name}"; there are: {there}')
    hints = get_type_hints(function)
    dynamic = [hints[name] is Any for name in inspect.signature(function).parameters]
    given = [_plain(decode(one), bare=bare) for one, bare in zip(request.arguments, dynamic, strict=True)]
    try:
        answer.result.CopyFrom(encode(function(*given)))
    except ValueError as error:
        answer.error.text = str(error)
        answer.error.function_argument = 0
    return answer


def _type(hint: Any) -> bytes:
    return json.dumps(TYPES[hint]).encode()


def _plain(value: Any, *, bare: bool) -> Any:
    """An argument. One of any type comes with its type beside it."""
    return value[1] if bare and isinstance(value, list) else value


def _said(value: Any) -> Any:
    """What is not null."""
    if value is UNKNOWN:
        raise ValueError("must be known")
    if isinstance(value, dict):
        return {key: _said(one) for key, one in value.items() if one is not None}
    return [_said(one) for one in value if one is not None] if isinstance(value, list) else value

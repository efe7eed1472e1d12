"""The functions of the dynamic form: the SDK's own names, arguments and results, asked by the program itself.

`pulumi_jvp.get_network(network="lan")` has the engine ask the plugin. Here is none, so the program's process connects.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_jvp
from pulumi.runtime import rpc
from pulumi.runtime.config import get_config

from jvp.doors.dynamic.resources import SETTINGS

Ask = Callable[..., Any]


def _functions() -> dict[str, Ask]:
    """One for every function that the SDK has, by its name: `get_network`, `get_network_output`."""
    found = {name: there for name, there in vars(pulumi_jvp).items() if inspect.isfunction(there)}
    plain = {name: there for name, there in found.items() if f"{name}_output" in found}
    asked = {name: _plain(name, there) for name, there in plain.items()}
    return asked | {f"{name}_output": _output(name, found[f"{name}_output"]) for name in plain}


def _plain(name: str, sdk: Ask) -> Ask:
    """The function whose answer is there when it returns."""
    answer = getattr(pulumi_jvp, f"Awaitable{_result(name)}")

    @functools.wraps(sdk)
    def ask(*given: Any, **named: Any) -> Any:
        args, _ = _arguments(sdk, given, named)
        return _answered(name, args, answer)[0]

    return ask


def _output(name: str, sdk: Ask) -> Ask:
    """The function that takes outputs and gives one. In a preview it is open where an argument is."""
    answer = getattr(pulumi_jvp, _result(name))

    @functools.wraps(sdk)
    def ask(*given: Any, **named: Any) -> pulumi.Output[Any]:
        args, opts = _arguments(sdk, given, named)
        before = pulumi.Output.from_input(getattr(opts, "depends_on", None) or []).apply(_ids)

        async def answered(found: Any) -> Any:
            return await asyncio.to_thread(_answered, name, found["args"], answer)

        asked: pulumi.Output[Any] = pulumi.Output.all(args=pulumi.Output.from_input(args), before=before)
        answers: pulumi.Output[Any] = asked.apply(answered)
        return answers.apply(lambda told: pulumi.Output.secret(told[0]) if told[1] else told[0])

    return ask


def _ids(found: Any) -> Any:
    """Of the resources that are waited for: an id is open in a preview until its resource is made."""
    several = found if isinstance(found, list) else [found]
    return pulumi.Output.all(*(one.id if isinstance(one, pulumi.CustomResource) else one.urn for one in several))


def _arguments(sdk: Ask, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """What is asked, by the names of Python, and the options. Raises TypeError, and ValueError for a provider."""
    found = inspect.signature(sdk).bind(*given, **named).arguments
    opts = found.pop("opts", None)
    if opts is not None and (opts.provider is not None or opts.parent is not None):
        raise ValueError(f"the dynamic form takes no explicit provider and no parent here; {SETTINGS}")
    return {name: value for name, value in found.items() if value is not None}, opts


def _answered(name: str, args: dict[str, Any], answer: type[Any]) -> tuple[Any, bool]:
    """The answer in the SDK's type, and whether a secret is in it. Raises JvpError."""
    from jvp.doors.dynamic.asking import ask  # late: programs that ask nothing need no libvirt

    found, is_secret = ask(_token(name), args, get_config)
    return rpc.translate_output_properties(found, lambda key: key, answer), is_secret


def _token(name: str) -> str:
    """`get_network_leases` as the core has it: `getNetworkLeases`."""
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def _result(name: str) -> str:
    token = _token(name)
    return f"{token[:1].upper()}{token[1:]}Result"


FUNCTIONS = _functions()

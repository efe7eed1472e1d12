"""The classes of the dynamic form: the SDK's own, each registered as a dynamic resource.

`pulumi_jvp.Network` ends its constructor with `super().__init__("jvp:index:Network", name, props, opts)`. Our class
inherits from it and from `_Dynamic`, which therefore comes next and registers the same properties under another type.
So arguments, nested types, secrets and outputs are those of the SDK, and a new resource appears here by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import pulumi
import pulumi_jvp

from jvp.doors.dynamic.reference import PROVIDER, RESOURCE, pickled

PACKAGE = "jvp"
OF_PLUGIN = "jvp:index:"
OF_DYNAMIC = "pulumi-python:dynamic/jvp:"
"""What types begin with, in the plugin and here."""
SETTINGS = 'its settings are the stack\'s own: "pulumi config set jvp:uri …"'
STACK = "pulumi:pulumi:Stack"


class _Dynamic(pulumi.CustomResource):
    """Comes after a class of the SDK in the order of constructors."""

    def __init__(self, t: str, name: str, props: Any, opts: pulumi.ResourceOptions) -> None:
        _refuse(t, opts)
        # The version of the SDK would be asked of Pulumi's own Python plugin.
        opts.version = opts.plugin_download_url = None
        # Into the input type, not into a dict: with its type go the names of its properties.
        token = t.rpartition(":")[2]
        props.__dict__ |= {PROVIDER: pickled(token), RESOURCE: _who(name, opts.parent, dict(props.__dict__))}
        super().__init__(OF_DYNAMIC + token, name, props, opts)


def _classes() -> dict[str, type[pulumi.CustomResource]]:
    """One class for every resource that the SDK has, by its name."""
    found = {name: there for name, there in vars(pulumi_jvp).items() if _is_resource(there)}
    return {name: _class(name, there) for name, there in found.items()}


def _is_resource(there: Any) -> bool:
    return (
        isinstance(there, type)
        and issubclass(there, pulumi.CustomResource)
        and not issubclass(there, pulumi.ProviderResource)
    )


def _class(name: str, sdk: type[pulumi.CustomResource]) -> type[pulumi.CustomResource]:
    def get(*_arguments: Any, **_named: Any) -> NoReturn:
        """Not in this form."""
        raise NotImplementedError(f"the dynamic form cannot look up a {name}; use pulumi_jvp, which has a plugin")

    body = {"__module__": "jvp.dynamic", "__doc__": sdk.__doc__, "get": staticmethod(get)}
    made = type(name, (sdk, _Dynamic), body)
    return pulumi.type_token(OF_DYNAMIC + name)(made)


CLASSES = _classes()


async def _who(name: str, parent: pulumi.Resource | None, props: Mapping[str, Any]) -> dict[str, Any]:
    """Awaited, not an Output: with an Output of the parent's the resource would depend on its parent's children, and
    so on itself."""
    given = {key: pulumi.Output.from_input(value) for key, value in props.items() if value is not None}
    secrets = [key for key, value in given.items() if await value.is_secret()]
    return {"address": _address(name, await parent.urn.future() if parent else None), "name": name, "secrets": secrets}


def _address(name: str, parent: str | None) -> str:
    """What the plugin makes of the URN: stack, project, the parents' types, the name. `parent` is its URN."""
    types = parent.split("::", 3)[2] if parent else STACK
    above = "" if types == STACK else types.replace(OF_DYNAMIC, OF_PLUGIN)
    return "::".join((f"urn:pulumi:{pulumi.get_stack()}", pulumi.get_project(), above, name))


def _refuse(t: str, opts: pulumi.ResourceOptions) -> None:
    """What the dynamic form cannot do is said where it is written. Raises ValueError."""
    if opts.id is not None or opts.import_ is not None:
        raise ValueError("the dynamic form cannot import what exists; use pulumi_jvp, which has a plugin")
    several = opts.providers or {}
    packages = set(several) if isinstance(several, Mapping) else {one.package for one in several}
    inherited = opts.parent is not None and opts.parent.get_provider(t) is not None
    if opts.provider is not None or PACKAGE in packages or inherited:
        raise ValueError(f"the dynamic form takes no explicit provider; {SETTINGS}")

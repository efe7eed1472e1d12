"""Everything that JVP can declare and answer. Adding a resource: its files, and its line here.

A process imports those of them that its calls are about, and what works on the host only when a verb needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jvp.core.calls import Calls
from jvp.core.handler import AnyFunction, AnyHandler, ResourceType
from jvp.core.later import Lazily, Once
from jvp.core.listing import function_of, token_of
from jvp.core.outlook import Outlook, Plans
from jvp.core.values import known
from jvp.resources.provider import Provider

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node

_TYPES = {
    "StoragePool": ("storage.pool_model.StoragePoolType", "storage.pool.StoragePools"),
    "Template": ("storage.template_model.TemplateType", "storage.template.Templates"),
    "Volume": ("storage.volume_model.VolumeType", "storage.volume.Volumes"),
    "Network": ("network.model.NetworkType", "network.handler.Networks"),
    "Instance": ("instance.model.InstanceType", "instance.handler.Instances"),
}
"""What is declared and what has the verbs, in the order in which they stand on each other."""
_FUNCTIONS = {
    "getInstance": "instance.functions.GetInstance",
    "getInstanceXml": "instance.functions.GetInstanceXml",
    "getNetwork": "network.functions.GetNetwork",
    "getNetworkLeases": "network.functions.GetNetworkLeases",
    "getNode": "node.GetNode",
    "getStoragePool": "storage.functions.GetStoragePool",
    "getTemplate": "storage.functions.GetTemplate",
    "getVolume": "storage.functions.GetVolume",
}
_LISTS = {token_of(token): token for token in _TYPES}
"""The functions that list a kind, and which."""


def _imported(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"jvp.resources.{module}"), name)


def import_all() -> None:
    """All that is registered. Raises ImportError."""
    for places in (*_TYPES.values(), _FUNCTIONS.values()):
        for place in places:
            _imported(place)
    for token in _LISTS:
        FUNCTIONS[token]


def _function(token: str) -> type[AnyFunction]:
    return function_of(TYPES[_LISTS[token]]) if token in _LISTS else _imported(_FUNCTIONS[token])


TYPES: Mapping[str, type[ResourceType[Any, Any]]] = Lazily(_TYPES, lambda token: _imported(_TYPES[token][0]))
"""Resources by their tokens."""
FUNCTIONS: Mapping[str, type[AnyFunction]] = Lazily(sorted({*_FUNCTIONS, *_LISTS}), _function)
"""Functions by their tokens."""


def calls(provider: Provider) -> Calls:
    """The calls over one node. Connects only when a verb needs the host."""
    plans = Plans()

    def make_node() -> Node:
        from jvp.libvirt.link.node import Node

        return Node(provider.uri, plans)

    node = Once(make_node)

    def handler(token: str) -> AnyHandler:
        made = _imported(_TYPES[token][1])
        return made(node(), provider) if token == "Instance" else made(node())  # type: ignore[no-any-return]

    handlers = Lazily(_TYPES, handler)

    def function(token: str) -> AnyFunction:
        made: Any = FUNCTIONS[token]
        return made(handlers[_LISTS[token]] if token in _LISTS else node())  # type: ignore[no-any-return]

    outlook = Outlook(plans, asks=known(provider.uri))
    return Calls(handlers, Lazily(FUNCTIONS, function), lambda: node().host(), outlook)

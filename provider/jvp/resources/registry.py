"""Everything that JVP can declare and answer. Adding a resource: its files, and its line here.

A process imports those of them that its calls are about, and what works on the host only when a verb needs it. The
names alone cost nothing: a list of commands is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jvp.core.later import Lazily, Once

if TYPE_CHECKING:
    from jvp.core.action import AnyAction
    from jvp.core.calls import Calls
    from jvp.core.handler import AnyFunction, AnyHandler, ResourceType
    from jvp.core.happened import Happened, Watch
    from jvp.core.objects import Objects
    from jvp.libvirt.link.node import Node
    from jvp.resources.provider import Provider

_TYPES = {
    "StoragePool": ("storage.pool_model.StoragePoolType", "storage.pool.StoragePools"),
    "Template": ("storage.template_model.TemplateType", "storage.template.Templates"),
    "Volume": ("storage.volume_model.VolumeType", "storage.volume.Volumes"),
    "Network": ("network.model.NetworkType", "network.handler.Networks"),
    "Firewall": ("firewall.model.FirewallType", "firewall.handler.Firewalls"),
    "Instance": ("instance.model.InstanceType", "instance.handler.Instances"),
    "Snapshot": ("snapshot.model.SnapshotType", "snapshot.handler.Snapshots"),
}
"""What is declared and what has the verbs, in the order in which they stand on each other."""
_FUNCTIONS = {
    "getFirewall": "firewall.functions.GetFirewall",
    "getInstance": "instance.functions.GetInstance",
    "getInstanceConsole": "instance.consoles.GetInstanceConsole",
    "getInstanceMetrics": "instance.looking.GetInstanceMetrics",
    "getInstanceScreenshot": "instance.looking.GetInstanceScreenshot",
    "getInstanceXml": "instance.functions.GetInstanceXml",
    "getNetwork": "network.functions.GetNetwork",
    "getNetworkLeases": "network.functions.GetNetworkLeases",
    "getNode": "node.GetNode",
    "getSnapshot": "snapshot.functions.GetSnapshot",
    "getStoragePool": "storage.functions.GetStoragePool",
    "getTemplate": "storage.functions.GetTemplate",
    "getTemplateSearch": "storage.catalogue.GetTemplateSearch",
    "getVolume": "storage.functions.GetVolume",
}
_LISTS = {f"get{token}s": token for token in _TYPES}
"""The functions that list a kind, and which."""
_ACTIONS = {
    "compactInstance": ("instance.actions.CompactInstance", ""),
    "compactVolume": ("storage.volume_actions.CompactVolume", ""),
    "exportInstance": ("instance.actions.ExportInstance", "ExportInstance"),
    "exportSnapshot": ("snapshot.actions.ExportSnapshot", "ExportSnapshot"),
    "exportVolume": ("storage.volume_actions.ExportVolume", "ExportVolume"),
    "pauseInstance": ("instance.actions.PauseInstance", ""),
    "refreshStoragePool": ("storage.actions.RefreshStoragePool", "RefreshStoragePool"),
    "restartInstance": ("instance.actions.RestartInstance", "RestartInstance"),
    "resumeInstance": ("instance.actions.ResumeInstance", ""),
    "rollbackInstance": ("snapshot.instance_actions.RollbackInstance", ""),
    "rollbackSnapshot": ("snapshot.actions.RollbackSnapshot", "Rollback"),
    "snapshotInstance": ("snapshot.instance_actions.SnapshotInstance", ""),
    "startInstance": ("instance.actions.StartInstance", ""),
    "startNetwork": ("network.actions.StartNetwork", ""),
    "startStoragePool": ("storage.actions.StartStoragePool", ""),
    "stopInstance": ("instance.actions.StopInstance", ""),
    "stopNetwork": ("network.actions.StopNetwork", ""),
    "stopStoragePool": ("storage.actions.StopStoragePool", ""),
}
"""Where it is declared, and the resource that stands for it in engines' programs, where one does."""


def _imported(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"jvp.resources.{module}"), name)


def import_all() -> None:
    """All that is registered. Raises ImportError."""
    acts = [place for place, _ in _ACTIONS.values()]
    for places in (*_TYPES.values(), _FUNCTIONS.values(), acts):
        for place in places:
            _imported(place)
    for token in _LISTS:
        FUNCTIONS[token]
    for token in RESOURCES:
        _ = RESOURCES[token]


def _function(token: str) -> type[AnyFunction]:
    if token not in _LISTS:
        return _imported(_FUNCTIONS[token])  # type: ignore[no-any-return]
    from jvp.core.listing import function_of

    return function_of(TYPES[_LISTS[token]])


TYPES: Mapping[str, type[ResourceType[Any, Any]]] = Lazily(_TYPES, lambda token: _imported(_TYPES[token][0]))
"""Resources by their tokens."""
FUNCTIONS: Mapping[str, type[AnyFunction]] = Lazily(sorted({*_FUNCTIONS, *_LISTS}), _function)
"""Functions by their tokens."""


ACTIONS: Mapping[str, type[AnyAction]] = Lazily(_ACTIONS, lambda token: _imported(_ACTIONS[token][0]))
"""Actions by their tokens."""
_STANDINS = {resource: token for token, (_, resource) in _ACTIONS.items() if resource}


def _declarable(token: str) -> type[ResourceType[Any, Any]]:
    if token in TYPES:
        return TYPES[token]
    from jvp.core import standin

    return standin.type_of(ACTIONS[_STANDINS[token]], token)


RESOURCES: Mapping[str, type[ResourceType[Any, Any]]] = Lazily((*_TYPES, *_STANDINS), _declarable)
"""What a program of an engine can declare: the resources, and those that stand for an action."""


def calls(provider: Provider) -> Calls:
    """The engines' calls over one node. Connects only when a verb needs the host."""
    from jvp.core.calls import Calls

    parts = _Parts(provider)
    return Calls(parts.handlers, parts.functions, parts.host, parts.outlook, parts.actions)


def objects(provider: Provider) -> Objects:
    """The same objects for doors without an engine, by id or name."""
    return _Parts(provider).objects()


def node_events(provider: Provider, tell: Callable[[Happened], None], gap: Callable[[str], None]) -> Watch:
    """What happens to the node's objects, as libvirt tells it, on a connection of its own. Begins with its `start`."""
    from jvp.libvirt.link.node import Node
    from jvp.libvirt.link.node_events import NodeEvents

    return NodeEvents(Node(provider.uri), tell, gap)


class _Parts:
    """What works on one node, each made when it is first needed."""

    def __init__(self, provider: Provider) -> None:
        from jvp.core.outlook import Outlook, Plans
        from jvp.core.values import known

        self.provider = provider
        plans = Plans()
        self.outlook = Outlook(plans, asks=known(provider.uri))

        def make_node() -> Node:
            from jvp.libvirt.link.node import Node

            return Node(provider.uri, plans)

        self.node = Once(make_node)
        self.handlers = Lazily((*_TYPES, *_STANDINS), self._handler)
        self.functions = Lazily(FUNCTIONS, self._function)
        self.actions = Lazily(_ACTIONS, self._action)

    def objects(self) -> Objects:
        from jvp.core.objects import OWNER, Objects

        owner = self.provider.owner or OWNER
        return Objects(self.handlers, self.functions, self.host, self.outlook, self.actions, owner=owner)

    def host(self) -> str:
        return self.node().host()

    def _handler(self, token: str) -> AnyHandler:
        if token in _STANDINS:
            return self._standin(token)
        made = _imported(_TYPES[token][1])
        return made(self.node(), self.provider) if token == "Instance" else made(self.node())  # type: ignore[no-any-return]

    def _standin(self, token: str) -> AnyHandler:
        from jvp.core import standin

        action = self.actions[_STANDINS[token]]
        return standin.handler_of(RESOURCES[token], action, lambda: self.handlers[action.on])

    def _function(self, token: str) -> AnyFunction:
        made: Any = FUNCTIONS[token]
        return made(self.handlers[_LISTS[token]] if token in _LISTS else self.node())  # type: ignore[no-any-return]

    def _action(self, token: str) -> AnyAction:
        made: Any = ACTIONS[token]
        return made(self.node(), self.objects) if token == "snapshotInstance" else made(self.node())  # type: ignore[no-any-return]

"""Everything that JVP can declare and answer. Adding a resource: its file, and its line here."""

from __future__ import annotations

from typing import Any

from jvp.core.calls import Calls
from jvp.core.handler import Handler
from jvp.core.outlook import Outlook
from jvp.libvirt.node import Node
from jvp.resources.functions import GetInstance, GetInstanceXml, GetNetwork, GetNetworkLeases, GetNode
from jvp.resources.instance.handler import Instances
from jvp.resources.network.handler import Networks
from jvp.resources.provider import Provider
from jvp.resources.storage_functions import GetStoragePool, GetTemplate, GetVolume
from jvp.resources.storage_pool import StoragePools
from jvp.resources.template import Templates
from jvp.resources.volume import Volumes

HANDLERS: tuple[type[Handler[Any, Any]], ...] = (StoragePools, Templates, Volumes, Networks, Instances)
FUNCTIONS: tuple[type[Any], ...] = (
    GetInstance,
    GetInstanceXml,
    GetNetwork,
    GetNetworkLeases,
    GetNode,
    GetStoragePool,
    GetTemplate,
    GetVolume,
)


def calls(provider: Provider) -> Calls:
    """The calls over one node. Connects only when a verb needs the host."""
    node = Node(provider.uri)
    handlers: tuple[Handler[Any, Any], ...] = (
        StoragePools(node),
        Templates(node),
        Volumes(node),
        Networks(node),
        Instances(node, provider),
    )
    functions = tuple(function(node) for function in FUNCTIONS)
    return Calls(
        {handler.token: handler for handler in handlers},
        {function.token: function for function in functions},
        node.host,
        Outlook(node.plans, asks=node.is_known),
    )

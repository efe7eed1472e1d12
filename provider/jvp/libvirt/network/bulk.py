"""All networks at once, for lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import libvirt

from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.xml import Element, parse


@dataclass(frozen=True)
class SeenNetwork:
    """A network of anybody in a list."""

    id: str
    name: str
    active: bool
    root: Element | None = None
    """Its inactive definition, where that was asked for."""


def networks(
    connection: handles.Connection, takes: Callable[[str, bool], bool], *, looks: bool
) -> Iterator[SeenNetwork]:
    """The networks of which `takes` says so, by name and whether they run; see `domain.bulk`. Raises libvirtError."""
    running = connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    active = {network.UUIDString() for network in running}
    for network in connection.listAllNetworks(0):
        uuid, name = network.UUIDString(), network.name()
        if not takes(name, uuid in active):
            continue
        root = _definition(network) if looks else None
        if root is not None or not looks:
            yield SeenNetwork(uuid, name, uuid in active, root)


def _definition(network: handles.Network) -> Element | None:
    try:
        return parse(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.NETWORK):
            return None
        raise

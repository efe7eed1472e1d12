"""Functions about networks of anybody, as they are."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from jvp.core.model import Spec
from jvp.core.types import Reference
from jvp.core.work import Work
from jvp.libvirt.link import told
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network import reading
from jvp.resources.network.model import NetworkState


class GetNetworkArgs(Spec):
    """Which network."""

    network: Annotated[Reference, Field(description="The network, by id or name; it need not be one of ours.")]


class NetworkFound(NetworkState):
    """A network as it is, whoever made it.

    Who is on it stands here and not in the resource's outputs: it changes with every instance that comes or goes, and
    the outputs of a resource are as old as its last read.
    """

    id: Annotated[str | None, Field(description="The network's id, by which it is imported.")] = None
    instances: Annotated[
        list[str], Field(description="The running guests with a card on the network, by name, whoever made them.")
    ] = []


class GetNetwork:
    """A network as it is: its range, its DHCP, what it keeps, and who is on it."""

    token: ClassVar[str] = "getNetwork"
    on: ClassVar[str] = "Network"
    args: ClassVar[type[Spec]] = GetNetworkArgs
    result: ClassVar[type[Spec]] = NetworkFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetNetworkArgs) -> NetworkFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'network "{args.network}"'):
            api = NetworkApi(self.node)
            network = api.by_reference(args.network, ("network",))
            state = reading.state_of(api, network, None)
            found: dict[str, Any] = {"id": network.UUIDString(), "instances": api.connected(network)}
            return NetworkFound.model_construct(**dict(state), **found)


class GetNetworkLeasesArgs(Spec):
    """Which network."""

    network: Annotated[Reference, Field(description="The network, by id or name; it need not be one of ours.")]


class NetworkLease(Spec):
    """One address that the network has handed out."""

    mac: Annotated[str, Field(description="The MAC address that it was given to.")]
    address: Annotated[str, Field(description="The IP address.")]
    hostname: Annotated[str | None, Field(description="The name that the guest gave.")] = None
    expires: Annotated[str | None, Field(description="Until when, in UTC (RFC 3339); unset when it never ends.")] = None


class NetworkLeases(Spec):
    """The leases of a network."""

    leases: Annotated[list[NetworkLease], Field(description="Every lease that holds, by address.")] = []


class GetNetworkLeases:
    """The addresses that a network has handed out."""

    token: ClassVar[str] = "getNetworkLeases"
    on: ClassVar[str] = "Network"
    args: ClassVar[type[Spec]] = GetNetworkLeasesArgs
    result: ClassVar[type[Spec]] = NetworkLeases

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetNetworkLeasesArgs) -> NetworkLeases:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'network "{args.network}"'):
            network = NetworkApi(self.node).by_reference(args.network, ("network",))
            rows = network.DHCPLeases() if network.isActive() else []
        told_rows = [(told.mac(row["mac"]), told.address(row["ipaddr"]), row) for row in rows]
        found = [
            NetworkLease(
                mac=mac,
                address=address,
                hostname=told.host_name(row["hostname"]),
                expires=told.time(row["expirytime"]),
            )
            for mac, address, row in told_rows
            if mac is not None and address is not None
        ]
        return NetworkLeases(leases=sorted(found, key=lambda lease: lease.address))

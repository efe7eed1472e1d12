"""Functions: read-only questions to the node."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core.facts import Unit
from jvp.core.model import Spec
from jvp.core.types import Reference
from jvp.core.work import Work
from jvp.libvirt import devices, probe, told
from jvp.libvirt.domains import DomainApi
from jvp.libvirt.errors import libvirt_errors
from jvp.libvirt.networks import NetworkApi
from jvp.libvirt.node import Node
from jvp.libvirt.nodeview import View
from jvp.resources.instance import reading
from jvp.resources.instance.model import InstanceState
from jvp.resources.network.handler import Networks
from jvp.resources.network.model import NetworkState


class GetInstanceArgs(Spec):
    """Which instance."""

    instance: Annotated[Reference, Field(description="The instance, by id or name; it need not be one of ours.")]


class InstanceFound(InstanceState):
    """An instance as it is, whoever made it."""

    id: Annotated[str | None, Field(description="The instance's id, by which it is imported.")] = None
    console: Annotated[
        str | None, Field(description="The node's terminal that is the guest's serial console, while it runs.")
    ] = None


class GetInstance:
    """An instance as it is: state, addresses, disks and cards."""

    token: ClassVar[str] = "getInstance"
    args: ClassVar[type[Spec]] = GetInstanceArgs
    result: ClassVar[type[Spec]] = InstanceFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetInstanceArgs) -> InstanceFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'instance "{args.instance}"'):
            domain = DomainApi(self.node).by_reference(args.instance, ("instance",))
            state = reading.read(work, View(self.node), domain, devices.inactive_xml(domain), None)
            console = devices.console_of(domain)
            return InstanceFound.model_construct(**dict(state), id=domain.UUIDString(), console=console)


class InstanceXml(Spec):
    """An instance in libvirt's own words."""

    id: Annotated[str, Field(description="The instance's id, by which it is imported.")]
    live: Annotated[
        str | None, Field(description="The definition that the guest runs with; unset while it is stopped.")
    ] = None
    persistent: Annotated[
        str | None,
        Field(description="The definition of its next start; unset for a guest that is gone once it stops."),
    ] = None


class GetInstanceXml:
    """An instance's definition as libvirt writes it, the running and the persistent one, without passwords."""

    token: ClassVar[str] = "getInstanceXml"
    args: ClassVar[type[Spec]] = GetInstanceArgs
    result: ClassVar[type[Spec]] = InstanceXml

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetInstanceArgs) -> InstanceXml:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'instance "{args.instance}"'):
            domain = DomainApi(self.node).by_reference(args.instance, ("instance",))
            live, persistent = devices.texts(domain)
            return InstanceXml(id=domain.UUIDString(), live=live, persistent=persistent)


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
    args: ClassVar[type[Spec]] = GetNetworkArgs
    result: ClassVar[type[Spec]] = NetworkFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetNetworkArgs) -> NetworkFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'network "{args.network}"'):
            api = NetworkApi(self.node)
            network = api.by_reference(args.network, ("network",))
            state = Networks(self.node).state_of(network, None)
            found = {"id": network.UUIDString(), "instances": api.connected(network)}
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


class GetNodeArgs(Spec):
    """Nothing is asked for: it is the provider's own node."""


class NodeFound(Spec):
    """A node as it is."""

    uri: Annotated[str, Field(description="The libvirt connection that leads to it.")]
    uuid: Annotated[str, Field(description="The host's own uuid, the same whatever leads to it.")]
    hostname: Annotated[str, Field(description="The host's name.")]
    arch: Annotated[str, Field(description="The processor's architecture: x86_64.")]
    cpus: Annotated[int, Field(description="Logical CPUs.")]
    memory_bytes: Annotated[int, Unit("bytes"), Field(description="Memory.")]
    free_memory_bytes: Annotated[int, Unit("bytes"), Field(description="Memory that nothing uses.")]
    hypervisor: Annotated[str, Field(description="The hypervisor: QEMU.")]
    hypervisor_version: Annotated[str, Field(description="The hypervisor's version.")]
    libvirt_version: Annotated[str, Field(description="The version of the libvirt daemon.")]
    kvm: Annotated[bool, Field(description="Whether the node offers KVM; whether it works is tried at a first start.")]
    session: Annotated[bool, Field(description="Whether this is a user's own daemon, without networks.")]


class GetNode:
    """The node that the provider works on."""

    token: ClassVar[str] = "getNode"
    args: ClassVar[type[Spec]] = GetNodeArgs
    result: ClassVar[type[Spec]] = NodeFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetNodeArgs) -> NodeFound:
        """Raises Unreachable."""
        with libvirt_errors(f'the node "{self.node.shown}"'):
            facts = dataclasses.asdict(self.node.facts())
            return NodeFound(
                uri=self.node.shown,
                uuid=self.node.host_uuid,
                kvm=probe.lists_kvm(self.node),
                session=self.node.is_session,
                **facts,
            )

"""The node itself, as a function tells it."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core.facts import Unit
from jvp.core.model import Spec
from jvp.core.work import Work
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import kvm_probe


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
    on: ClassVar[str] = "Node"
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
                kvm=kvm_probe.lists_kvm(self.node),
                session=self.node.is_session,
                **facts,
            )

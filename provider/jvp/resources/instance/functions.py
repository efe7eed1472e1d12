"""Functions about instances of anybody, as they are."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core import recall
from jvp.core.declaration import Noted
from jvp.core.model import Spec, load
from jvp.core.types import Reference
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.node_view import View
from jvp.resources.instance import reading
from jvp.resources.instance.model import Instance, InstanceState


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
    on: ClassVar[str] = "Instance"
    args: ClassVar[type[Spec]] = GetInstanceArgs
    result: ClassVar[type[Spec]] = InstanceFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetInstanceArgs) -> InstanceFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'instance "{args.instance}"'):
            domain = DomainApi(self.node).by_reference(args.instance, ("instance",))
            root = devices.inactive_xml(domain)
            state = reading.read(work, View(self.node), domain, root, None).bag()
            bag = recall.remembered(Instance, state, Noted.of(marks.bearer(root), Instance))
            console = devices.console_of(domain)
            return load(InstanceFound, {**bag, "id": domain.UUIDString(), "console": console})


class InstanceDefinitions(Spec):
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
    on: ClassVar[str] = "Instance"
    args: ClassVar[type[Spec]] = GetInstanceArgs
    result: ClassVar[type[Spec]] = InstanceDefinitions

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetInstanceArgs) -> InstanceDefinitions:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'instance "{args.instance}"'):
            domain = DomainApi(self.node).by_reference(args.instance, ("instance",))
            live, persistent = devices.texts(domain)
            return InstanceDefinitions(id=domain.UUIDString(), live=live, persistent=persistent)

"""Functions about firewalls of anybody, as they are."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core.model import Spec
from jvp.core.types import Reference
from jvp.core.work import Work
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.network.filters import FilterApi, definition
from jvp.resources.firewall.handler import state_of
from jvp.resources.firewall.model import FirewallState


class GetFirewallArgs(Spec):
    """Which firewall."""

    firewall: Annotated[
        Reference, Field(description="The firewall, by id or name; any filter of libvirt's is one, like clean-traffic.")
    ]


class FirewallFound(FirewallState):
    """A firewall as it is, whoever made it."""

    id: Annotated[str | None, Field(description="The firewall's id, by which it is imported.")] = None
    instances: Annotated[
        list[str], Field(description="The instances with a card that it is for, by name, whoever made them.")
    ] = []


class GetFirewall:
    """A firewall as it is: its rules, and whom it is for."""

    token: ClassVar[str] = "getFirewall"
    on: ClassVar[str] = "Firewall"
    args: ClassVar[type[Spec]] = GetFirewallArgs
    result: ClassVar[type[Spec]] = FirewallFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetFirewallArgs) -> FirewallFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'firewall "{args.firewall}"'):
            api = FilterApi(self.node)
            found = api.by_reference(args.firewall, ("firewall",))
            state = state_of(definition(found))
            instances = api.users(found.name())
            return FirewallFound.model_construct(**dict(state), id=found.UUIDString(), instances=instances)

"""What a list of instances can be asked for, and what it tells of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Unit
from jvp.core.listing import Filters, Item
from jvp.core.types import Reference


class InstanceFilters(Filters):
    """Which instances to list."""

    state: Annotated[
        Literal["running", "paused", "stopping", "stopped", "crashed", "suspended"] | None,
        Field(description="Only those that are doing this."),
    ] = None
    network: Annotated[
        Reference | None, Field(description="Only those with a card on this network, by id or name.")
    ] = None
    template: Annotated[
        Reference | None,
        Field(description="Only those whose root disk stands on this template: its id, pool/name, or a unique name."),
    ] = None

    @property
    def looks(self) -> bool:
        return super().looks or self.network is not None


class InstanceItem(Item):
    """An instance in a list."""

    state: Annotated[str | None, Field(description="What the guest is doing: running, paused, stopped, crashed.")] = (
        None
    )
    cpus: Annotated[int | None, Field(description="With details: how many CPUs it has.")] = None
    memory_bytes: Annotated[int | None, Unit("bytes"), Field(description="With details: how much memory.")] = None
    ip_address: Annotated[
        str | None,
        Field(description="With details: the first address that a network has leased to it. The agent is not asked."),
    ] = None
    networks: Annotated[
        list[str] | None, Field(description="With details: the networks that its cards are on, by name.")
    ] = None

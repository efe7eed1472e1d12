"""What a list of instances can be asked for, and what it tells of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from jvp.core import tags as words
from jvp.core.facts import Unit
from jvp.core.listing import Filters, Item
from jvp.core.types import Reference, Text


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
    tags: Annotated[
        list[Text] | None,
        Field(description="Only those with all of these tags: `team` with any value, `team=web` with this one."),
    ] = None

    @property
    def looks(self) -> bool:
        return super().looks or self.network is not None or bool(self.tags)

    def takes_tags(self, tags: Mapping[str, str]) -> bool:
        """Whether an instance with these tags is one of those."""
        return all(words.takes(word, tags) for word in self.tags or ())


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
    description: Annotated[str | None, Field(description="With details: what it is for.")] = None
    tags: Annotated[dict[str, str] | None, Field(description="With details: its tags; unset where it has none.")] = None

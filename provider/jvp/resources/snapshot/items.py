"""What a list of snapshots can be asked for, and what it tells of each."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core.facts import Unit
from jvp.core.listing import Filters, Item
from jvp.core.types import Reference


class SnapshotFilters(Filters):
    """Which snapshots to list."""

    instance: Annotated[Reference | None, Field(description="Only those of this instance, by id or name.")] = None


class SnapshotItem(Item):
    """A snapshot in a list."""

    order: ClassVar[str] = "createdAt"

    instance: Annotated[str, Field(description="The instance's name, or its id where it is not defined any more.")]
    created_at: Annotated[str | None, Field(description="When it was taken, UTC.")] = None
    size_bytes: Annotated[int | None, Unit("bytes"), Field(description="What the guest saw of its disks then.")] = None
    foreign: Annotated[
        bool, Field(description="Whether another tool took it, as virsh does: jvp lists it and leaves it alone.")
    ] = False
    parent: Annotated[str | None, Field(description="With details: the snapshot that it follows.")] = None
    allocation_bytes: Annotated[
        int | None, Unit("bytes"), Field(description="With details: what the files take that it holds.")
    ] = None
    description: Annotated[str | None, Field(description="With details: what the program says of it.")] = None

    @property
    def rank(self) -> tuple[str, ...]:
        return (self.instance, self.created_at or "", self.name, self.id)

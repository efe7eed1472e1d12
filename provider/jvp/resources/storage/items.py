"""What lists of pools, volumes and templates can be asked for, and what they tell of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Unit
from jvp.core.listing import Filters, Item
from jvp.core.types import Reference, Text
from jvp.libvirt.storage import kinds


class StoragePoolFilters(Filters):
    """Which storage pools to list."""

    state: Annotated[
        Literal["running", "inactive", "building", "degraded", "inaccessible"] | None,
        Field(description="Only those in this state."),
    ] = None
    type: Annotated[Text | None, Field(description=f"Only those of this type: {kinds.made()}.")] = None

    @property
    def looks(self) -> bool:
        return super().looks or self.type is not None


class StoragePoolItem(Item):
    """A storage pool in a list."""

    state: Annotated[str | None, Field(description="running, inactive, building, degraded, inaccessible.")] = None
    capacity_bytes: Annotated[
        int | None, Unit("bytes"), Field(description="How large it is; unset while it is stopped.")
    ] = None
    allocation_bytes: Annotated[int | None, Unit("bytes"), Field(description="What is used of it.")] = None
    available_bytes: Annotated[int | None, Unit("bytes"), Field(description="What is left of it.")] = None
    type: Annotated[str | None, Field(description="With details: libvirt's type of the pool.")] = None
    path: Annotated[str | None, Field(description="With details: where it is on the node.")] = None


class VolumeFilters(Filters):
    """Which volumes to list."""

    pool: Annotated[Reference | None, Field(description="Only those in this storage pool, by id or name.")] = None
    attached: Annotated[
        bool | None, Field(description="Only those that are a disk of an instance; with false only those of none.")
    ] = None

    @property
    def looks(self) -> bool:
        return super().looks or self.attached is not None


class VolumeItem(Item):
    """A volume in a list."""

    pool: Annotated[str, Field(description="The storage pool's name.")]
    format: Annotated[str | None, Field(description="With details: qcow2, raw, or what else libvirt takes it for.")] = (
        None
    )
    size_bytes: Annotated[int | None, Unit("bytes"), Field(description="With details: what a guest sees.")] = None
    allocation_bytes: Annotated[
        int | None, Unit("bytes"), Field(description="With details: what it takes of the pool.")
    ] = None
    path: Annotated[str | None, Field(description="With details: the file on the node.")] = None
    attached_to: Annotated[
        list[str] | None, Field(description="With details: the instances that have it as a disk.")
    ] = None


class TemplateFilters(Filters):
    """Which templates to list."""

    pool: Annotated[Reference | None, Field(description="Only those in this storage pool, by id or name.")] = None
    os: Annotated[Text | None, Field(description="Only those with this in them, as the program calls it.")] = None

    @property
    def looks(self) -> bool:
        return super().looks or self.os is not None


class TemplateItem(Item):
    """A template in a list."""

    pool: Annotated[str, Field(description="The storage pool's name.")]
    os: Annotated[str | None, Field(description="With details: what is in it, as the program calls it.")] = None
    format: Annotated[str | None, Field(description="With details: the image's format, qcow2 or raw.")] = None
    size_bytes: Annotated[int | None, Unit("bytes"), Field(description="With details: what a guest sees.")] = None
    type: Annotated[str | None, Field(description="With details: where the image came from, url or path.")] = None
    created_at: Annotated[str | None, Field(description="With details: when the image was put there, UTC.")] = None

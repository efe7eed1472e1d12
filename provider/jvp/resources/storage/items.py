"""What lists of pools, volumes and templates can be asked for, and what they tell of each."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Unit
from jvp.core.listing import Filters, Item
from jvp.core.types import Reference, Size, Text, size_bytes
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


class BySize(Filters):
    """Filters of what has a size."""

    min_size: Annotated[Size | None, Field(description="Only those of which a guest sees this or more.")] = None
    max_size: Annotated[Size | None, Field(description="Only those of which a guest sees this or less.")] = None

    @property
    def by_size(self) -> bool:
        """Whether the size counts."""
        return self.min_size is not None or self.max_size is not None

    def takes_size(self, size: int | None) -> bool:
        """Whether an object of so many bytes may be one of those; of one that has none nobody knows."""
        if size is None:
            return not self.by_size
        least = size_bytes(self.min_size) if self.min_size is not None else size
        most = size_bytes(self.max_size) if self.max_size is not None else size
        return least <= size <= most


class VolumeFilters(BySize):
    """Which volumes to list."""

    pool: Annotated[Reference | None, Field(description="Only those in this storage pool, by id or name.")] = None
    attached: Annotated[
        bool | None, Field(description="Only those that are a disk of an instance; with false only those of none.")
    ] = None
    attached_to: Annotated[
        Reference | None, Field(description="Only those that are a disk of this instance, by id or name.")
    ] = None
    format: Annotated[Text | None, Field(description="Only those of this format: qcow2, raw.")] = None

    @property
    def by_users(self) -> bool:
        """Whether it counts who has it."""
        return self.attached is not None or self.attached_to is not None

    @property
    def looks(self) -> bool:
        return super().looks or self.by_users or self.by_size or self.format is not None


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


class TemplateFilters(BySize):
    """Which templates to list."""

    pool: Annotated[Reference | None, Field(description="Only those in this storage pool, by id or name.")] = None
    kind: Annotated[
        Literal["cloud", "snapshot", "volume"] | None,
        Field(description="Only those whose image came as a file (cloud), or from a snapshot or volume."),
    ] = None
    os: Annotated[
        Text | None,
        Field(
            description="Only those with this in them: debian-12, or debian for any of it; `*` and `?` stand as in a "
            "name."
        ),
    ] = None
    used: Annotated[
        bool | None, Field(description="Only those that something stands on; with false only those of no use.")
    ] = None
    used_by: Annotated[
        Reference | None,
        Field(description="Only those that this stands on: an instance, by id or name, or a volume, as pool/name."),
    ] = None

    @property
    def by_users(self) -> bool:
        """Whether it counts who stands on it."""
        return self.used is not None or self.used_by is not None

    @property
    def by_content(self) -> bool:
        """Whether what only its record tells counts."""
        return self.os is not None or self.kind is not None or self.by_size or self.by_users

    @property
    def looks(self) -> bool:
        return super().looks or self.by_content

    def takes_os(self, os: str) -> bool:
        """Whether what is in an image is what is wanted: `debian-12` is also `debian`."""
        return self.os is None or any(fnmatchcase(one, self.os) for one in (os, os.rpartition("-")[0]) if one)


class TemplateItem(Item):
    """A template in a list."""

    pool: Annotated[str, Field(description="The storage pool's name.")]
    os: Annotated[
        str | None,
        Field(description="With details: what is in it, as the program calls it, or else as the image says of itself."),
    ] = None
    architecture: Annotated[
        str | None, Field(description="With details: the processors that its programs are for, like x86_64.")
    ] = None
    format: Annotated[str | None, Field(description="With details: the image's format, qcow2 or raw.")] = None
    size_bytes: Annotated[int | None, Unit("bytes"), Field(description="With details: what a guest sees.")] = None
    kind: Annotated[
        str | None, Field(description="With details: cloud for an image that came as a file, or snapshot, or volume.")
    ] = None
    type: Annotated[
        str | None, Field(description="With details: where the image came from: url, path, upload, snapshot, volume.")
    ] = None
    created_at: Annotated[str | None, Field(description="With details: when the image was put there, UTC.")] = None
    users: Annotated[
        list[str] | None,
        Field(description="With details: the volumes that stand on it, root disks included, as pool/name."),
    ] = None
    instances: Annotated[
        list[str] | None, Field(description="With details: the instances that have it under a disk, or as their CD.")
    ] = None

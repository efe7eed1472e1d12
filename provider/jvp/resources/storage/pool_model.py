"""What a storage pool is declared with, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from jvp.core.facts import At, Changes, Computed, Effect, Later, Output, Same, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec
from jvp.core.types import Name, NodeFile, NodePath
from jvp.core.values import known
from jvp.libvirt.storage import folders, kinds
from jvp.resources.storage.items import StoragePoolFilters, StoragePoolItem


class StoragePoolSource(Spec):
    """What a pool is made of, where that is not its folder alone."""

    device: Annotated[
        NodeFile,
        At("source/device/@path"),
        Same(folders.normal),
        Field(
            description="The block device with the file system. Mounted as it is when it holds one; formatted only "
            "when it is blank and `format` says how. What is on it stays when the pool is deleted."
        ),
    ]
    format: Annotated[
        kinds.Format | None,
        At("source/format/@type"),
        Computed(),
        Field(
            description="The type of the file system. A blank device gets one of this type; one that holds anything "
            f"else is refused. By default {kinds.ANY_FORMAT}: whatever is there is mounted, and nothing is formatted."
        ),
    ] = None


class StoragePool(Spec):
    """A folder on the node that holds volumes and templates, or a file system that is mounted there."""

    name: Annotated[
        Name | None,
        At("name"),
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique on the node; made from the resource's name when left out."),
    ] = None
    type: Annotated[
        Annotated[str, AfterValidator(kinds.type_of_pool)] | None,
        At("@type"),
        Changes(Effect.REPLACE),
        Computed(),
        Field(
            description=f"libvirt's type of the pool. {kinds.DIR.type}, by default: a folder. {kinds.MOUNT.type}: the "
            "file system on a block device, which libvirt mounts while the pool runs. Of other types a pool is only "
            "imported."
        ),
    ] = None
    source: Annotated[
        StoragePoolSource | None,
        Changes(Effect.REPLACE),
        Field(
            description=f"The block device that is mounted. Required for the type {kinds.MOUNT.type}, and of no other."
        ),
    ] = None
    path: Annotated[
        NodePath | None,
        At("target/path"),
        Changes(Effect.REPLACE),
        Computed(),
        Same(folders.normal),
        Field(
            description="The folder, or where the device is mounted. Made when it does not exist, and then removed "
            "with the pool when it is empty; missing folders above it are made too, and stay. It must be neither a "
            "folder of the system, as /etc is, nor that of another pool. By default /var/lib/jvp/<name>, on a "
            "qemu:///session node jvp/<name> in the user's data folder."
        ),
    ] = None
    autostart: Annotated[bool, Field(description="Whether the pool starts with the node.")] = True
    active: Annotated[
        bool, Field(description="Whether the pool runs; the volumes of a stopped one are out of reach.")
    ] = True
    delete_data: Annotated[
        bool,
        Later(),
        Field(
            description="Whether deleting the pool deletes the volumes in it that jvp made: kept ones, say. Files of "
            "others always stay, and so does the folder that holds them."
        ),
    ] = False

    def rules(self) -> Iterator[Rule]:
        yield from self._source_rules()
        if self.path is not None and known(self.path):
            if folders.normal(self.path) == "/":
                yield ("path",), "must be a folder of its own, not the root of the filesystem"
            elif why := folders.kernels(self.path):
                yield ("path",), why

    def _source_rules(self) -> Iterator[Rule]:
        if not known(self.type, self.source):
            return
        kind, others = kinds.kind_of(self.type), " or ".join(f'"{one}"' for one in kinds.with_source())
        if self.source is not None and not kind.source:
            yield ("source",), f"is for a pool of the type {others}; set `type`, or leave it out"
        elif self.source is None and kind.source:
            yield ("source",), f'is required for a pool of the type "{kind.type}": the device that is mounted'


class StoragePoolState(StoragePool):
    """A storage pool as it is."""

    uuid: Annotated[str, At("uuid"), Output(), Field(description="libvirt's uuid.")]
    state: Annotated[
        str | None,
        Output(follows=("active",)),
        Field(description="running, inactive, building, degraded, inaccessible."),
    ] = None
    capacity_bytes: Annotated[
        int | None,
        Output(follows=("active",)),
        Unit("bytes"),
        Field(description="Size of the filesystem that the folder is on; null while the pool is stopped."),
    ] = None
    allocation_bytes: Annotated[
        int | None,
        Output(follows=("active",)),
        Unit("bytes"),
        Field(
            description="What is used of it, by anything that is on it; told anew when it has moved by a hundredth of "
            "the capacity. getStoragePool tells it to the byte."
        ),
    ] = None
    available_bytes: Annotated[
        int | None,
        Output(follows=("active",)),
        Unit("bytes"),
        Field(description="What is left of it; as allocationBytes."),
    ] = None


class StoragePoolType(ResourceType[StoragePool, StoragePoolState]):
    """Storage pools."""

    kind, token, spec, state = "storage pool", "StoragePool", StoragePool, StoragePoolState
    filters, item = StoragePoolFilters, StoragePoolItem

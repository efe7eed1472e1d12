"""What a storage pool is declared with, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from jvp.core.facts import At, Changes, Computed, Effect, Later, Output, Same, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec
from jvp.core.types import Name, NodePath
from jvp.core.values import known
from jvp.libvirt.storage import folders, kinds
from jvp.resources.storage.items import StoragePoolFilters, StoragePoolItem


class StoragePool(Spec):
    """A folder on the node that holds volumes and templates."""

    name: Annotated[
        Name | None,
        At("name"),
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique on the node; made from the resource's name when left out."),
    ] = None
    path: Annotated[
        NodePath | None,
        At("target/path"),
        Changes(Effect.REPLACE),
        Computed(),
        Same(folders.normal),
        Field(
            description="The folder; made when it does not exist, and then removed with the pool when it is empty. "
            "Missing folders above it are made too, and stay. It must be neither a folder of the system, as /etc is, "
            "nor that of another pool. By default /var/lib/jvp/<name>, on a qemu:///session node jvp/<name> in the "
            "user's data folder."
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
        if self.path is not None and known(self.path):
            if folders.normal(self.path) == "/":
                yield ("path",), "must be a folder of its own, not the root of the filesystem"
            elif why := folders.kernels(self.path):
                yield ("path",), why


class StoragePoolState(StoragePool):
    """A storage pool as it is."""

    uuid: Annotated[str, At("uuid"), Output(), Field(description="libvirt's uuid.")]
    type: Annotated[
        str | None, At("@type"), Output(), Field(description=f"libvirt's type of the pool: {kinds.DIR.type}.")
    ] = None
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

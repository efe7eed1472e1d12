"""Functions about storage: pools, volumes and templates of anybody, as they are."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core import recall
from jvp.core.declaration import Noted
from jvp.core.errors import NotFound
from jvp.core.facts import Unit
from jvp.core.model import Spec, load
from jvp.core.types import Reference
from jvp.core.work import Work
from jvp.libvirt.domain.disks import seen_domains
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number
from jvp.libvirt.storage import lookup, pool_mark, templates
from jvp.libvirt.storage.pool import PoolApi
from jvp.libvirt.storage.template_fill import TemplateApi
from jvp.libvirt.storage.volumes import VolumeApi
from jvp.resources.storage.listing import Uses
from jvp.resources.storage.pool import StoragePools
from jvp.resources.storage.pool_model import StoragePool, StoragePoolState
from jvp.resources.storage.template import Templates
from jvp.resources.storage.template_model import TemplateState


class GetStoragePoolArgs(Spec):
    """Which storage pool."""

    storage_pool: Annotated[Reference, Field(description="The pool, by id or name; it need not be one of ours.")]


class StoragePoolFound(StoragePoolState):
    """A storage pool as it is, whoever made it."""

    id: Annotated[str | None, Field(description="The pool's id, by which it is imported.")] = None
    volumes: Annotated[list[str], Field(description="The names of its volumes; none while it is stopped.")] = []


class GetStoragePool:
    """A storage pool as it is: type, state, room and volumes."""

    token: ClassVar[str] = "getStoragePool"
    on: ClassVar[str] = "StoragePool"
    args: ClassVar[type[Spec]] = GetStoragePoolArgs
    result: ClassVar[type[Spec]] = StoragePoolFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetStoragePoolArgs) -> StoragePoolFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'storage pool "{args.storage_pool}"'):
            pool = lookup.pool_of(self.node, args.storage_pool, ("storagePool",))
            api = PoolApi(self.node)
            if api.mark(pool) is not None:
                # Not somebody else's: libvirt stops a pool whose folder it cannot read.
                api.freshen(work, pool)
            state = StoragePools(self.node).state_of(pool, None)
            volumes = lookup.volume_names(pool) if pool.isActive() else []
            noted = Noted.of(pool_mark.bearer(api.xml(pool)), StoragePool)
            bag = recall.remembered(StoragePool, state.bag(), noted)
            return load(StoragePoolFound, {**bag, "id": state.uuid, "volumes": sorted(volumes)})


class GetVolumeArgs(Spec):
    """Which volume."""

    volume: Annotated[
        Reference, Field(description="The volume, by id, pool/name or path on the node; it need not be one of ours.")
    ]


class VolumeFound(Spec):
    """A volume as it is, whoever made it.

    Who uses it stands here and not in the resource's outputs: it changes with every instance that comes or goes, and
    the outputs of a resource are as old as its last read.
    """

    id: Annotated[str | None, Field(description="The volume's id, by which it is imported.")] = None
    name: Annotated[str, Field(description="Its name in the pool.")]
    pool_name: Annotated[str, Field(description="The pool's name.")]
    pool_uuid: Annotated[str, Field(description="The pool's uuid.")]
    path: Annotated[str, Field(description="The file on the node.")]
    format: Annotated[str, Field(description="qcow2, raw, or what else libvirt takes it for.")]
    size_bytes: Annotated[int, Unit("bytes"), Field(description="What a guest sees.")]
    allocation_bytes: Annotated[int | None, Unit("bytes"), Field(description="What it takes of the pool now.")] = None
    backing_file: Annotated[str | None, Field(description="The file that it stores its differences from.")] = None
    template_id: Annotated[str | None, Field(description="The id of the template that it was made from.")] = None
    attached_to: Annotated[list[str], Field(description="The instances that have it as a disk, ours or not.")] = []
    base_of: Annotated[list[str], Field(description="The volumes that stand on it, as pool/name.")] = []


class GetVolume:
    """A volume as it is: size, format, room that it takes, and who uses it."""

    token: ClassVar[str] = "getVolume"
    on: ClassVar[str] = "Volume"
    args: ClassVar[type[Spec]] = GetVolumeArgs
    result: ClassVar[type[Spec]] = VolumeFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetVolumeArgs) -> VolumeFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'volume "{args.volume}"'):
            volume = lookup.volume_of(self.node, args.volume, ("volume",))
            object_id = f"{volume.storagePoolLookupByVolume().UUIDString()}/{volume.name()}"
            found = VolumeApi(self.node).find(work, object_id)
            if found is None:
                raise NotFound(f'volume "{args.volume}" is gone', path=("volume",))
            allocation = number(found.root, "allocation")
            disks = seen_domains(self.node).users.get(found.active, ())
            return VolumeFound(
                id=object_id,
                name=found.name,
                pool_name=found.pool.name(),
                pool_uuid=found.pool.UUIDString(),
                path=found.path,
                format=found.format,
                size_bytes=found.size,
                allocation_bytes=allocation,
                backing_file=found.backing_file,
                template_id=found.record.facts.get("template_id") if found.record else None,
                attached_to=sorted({disk.name for disk in disks if not disk.backing}),
                base_of=sorted(lookup.backing_users(self.node.connection, found.path)),
            )


class GetTemplateArgs(Spec):
    """Which template."""

    template: Annotated[Reference, Field(description="The template, by id, pool/name, or a name unique on the node.")]


class TemplateFound(TemplateState):
    """A template as it is, whoever made it."""

    id: Annotated[str | None, Field(description="The template's id, by which it is imported.")] = None
    kind: Annotated[
        str | None, Field(description="cloud for an image that came as a file, or snapshot, or volume.")
    ] = None
    type: Annotated[
        str | None, Field(description="Where the image came from: url, path, upload, snapshot, volume.")
    ] = None
    allocation_bytes: Annotated[int | None, Unit("bytes"), Field(description="What it takes of the pool.")] = None
    users: Annotated[
        list[str], Field(description="The volumes that stand on any image of it, root disks included, as pool/name.")
    ] = []
    instances: Annotated[
        list[str], Field(description="The instances that have any image of it under a disk, or as their CD.")
    ] = []


class GetTemplate:
    """A template as it is: size, format, where the image came from, and what stands on it."""

    token: ClassVar[str] = "getTemplate"
    on: ClassVar[str] = "Template"
    args: ClassVar[type[Spec]] = GetTemplateArgs
    result: ClassVar[type[Spec]] = TemplateFound

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetTemplateArgs) -> TemplateFound:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'template "{args.template}"'):
            template = templates.template_of(self.node, args.template, ("template",))
            api = TemplateApi(self.node)
            found = api.find(work, template.pool, template.name)
            if found is None:
                raise NotFound(f'template "{args.template}" is gone', path=("template",))
            state = Templates(self.node).state_of(found, None)
            paths, uses = api.paths(found.pool, found.name, found.record), Uses(self.node)
            allocation = number(found.root, "allocation")
            return TemplateFound.model_construct(
                **{**dict(state), "os": found.record.system or None},
                id=template.id,
                kind=found.record.kind,
                type=found.record.type,
                allocation_bytes=allocation,
                users=uses.volumes(paths),
                instances=uses.instances(paths),
            )

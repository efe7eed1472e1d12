"""What a volume is declared with, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Changes, Computed, Effect, Later, Output, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec
from jvp.core.types import DiskSize, LocalPath, Name, Reference, Upload, over_qcow2
from jvp.core.values import known, surely
from jvp.libvirt.storage import template_names
from jvp.resources.storage.items import VolumeFilters, VolumeItem


class Volume(Spec):
    """A disk in a storage pool, empty or made from a template, another volume or an image."""

    name: Annotated[
        Name | None,
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique in the pool; made from the resource's name when left out."),
    ] = None
    pool: Annotated[Reference, Changes(Effect.REPLACE), Field(description="The storage pool, by id or name.")]
    size: Annotated[
        DiskSize | None,
        Computed(),
        Field(
            description="What a guest sees, like 20GiB. It can grow while a guest runs, and never shrinks. "
            "Required for an empty volume; the size of what it is made from is else the default and the least."
        ),
    ] = None
    format: Annotated[
        Literal["qcow2", "raw"],
        Changes(Effect.REPLACE),
        Field(description="qcow2 grows as it is written and can stand on a template; raw is quickest."),
    ] = "qcow2"
    template: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Field(description="The template that the content comes from: its id, pool/name, or a name unique on the node."),
    ] = None
    volume: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Field(
            description="The volume to clone when this one is made: its id or pool/name. The clone has its format; "
            "nothing that runs may be writing into it."
        ),
    ] = None
    image_path: Annotated[
        LocalPath | None,
        Changes(Effect.REPLACE),
        Field(
            description="An image on the machine where the provider runs, qcow2 or raw like `format`, also packed "
            "(gzip, xz, bzip2, zstd, and the one image in a tar or zip archive). With format raw any bytes are taken, "
            "and unpacked only where its name says that they are packed. It is read when "
            "the volume is made, and not looked at again."
        ),
    ] = None
    image_upload: Annotated[
        Upload | None,
        Changes(Effect.REPLACE),
        Field(
            description="An image that was uploaded to the REST API, as sha256:<hex>; there the id of an upload is as "
            "good. In a program it stands for what is there: nothing is uploaded for it."
        ),
    ] = None
    full_clone: Annotated[
        bool,
        Changes(Effect.REPLACE),
        Field(
            description="Copy the template instead of storing only what differs from it. "
            "A raw volume is always a full copy."
        ),
    ] = False
    detach_on_delete: Annotated[
        bool,
        Later(),
        Field(
            description="Whether deleting the volume takes it out of jvp's own instances first, running ones too. "
            "With false a volume that is attached is not deleted."
        ),
    ] = True

    def rules(self) -> Iterator[Rule]:
        sources = {"template": self.template, "volume": self.volume, "imagePath": self.image_path}
        sources["imageUpload"] = self.image_upload
        said = [name for name, value in sources.items() if surely(value)]
        if len(said) > 1:
            yield (said[1],), f"cannot stand beside {said[0]}: a volume is made from one thing"
        if all(value is None for value in sources.values()) and self.size is None:
            yield ("size",), "is required for a volume without a template, volume or imagePath to make it from"
        if self.template is None and known(self.full_clone) and self.full_clone:
            yield ("fullClone",), "means nothing without a template"
        if self.name is not None and known(self.name) and template_names.parsed_name(self.name):
            yield ("name",), f'"{self.name}" is a name of the form that volumes of templates have'
        if self.format == "qcow2" and self.size is not None and known(self.size) and (why := over_qcow2(self.size)):
            yield ("size",), why


class VolumeState(Volume):
    """A volume as it is."""

    path: Annotated[str, Output(), Field(description="The file on the node.")]
    size_bytes: Annotated[
        int, Output(follows=("size",)), Unit("bytes"), Field(description="The size, in whole sectors of 512.")
    ]
    pool_name: Annotated[str | None, Output(), Field(description="The pool's name.")] = None
    pool_uuid: Annotated[str | None, Output(), Field(description="The pool's uuid.")] = None
    backing_file: Annotated[
        str | None, Output(), Field(description="The template's file that this volume stores its differences from.")
    ] = None
    template_id: Annotated[str | None, Output(), Field(description="The id of the template.")] = None
    template_pool: Annotated[str | None, Output(), Field(description="The name of the template's pool.")] = None
    volume_id: Annotated[str | None, Output(), Field(description="The id of the volume that it is a clone of.")] = None
    volume_pool: Annotated[str | None, Output(), Field(description="The name of that volume's pool.")] = None
    nonce: Annotated[
        str | None, Output(), Field(description="Tells this volume from a later one of the same name.")
    ] = None


class VolumeType(ResourceType[Volume, VolumeState]):
    """Volumes."""

    kind, token, spec, state = "volume", "Volume", Volume, VolumeState
    filters, item, within = VolumeFilters, VolumeItem, "pool"

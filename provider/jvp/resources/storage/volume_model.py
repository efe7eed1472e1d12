"""What a volume is declared with, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import Changes, Computed, Effect, Later, Output, Unit, WriteOnly
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec
from jvp.core.types import DiskSize, LocalPath, Name, Reference, Upload, Url, over_qcow2
from jvp.core.values import known, surely
from jvp.libvirt.storage import template_names
from jvp.resources.storage.items import VolumeFilters, VolumeItem


def _checksum(text: str) -> str:
    from jvp.resources.storage.template_model import checksum  # it brings in what reads images

    return checksum(text)


class Volume(Spec):
    """A disk in a storage pool, empty or made from a template, another volume, a snapshot or an image."""

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
            description="The volume to clone when this one is made: its id or pool/name. Nothing that runs may be "
            "writing into it. In the same format the clone stands on the same template; in the other one, and where "
            "the volume lies under a snapshot, it is a full copy of what a guest sees."
        ),
    ] = None
    snapshot: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Field(
            description="The snapshot to copy a disk of when this one is made: its id or instance/name. It is a full "
            "copy, in either format, and stays when the snapshot goes. The instance may run."
        ),
    ] = None
    disk: Annotated[
        Name | None,
        Changes(Effect.REPLACE),
        Field(description="Which of the snapshot's disks, by name: `root`, the default, or one of `disks`."),
    ] = None
    image_path: Annotated[
        LocalPath | None,
        Changes(Effect.REPLACE),
        Field(
            description="An image on the machine where the provider runs, qcow2 or raw, also packed "
            "(gzip, xz, bzip2, zstd, and the one image in a tar or zip archive). With format raw any bytes are taken, "
            "and unpacked only where its name says that they are packed. It is read when "
            "the volume is made, and not looked at again."
        ),
    ] = None
    image_url: Annotated[
        Url | None,
        Changes(Effect.REPLACE),
        Field(
            description="The http or https address of an image, which may be packed as one at imagePath. It is fetched "
            "when the volume is made."
        ),
    ] = None
    image_checksum: Annotated[
        Annotated[str, AfterValidator(_checksum)] | None,
        Changes(Effect.REPLACE),
        Field(
            description="What the fetched image must hash to, or where that is published, as source.checksum of a "
            "template. It may stand beside an image of this machine, too."
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
    compact_triggers: Annotated[
        dict[str, str] | None,
        WriteOnly(),
        Field(
            description="Words of your own: where one changes, the volume gives back the space that it takes for "
            "zeros. A guest that runs with it does it by its agent."
        ),
    ] = None
    detach_on_delete: Annotated[
        bool,
        Later(),
        Field(
            description="Whether deleting the volume takes it out of jvp's own instances first, running ones too. "
            "With false a volume that is attached is not deleted."
        ),
    ] = True

    def rules(self) -> Iterator[Rule]:
        sources = {"template": self.template, "volume": self.volume, "snapshot": self.snapshot}
        sources |= {"imagePath": self.image_path, "imageUrl": self.image_url, "imageUpload": self.image_upload}
        said = [name for name, value in sources.items() if surely(value)]
        if len(said) > 1:
            yield (said[1],), f"cannot stand beside {said[0]}: a volume is made from one thing"
        if all(value is None for value in sources.values()) and self.size is None:
            yield ("size",), "is required for a volume without a template, volume, snapshot or imagePath to make it of"
        if self.template is None and known(self.full_clone) and self.full_clone:
            yield ("fullClone",), "means nothing without a template"
        if self.image_path is None and self.image_url is None and surely(self.image_checksum):
            yield ("imageChecksum",), "means nothing without imageUrl or imagePath"
        if self.snapshot is None and surely(self.disk):
            yield ("disk",), "means nothing without a snapshot"
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
    snapshot_id: Annotated[
        str | None, Output(), Field(description="The id of the snapshot that it holds a disk of.")
    ] = None
    snapshot_instance: Annotated[str | None, Output(), Field(description="The name of that snapshot's instance.")] = (
        None
    )
    nonce: Annotated[
        str | None, Output(), Field(description="Tells this volume from a later one of the same name.")
    ] = None


class VolumeType(ResourceType[Volume, VolumeState]):
    """Volumes."""

    kind, token, spec, state = "volume", "Volume", Volume, VolumeState
    filters, item, within = VolumeFilters, VolumeItem, "pool"

"""What is done to a volume that is there. What works on the host is imported by the call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from jvp.core.action import Action
from jvp.core.facts import Unit
from jvp.core.model import Spec
from jvp.core.types import LocalPath
from jvp.core.work import Work

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node
    from jvp.libvirt.storage.flat_copy import Disk


class Nothing(Spec):
    """Nothing more is asked for."""


class Compacted(Spec):
    """What was given back."""

    before_bytes: Annotated[int, Unit("bytes"), Field(description="What it took of its storage pool before.")]
    after_bytes: Annotated[int, Unit("bytes"), Field(description="What it takes now.")]
    freed_bytes: Annotated[int, Unit("bytes"), Field(description="What the storage pool has got back.")]

    @classmethod
    def of(cls, before: int, after: int) -> Compacted:
        return cls(before_bytes=before, after_bytes=after, freed_bytes=max(0, before - after))


class CompactVolume(Action[Nothing, Compacted]):
    """Gives back the space that a volume takes for zeros. What it holds stays as it is: a guest that runs with it
    discards what its file systems do not use, by its agent; while none does, all that is zero is taken out of the
    file."""

    token, on, word, args, result = "compactVolume", "Volume", "compact", Nothing, Compacted
    effect: ClassVar[str] = "gives back the space that the volume takes for nothing, and changes nothing in it"

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, object_id: str, args: Nothing) -> Compacted:
        from jvp.core.errors import NotFound
        from jvp.libvirt.link.errors import libvirt_errors
        from jvp.libvirt.storage.volumes import VolumeApi
        from jvp.resources.storage import compacting

        with libvirt_errors(f'volume "{object_id.partition("/")[2]}"'):
            found = VolumeApi(self.node).find(work, object_id)
            if found is None:
                raise NotFound(f'volume "{object_id.partition("/")[2]}" is gone')
            return Compacted.of(*compacting.compact_volume(work, self.node, found))


class Exporting(Spec):
    """Where a disk is written to, and how."""

    path: Annotated[
        LocalPath, Field(description="The file to write, on the machine where the provider runs, for its owner alone.")
    ]
    format: Annotated[
        Literal["qcow2", "raw"] | None,
        Field(
            description="What the file is; by default as the disk is, and qcow2 where that lies under a snapshot. A "
            "qcow2 disk that stands on another file is copied whole in its pool first, and so is one in the other "
            "format."
        ),
    ] = None
    overwrite: Annotated[
        bool,
        Field(description="Whether a file that is there is replaced. One that holds just the same is as good anyway."),
    ] = False


Opened = tuple[int, str, Iterator[bytes | int]]
"""The length of an image, its format, and its pieces; a number is a hole."""


class Exported(Spec):
    """What was written."""

    image_format: Annotated[str, Field(description="What the file is: qcow2 or raw.")]
    size_bytes: Annotated[int, Unit("bytes"), Field(description="How long the file is.")]
    stored_bytes: Annotated[int, Unit("bytes"), Field(description="What is stored of it; the rest are holes.")]
    sha256: Annotated[str, Field(description="The checksum of the file, in hexadecimal digits.")]


class ExportVolume(Action[Exporting, Exported]):
    """Writes all that is in a volume into a file of the machine where the provider or the command runs. The image is
    sparse, and stands on nothing. No guest that runs may be writing to it; take a snapshot then, and export that."""

    token, on, word, args, result = "exportVolume", "Volume", "export", Exporting, Exported
    effect: ClassVar[str] = "writes the volume into a file of this machine, and changes nothing on the node"
    local: ClassVar[bool] = True

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, object_id: str, args: Exporting) -> Exported:
        from jvp.resources.storage import exporting

        with _named(f'volume "{object_id.partition("/")[2]}"'):
            return written(work, self.node, exporting.of_volume(self.node, object_id), args)

    @contextlib.contextmanager
    def opened(self, work: Work, object_id: str, format: str | None) -> Iterator[Opened]:
        """The image, for who sends it. Raises JvpError."""
        from jvp.resources.storage import exporting

        with _named(f'volume "{object_id.partition("/")[2]}"'):
            disk = exporting.of_volume(self.node, object_id)
            with (
                exporting.opened(work, self.node, disk, format) as image,
                contextlib.closing(exporting.pieces(work, self.node, disk, image)) as found,
            ):
                yield image.length, image.format, found


def written(work: Work, node: Node, disk: Disk, args: Exporting) -> Exported:
    """Write a disk where the arguments say. Raises JvpError, libvirtError."""
    from jvp.resources.storage import exporting

    told, format = exporting.export(work, node, disk, args.format, args.path, overwrite=args.overwrite)
    return Exported(image_format=format, size_bytes=told.length, stored_bytes=told.stored, sha256=told.sha256)


def _named(what: str) -> contextlib.AbstractContextManager[None]:
    from jvp.libvirt.link.errors import libvirt_errors

    return libvirt_errors(what)

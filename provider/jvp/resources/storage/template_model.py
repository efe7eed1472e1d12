"""What a template is declared with, and what is known of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp import images
from jvp.core.errors import JvpError
from jvp.core.facts import Changes, Computed, Derived, Effect, Output, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec
from jvp.core.types import Label, LocalPath, Name, Reference, Upload, Url
from jvp.core.types import url as web_url
from jvp.core.values import UNKNOWN, known, surely
from jvp.resources.storage.items import TemplateFilters, TemplateItem


def checksum(text: str) -> str:
    """A checksum, or where it is published, as it is. Raises ValueError for what is neither."""
    try:
        promise = images.parse_promise(text)
    except JvpError as error:
        raise ValueError(error.message) from None
    if isinstance(promise, images.SumsFile):
        web_url(promise.url)
    return text


Promise = Annotated[str, AfterValidator(checksum)]
"""A checksum, or where it is published."""
_ORIGINS = ("path", "url", "snapshot", "volume")


class TemplateSource(Spec):
    """Where an image comes from: `path`, `url`, what was uploaded to the REST API, a snapshot or a volume."""

    path: Annotated[LocalPath | None, Field(description="A file on the machine where the provider runs.")] = None
    url: Annotated[
        Url | None,
        Field(
            description="An http or https address. It is fetched once, and again when the address or checksum changes."
        ),
    ] = None
    upload: Annotated[
        Upload | None,
        Field(
            description="The image that was uploaded to the REST API, as sha256:<hex>; there the id of an upload is as "
            "good. In a program it stands for an image that is there: nothing is uploaded for it."
        ),
    ] = None
    snapshot: Annotated[
        Reference | None,
        Field(
            description="A snapshot, by id or instance/name, a disk of which is copied once, and again when this names "
            "another one. The instance may run."
        ),
    ] = None
    disk: Annotated[
        Name | None,
        Field(description="Which of the snapshot's disks, by name: `root`, the default, or one of `disks`."),
    ] = None
    volume: Annotated[
        Reference | None,
        Field(
            description="A volume, by id or pool/name, which is copied once, and again when this names another one: "
            "all that a guest sees of it, also under a snapshot. Nothing that runs may be writing into it."
        ),
    ] = None
    checksum: Annotated[
        Promise | None,
        Field(
            description="What the image must hash to: sha256:<hex> or sha512:<hex>. Or where that is published: "
            "sha512:https://host/SHA512SUMS, in which the image's file name is looked up when the image is fetched. "
            "Without the kind before the address, the strongest that is there counts."
        ),
    ] = None
    format: Annotated[
        Literal["qcow2", "raw"] | None,
        Field(
            description="What the image is. Left out, its first bytes tell, and a raw one must look like a disk; raw "
            "takes any bytes, and unpacks only what its name says is packed. Of a snapshot or volume: what the copy is "
            "made as, qcow2 by default."
        ),
    ] = None
    allow_private_redirects: Annotated[
        bool, Field(description="Whether the address may redirect into private, loopback or link-local ranges.")
    ] = False
    digest: Annotated[
        str | None,
        Computed(),
        Derived(),
        Field(description="Filled in: the digest of the file at path, so that a changed file is a planned update."),
    ] = None


class Template(Spec):
    """A disk image in a storage pool that volumes and instances are made from."""

    name: Annotated[
        Name | None,
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique in the pool; made from the resource's name when left out."),
    ] = None
    pool: Annotated[Reference, Changes(Effect.REPLACE), Field(description="The storage pool, by id or name.")]
    source: Annotated[
        TemplateSource,
        Field(
            description="The image, qcow2 or raw, also packed by gzip, xz, bzip2 or zstd, or as the one image in a "
            "tar or zip archive. A new image makes a new "
            "volume: what was made from the old one keeps it, and it goes with its last user."
        ),
    ]

    os: Annotated[
        Label | None,
        Field(
            description="What is in the image, in your words, like debian-12. It is kept with the template. Left out, "
            "lists go by what the image says of itself."
        ),
    ] = None

    def rules(self) -> Iterator[Rule]:
        source = self.source
        if not isinstance(source, TemplateSource):
            return
        if surely(source.upload):
            if (beside := next((name for name in _ORIGINS if surely(getattr(source, name))), None)) is not None:
                yield ("source", beside), "cannot stand beside upload: an image comes from one place"
            elif surely(source.checksum):
                yield ("source", "checksum"), "means nothing beside upload, which is a checksum"
            return
        if not known(source.upload):
            return
        if source.snapshot is None and surely(source.disk):
            yield ("source", "disk"), "means nothing without a snapshot"
        origins = [getattr(source, name) for name in _ORIGINS]
        said = [name for name in _ORIGINS if surely(getattr(source, name))]
        if len(said) > 1 or (known(*origins) and not said):
            yield ("source",), "needs exactly one of path and url, or of snapshot and volume"
        elif said and said[0] in ("snapshot", "volume") and surely(source.checksum):
            yield ("source", "checksum"), f"means nothing for a {said[0]}"
        elif (
            surely(source.path)
            and known(source.allow_private_redirects, source.checksum)
            and (source.allow_private_redirects and "://" not in (source.checksum or ""))
        ):
            yield ("source", "allowPrivateRedirects"), "means nothing for a file"

    def derived(self) -> dict[str, Any]:
        """The digest of a local file; none while there is no file, which is an error only when it is needed."""
        source = self.source
        if not isinstance(source, TemplateSource) or surely(source.digest):
            return {}  # the file that was planned, or what an engine was told to leave as it is
        digest: Any = None if known(source.path) else UNKNOWN
        if source.path is not None and known(source.path):
            with contextlib.suppress(JvpError):
                digest = images.file_digest_cached(source.path)
        return {"source": source.model_copy(update={"digest": digest}).bag()}


class TemplateState(Template):
    """A template as it is."""

    digest: Annotated[
        str | None,
        Output(follows=("source",)),
        Field(description="The digest of the image's content, the same for any holes."),
    ] = None
    format: Annotated[
        str | None, Output(follows=("source",)), Field(description="The image's format: qcow2 or raw.")
    ] = None
    os_release: Annotated[
        str | None,
        Output(follows=("source",)),
        Field(
            description="What the image says of itself, read when it was put there: id and version, like debian-12. "
            "Unset where that cannot be told, as of file systems other than ext4 and XFS."
        ),
    ] = None
    os_name: Annotated[
        str | None, Output(follows=("source",)), Field(description="The same for people, like Debian GNU/Linux 12.")
    ] = None
    architecture: Annotated[
        str | None,
        Output(follows=("source",)),
        Field(description="The processors that its programs are for, like x86_64; read in the same way."),
    ] = None
    size_bytes: Annotated[
        int, Output(follows=("source",)), Unit("bytes"), Field(description="The size of the disk that a guest sees.")
    ]
    volume_name: Annotated[
        str | None, Output(follows=("source",)), Field(description="The volume that holds the image.")
    ] = None
    path: Annotated[str, Output(follows=("source",)), Field(description="The volume's file on the node.")]
    created_at: Annotated[
        str | None, Output(follows=("source",)), Field(description="When the image was put there, UTC.")
    ] = None
    source_id: Annotated[
        str | None,
        Output(follows=("source",)),
        Field(description="The id of the snapshot or volume that it is a copy of."),
    ] = None
    source_name: Annotated[
        str | None,
        Output(follows=("source",)),
        Field(description="What that was called: instance/name, or pool/name."),
    ] = None
    pool_name: Annotated[str | None, Output(), Field(description="The pool's name.")] = None
    pool_uuid: Annotated[str | None, Output(), Field(description="The pool's uuid.")] = None
    nonce: Annotated[
        str | None, Output(), Field(description="Tells this template from a later one of the same name.")
    ] = None


class TemplateType(ResourceType[Template, TemplateState]):
    """Templates."""

    kind, token, spec, state = "template", "Template", Template, TemplateState
    filters, item, within = TemplateFilters, TemplateItem, "pool"

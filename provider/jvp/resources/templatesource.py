"""Where a template's image comes from: as it is declared, told from another one, and kept on the node."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, Field

from jvp import images
from jvp.core.errors import JvpError
from jvp.core.facts import Computed, Derived
from jvp.core.model import Spec
from jvp.core.types import LocalPath, Url
from jvp.core.types import url as web_url
from jvp.core.values import known
from jvp.core.work import Work
from jvp.resources import imagesource

_SHOWN_MAX = 1000
"""Longer addresses are not kept on the node: the record has 4 KiB."""


def _checksum(text: str) -> str:
    try:
        promise = images.parse_promise(text)
    except JvpError as error:
        raise ValueError(error.message) from None
    if isinstance(promise, images.SumsFile):
        web_url(promise.url)
    return text


class TemplateSource(Spec):
    """Where an image comes from: `path` or `url`."""

    path: Annotated[LocalPath | None, Field(description="A file on the machine where the provider runs.")] = None
    url: Annotated[
        Url | None,
        Field(
            description="An http or https address. It is fetched once, and again when the address or checksum changes."
        ),
    ] = None
    checksum: Annotated[
        Annotated[str, AfterValidator(_checksum)] | None,
        Field(
            description="What the image must hash to: sha256:<hex> or sha512:<hex>. Or where that is published: "
            "sha512:https://host/SHA512SUMS, in which the image's file name is looked up when the image is fetched."
        ),
    ] = None
    format: Annotated[
        Literal["qcow2", "raw"] | None,
        Field(
            description="What the image is. Left out, its first bytes tell, and a raw one must look like a disk; raw "
            "takes any bytes, and unpacks only what its name says is packed."
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


def key_of(source: TemplateSource) -> str:
    """What tells one origin from another: for an address also the name of the volume."""
    checksum = str(images.parse_promise(source.checksum)) if source.checksum else None
    told = [source.path, source.url, checksum, source.allow_private_redirects]
    text = json.dumps(told if source.format is None else [*told, source.format])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def shown(source: TemplateSource) -> dict[str, Any]:
    """The origin as the record on the node keeps it: without a password, a query, or what is too long."""
    bag = source.model_copy(update={"digest": None}).bag()
    if source.url is not None:
        bag["url"] = _public(source.url)
    promise = images.parse_promise(source.checksum) if source.checksum else None
    if isinstance(promise, images.SumsFile):
        bag["checksum"] = f"{promise.algorithm}:{_public(promise.url)}"
    return {name: item for name, item in bag.items() if len(json.dumps(item)) <= _SHOWN_MAX}


def _public(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def refuse_file(work: Work, pool: Any, source: TemplateSource) -> None:
    """Raise for a local file that is missing, or no image, or too large for the pool where there is one."""
    if isinstance(source, TemplateSource) and known(source.path) and source.path is not None:
        format = source.format if known(source.format) else None
        with imagesource.opened(work, pool, imagesource.Origin(source.path, format=format), ("source", "path")):
            pass


def origin_of(source: TemplateSource) -> imagesource.Origin:
    return imagesource.Origin(
        source.path,
        source.url,
        source.checksum,
        allow_private_redirects=source.allow_private_redirects,
        format=source.format,
    )

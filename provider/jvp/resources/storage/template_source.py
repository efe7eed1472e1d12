"""Where a template's image comes from: as it is declared, told from another one, and kept on the node."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from jvp import images
from jvp.core.errors import Path
from jvp.core.values import known, surely
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.resources.storage import image_source
from jvp.resources.storage.template_model import TemplateSource

_SHOWN_MAX = 1000
"""Longer addresses are not kept on the node: the record has 4 KiB."""


def key_of(source: TemplateSource) -> str:
    """What tells one origin from another: for an address also the name of the volume."""
    checksum = str(images.parse_promise(source.checksum)) if source.checksum else None
    told = [source.path, source.url, checksum, source.allow_private_redirects]
    if source.format is not None or source.upload is not None:
        told.append(source.format)
    text = json.dumps(told if source.upload is None else [*told, source.upload])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def shown(source: TemplateSource) -> dict[str, Any]:
    """The origin as the record on the node keeps it: without a password, a query, or what is too long."""
    bag = source.model_copy(update={"digest": None}).bag()
    if source.url is not None:
        bag["url"] = public(source.url)
    promise = images.parse_promise(source.checksum) if source.checksum else None
    if isinstance(promise, images.SumsFile):
        bag["checksum"] = str(promise.at(public(promise.url)))
    return {name: item for name, item in bag.items() if len(json.dumps(item)) <= _SHOWN_MAX}


def public(url: str) -> str:
    """An address without a password and a query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def refuse_file(work: Work, pool: handles.StoragePool | None, source: TemplateSource) -> None:
    """Raise for a local file that is missing, or no image, or too large for the pool where there is one."""
    if not isinstance(source, TemplateSource):
        return
    if surely(source.path) or surely(source.upload):
        format = source.format if known(source.format) else None
        origin = image_source.Origin(file_of(work, source), format=format)
        with image_source.opened(work, pool, origin, place_of(source)):
            pass


def place_of(source: TemplateSource) -> Path:
    """The property that names the image."""
    return ("source", next(name for name in ("path", "url", "upload") if surely(getattr(source, name))))


def file_of(work: Work, source: TemplateSource) -> str | None:
    """The file of this machine that the image comes from. Raises Rejected for an upload that there is none of."""
    if source.upload is not None and surely(source.upload):
        return image_source.uploaded(work, source.upload, place_of(source))
    return source.path


def origin_of(work: Work, source: TemplateSource) -> image_source.Origin:
    """Where the image comes from. Raises as `file_of`."""
    return image_source.Origin(
        file_of(work, source),
        source.url,
        source.checksum,
        allow_private_redirects=source.allow_private_redirects,
        format=source.format,
    )

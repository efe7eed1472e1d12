"""Where a template's image comes from: as it is declared, told from another one, and kept on the node."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from jvp import images
from jvp.core.values import known
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


def refuse_file(work: Work, pool: handles.StoragePool | None, source: TemplateSource) -> None:
    """Raise for a local file that is missing, or no image, or too large for the pool where there is one."""
    if isinstance(source, TemplateSource) and known(source.path) and source.path is not None:
        format = source.format if known(source.format) else None
        with image_source.opened(work, pool, image_source.Origin(source.path, format=format), ("source", "path")):
            pass


def origin_of(source: TemplateSource) -> image_source.Origin:
    return image_source.Origin(
        source.path,
        source.url,
        source.checksum,
        allow_private_redirects=source.allow_private_redirects,
        format=source.format,
    )

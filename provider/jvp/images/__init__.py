"""Disk images: told apart by their bytes, fetched under guard, moved sparsely, and the cloud-init seed.

Knows no libvirt: it fills an `Upload`, which the libvirt layer implements over a stream. Typical use:

    with open_url(url, work, limit_bytes=limit) as source:
        info = inspect(source.head(), source.total_bytes)
        … make the volume, open the upload …
        fill(source.segments(), upload, verifier=verifier, digest=ContentDigest(), work=work)

Names are loaded when they are first used: importing the package costs nothing at the provider's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jvp.images.checksum import Checksum as Checksum
    from jvp.images.checksum import ContentDigest as ContentDigest
    from jvp.images.checksum import Verifier as Verifier
    from jvp.images.checksum import content_digest as content_digest
    from jvp.images.checksum import parse_checksum as parse_checksum
    from jvp.images.cloudconfig import File as File
    from jvp.images.cloudconfig import User as User
    from jvp.images.cloudconfig import cloud_config as cloud_config
    from jvp.images.digest_cache import file_digest_cached as file_digest_cached
    from jvp.images.formats import ImageInfo as ImageInfo
    from jvp.images.formats import inspect as inspect
    from jvp.images.os_release import System as System
    from jvp.images.os_release import detected as detected
    from jvp.images.seed import build_seed as build_seed
    from jvp.images.segments import BLOCK as BLOCK
    from jvp.images.segments import HEAD_BYTES as HEAD_BYTES
    from jvp.images.segments import Data as Data
    from jvp.images.segments import Hole as Hole
    from jvp.images.segments import Segment as Segment
    from jvp.images.source import FileSource as FileSource
    from jvp.images.source import Source as Source
    from jvp.images.source import open_path as open_path
    from jvp.images.sums import SumsFile as SumsFile
    from jvp.images.sums import looked_up as looked_up
    from jvp.images.sums import parse_promise as parse_promise
    from jvp.images.transfer import Filled as Filled
    from jvp.images.transfer import Upload as Upload
    from jvp.images.transfer import fill as fill
    from jvp.images.unpack import named_as_packed as named_as_packed
    from jvp.images.unpack import unpacked as unpacked
    from jvp.images.url_source import UrlSource as UrlSource
    from jvp.images.url_source import open_url as open_url

_HOMES = {
    "digest_cache": ("file_digest_cached",),
    "checksum": ("Checksum", "ContentDigest", "Verifier", "content_digest", "parse_checksum"),
    "cloudconfig": ("File", "User", "cloud_config"),
    "url_source": ("UrlSource", "open_url"),
    "formats": ("ImageInfo", "inspect"),
    "os_release": ("System", "detected"),
    "seed": ("build_seed",),
    "segments": ("BLOCK", "HEAD_BYTES", "Data", "Hole", "Segment"),
    "source": ("FileSource", "Source", "open_path"),
    "sums": ("SumsFile", "looked_up", "parse_promise"),
    "transfer": ("Filled", "Upload", "fill"),
    "unpack": ("named_as_packed", "unpacked"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)

"""A checksum that is not typed but published: a file of sums beside the image, as SHA512SUMS is.

Known are the lines of GNU coreutils (`<hex>  name`, `<hex> *name`), of BSD (`SHA512 (name) = <hex>`) and of OpenSSL
(`SHA2-512(name)= <hex>`), headings that name the kind of the lines below (`# SHA512 HASH`, for BLAKE2B is as long), and
a file of nothing but one checksum.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from jvp.core.errors import Invalid
from jvp.core.work import Work
from jvp.images.checksum import Checksum, parse_checksum
from jvp.images.http import shown
from jvp.images.segments import Data
from jvp.images.url_source import open_url

_LENGTHS: Final = {"sha256": 64, "sha512": 128}
_FILE_MAX: Final = 4 * 1024 * 1024
_ADDRESS: Final = re.compile(r"\s*(?P<algorithm>[A-Za-z0-9-]+):(?P<url>https?://.+?)\s*", re.IGNORECASE)
_GNU: Final = re.compile(r"\\?(?P<hex>[0-9A-Fa-f]+)[ \t]+\*?(?P<name>.+)")
_BSD: Final = re.compile(r"\\?(?P<algorithm>[A-Za-z0-9-]+) ?\((?P<name>.+)\) ?= ?(?P<hex>[0-9A-Fa-f]+)")
_HEADING: Final = re.compile(
    r"#?\s*(?P<algorithm>(?:sha|blake|md|rmd|ripemd|whirlpool|sm)-?\d?[a-z0-9-]*)(?:\s+(?:hash|checksum|sum)e?s?)?:?",
    re.I,
)


@dataclass(frozen=True, slots=True)
class SumsFile:
    """Where a checksum is published, and of which algorithm."""

    algorithm: str
    url: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.url}"


def parse_promise(text: str) -> Checksum | SumsFile:
    """Read a checksum, or `sha512:https://host/SHA512SUMS`. Raises Invalid."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        if re.match(r"\s*https?://", text, re.IGNORECASE):
            raise Invalid("an address of a file of checksums begins with their kind, like sha512:https://…/SHA512SUMS")
        return parse_checksum(text)
    algorithm = match["algorithm"].lower().replace("sha-", "sha")
    if algorithm not in ("sha256", "sha512"):
        raise Invalid(f"checksums by {algorithm!r} are not known; use sha256 or sha512")
    return SumsFile(algorithm, match["url"])


def looked_up(promise: Checksum | SumsFile, name: str, work: Work, *, allow_private_redirects: bool) -> Checksum:
    """The checksum of the file `name`, fetched where it is only published.

    Raises Invalid when the file of sums has none or several for the name, and what `open_url` raises.
    """
    if isinstance(promise, Checksum):
        return promise
    with open_url(promise.url, work, limit_bytes=_FILE_MAX, allow_private_redirects=allow_private_redirects) as source:
        body = b"".join(
            segment.data if isinstance(segment, Data) else bytes(segment.length) for segment in source.segments()
        )
    text = _text(body)
    alone = text.strip().lower()
    if re.fullmatch(r"[0-9a-f]+", alone) and len(alone) == _LENGTHS[promise.algorithm]:
        return Checksum(promise.algorithm, alone)
    found = sums_in(text, promise.algorithm).get(name)
    if not found:
        raise Invalid(f"{shown(promise.url)} has no {promise.algorithm} checksum of a file {name!r}")
    if len(found) > 1:
        raise Invalid(f"{shown(promise.url)} has more than one {promise.algorithm} checksum of a file {name!r}")
    return Checksum(promise.algorithm, found.pop())


def _text(body: bytes) -> str:
    """A file's text without a byte order mark; PowerShell writes UTF-16."""
    wide = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return body.decode("utf-16" if wide else "utf-8-sig", "replace")


def _plain(algorithm: str) -> str:
    return algorithm.lower().replace("sha2-", "sha").replace("-", "")


def sums_in(text: str, algorithm: str) -> dict[str, set[str]]:
    """The checksums of this kind in a file of sums, by the file's name without its folder."""
    found: dict[str, set[str]] = {}
    heading = algorithm
    for line in text.splitlines():
        if headed := _HEADING.fullmatch(line.strip()):
            heading = _plain(headed["algorithm"])
        match = _BSD.fullmatch(line.strip()) or _GNU.fullmatch(line.strip())
        if match is None or len(match["hex"]) != _LENGTHS[algorithm]:
            continue
        if _plain(match.groupdict().get("algorithm") or heading) == algorithm:
            found.setdefault(match["name"].rpartition("/")[2], set()).add(match["hex"].lower())
    return found

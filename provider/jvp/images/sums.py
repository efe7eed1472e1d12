"""A checksum that is not typed but published: a file of sums beside the image, as SHA512SUMS is.

Known are the lines of GNU coreutils (`<hex>  name`, `<hex> *name`), of BSD (`SHA512 (name) = <hex>`), of OpenSSL
(`SHA2-512(name)= <hex>`) and of PowerShell (`SHA512  <hex>  name`), headings that name the kind of the lines below
(`# SHA512 HASH`, for BLAKE2B is as long), and a file of nothing but one checksum. A signature around them is passed
over, and proves nothing: what is trusted is the address.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from jvp.core.errors import Invalid
from jvp.core.work import Work
from jvp.images.checksum import Checksum, parse_checksum
from jvp.images.http import shown
from jvp.images.segments import Data
from jvp.images.url_source import open_url

_LENGTHS: Final = {"sha512": 128, "sha256": 64}
"""By kind, the strongest first."""
_FILE_MAX: Final = 4 * 1024 * 1024
_ADDRESS: Final = re.compile(r"\s*(?:(?P<algorithm>[A-Za-z0-9-]+):)?(?P<url>https?://.+?)\s*", re.IGNORECASE)
_GNU: Final = re.compile(r"\\?(?P<hex>[0-9A-Fa-f]+)[ \t]+\*?(?P<name>.+)")
_BSD: Final = re.compile(r"\\?(?P<algorithm>[A-Za-z0-9-]+) ?\((?P<name>.+)\) ?= ?(?P<hex>[0-9A-Fa-f]+)")
_POWERSHELL: Final = re.compile(r"(?P<algorithm>SHA(?:256|512))[ \t]+(?P<hex>[0-9A-Fa-f]+)[ \t]+(?P<name>.+)")
_HEADING: Final = re.compile(
    r"#?\s*(?P<algorithm>(?:sha|blake|md|rmd|ripemd|whirlpool|sm)-?\d?[a-z0-9-]*)(?:\s+(?:hash|checksum|sum)e?s?)?:?",
    re.I,
)
_FOR_ONE: Final = re.compile(r"\.(?:sha-?(?:256|512)(?:sums?)?|checksums?|digests?)(?:\.(?:txt|asc|gpg|sign))*", re.I)
"""How a file of sums goes on after the name of the one image that it is for."""


@dataclass(frozen=True, slots=True)
class SumsFile:
    """Where a checksum is published, and of which algorithm: None for the strongest that is there."""

    algorithm: str | None
    url: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.url}" if self.algorithm else self.url

    def at(self, url: str) -> SumsFile:
        """The same at another address."""
        return replace(self, url=url)


def parse_promise(text: str) -> Checksum | SumsFile:
    """Read a checksum, or `sha512:https://host/SHA512SUMS`, where the kind may be left out. Raises Invalid."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return parse_checksum(text)
    algorithm = (match["algorithm"] or "").lower().replace("sha-", "sha")
    if algorithm not in ("", *_LENGTHS):
        raise Invalid(f"checksums by {algorithm!r} are not known; use sha256 or sha512")
    return SumsFile(algorithm or None, match["url"])


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
    for algorithm in (promise.algorithm,) if promise.algorithm else _LENGTHS:
        found = _of(text, algorithm, name, for_one=_is_for(promise.url, name))
        if len(found) > 1:
            raise Invalid(f"{shown(promise.url)} has more than one {algorithm} checksum of a file {name!r}")
        if found:
            return Checksum(algorithm, found.pop())
    raise Invalid(f"{shown(promise.url)} has no {promise.algorithm or 'sha512 or sha256'} checksum of a file {name!r}")


def _of(text: str, algorithm: str, name: str, *, for_one: bool) -> set[str]:
    """The checksums of this kind that are published for the file `name`.

    A file `for_one` image has that one's, whatever it is called there: behind a name like `latest` it has a date.
    """
    alone = text.strip().lower()
    if re.fullmatch(r"[0-9a-f]+", alone) and len(alone) == _LENGTHS[algorithm]:
        return {alone}
    every = sums_in(text, algorithm)
    if for_one and name not in every and len(every) == 1:
        return next(iter(every.values()))
    return every.get(name, set())


def _is_for(url: str, name: str) -> bool:
    """Whether the address of a file of sums says that it is for one image alone: `disk.qcow2.sha256`."""
    last = unquote(urlsplit(url).path).rpartition("/")[2]
    return bool(name) and last.startswith(name) and _FOR_ONE.fullmatch(last[len(name) :]) is not None


def _text(body: bytes) -> str:
    """A file's text without a byte order mark; PowerShell writes UTF-16."""
    wide = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return body.decode("utf-16" if wide else "utf-8-sig", "replace")


def _plain(algorithm: str) -> str:
    return re.sub(r"sums?$", "", algorithm.lower().replace("sha2-", "sha").replace("-", ""))


def sums_in(text: str, algorithm: str) -> dict[str, set[str]]:
    """The checksums of this kind in a file of sums, by the file's name without its folder."""
    found: dict[str, set[str]] = {}
    heading = algorithm
    for line in map(str.strip, text.splitlines()):
        if headed := _HEADING.fullmatch(line):
            heading = _plain(headed["algorithm"])
        match = _BSD.fullmatch(line) or _GNU.fullmatch(line) or _POWERSHELL.fullmatch(line)
        if match is None or len(match["hex"]) != _LENGTHS[algorithm]:
            continue
        if _plain(match.groupdict().get("algorithm") or heading) == algorithm:
            found.setdefault(re.split(r"[/\\]", match["name"])[-1], set()).add(match["hex"].lower())
    return found

"""User data, judged and brought into the form in which a guest reads it from its seed.

Source: cloud-init, explanation/format and `INCLUSION_TYPES_MAP` in its handlers: what begins with none of these is
ignored with a warning in the guest's log. Others read the same disk: cloudbase-init (Windows), Talos, Ignition,
tiny-cloud (Alpine).
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final

_KNOWN: Final = (
    "#!", "#cloud-config", "#cloud-boothook", "#include", "#part-handler", "#upstart-job", "## template: jinja",
    "#ps1", "rem cmd", "<powershell>", "<script>", "#alpine-config",
)  # fmt: skip
_TALOS: Final = re.compile(r"^(?:version|apiVersion): *v1alpha\d", re.MULTILINE)
_GZIP: Final = b"\x1f\x8b"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_UNPACKED_MAX: Final = 16 * 1024**2
_MARK: Final = "\ufeff"


def plain(text: str) -> str:
    """The text that a guest finds in user data: without a byte order mark, out of base64 and gzip.

    Raises ValueError for gzip that is broken or too long.
    """
    data = _decoded(text)
    if data is None:
        return text.removeprefix(_MARK)
    if data.startswith(_GZIP):
        unpacking = zlib.decompressobj(wbits=31)
        try:
            data = unpacking.decompress(data, _UNPACKED_MAX)
        except zlib.error:
            raise ValueError("is base64 of gzip that is broken") from None
        if not unpacking.eof:
            raise ValueError(f"is base64 of gzip that is cut off, or holds more than {_UNPACKED_MAX} bytes")
    return data.decode("utf-8", "replace").removeprefix(_MARK)


def as_written(text: str) -> bytes:
    """What stands on the seed. Gzip stays packed, for cloud-init unpacks it; base64 and a byte order mark it does not
    know."""
    data = _decoded(text)
    if data is None:
        return without_mark(text).encode()
    return data.removeprefix(_MARK.encode())


def without_mark(text: str) -> str:
    """A text without the byte order mark that editors of Windows put before it."""
    return text.removeprefix(_MARK)


def is_known(text: str) -> bool:
    """Whether a guest makes something of user data that is this, and does not ignore it."""
    begins = text.lstrip().lower()
    if begins.startswith(_KNOWN) or "mime-version:" in text[:4096].lower():
        return True
    return _TALOS.search(text) is not None or (begins.startswith("{") and '"ignition"' in begins)


def _decoded(text: str) -> bytes | None:
    """What a text of base64 stands for; None for one that is none, or stands for nothing that a guest reads."""
    letters = "".join(text.removeprefix(_MARK).split())
    if _BASE64.fullmatch(letters) is None:
        return None
    try:
        data = base64.b64decode(letters, validate=True)
    except (binascii.Error, ValueError):
        return None
    if data.startswith(_GZIP) or is_known(data.decode("utf-8", "replace").removeprefix(_MARK)):
        return data
    return None

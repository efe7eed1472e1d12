"""What is on a guest's screen."""

from __future__ import annotations

import contextlib

import libvirt

from jvp.core.errors import Rejected
from jvp.core.types import size_text
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import parse

MOST = 32 * 1024**2
"""A picture is held in memory: a larger one is refused."""
_CHUNK = 256 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"


def has_display(domain: handles.Domain) -> bool:
    """Whether a running guest has a device that shows something. Raises libvirtError."""
    return any(one.get("type") != "none" for one in parse(domain.XMLDesc(0)).iterfind("devices/video/model"))


def picture(domain: handles.Domain) -> bytes:
    """What the first screen of a running guest shows, as PNG.

    Raises libvirtError, and Rejected where the node makes no PNG of it. Source: that takes QEMU 7.1.
    """
    stream = domain.connect().newStream(0)
    told = domain.screenshot(stream, 0)
    found = bytearray()
    try:
        while part := stream.recv(_CHUNK):
            found += part
            if len(found) > MOST:
                raise Rejected(f"its picture is larger than {size_text(MOST)}")
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.finish()
    if not found.startswith(_PNG):
        raise Rejected(f"the node gives its picture as {told[:100]}; QEMU 7.1 or newer gives PNG")
    return bytes(found)

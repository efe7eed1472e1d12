"""A temporary domain: it has one disk and runs nothing, and QEMU works on the disk's file by it. It goes with our
connection, also when we die."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import libvirt

from jvp.core.work import Work
from jvp.libvirt.domain import disk_source
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, ensure, parse, put, sub, text_of, value

TARGET = "vda"
"""The disk's."""
_FLAGS = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
_THERE = (libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_OPERATION_INVALID)
_WAIT_S = 120.0


def definition(name: str, uuid: str, path: str, format: str, *, like: Element | None = None) -> str:
    """Its definition; `like` is that of the guest whose QEMU is to be taken."""
    root = parse("<domain type='qemu'><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>")
    put(root, "name", name)
    put(root, "uuid", uuid)
    inside = ensure(root, "devices")
    for place in ("os/type/@arch", "os/type/@machine", "devices/emulator"):
        if like is not None and (found := value(like, place)) is not None:
            put(root, place, found)
    disk = sub(inside, "disk", device="disk", type=disk_source.FILE)
    sub(disk, "driver", name="qemu", type=format, discard="unmap")
    disk_source.point(disk, path)
    sub(disk, "target", dev=TARGET, bus="virtio")
    sub(inside, "controller", type="usb", model="none")
    sub(inside, "memballoon", model="none")
    return text_of(root)


@contextlib.contextmanager
def paused(work: Work, node: Node, text: str, uuid: str, *, another: str) -> Iterator[handles.Domain]:
    """The domain, while inside. Where another run has it, that is waited for; `another` says so in a sentence.

    Raises Busy when that takes long, Cancelled, libvirtError.
    """
    domain = _begun(work, node, text, uuid, another)
    try:
        yield domain
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()


def _begun(work: Work, node: Node, text: str, uuid: str, another: str) -> handles.Domain:
    made: list[handles.Domain] = []
    missed = False

    def begun() -> bool:
        nonlocal missed
        try:
            made.append(node.connection.createXML(text, _FLAGS))
        except libvirt.libvirtError as error:
            gone = _is_gone(node, uuid)
            if error.get_error_code() not in _THERE or (gone and missed):
                raise
            missed = gone  # once: the other one may have just ended
            return False  # another run's, or that of one that died a moment ago
        return True

    work.until(begun, limit_s=_WAIT_S, every_s=0.5, what=another)
    return made[0]


def _is_gone(node: Node, uuid: str) -> bool:
    try:
        node.connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.DOMAIN):
            return True
        raise
    return False

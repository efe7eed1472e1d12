"""Whether hardware virtualisation really works on a node: found out by running a guest, not by a flag.

A node can list KVM and be slower with it than without (nested virtualisation), or not be allowed to use it. A boot
sector that switches its machine off ends within 0.5 s where KVM works, and after 3 s or never where it does not
(measured). It runs as a temporary domain with a temporary volume in the instance's own pool.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from pathlib import Path

import libvirt

from jvp.core.work import Work
from jvp.libvirt.domain import disk_source
from jvp.libvirt.link import events, handles
from jvp.libvirt.link.errors import is_without_kvm
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import ensure, parse, put, sub, text_of
from jvp.libvirt.storage import lookup, pool_kind
from jvp.libvirt.storage.streams import write_small

LIMIT_S = 1.5
"""Where KVM works, the probe takes a third of this on a busy machine."""
CACHE_S = 24 * 3600
STALE_S = 60.0
"""A probe that is older than this has lost its provider."""
_NAME = re.compile(r"jvp-probe-([0-9a-f]{1,12})-[0-9a-f]{8}")
# mov dx, 0x604; mov ax, 0x2000; out dx, ax; hlt; jmp back -- QEMU's ACPI register: soft off.
_SECTOR = bytes((0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF, 0xF4, 0xEB, 0xFD)).ljust(510, b"\0") + b"\x55\xaa"
_DISK_BYTES = 1 << 20
"""SeaBIOS does not boot from a disk of a single sector (measured)."""


def acceleration(work: Work, node: Node, pool: handles.StoragePool | None) -> str:
    """`kvm` where it works, else `qemu`. Remembered per host for a day. Raises libvirtError.

    `pool` holds the temporary volume; None (an instance without disks) believes what the node lists.
    """
    if not lists_kvm(node):
        return "qemu"
    if pool is None:
        return "kvm"
    known = _cached(node.host_uuid)
    if known is None:
        work.status("trying whether KVM works on the node")
        runs = _runs(work, node, pool)
        known = "kvm" if runs else "qemu"
        if runs is not None:
            _remember(node.host_uuid, known)
    return known


def lists_kvm(node: Node) -> bool:
    """Whether libvirt offers KVM for the node's own architecture."""
    root = parse(node.connection.getCapabilities())
    arch = root.findtext("host/cpu/arch")
    guests = (guest.find("arch") for guest in root.iterfind("guest"))
    return any(
        found is not None and found.get("name") == arch and found.find("domain[@type='kvm']") is not None
        for found in guests
    )


def sweep(pool: handles.StoragePool, *, older_s: float = STALE_S) -> None:
    """Remove the volumes of probes that were cut off. Raises libvirtError. `older_s`: younger ones may be in use."""
    for name in lookup.names(pool):
        begun = _NAME.fullmatch(name)
        if begun and int(begun[1], 16) < time.time() - older_s:
            with contextlib.suppress(libvirt.libvirtError):
                pool.storageVolLookupByName(name).delete(0)


def is_broken(work: Work, node: Node, pool: handles.StoragePool) -> bool:
    """Whether a guest with KVM does not start here, or stops at once: found out by one. Raises libvirtError.

    One that only takes long, or is not started for another reason, says nothing against it.
    """
    return _tried(work, node, pool) in ("refused", "stuck")


def _runs(work: Work, node: Node, pool: handles.StoragePool) -> bool | None:
    """Whether the guest ended in time; None when it could not be started, for whatever reason."""
    return {"ended": True, "slow": False, "stuck": False}.get(_tried(work, node, pool))


def _tried(work: Work, node: Node, pool: handles.StoragePool) -> str:
    """What became of the guest: ended in time, slow, stuck, refused for want of KVM, or not started."""
    connection = node.connection
    sweep(pool)
    name = f"jvp-probe-{int(time.time()):x}-{secrets.token_hex(4)}"
    volume = pool.createXML(_volume_xml(name), 0)
    try:
        write_small(connection, volume, _SECTOR)
        try:
            root = _domain_xml(name, volume.path(), pool_kind.layout_of(pool).disk)
            domain = connection.createXML(root, libvirt.VIR_DOMAIN_START_PAUSED | _AUTO)
        except libvirt.libvirtError as error:
            return "refused" if is_without_kvm(error) else "not started"
        try:
            if _ends_in_time(work, connection, domain):
                return "ended"
            return "stuck" if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED else "slow"
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                domain.destroy()
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            volume.delete(0)


_AUTO = libvirt.VIR_DOMAIN_START_AUTODESTROY


def _ends_in_time(work: Work, connection: handles.Connection, domain: handles.Domain) -> bool:
    with events.watch(connection, domain, "lifecycle") as seen:
        end = time.monotonic() + LIMIT_S
        domain.resume()
        while (left := end - time.monotonic()) > 0:
            event = seen.next(work, left)
            if event is not None and event.detail == libvirt.VIR_DOMAIN_EVENT_STOPPED:
                return True
    return False


def _volume_xml(name: str) -> str:
    root = parse("<volume><target><format type='raw'/></target></volume>")
    put(root, "name", name)
    put(root, "capacity", str(_DISK_BYTES))
    put(root, "allocation", "0")
    return text_of(root)


def _domain_xml(name: str, path: str, disk_type: str) -> str:
    root = parse("<domain type='kvm'><os><type>hvm</type><boot dev='hd'/></os><features><acpi/></features></domain>")
    put(root, "name", name)
    put(root, "memory", "32")
    put(root, "memory/@unit", "MiB")
    put(root, "vcpu", "1")
    put(root, "os/type/@machine", "q35")
    devices = ensure(root, "devices")
    disk = sub(devices, "disk", type=disk_type, device="disk")
    sub(disk, "driver", name="qemu", type="raw")
    disk_source.point(disk, path, disk_type)
    sub(disk, "target", dev="vda", bus="virtio")
    sub(devices, "controller", type="usb", model="none")
    sub(devices, "memballoon", model="none")
    return text_of(root)


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "jvp" / "acceleration.json"


def _cached(host: str) -> str | None:
    try:
        entry = json.loads(_cache_file().read_text())[host]
        return str(entry["type"]) if time.time() - float(entry["at"]) < CACHE_S else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(host: str, found: str) -> None:
    """Best effort: without a place to write, the next process tries again."""
    path = _cache_file()
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = {}
        with contextlib.suppress(OSError, ValueError):
            entries = json.loads(path.read_text())
        entries[host] = {"type": found, "at": time.time()}
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(entries))
        partial.replace(path)

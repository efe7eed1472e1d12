"""Starting a pool: the first time, when its folder, or the file system on its device, may have to be made; and later.

A device is formatted only when libvirt finds nothing on it, and a mount point holds nothing of its own: both can be
made again at any time. A folder that is gone may be on a file system that is not mounted, and is not made unasked.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import libvirt

from jvp.core.errors import Rejected
from jvp.libvirt.domain.disks import running_on
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import reason
from jvp.libvirt.link.xml import Element, parse, value
from jvp.libvirt.storage import kinds
from jvp.libvirt.storage.kinds import Kind

_PLAIN = 0
_IF_BLANK = libvirt.VIR_STORAGE_POOL_BUILD_NO_OVERWRITE
_NO_MOUNT_POINT = "mount point does not exist"
"""Of mount(8). Where it speaks another language the folder counts as one that was there, and stays."""
_DEVICE = ("source", "device")
_OF_COMMANDS = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_OPERATION_FAILED)


def kind_in(root: Element) -> Kind:
    """The kind of the pool of this definition."""
    return kinds.kind_of(root.get("type"))


def device_in(root: Element) -> str | None:
    """The device of a pool's definition; None where it is of a kind that has none."""
    return value(root, "source/device/@path") if kind_in(root).source else None


def source_in(root: Element) -> tuple[str | None, ...]:
    """What a pool of this definition is made of beside its folder: its kind, device and file system."""
    return kind_in(root).type, device_in(root), format_in(root)


def format_in(root: Element) -> str | None:
    """The declared type of the file system; None where there is no device."""
    return (value(root, "source/format/@type") or kinds.ANY_FORMAT) if kind_in(root).source else None


def first(pool: handles.StoragePool, note: Callable[[], handles.StoragePool]) -> tuple[handles.StoragePool, bool]:
    """Start a pool that may never have run; the pool, and whether its folder is made here.

    `note` writes that down before it is made. A rival of the same key may start it meanwhile: that is as good.
    Raises Rejected for a device that cannot be mounted, libvirtError.
    """
    refusal = _refusal(pool)
    if refusal is None:
        return pool, False
    root = parse(pool.XMLDesc(libvirt.VIR_STORAGE_XML_INACTIVE))
    if not (_is_of_command if kind_in(root).mounts else _is_without_folder)(refusal):
        raise refusal
    if not kind_in(root).mounts:
        pool = note()
        _unless_started(pool, lambda: pool.build(_PLAIN))
        _unless_started(pool, lambda: pool.create(0))
        return pool, True
    made = _NO_MOUNT_POINT in str(refusal)
    pool = note() if made else pool
    blank = _build(pool, root)
    refusal = _refusal(pool)
    if refusal is not None:
        raise _unmountable(root, refusal, blank=blank)
    return pool, made


def _build(pool: handles.StoragePool, root: Element) -> bool:
    """Make the mount point, and the file system where the device is blank and its type is declared.

    Whether nothing was found on the device. Raises Rejected, libvirtError.
    """
    if format_in(root) == kinds.ANY_FORMAT:
        _unless_started(pool, lambda: pool.build(_PLAIN))
        return True
    try:
        _unless_started(pool, lambda: pool.build(_IF_BLANK))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_STORAGE_POOL_BUILT:
            return False
        if not _is_of_command(error):
            raise
        raise Rejected(f"{device_in(root)} cannot be formatted: {_why(error)}", path=_DEVICE) from None
    return True


def _unmountable(root: Element, error: libvirt.libvirtError, *, blank: bool) -> Rejected:
    device, format, why = device_in(root), format_in(root), _why(error)
    if format == kinds.ANY_FORMAT:
        return Rejected(
            f"{device} cannot be mounted: {why}; if it is blank, declare in source.format what it is to be "
            "formatted as",
            path=_DEVICE,
        )
    if blank:
        return Rejected(f"{device} cannot be mounted: {why}", path=_DEVICE)
    return Rejected(
        f"{device} holds something that cannot be mounted as {format}, and only a blank device is formatted; declare "
        f'the type that it has, or, if nothing on it is needed, wipe it by hand ("wipefs --all {device}")',
        path=_DEVICE,
    )


def again(pool: handles.StoragePool) -> None:
    """Start a pool that has run before. Raises Rejected when its folder is gone, or its device cannot be mounted."""
    refusal = _refusal(pool)
    if refusal is None:
        return
    root, name = parse(pool.XMLDesc(libvirt.VIR_STORAGE_XML_INACTIVE)), pool.name()
    if not (_is_of_command if kind_in(root).mounts else _is_without_folder)(refusal):
        raise refusal
    if kind_in(root).mounts:
        pool.build(_PLAIN)  # the mount point alone
        if (refusal := _refusal(pool)) is not None:
            raise Rejected(
                f'{device_in(root)} of the storage pool "{name}" cannot be mounted: {_why(refusal)}', path=_DEVICE
            )
    else:
        # On a file system that is only not mounted are still all its files.
        raise Rejected(
            f'the folder "{value(root, "target/path")}" of the storage pool "{name}" is not there; mount the file '
            "system that it is on, or, if its files are lost for good, undefine the pool "
            f'("virsh pool-undefine {name}"), and run again',
            path=("path",),
        )


def can_start(pool: handles.StoragePool) -> bool:
    try:
        pool.create(0)
    except libvirt.libvirtError:
        return False
    return True


def refuse_in_use(pool: handles.StoragePool, root: Element, path: tuple[str, ...] = ()) -> None:
    """Before a running pool is stopped: raise Rejected where that would unmount what guests run from."""
    folder = value(root, "target/path")
    names = running_on(pool.connect(), folder) if kind_in(root).mounts and folder else []
    if names:
        raise Rejected(
            f'{device_in(root)} of the storage pool "{pool.name()}" cannot be unmounted while "{names[0]}" runs with a '
            "disk on it; stop that first",
            path=path,
        )


def _refusal(pool: handles.StoragePool) -> libvirt.libvirtError | None:
    """Why the pool does not start; None when it runs."""
    try:
        pool.create(0)
    except libvirt.libvirtError as error:
        return None if pool.isActive() else error
    return None


def _unless_started(pool: handles.StoragePool, step: Callable[[], Any]) -> None:
    try:
        step()
    except libvirt.libvirtError:
        if not pool.isActive():
            raise


def _is_of_command(error: libvirt.libvirtError) -> bool:
    """Whether a command that libvirt runs has failed, mount or mkfs, or was not even tried: there is no such device."""
    return error.get_error_code() in _OF_COMMANDS


def _why(error: libvirt.libvirtError) -> str:
    """What such a command says."""
    text = reason(error)
    _, status, said = text.rpartition("unexpected exit status ")
    return (said.partition(": ")[2] if status else text).partition(" dmesg(1)")[0].rstrip(". ")


def _is_without_folder(error: libvirt.libvirtError) -> bool:
    return bool(error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() == errno.ENOENT)

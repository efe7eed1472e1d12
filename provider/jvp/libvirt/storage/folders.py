"""Folders of storage pools: which must not be one, and which are the same one.

On a node that is this machine, a path means what the file system makes of it: links, bind mounts. Of another node only
the text is known; there the marker in a folder tells whose it is (`pool.py`).
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path as File
from typing import TYPE_CHECKING

from jvp.core.abandon import outside
from jvp.core.types import shortened

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node  # models know these rules too, and need no libvirt

_KERNELS = ("/proc", "/sys", "/dev/pts", "/dev/mqueue", "/dev/hugepages")
_KERNELS_TYPES = (
    *("binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs"),
    *("functionfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore", "resctrl", "rpc_pipefs"),
    *("securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs"),
)
"""Types of file systems that hold no files but the kernel's own things: one that is read may never end."""
_SYSTEMS = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr")
"""Folders of the system, with all that is in them..."""
_FREE = ("/dev/shm", "/usr/local")
"""...but for what is in these."""
_ITSELF = (
    *("/", "/home", "/root", "/run", "/tmp", "/usr/local", "/var", "/var/cache", "/var/lib", "/var/lib/libvirt"),
    *("/var/log", "/var/run", "/var/spool", "/var/tmp"),
)
"""Folders of which each holds those of many."""
_ESCAPED = re.compile(r"\\([0-7]{3})")

Place = tuple[int | str, ...]


def normal(path: str) -> str:
    """A path without doubled slashes, dots, and a slash at its end."""
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else posixpath.normpath(path)


def kernels(path: str) -> str | None:
    """Why no pool can ever be at this path; None when nothing is known against it. Offline."""
    if not _is_below(normal(path), _KERNELS):
        return None
    return f'"{shortened(path)}" holds no files but the kernel\'s own, which libvirt might read for ever; {_ELSE}'


_ELSE = "take a folder of its own on a disk"


def systems(path: str) -> str | None:
    """Why no pool is to be made at this path; None when nothing is known against it. Offline."""
    where = normal(path)
    below = _is_below(where, _SYSTEMS) and not any(where.startswith(f"{free}/") for free in _FREE)
    if not below and where not in _ITSELF:
        return None
    return f'"{shortened(path)}" is a folder of the system, whose files would be volumes of the pool; {_ELSE}'


def refused(node: Node, path: str) -> str | None:
    """Why no pool is to be made there, as the node resolves the path where that can be told. Raises libvirtError."""
    found = kernels(path) or systems(path)
    if found is not None or not node.is_here:
        return found
    with outside(f"the folder {path}"):
        real = os.path.realpath(path)
        kind = _type_of_file_system(real)
    if real != normal(path) and (found := kernels(real) or systems(real)) is not None:
        return f'"{shortened(path)}" leads to {real}: {found}'
    if kind in _KERNELS_TYPES:
        return (
            f'"{shortened(path)}" is on a file system of the type {kind}, which holds no files but the '
            f"kernel's own; {_ELSE}"
        )
    return None


def is_same(node: Node, one: str, other: str) -> bool:
    """Whether two paths are one folder, as far as that can be told. Raises libvirtError."""
    if normal(one) == normal(other):
        return True
    both = one.startswith("/") and other.startswith("/")
    return both and node.is_here and _place(one) == _place(other)


def _place(path: str) -> Place:
    """The folder itself, however it is called; of one that does not exist the nearest above it, and the rest."""
    with outside(f"the folder {path}"):
        head, tail = os.path.realpath(path), ""
        while True:
            try:
                status = os.stat(head)  # noqa: PTH116 - with the head and tail as text
                return status.st_dev, status.st_ino, tail
            except OSError:
                if head == "/":
                    return (normal(path),)
                head, name = posixpath.split(head)
                tail = f"{name}/{tail}"


def _type_of_file_system(real: str) -> str | None:
    """Of the mount that this path is on, by the longest that is above it and was made last. Source: proc(5)."""
    best, found = "", None
    for line in File("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        mount = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4])
        if _is_below(real, (mount,)) and len(mount) >= len(best):
            best, found = mount, after.split(" ")[0]
    return found


def mounted(node: Node, device: str) -> str | None:
    """Where a device is mounted; None when it is not, or that cannot be told. Raises libvirtError."""
    if not node.is_here:
        return None
    with outside(f"the device {device}"):
        try:
            number = os.stat(device).st_rdev  # noqa: PTH116 - as above
        except OSError:
            return None
        for line in File("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            found = before.split(" ")
            source = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), after.split(" ")[1])
            same = number and found[2] == f"{os.major(number)}:{os.minor(number)}"
            if same or (source.startswith("/") and os.path.realpath(source) == os.path.realpath(device)):
                return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), found[4])
    return None


def _is_below(path: str, tops: tuple[str, ...]) -> bool:
    """Whether a path is one of these or in one."""
    return any(top in ("/", path) or path.startswith(f"{top}/") for top in tops)

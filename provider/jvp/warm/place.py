"""Where a warm process is found: a socket in the user's runtime folder, named by all that a launch takes over from it.

A process inherits more than it is handed: namespaces, groups, capabilities, a cgroup, limits, and what its modules read
from the environment when they were imported. That is in the name, and so is the state of the installed packages. What
differs leads to another socket, where nobody listens.

The launcher imports this: nothing heavy may stand at the top.
"""

from __future__ import annotations

import os

READ_AT_IMPORT = (
    "JVP_LOG", "LIBVIRT_DEBUG", "LIBVIRT_LOG_", "GRPC_", "PYTHON", "PYDANTIC_", "PROTOCOL_BUFFERS_", "LANG", "LC_",
    "TZ", "LD_", "OPENSSL_", "SSL_", "MALLOC_", "GLIBC_",
)  # fmt: skip
"""Variables, by their beginnings, that modules or the loader read when they are loaded."""
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_STATUS = (
    b"Uid", b"Gid", b"Groups", b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb", b"NoNewPrivs", b"Seccomp",
    b"SigBlk", b"SigIgn",
)  # fmt: skip
"""What a process may do, and which signals it does not hear. Source: proc(5), /proc/PID/status."""
_MAX_PATH = 107
"""Source: unix(7)."""
_NAME = 32


def folder() -> str | None:
    """Our folder in this user's runtime folder, closed to everybody else; None where there is no such place."""
    uid = os.getuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR") or (f"/run/user/{uid}" if uid else "/run")
    ours = f"{runtime}/jvp-warm"
    if len(os.fsencode(ours)) + 1 + _NAME > _MAX_PATH:
        return None
    try:
        if os.stat(runtime).st_uid != uid:
            return None
        if not os.path.lexists(ours):
            os.mkdir(ours, 0o700)
        found = os.lstat(ours)
    except OSError:
        return None
    is_folder, closed = found.st_mode & 0o170000 == 0o040000, not found.st_mode & 0o077
    return ours if is_folder and closed and found.st_uid == uid else None


def name(package: str, python: str, packages: str) -> str:
    """The socket's name for our package's folder, its interpreter, the folder of all packages, and our surrounding.

    Raises OSError where a part of it cannot be read.
    """
    from _blake2 import blake2b  # hashlib takes longer to import than this module

    # pip changes the folder of all packages whenever it changes one of them.
    parts = [python, *_files(package), *_changed(packages), *_variables(), *surrounding("self")]
    return str(blake2b("\0".join(parts).encode(errors="surrogateescape"), digest_size=_NAME // 2).hexdigest())


def surrounding(pid: int | str) -> list[str]:
    """What a process of this number hands on to its children without being asked. Raises OSError."""
    base = f"/proc/{pid}"
    found = [f"{kind}={os.readlink(f'{base}/ns/{kind}')}" for kind in _NAMESPACES]
    found.append(f"root={os.readlink(f'{base}/root')}")
    with open(f"{base}/status", "rb") as status:
        found += [line.decode() for line in status.read().split(b"\n") if line.partition(b":")[0] in _STATUS]
    # An unprivileged process does not get back what was once taken from it: better times, higher limits.
    number = os.getpid() if pid == "self" else int(pid)
    found.append(f"scheduled={os.sched_getscheduler(number)} {os.getpriority(os.PRIO_PROCESS, number)}")
    for file in ("cgroup", "attr/current", "oom_score_adj", "limits"):
        try:
            with open(f"{base}/{file}", "rb") as text:
                found.append(f"{file}={text.read().decode(errors='replace')}")
        except OSError:  # no such thing in this kernel
            found.append(f"{file}=")
    return found


def _files(package: str) -> list[str]:
    """The package's modules with their sizes and times: an upgrade, or an edit, makes another installation of it."""
    found = []
    folders = [package]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    found.append(f"{entry.path} {status.st_size} {status.st_mtime_ns}")
                elif entry.is_dir() and entry.name != "__pycache__":
                    folders.append(entry.path)
    return sorted(found)


def _changed(folder: str) -> list[str]:
    try:
        return [f"{folder} {os.stat(folder).st_mtime_ns}"]
    except OSError:  # packages that lie elsewhere
        return [folder]


def _variables() -> list[str]:
    return sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(READ_AT_IMPORT))

"""Runs a command as a unit of systemd would: its socket, and no system call, address family or memory that it refuses.

    hardened.py UNIT LISTENER COMMAND...

LISTENER is the number of the socket's file. What takes a mount of its own (ProtectSystem=, PrivateTmp= and their like)
is left out. Source: systemd.exec(5), sd_listen_fds(3), seccomp_rule_add(3).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

NO_NEW_PRIVILEGES = 38
ALLOWED, REFUSED = 0x7FFF0000, 0x00050000 | errno.EPERM
EQUAL, MASKED = 4, 7
WRITE, EXECUTE = 2, 4
NAMESPACES = (1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30)
FAMILIES = range(46)
ALWAYS = {"execve", "exit", "exit_group", "rt_sigreturn", "nanosleep", "clock_nanosleep", "gettimeofday", "rseq"}
"""What systemd lets through beside what is named, @default of its sets."""


class Compared(ctypes.Structure):
    """scmp_arg_cmp: the number of an argument, and what it is compared with."""

    _fields_ = (("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


Rule = tuple[int, str, list[Compared]]


def settings(unit: Path) -> dict[str, list[str]]:
    """All values of each name."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def calls(word: str) -> set[str]:
    """A system call, or those of a set like @system-service."""
    if not word.startswith("@"):
        return {word}
    told = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    inner = [line.strip() for line in told.stdout.splitlines()[1:]]
    return {call for one in inner if one and not one.startswith("#") for call in calls(one)}


def allowed(lines: Iterable[str]) -> set[str]:
    """The calls of all lines of SystemCallFilter=; those of one with a ~ are taken out again."""
    found: set[str] = set()
    for line in lines:
        named = {call for word in line.removeprefix("~").split() for call in calls(word)}
        found = found - named if line.startswith("~") else found | named
    return found | ALWAYS


def bits(argument: int, mask: int) -> list[Compared]:
    return [Compared(argument, MASKED, mask, mask)]


def restrict(unit: dict[str, list[str]]) -> None:
    """Have the kernel refuse what the unit does not allow, in this process and all that it becomes."""
    families = {getattr(socket, one) for one in unit["RestrictAddressFamilies"][0].split()}
    assert unit["MemoryDenyWriteExecute"] == unit["RestrictNamespaces"] == unit["NoNewPrivileges"] == ["yes"]
    refused: list[Rule] = [(REFUSED, "mmap", bits(2, WRITE | EXECUTE))]
    refused += [(REFUSED, name, bits(2, EXECUTE)) for name in ("mprotect", "pkey_mprotect")]
    refused += [(REFUSED, name, bits(0, one)) for name in ("unshare", "clone") for one in NAMESPACES]
    refused += [(REFUSED, "socket", [Compared(0, EQUAL, one, 0)]) for one in FAMILIES if one not in families]
    let_through: list[Rule] = [(ALLOWED, name, []) for name in sorted(allowed(unit["SystemCallFilter"]))]
    assert ctypes.CDLL(None, use_errno=True).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    load(ALLOWED, refused)
    load(REFUSED, let_through)


def load(otherwise: int, rules: list[Rule]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(otherwise)))
    for action, name, compared in rules:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # else this machine has no such call
            found = (Compared * max(1, len(compared)))(*compared)
            done = library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(compared), found)
            assert done == 0, (name, os.strerror(-done))
    assert library.seccomp_load(context) == 0


def main() -> None:
    unit, listener, command = settings(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3:]
    os.umask(int(unit["UMask"][0], 8))
    if listener != 3:
        os.dup2(listener, 3)
    os.set_inheritable(3, True)
    os.environ.update(
        LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", **dict(one.split("=", 1) for one in unit.get("Environment", ()))
    )
    restrict(unit)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

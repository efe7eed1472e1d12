"""Who may call: the user whose plugin this is, and root. The port is open to every process of the machine.

Linux tells whose the other end of a loopback connection is in /proc/net/tcp. It is looked up once for a connection, and
the pass is tied to our end of it, for the next one from the same port may be anybody's. Only an established line with
an inode counts: of a closed connection (TIME_WAIT, FIN_WAIT2) the table says uid 0 and inode 0 (tried with Linux 6.1).
Elsewhere nobody is refused, for there is nothing to look at.

gRPC tells no more of a connection than its address. Our end is found among our own descriptors, and is never
duplicated: a copy would outlive gRPC's close in its epoll set.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ESTABLISHED = 1
"""Source: include/net/tcp_states.h; the first byte of `struct tcp_info`."""
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
REFUSAL = "this plugin answers the user who started it, and root, alone"
_LOOKS = 2
"""The table is no snapshot: while others come and go a line may be missed."""
Address = tuple[str, int]


@dataclass(frozen=True)
class _End:
    """Our end of a connection: a descriptor, and the socket that it was."""

    descriptor: int
    inode: int

    def lives(self) -> bool:
        """Whether it is the same socket still, and the connection stands."""
        if _inode(self.descriptor) != self.inode:
            return False
        try:
            with _borrowed(self.descriptor) as there:
                state = there.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except OSError:
            return False
        return state == ESTABLISHED and _inode(self.descriptor) == self.inode


class Peers:
    """The connections of one server whose other end was looked up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passes: dict[str, _End] = {}

    def admits(self, peer: str) -> bool:
        """Whether the peer, as gRPC spells it (`ipv4:127.0.0.1:40000`), may call."""
        if not sys.platform.startswith("linux"):
            return True
        with self._lock:
            end = self._passes.get(peer)
            if end is not None and end.lives():
                return True
            self._passes = {name: one for name, one in self._passes.items() if one.lives()}
            end = _admitted(peer)
            if end is None:
                return False
            self._passes[peer] = end
            return True


def _admitted(peer: str) -> _End | None:
    """Our end of the peer's connection when the other end is this user's or root's; None otherwise."""
    kind, _, place = peer.partition(":")
    host, _, port = place.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    theirs = (host.replace("%5B", "").replace("%5D", "").strip("[]"), int(port))
    for end, ours in _ends(theirs):
        if any(uid_of(theirs, ours) in (0, os.geteuid()) for _ in range(_LOOKS)) and end.lives():
            return end
    return None


def _ends(theirs: Address) -> Iterator[tuple[_End, Address]]:
    """Our ends of connections with an address, each with our own address."""
    for link in Path("/proc/self/fd").iterdir():
        end = _End(int(link.name), _inode(int(link.name)))
        if not end.inode:
            continue
        try:
            with _borrowed(end.descriptor) as there:
                peer, own = _plain(there.getpeername()), _plain(there.getsockname())
        except OSError:  # not connected, or gone meanwhile
            continue
        if peer == theirs and end.lives():
            yield end, own


def _plain(address: Any) -> Address:
    """An address of IPv4 in its own form: gRPC listens with a socket of IPv6."""
    return (address[0].removeprefix("::ffff:"), address[1]) if isinstance(address, tuple) else ("", 0)


def uid_of(theirs: Address, ours: Address, tables: tuple[Path, ...] = TABLES) -> int | None:
    """The owner of the socket at the other end of an established connection, None when the tables tell of none."""
    for table in tables:
        mapped = "6" in table.name
        wanted = f" {_spelled(theirs, mapped=mapped)} {_spelled(ours, mapped=mapped)} {ESTABLISHED:02X} "
        try:
            lines = table.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            if wanted in line:
                fields = line.split()
                return int(fields[7]) if fields[9] != "0" else None
    return None


def _spelled(address: Address, *, mapped: bool) -> str:
    """An address as the tables have it: words of the machine's own byte order, in hexadecimal digits."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    if mapped and family == socket.AF_INET:
        packed = b"\0" * 10 + b"\xff\xff" + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _inode(descriptor: int) -> int:
    """The inode of the socket that a descriptor is, 0 where it is none."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return 0
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else 0


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """A descriptor as a socket, for a question; it is gRPC's, so it is never closed here. Raises OSError."""
    there = socket.socket(fileno=descriptor)
    try:
        yield there
    finally:
        there.detach()

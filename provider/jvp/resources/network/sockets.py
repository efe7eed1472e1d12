"""Which ports something on a node listens on."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jvp.core.errors import Rejected
from jvp.core.text import shortened
from jvp.core.types import IPAddress
from jvp.core.work import Work
from jvp.host import running
from jvp.libvirt.link.node import Node

_LISTENS = {"tcp": "0A", "udp": "07"}
"""The state of a socket that waits for anybody. Source: the kernel, include/net/tcp_states.h."""
_FILES = tuple(f"/proc/net/{name}" for name in ("tcp", "udp", "tcp6", "udp6"))


@dataclass(frozen=True)
class Socket:
    """What something listens on."""

    protocol: Literal["tcp", "udp"]
    address: IPAddress
    port: int


def sockets(work: Work, node: Node) -> list[Socket]:
    """All that listens on the node. Raises JvpError."""
    found: list[Socket] = []
    for protocol in ("tcp", "udp"):
        # A node without IPv6 has only one of the two.
        ran = running.run(node, work, ["cat", *(one for one in _FILES if protocol in one)])
        if not ran.out:
            raise Rejected(f'what listens on the node "{node.shown}" cannot be read: {shortened(ran.error, 300)}')
        found += parsed(protocol, ran.out.decode(errors="replace"))
    return found


def parsed(protocol: Literal["tcp", "udp"], text: str) -> Iterator[Socket]:
    """From the lines of the kernel's files: a number, the own address, the other's, the state."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == _LISTENS[protocol] and ":" in words[1]:
            address, _, port = words[1].partition(":")
            yield Socket(protocol, _address(address), int(port, 16))


def _address(text: str) -> IPAddress:
    """Of words of four bytes each in the byte order of the machine, which is little on all that matter here."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    found = ipaddress.ip_address(raw)
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found

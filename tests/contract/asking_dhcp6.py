"""A DHCPv6 client of a few lines: which address a server offers to somebody of this DUID and name.

Run with an interface, a DUID in hex, a host name and the seconds to wait; it prints the address,
or nothing. Source: RFC 8415, RFC 4704.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
import time

SOLICIT, ADVERTISE = 1, 2
CLIENT_ID, IA_NA, IA_ADDRESS, ELAPSED, FQDN = 1, 3, 5, 8, 39


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def options(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        code, length = struct.unpack("!HH", data[:4])
        found[code], data = data[4 : 4 + length], data[4 + length :]
    return found


def offered(interface: str, duid: bytes, name: str, patience: float = 10.0) -> str | None:
    """The address that is offered; None where none is in time."""
    index = socket.if_nametoindex(interface)
    number = os.urandom(3)
    name_ = option(FQDN, b"\x00" + bytes([len(name)]) + name.encode())
    solicit = bytes([SOLICIT]) + number + option(CLIENT_ID, duid) + option(ELAPSED, b"\x00\x00")
    solicit += option(IA_NA, struct.pack("!III", 1, 0, 0)) + name_
    end = time.monotonic() + patience
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        client.bind(("::", 546, 0, index))
        while time.monotonic() < end:
            try:
                client.sendto(solicit, ("ff02::1:2", 547, 0, index))
                answer = client.recv(2048)
            except OSError:  # its link-local address is not ready yet, or nobody answers
                time.sleep(0.2)
                continue
            if answer[0] == ADVERTISE and answer[1:4] == number:
                inner = options(options(answer[4:]).get(IA_NA, b"")[12:]).get(IA_ADDRESS)
                return str(ipaddress.IPv6Address(inner[:16])) if inner else None
    return None


if __name__ == "__main__":
    print(offered(sys.argv[1], bytes.fromhex(sys.argv[2]), sys.argv[3], float(sys.argv[4])) or "")

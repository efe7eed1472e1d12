"""Questions to a DNS server, and a server that answers them: as little of RFC 1035 as tests need."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

A, TXT, AAAA, SRV = 1, 16, 28, 33
PATIENCE_S = 10.0
"""A server that just started, or reads its files anew, may need a moment."""


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(one)]) + one.encode() for one in name.split(".")) + b"\0"


def _skipped(data: bytes, at: int) -> int:
    """Where a name ends."""
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def answers(server: str, name: str, kind: int) -> list[bytes]:
    """The data of the records that a server tells of a name; none where it knows none, or does not answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        with contextlib.suppress(OSError):
            question = _encoded(name) + struct.pack("!2H", kind, 1)
            sock.sendto(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + question, (server, 53))
            data = sock.recv(4096)
            at, found = _skipped(data, 12) + 4, []
            for _ in range(struct.unpack("!H", data[6:8])[0]):
                at = _skipped(data, at)
                told, length = struct.unpack("!H6xH", data[at : at + 10])
                found += [data[at + 10 : at + 10 + length]] if told == kind else []
                at += 10 + length
            return found
    return []


def addresses(server: str, name: str, family: int = socket.AF_INET) -> list[str]:
    kind = A if family == socket.AF_INET else AAAA
    return sorted(socket.inet_ntop(family, one) for one in answers(server, name, kind))


def comes(server: str, name: str, wanted: list[str], family: int = socket.AF_INET) -> bool:
    """Whether a name leads to these addresses, now or within a moment."""
    end = time.monotonic() + PATIENCE_S
    while addresses(server, name, family) != wanted:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@contextlib.contextmanager
def answering(at: str, address: str) -> Iterator[list[bytes]]:
    """A server at an address of this machine by which every name leads to `address`; gives what it is asked."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((at, 53))
        sock.settimeout(0.2)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                with contextlib.suppress(OSError):
                    data, who = sock.recvfrom(4096)
                    end = _skipped(data, 12) + 4
                    asked.append(data[12:end])
                    head = data[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0)
                    record = struct.pack("!3HIH", 0xC00C, A, 1, 1, 4) + socket.inet_aton(address)
                    sock.sendto(head + data[12:end] + record, who)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            done.set()
            thread.join()

"""Who calls over a unix socket: the kernel tells. Source: unix(7), SO_PEERCRED."""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

HANG_UP = "hang_up"
"""What a request's state has for cutting its connection, where the client does not even read."""
_CREDENTIALS = struct.Struct("3i")


class SocketProtocol(H11Protocol):
    """HTTP over a unix socket, with the peer's user in place of an address: (`user alice`, its pid)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, HANG_UP: transport.abort}
        found = transport.get_extra_info("socket")
        if found is not None and found.family == socket.AF_UNIX:
            pid, uid, _ = _CREDENTIALS.unpack(
                found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            self.client = (f"user {_name(uid)}", pid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

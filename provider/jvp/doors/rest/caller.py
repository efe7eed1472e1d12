"""Who is at the other end of a connection, and how long one may say nothing.

Over a unix socket the kernel tells who calls (unix(7), SO_PEERCRED), and whoever may open it is trusted. Over TCP
anybody may connect: uvicorn itself bounds the size of a request's head and the time between requests; here stand how
many connections there may be, and for how long a head may take or an answer may stay unread.
"""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

HANG_UP = "hang_up"
"""What a request's state has for cutting its connection, where the client does not even read."""
PEER = "peer"
"""What a request's state has of one that came over a unix socket: the user's name."""
CONNECTIONS_MAX, OF_ADDRESS_MAX = 500, 100
"""So many connections over TCP there may be, and so many of one address."""
HEAD_S, UNREAD_S = 20.0, 60.0
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
            self.app_state = {**self.app_state, PEER: self.client[0]}


class TcpProtocol(H11Protocol):
    """HTTP over TCP, where a client that holds a connection and does nothing is cut off."""

    _watch: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, HANG_UP: transport.abort}
        others = [one for one in self.connections if isinstance(one, TcpProtocol)]
        of_address = sum(1 for one in others if self.client and one.client and one.client[0] == self.client[0])
        if len(others) > CONNECTIONS_MAX or of_address > OF_ADDRESS_MAX:
            transport.abort()
            return
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _end(self._watch)
        _end(self._unread)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _end(self._unread)

    def _watch_head(self) -> None:
        """Cut the connection off where no whole head of a request comes in time."""
        if self.cycle is not None and not self.cycle.response_complete:
            _end(self._watch)
            self._watch = None
        elif self._watch is None:
            self._watch = self.loop.call_later(HEAD_S, self._late)

    def _late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def _end(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

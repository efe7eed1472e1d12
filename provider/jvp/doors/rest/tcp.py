"""Listening on TCP: where that is allowed, and by which certificate.

On a loopback address a token is enough, for nobody else is on that way; on any other one its text must be encrypted.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jvp.core.errors import Invalid

BACKLOG = 128
HANDSHAKE_S = 10.0
_LIKE = "it looks like 127.0.0.1:8443 or [::]:8443"


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int
    family: socket.AddressFamily
    place: tuple[Any, ...]
    """As the socket takes it."""

    @classmethod
    def of(cls, text: str) -> Address:
        """From `HOST:PORT`; of a name the first address. Raises Invalid."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port[:6]) > 65535:
            raise Invalid(f'"{text}" is no address to listen on; {_LIKE}')
        bare = host.removeprefix("[").removesuffix("]")
        if ":" in bare and bare == host:
            raise Invalid(f'"{text}" is no address to listen on; {_LIKE}')
        try:
            family, *_, found = socket.getaddrinfo(bare, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        except (OSError, UnicodeError):
            raise Invalid(f'"{bare}" is no address or name of this machine; {_LIKE}') from None
        return cls(str(found[0]), int(found[1]), family, found)

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family is socket.AF_INET6 else f"{self.host}:{self.port}"


class Certificate:
    """The server's certificate and key, of which each new connection takes the newest."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises Invalid for files that cannot be used."""
        self._files = certificate, key
        self.context = self._read()

    def read_again(self) -> None:
        """Take what the files hold now. Raises Invalid, and keeps what was."""
        self._read()  # a half of it would be taken else
        self.context.load_cert_chain(*self._files, password=_no_password)

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            certificate, key = self._files
            raise Invalid(
                f'the certificate "{certificate}" with the key "{key}" cannot be used: '
                f"{str(why).lower().replace('_', ' ')}",
            ) from None
        return context


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted; give one that is not, readable for the server alone")


def refuse(addresses: Iterable[Address], *, encrypted: bool, has_index: bool) -> None:
    """Raise Invalid for addresses that are not to be listened on like this."""
    for one in addresses:
        if not has_index:
            raise Invalid(
                f"the server has no index, where tokens are kept, so it listens on no port such as {one}; "
                "start it without --index none, or without --listen",
            )
        if not encrypted and not one.is_loopback:
            raise Invalid(
                f"{one} can be reached from other machines, so it takes --tls-cert and --tls-key; "
                "or listen on a loopback address",
            )


def bound(address: Address) -> socket.socket:
    """A listening socket. Raises Invalid."""
    found = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family is socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != "::"))
        found.bind(address.place)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise Invalid(f"cannot listen on {address}: {error.strerror or error}") from None
    return found

"""One HTTP request for an image, and the rule for where it may go.

The host that the user typed is trusted, wherever it is. A redirect is the other side's word: it may not lead
into a private, loopback or link-local range (unless the typed host was in one itself, or the user allows it),
nor from https to http, nor away from the two. The address that was judged is the one that is connected to,
so a name that resolves differently the second time changes nothing. Where `open_internet` alone is allowed, not even
the typed host may be in such a range.

The standard library's client is used because it lets us choose the address, and starts in 35 ms (httpx: 105).
Its modules are imported on the first request only.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jvp.core.errors import Forbidden, Invalid, JvpError, Unreachable

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection, HTTPResponse
    from urllib.parse import SplitResult

CONNECT_S: Final = 10.0
SILENCE_S: Final = 30.0
"""How long a server may send nothing before the connection counts as cut."""
_REDIRECTS_MAX: Final = 10
_READ_MAX: Final = 256 * 1024
_FOR_ADMINS: Final = "from which only an admin has an image fetched"
_PASSING: Final = (408, 421, 425, 429)
"""Answers below 500 that another try may not get."""
_AFTER_MAX_S: Final = 60.0
"""A server that wants to be left alone for longer is asked all the same."""


class Hiccup(Unreachable):
    """What may pass by itself: a busy server, a connection that was refused or lost, a name server without an answer.

    after_s: how long the server wants to be left alone.
    """

    def __init__(self, message: str, *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Cut(Exception):
    """The connection ended or fell silent before the body did; says how. Asking again may help."""


@dataclass
class Reply:
    """An answer whose body is still to be read."""

    status: int
    url: str
    total: int | None
    """Length of the body in this answer."""
    headers: Mapping[str, str]
    _response: HTTPResponse
    _socket: socket.socket
    skip: int = 0
    """Bytes at its beginning that the caller has already."""
    _closed: bool = field(default=False)

    @property
    def validator(self) -> str | None:
        """What says that a later answer is of the same bytes: a strong ETag, else the date of the change."""
        etag = self.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            return etag
        return self.headers.get("Last-Modified")

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes in. Raises Cut when it ends before its announced length."""
        from http.client import HTTPException

        left, skip = self.total, self.skip
        try:
            while left is None or left > 0:
                chunk = self._response.read1(_READ_MAX if left is None else min(left, _READ_MAX))
                if not chunk:
                    break
                if left is not None:
                    left -= len(chunk)
                had = min(skip, len(chunk))
                skip -= had
                if had < len(chunk):
                    yield chunk[had:]
        except TimeoutError:
            raise Cut(f"it sent nothing for {SILENCE_S:.0f} s") from None
        except (OSError, HTTPException, ValueError) as error:
            raise Cut("the connection was lost") from error
        if left:
            raise Cut("the server ended the connection")

    def close(self) -> None:
        """Ends a read that is under way in another thread, too. Again: yes."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):  # the other side was quicker
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not the TLS layer's: another thread reads

    def dispose(self) -> None:
        """Give the descriptor back; for the thread that reads, once it has stopped. Again: yes."""
        self.close()
        self._response.close()
        self._socket.close()


def shown(url: str) -> str:
    """The address as a message may show it: without user, password, query and fragment."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def get(url: str, headers: Mapping[str, str], *, allow_private_redirects: bool, open_internet: bool = False) -> Reply:
    """Ask for `url`, following redirects under the rule above. A 2xx answer comes back, nothing else.

    Raises Forbidden (not for who asks), Invalid (the address, the answer, a redirect), Unreachable, Hiccup (may pass).
    """
    from urllib.parse import urljoin

    private_ok = allow_private_redirects
    came_from: str | None = None
    typed: SplitResult | None = None
    for _ in range(_REDIRECTS_MAX + 1):
        parts = _split(url, came_from)
        addresses = _resolve(parts)
        private = [address for address in addresses if not _is_public(address)]
        if private and open_internet:
            raise Forbidden(f"{shown(url)} is in a private, loopback or link-local range, {_FOR_ADMINS}")
        if came_from is None:
            private_ok = private_ok or bool(private)
        elif private and not private_ok:
            raise Invalid(
                f"{shown(came_from)} redirects to {shown(url)}, at the private address {private[0]}; "
                "give that address itself if it is meant, or allow private redirects"
            )
        # A password is for the host that it was typed for.
        typed = typed or parts
        reply = _ask(parts, addresses, headers, url, user=typed if _origin(parts) == _origin(typed) else None)
        location = reply.headers.get("Location")
        if reply.status in (301, 302, 303, 307, 308) and location:
            reply.dispose()
            came_from = url
            try:
                url = urljoin(url, location)
            except ValueError:
                raise Invalid(_to(came_from, "an address that is not a valid URL")) from None
            continue
        if 200 <= reply.status < 300:
            return reply
        reply.dispose()
        raise _refused(reply)
    raise Invalid(f"{shown(url)} redirects more than {_REDIRECTS_MAX} times")


def _split(url: str, came_from: str | None) -> SplitResult:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        _ = parts.port
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii")
    except (ValueError, UnicodeError):
        raise Invalid(
            "the address is not a valid URL" if came_from is None else _to(came_from, "an address that is not valid")
        ) from None
    if parts.scheme not in ("http", "https"):
        if came_from is not None:
            raise Invalid(_to(came_from, f"{parts.scheme}:, and only http and https can be used"))
        raise Invalid("only http:// and https:// addresses can be downloaded; a file on this machine goes by its path")
    if not host:
        where = "the address names no host"
        raise Invalid(where if came_from is None else _to(came_from, "an address without a host"))
    if came_from is not None and parts.scheme == "http" and came_from.startswith("https:"):
        raise Invalid(_to(came_from, f"{shown(url)} without encryption; give that address itself if it is meant"))
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port


def _to(came_from: str, where: str) -> str:
    return f"{shown(came_from)} redirects to {where}"


def _resolve(parts: SplitResult) -> list[str]:
    """Every address of the host, in the order to try them."""
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    except UnicodeError:
        raise Unreachable(f"the host {host!r} does not resolve") from None
    except socket.gaierror as error:
        kind = Hiccup if error.errno in (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM) else Unreachable
        raise kind(f"the host {host!r} does not resolve ({error.strerror})") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_public(text: str) -> bool:
    """Whether an address is one of the open internet, seen through IPv6's ways to write an IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in ipaddress.IPv6Network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(str(inner))
    return address.is_global and not address.is_multicast


def _dial(host: str, port: int, addresses: list[str]) -> socket.socket:
    """A connection to the first of `addresses` that answers."""
    last: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), CONNECT_S)
        except OSError as error:
            last = error
    why = "did not answer" if isinstance(last, TimeoutError) else f"cannot be reached: {_reason(last)}"
    raise Hiccup(f"{host}, port {port}, {why}") from last


def _reason(error: OSError | None) -> str:
    return (error.strerror if error is not None and error.strerror else str(error)).lower()


@cache
def _tls() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()


def _ask(
    parts: SplitResult, addresses: list[str], headers: Mapping[str, str], url: str, *, user: SplitResult | None
) -> Reply:
    from http.client import HTTPConnection, HTTPException

    host, port = parts.hostname or "", _port(parts)
    sock = _dial(host, port, addresses)
    try:
        if parts.scheme == "https":
            sock = _secure(sock, host)
        sock.settimeout(SILENCE_S)
        connection: HTTPConnection = HTTPConnection(host, port)
        connection.sock = sock  # so that it connects nowhere by itself
        connection.putrequest("GET", _target(parts), skip_host=True, skip_accept_encoding=True)
        for name, value in {**_headers(parts, user), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        answered: Any = response.headers
        total = response.length
        return Reply(response.status, url, total, answered, response, sock)
    except JvpError:
        sock.close()
        raise
    except TimeoutError:
        sock.close()
        raise Hiccup(f"{host} took the connection, but did not answer within {SILENCE_S:.0f} s") from None
    except ConnectionError:  # also where the server ends it without a word
        sock.close()
        raise Hiccup(f"{host}, port {port}, took the connection and dropped it") from None
    except (OSError, HTTPException, ValueError) as error:
        sock.close()
        raise Unreachable(f"{host}, port {port}, does not speak HTTP as expected: {type(error).__name__}") from error


def _target(parts: SplitResult) -> str:
    from urllib.parse import quote

    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]")
    return f"{path}?{query}" if query else path


def _headers(parts: SplitResult, user: SplitResult | None) -> dict[str, str]:
    """What every request says. A password goes to the host that it was typed for: `user`."""
    said = {
        "Host": _host_header(parts),
        "User-Agent": "jvp",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if user is not None and user.username is not None:
        import base64
        from urllib.parse import unquote

        pair = f"{unquote(user.username)}:{unquote(user.password or '')}".encode()
        said["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    return said


def _secure(sock: socket.socket, host: str) -> ssl.SSLSocket:
    import ssl

    try:
        return _tls().wrap_socket(sock, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"the certificate of {host} is not trusted: {error.verify_message.rstrip('.')}") from None
    except (TimeoutError, ConnectionError, ssl.SSLEOFError) as error:
        raise Hiccup(f"no encrypted connection to {host}: {_reason(error)}") from None
    except (ssl.SSLError, OSError) as error:
        why = getattr(error, "reason", None) or _reason(error)
        raise Unreachable(f"no encrypted connection to {host}: {str(why).lower().replace('_', ' ')}") from None


def _host_header(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host.encode("idna" if not host.isascii() else "ascii").decode()
    return f"{host}:{parts.port}" if parts.port else host


_MEANING: Final = {
    401: "wants a user name and password for it",
    403: "does not allow it",
    404: "does not have it",
    410: "no longer has it",
    416: "has fewer bytes of it than before",
}


def _refused(reply: Reply) -> JvpError:
    """The error for an answer that is not a success."""
    status, host = reply.status, shown(reply.url).split("/")[2]
    if status in _PASSING or status >= 500:
        kept_off = reply.headers.get("Retry-After", "").strip()
        return Hiccup(
            f"{host} cannot deliver {shown(reply.url)} now (HTTP {status}); try again later",
            # Or a date, which is as good as nothing said: the pauses grow anyway.
            after_s=min(float(kept_off), _AFTER_MAX_S) if re.fullmatch(r"\d{1,9}", kept_off, re.ASCII) else 0.0,
        )
    meaning = _MEANING.get(status, "refuses it")
    return Invalid(f"{host} {meaning}: {shown(reply.url)} (HTTP {status})")

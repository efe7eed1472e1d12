"""`jvp serve`: the server on a unix socket, and on TCP where it is told to.

Whoever may open the socket may do all that libvirt lets its group do: it belongs to the group libvirt where there is
one, and nobody else may open it. Over TCP one needs a token.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import grp
import logging
import os
import resource
import signal
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

import jvp
from jvp.core.check import check, failures_text
from jvp.core.errors import Invalid, JvpError
from jvp.core.types import size_bytes, size_text
from jvp.doors.rest.app import make_app
from jvp.doors.rest.bus import Bus
from jvp.doors.rest.caller import SocketProtocol, TcpProtocol
from jvp.doors.rest.operations import Operations
from jvp.doors.rest.spool import ALL_MAX, EACH_MAX, Uploads, default_folder
from jvp.doors.rest.tcp import BACKLOG, HANDSHAKE_S, Address, Certificate, bound, refuse
from jvp.index.store import Index, default_url
from jvp.resources import registry
from jvp.resources.provider import Provider

GROUP = "libvirt"
NO_INDEX = "none"
MODE = 0o660
STOP_S = 20
PROBE_S = 5.0
FILES = 65536


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it."""
    parsed = parser().parse_args(arguments)
    try:
        return serve(settings(parsed.uri), Place.of(parsed), uploads_of(parsed))
    except JvpError as error:
        print(f"jvp: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The options of `jvp serve`."""
    found = argparse.ArgumentParser(prog="jvp serve", description="Serve the REST API.")
    found.add_argument("--uri", help="the libvirt connection; by default LIBVIRT_DEFAULT_URI, else qemu:///system")
    found.add_argument(
        "--socket", default=default_socket(), help="the socket to listen on; systemd's own wins (default: %(default)s)"
    )
    found.add_argument(
        "--listen", action="append", default=[], metavar="HOST:PORT",
        help="listen on TCP too, for callers with a token: on a loopback address, or on any with a certificate",
    )  # fmt: skip
    found.add_argument(
        "--tls-cert", metavar="FILE", help="the certificate, with those that sign it; SIGHUP reads it anew"
    )
    found.add_argument("--tls-key", metavar="FILE", help="its key")
    found.add_argument(
        "--index", metavar="URL",
        help='the database for tokens and operations, by default JVP_INDEX or a file; "none" for the socket alone',
    )  # fmt: skip
    found.add_argument(
        "--uploads", metavar="FOLDER", default=str(default_folder()),
        help="where uploaded images are kept until they are used (default: %(default)s)",
    )  # fmt: skip
    found.add_argument(
        "--upload-max", metavar="SIZE", default=size_text(EACH_MAX), help="the longest upload (default: %(default)s)"
    )
    found.add_argument(
        "--uploads-max", metavar="SIZE", default=size_text(ALL_MAX),
        help="what all of them may take on the disk together (default: %(default)s)",
    )  # fmt: skip
    return found


@dataclass(frozen=True)
class Place:
    """Where the server listens, and its database."""

    socket: Path
    addresses: tuple[Address, ...] = ()
    certificate: Certificate | None = None
    index: str | None = None
    """A URL; None for no index."""

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Place:
        """From the options. Raises Invalid for a place where the server is not to listen."""
        addresses = tuple(map(Address.of, parsed.listen))
        url = parsed.index or default_url()
        if bool(parsed.tls_cert) != bool(parsed.tls_key):
            raise Invalid("--tls-cert and --tls-key go together: give both, or neither")
        refuse(addresses, encrypted=bool(parsed.tls_cert), has_index=url != NO_INDEX)
        certificate = Certificate(Path(parsed.tls_cert), Path(parsed.tls_key)) if parsed.tls_cert else None
        return cls(Path(parsed.socket), addresses, certificate, None if url == NO_INDEX else url)


def uploads_of(parsed: argparse.Namespace) -> Uploads:
    """Where uploads are kept, and how many. Raises Invalid."""
    try:
        return Uploads(Path(parsed.uploads), size_bytes(parsed.upload_max), size_bytes(parsed.uploads_max))
    except ValueError as error:
        raise Invalid(str(error), path=("upload-max",)) from None


def default_socket() -> str:
    """`/run/jvp/jvp.sock` for root, in the runtime folder for others."""
    if os.geteuid() == 0:
        return "/run/jvp/jvp.sock"
    return f"{os.environ.get('XDG_RUNTIME_DIR') or f'/run/user/{os.geteuid()}'}/jvp/jvp.sock"


def settings(uri: str | None) -> Provider:
    """The settings of the provider. Raises Invalid."""
    checked = check(Provider, {"uri": uri} if uri else {})
    if checked.spec is None:
        raise Invalid(failures_text(checked.failures))
    return checked.spec


def serve(provider: Provider, place: Place, uploads: Uploads) -> int:
    """Listen until SIGTERM or SIGINT. What runs then is cancelled, and the next call goes on from what is there."""
    _allow_files()
    operations, bus = Operations(), Bus()
    with contextlib.ExitStack() as stack:
        index = Index(place.index) if place.index is not None else None
        if index is not None:
            stack.callback(index.close)
        listener = stack.enter_context(listening(place.socket))
        others = [stack.enter_context(bound(address)) for address in place.addresses]
        app = make_app(registry.objects(provider), provider, operations, index=index, bus=bus, uploads=uploads)
        config = uvicorn.Config(
            app, http=SocketProtocol, ws="none", log_config=None, server_header=False, timeout_graceful_shutdown=STOP_S,
            access_log=False, proxy_headers=False,  # the app logs; the kernel alone tells who calls
        )  # fmt: skip
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
        _tell(listener, others, place)
        _Server(config, operations, bus, others, place.certificate).run([listener])
        operations.stop(STOP_S)
    return 0


def _allow_files() -> None:
    """Have room for connections in their TLS handshake, which nothing else bounds: out of files, nobody is let in."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _tell(listener: socket.socket, others: Sequence[socket.socket], place: Place) -> None:
    scheme = "http" if place.certificate is None else "https"
    shown = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port, *_ in map(_name, others)]
    where = ", ".join((str(listener.getsockname()), *(f"{scheme}://{one}" for one in shown)))
    without = "" if place.index is not None else ", without an index: no tokens, and no port"
    print(f"jvp {jvp.__version__} serves {where}{without}", file=sys.stderr, flush=True)


def _name(listener: socket.socket) -> tuple[str, int]:
    host, port, *_ = listener.getsockname()
    return str(host), int(port)


class _Server(uvicorn.Server):
    """Ends by a signal as by its own end: uvicorn's own raises the signal again, and nothing after it would happen."""

    def __init__(
        self,
        config: uvicorn.Config,
        operations: Operations,
        bus: Bus,
        others: Sequence[socket.socket] = (),
        certificate: Certificate | None = None,
    ) -> None:
        """`others` are the sockets for TCP."""
        super().__init__(config)
        self._operations, self._bus = operations, bus
        self._others, self._certificate = others, certificate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop, certificate = asyncio.get_running_loop(), self._certificate
        context, patience = (None, None) if certificate is None else (certificate.context, HANDSHAKE_S)
        for one in self._others:
            self.servers.append(
                await loop.create_server(
                    self._tcp, sock=one, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=patience
                )
            )
        if certificate is not None:
            loop.add_signal_handler(signal.SIGHUP, _read_again, certificate)

    def _tcp(self) -> TcpProtocol:
        return TcpProtocol(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._operations.close()  # else who waits for one would hold the end up
        self._bus.close()  # and who listens
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _read_again(certificate: Certificate) -> None:
    try:
        certificate.read_again()
        logging.getLogger("jvp").info("the certificate is read again")
    except Invalid as error:
        logging.getLogger("jvp").error("%s; the one before stays", error.message)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket: systemd's where it gives one, else at `path`. Raises Invalid when a server listens there."""
    given = _from_systemd()
    if given is not None:
        yield given
        return
    with socket.socket(socket.AF_UNIX) as made:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            _refuse_taken(path)
            inode = _bound(made, path)
        except OSError as error:
            raise Invalid(f'cannot listen on "{path}": {error.strerror or error}; choose another path') from None
        try:
            yield made
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == inode:  # else it is another server's by now
                    path.unlink()


def _bound(made: socket.socket, path: Path) -> int:
    """Listen on the path; its inode."""
    before = os.umask(0o177)  # nobody else opens it before it has its group
    try:
        made.bind(str(path))
    finally:
        os.umask(before)
    _give_to_group(path)
    made.listen(128)
    return path.stat().st_ino


def _from_systemd() -> socket.socket | None:
    """Source: sd_listen_fds(3)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    given = socket.socket(fileno=3)
    if given.family != socket.AF_UNIX:  # anybody could call
        raise Invalid("systemd gives a socket that is none of this machine's alone; ListenStream= takes a path")
    return given


def _refuse_taken(path: Path) -> None:
    """Remove the socket of a server that is no more."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Invalid(f'"{path}" is there already, and is no socket; choose another path')
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_S)  # a server that hangs takes nobody in
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise Invalid(f'"{path}" cannot be used: {error.strerror or error}') from None
    raise Invalid(f'a server listens on "{path}" already; end that one, or choose another path')


def _give_to_group(path: Path) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user's server may have a session that is nobody else's
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return  # there is no such group here: its user alone opens it
    with contextlib.suppress(PermissionError):
        os.chown(path, -1, group)
        path.chmod(MODE)


if __name__ == "__main__":
    sys.exit(main())

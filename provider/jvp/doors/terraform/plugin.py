"""`terraform-provider-jvp`: the program that Terraform and OpenTofu start.

The handshake line is the only thing on stdout. Nothing heavy is imported at the top: a host starts a provider several
times for one command, and waits for that line each time. Each call brings in what it needs.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import jvp
from jvp.core import parent, signals
from jvp.doors.terraform import schemas
from jvp.doors.terraform.protocol import VERSION
from jvp.doors.terraform.server import Service, start

if TYPE_CHECKING:
    from jvp.doors.terraform.provider import ProviderServicer
    from jvp.doors.terraform.schemas import Schemas

# Pydantic else looks through every installed distribution for plugins of its own (30 ms).
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

COOKIE = ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
"""By this the host says that it is one. Source: Terraform, `internal/plugin/serve.go`."""
SOURCE = "jvp.internal/jvp/jvp"
"""The provider's address in configurations."""
SOCKET = "s"
GRACE_S = 1.5
"""The host kills what is still there 2 s after its Shutdown (go-plugin, `client.go`, Kill)."""
KEPT_S = 86400
"""How long the folder of a process that is gone stays."""
ORPHAN_GRACE_S = 30.0
"""With the host gone nobody hurries us: what runs may take back what it made."""


def main() -> int:
    """The command. Ends with the process: a verb deep inside a library cannot be waited for."""
    if "--version" in sys.argv[1:]:
        print(jvp.__version__)
        return 0
    debug = "--debug" in sys.argv[1:] or "-debug" in sys.argv[1:]
    if refused := None if debug else _refusal():
        print(refused, file=sys.stderr)
        return 1
    ready = schemas.stored()
    run(Service(functools.partial(registered, ready, shared=not debug), ready, stays=debug))
    sys.stdout.flush()
    os._exit(0)


def run(service: Service) -> None:
    """Serve until told to end."""
    host = parent.pid()
    # A Ctrl-C in a terminal reaches us too, and the host says what to do. Without one of its own it is for us.
    if not service.stays:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    ends = (signal.SIGTERM, signal.SIGINT) if service.stays else (signal.SIGTERM,)
    signals.obey(ends, lambda _: service.over.set())
    folder = _folder()
    try:
        socket = folder / SOCKET
        credentials, certificate = None, ""
        if os.environ.get("PLUGIN_CLIENT_CERT") and not service.stays:
            from jvp.doors.terraform.certificate import credentials as made

            credentials, certificate = made()
        server = start(service, f"unix:{socket}", credentials)
        if service.stays:
            _say_how_to_attach(socket)
        else:
            print(f"1|{VERSION}|unix|{socket}|grpc|{certificate}", flush=True)
            threading.Thread(target=_watch, args=(service, host), name="host", daemon=True).start()
        service.over.wait()
        service.stop()
        grace_s = GRACE_S if parent.pid() == host else ORPHAN_GRACE_S
        server.stop(grace_s).wait(grace_s)
    finally:
        with contextlib.suppress(OSError):
            (folder / SOCKET).unlink(missing_ok=True)
            folder.rmdir()


def _folder() -> Path:
    """A folder of our own, 0700, for the socket: its whole path must fit into 107 bytes. Source: unix(7).

    By hand, for `tempfile` takes longer to import than all of this. Raises OSError.
    """
    name = f"jvp-{os.getpid()}-{os.urandom(4).hex()}"
    refused: OSError = FileNotFoundError("there is no folder for a socket")
    told = map(os.environ.get, ("PLUGIN_UNIX_SOCKET_DIR", "TMPDIR", "TEMP", "TMP"))
    for there in filter(None, (*told, "/tmp", "/var/tmp", ".")):
        ours = Path(there).absolute() / name
        if len(os.fsencode(ours / SOCKET)) <= 107:
            try:
                ours.mkdir(mode=0o700)
            except OSError as error:
                refused = error
            else:
                _sweep(ours.parent)
                return ours
    raise refused


def _sweep(there: Path) -> None:
    """Remove the folders of processes of this user that were killed. (In a container others' seem to be gone.)"""
    for folder in there.glob("jvp-*-????????"):
        # Somebody else's folder may be called alike: only ours has this form, and nothing but the socket in it.
        ours = re.fullmatch(r"jvp-(\d+)-\w{8}", folder.name)
        with contextlib.suppress(OSError):
            status = folder.lstat()
            old = status.st_uid == os.getuid() and time.time() - status.st_mtime > KEPT_S
            if ours and old and not Path(f"/proc/{ours[1]}").exists() and {*folder.iterdir()} <= {folder / SOCKET}:
                (folder / SOCKET).unlink(missing_ok=True)
                folder.rmdir()


def registered(ready: Schemas | None = None, *, shared: bool = False) -> ProviderServicer:
    """The servicer over everything that JVP can declare. `shared` says that our host may have more processes of us.

    `ready` are the schemas; without them they are made of the models.
    """
    from jvp.doors.terraform import declared
    from jvp.doors.terraform.provider import ProviderServicer
    from jvp.resources import registry

    notes = declared.folder_of(parent.pid()) if shared else None
    return ProviderServicer(registry.RESOURCES, registry.FUNCTIONS, registry.calls, notes=notes, schemas=ready)


def _refusal() -> str | None:
    """Why this is no host's process; None when it is one's."""
    name, value = COOKIE
    if os.environ.get(name) != value:
        return (
            "terraform-provider-jvp is a plugin: tofu and terraform start it themselves. "
            'Install it with "jvp terraform install", or debug it with --debug.'
        )
    offered = (os.environ.get("PLUGIN_PROTOCOL_VERSIONS") or str(VERSION)).split(",")
    if str(VERSION) not in offered:
        return f"this provider speaks version {VERSION} of the protocol, and the host {', '.join(offered)}"
    return None


def _say_how_to_attach(socket: Path) -> None:
    reattach = {
        SOURCE: {
            "Protocol": "grpc",
            "ProtocolVersion": VERSION,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "unix", "String": str(socket)},
        }
    }
    print(f"TF_REATTACH_PROVIDERS='{json.dumps(reattach)}'", flush=True)


def _watch(service: Service, host: int) -> None:
    """End with the process that started us, however it ends."""
    try:
        descriptor = os.pidfd_open(host)
    except ProcessLookupError:  # gone already
        service.over.set()
        return
    except OSError:  # an old kernel, or a container that forbids it
        while parent.pid() == host and not service.over.wait(1):
            pass
    else:
        if parent.pid() == host:
            select.select([descriptor], [], [])
    service.over.set()


if __name__ == "__main__":
    sys.exit(main())

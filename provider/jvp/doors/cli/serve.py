"""`jvp serve`: the REST API. The server is a door of its own, in a module that this one only starts."""

from __future__ import annotations

import argparse
import runpy
import sys
from typing import TYPE_CHECKING

from jvp.doors.cli import extra
from jvp.doors.cli.words import sentence

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

MODULE = "jvp.doors.rest.server"
NEEDED = ("fastapi", "sqlalchemy", "uvicorn")


def add_to(commands: Commands) -> None:
    """Add the command."""
    about = "serve the REST API"
    command = commands.add_parser("serve", help=about, description=sentence(about))
    command.add_argument(
        "--uri", help="the libvirt connection; by default JVP_URI, LIBVIRT_DEFAULT_URI or qemu:///system"
    )
    command.add_argument("--socket", help="where to listen, by default /run/jvp/jvp.sock, or in the runtime folder")
    command.add_argument(
        "--listen", action="append", metavar="HOST:PORT",
        help="listen on TCP too, for callers with a token: on a loopback address, or on any with a certificate",
    )  # fmt: skip
    command.add_argument("--tls-cert", metavar="FILE", help="the certificate, with those that sign it")
    command.add_argument("--tls-key", metavar="FILE", help="its key")
    command.add_argument(
        "--index", metavar="URL",
        help='the database for tokens and operations, by default JVP_INDEX or a file; "none" for the socket alone',
    )  # fmt: skip
    about = "where uploaded images are kept until they are used, by default beside the index's file"
    command.add_argument("--uploads", metavar="FOLDER", help=about)
    command.add_argument("--upload-max", metavar="SIZE", help="the longest upload, by default 64GiB")
    about = "what all uploads may take on the disk together, by default 256GiB"
    command.add_argument("--uploads-max", metavar="SIZE", help=about)
    command.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Serve until a signal ends it. Raises Rejected where the extra is not installed."""
    extra.require("server", NEEDED)
    names = ("uri", "socket", "tls-cert", "tls-key", "index", "uploads", "upload-max", "uploads-max")
    given = {name: getattr(parsed, name.replace("-", "_")) for name in names}
    options = [f"--{name}={value}" for name, value in given.items() if value]
    sys.argv = ["jvp serve", *options, *(f"--listen={one}" for one in parsed.listen or ())]
    try:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0

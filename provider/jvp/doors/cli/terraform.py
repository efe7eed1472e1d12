"""`jvp terraform`: shows the provider to OpenTofu and Terraform."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING

import jvp
from jvp.doors.cli import terraformmirror
from jvp.doors.cli.words import sentence

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: Commands) -> None:
    """Add the command with those below it."""
    about = "show the provider to OpenTofu and Terraform, or hide it again"
    below = commands.add_parser("terraform", help=about, description=sentence(about)).add_subparsers(
        metavar="command", required=True
    )
    text = "put a launcher for this version into a mirror of providers, and say how the CLI finds it"
    command = below.add_parser("install", help=text, description=sentence(text))
    _add_mirror(command)
    command.add_argument(
        "--write",
        action="store_true",
        help="write the CLI's configuration too, where there is none; a file that exists is never changed",
    )
    command.set_defaults(run=install)
    text = "print what is on the node as HCL, with the blocks that import it; nothing is changed"
    command = below.add_parser("export", help=text, description=sentence(text))
    command.add_argument("kind", nargs="?", help="instance, network, storage_pool, template or volume; all without one")
    command.add_argument("names", nargs="*", metavar="name", help="names or ids; of a volume or template POOL/NAME")
    command.add_argument("--uri", help="the libvirt connection; by default the usual one")
    command.set_defaults(run=export)
    text = "take it out of the mirror"
    command = below.add_parser("uninstall", help=text, description=sentence(text))
    _add_mirror(command)
    command.set_defaults(run=uninstall)


def _add_mirror(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--mirror", metavar="DIR", help="the mirror; by default jvp/terraform/mirror in the user's XDG data folder"
    )


def install(parsed: argparse.Namespace) -> int:
    """Again: as good as once."""
    mirror = terraformmirror.mirror(parsed.mirror)
    needed = terraformmirror.configuration(mirror)
    there = terraformmirror.install(mirror)
    print(f"jvp {jvp.__version__} is in the mirror, at {there}")
    if needed.told:
        print(f"{_names(needed)} names {terraformmirror.SOURCE} already")
    elif needed.implied:
        print("tofu and terraform look there by themselves")
    elif needed.files:
        print(f"tofu and terraform find it with these lines in {_names(needed)}:\n\n{needed.lines}")
    elif parsed.write:
        terraformmirror.write_configuration(needed)
        print(f"tofu and terraform find it by {needed.fresh}, which is new")
    else:
        print(f"tofu and terraform find it with these lines in {needed.fresh} (--write writes it):\n\n{needed.lines}")
    return 0


def export(parsed: argparse.Namespace) -> int:
    """HCL on standard output; an error before anything of the named objects is printed."""
    blocks = importlib.import_module(terraformmirror.EXPORT).export(parsed.uri, parsed.kind, parsed.names)
    print("\n".join(blocks), end="")
    return 0


def uninstall(parsed: argparse.Namespace) -> int:
    """Again: says that there is nothing, and is content."""
    mirror = terraformmirror.mirror(parsed.mirror)
    gone = terraformmirror.uninstall(mirror)
    if gone is None:
        print(f"jvp {jvp.__version__} was not in {mirror}")
    elif gone.exists():
        print(f"removed jvp {jvp.__version__} from {gone}; what else is there stays")
    else:
        print(f"removed {gone}")
    if not (mirror / terraformmirror.SOURCE).exists():
        for file in terraformmirror.take_back(terraformmirror.configuration(mirror)):
            print(f"removed {file}")
        left = terraformmirror.configuration(mirror)
        if left.told:
            print(f"the lines for {terraformmirror.SOURCE} in {_names(left)} can go")
    return 0


def _names(needed: terraformmirror.Configuration) -> str:
    return " and ".join(map(str, needed.files))

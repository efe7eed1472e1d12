"""`jvp pulumi`: shows the provider to the Pulumi CLI."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import jvp
from jvp.doors.cli import plugincache
from jvp.doors.cli.words import sentence

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: Commands) -> None:
    """Add the command with those below it."""
    about = "show the provider to the Pulumi CLI, or hide it again"
    below = commands.add_parser("pulumi", help=about, description=sentence(about)).add_subparsers(
        metavar="command", required=True
    )
    for name, run, text in (
        ("install", install, "put a launcher for this version into Pulumi's plugin cache"),
        ("uninstall", uninstall, "take it out of Pulumi's plugin cache"),
    ):
        command = below.add_parser(name, help=text, description=sentence(text))
        command.add_argument(
            "--pulumi-home",
            metavar="DIR",
            help="Pulumi's home; by default $PULUMI_HOME, and if that is unset ~/.pulumi",
        )
        command.set_defaults(run=run)


def install(parsed: argparse.Namespace) -> int:
    """Again: as good as once."""
    where = plugincache.install(plugincache.home(parsed.pulumi_home))
    print(f"pulumi finds jvp {jvp.__version__} at {where}")
    return 0


def uninstall(parsed: argparse.Namespace) -> int:
    """Again: says that there is nothing, and is content."""
    home = plugincache.home(parsed.pulumi_home)
    gone = plugincache.uninstall(home)
    print(f"removed {gone}" if gone else f"jvp {jvp.__version__} was not in {home / 'plugins'}")
    return 0

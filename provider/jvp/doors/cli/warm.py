"""`jvp warm`: the processes that make an engine's start quick."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from jvp.doors.cli.words import sentence

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: Commands) -> None:
    """Add the command with those below it."""
    about = "see or end the processes that make an engine's start quick"
    below = commands.add_parser("warm", help=about, description=sentence(about)).add_subparsers(
        metavar="command", required=True
    )
    for name, text in (
        ("status", "say which of them run"),
        ("stop", "end them; what they have started runs on"),
    ):
        command = below.add_parser(name, help=text, description=sentence(text))
        command.set_defaults(run=run, question=name)


def run(parsed: argparse.Namespace) -> int:
    """A line for each process."""
    from jvp.warm.ask import ask

    found = list(ask(parsed.question))
    for one in found:
        ends = ", ends with the last of them" if parsed.question == "stop" and one.running else ""
        print(f"process {one.pid}: {one.launches} starts, {one.running} plugins running{ends}")
    if not found:
        print("no warm process runs")
    return 0

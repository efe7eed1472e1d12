"""`jvp`: the command line.

A command is a parser with `run`, a function that takes the parsed arguments and returns the exit code: 0, or 1 when
something is wrong, which is said in one sentence. What argparse refuses ends with 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import jvp
from jvp.core.errors import JvpError
from jvp.doors.cli import pulumi, terraform, warm


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parsed = parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except JvpError as error:
        print(f"jvp: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands."""
    root = argparse.ArgumentParser(prog="jvp", description="Virtual machines on libvirt as code.")
    root.add_argument("--version", action="version", version=f"jvp {jvp.__version__}")
    commands = root.add_subparsers(metavar="command", required=True)
    pulumi.add_to(commands)
    terraform.add_to(commands)
    warm.add_to(commands)
    return root


if __name__ == "__main__":
    sys.exit(main())

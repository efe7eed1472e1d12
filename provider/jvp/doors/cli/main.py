"""`jvp`: the command line.

A command is a parser with `run`, a function that takes the parsed arguments and returns the exit code: 0, or 1 when
something is wrong, which is said in one sentence. What argparse refuses ends with 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import jvp
from jvp.core.errors import JvpError, incomplete
from jvp.doors.cli import audit, completion, events, index, kinds, pulumi, serve, terraform, warm
from jvp.doors.cli.late import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        root = parser()
        if given[:1] == [completion.ASK]:
            return completion.answer(root, given[1:])
        if given and given[0].startswith("-") and given[0] not in ("-h", "--help", "--version"):
            root.error(f'options stand behind the command: "jvp instance list {given[0]} …"')
        parsed = root.parse_args(given)
        return int(parsed.run(parsed))
    except JvpError as error:
        print(f"jvp: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"jvp: {incomplete(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> Parser:
    """All commands."""
    root = Parser(prog="jvp", description="Virtual machines on libvirt as code.")
    root.add_argument("--version", action="version", version=f"jvp {jvp.__version__}")
    commands: Any = root.add_subparsers(metavar="command", required=True, parser_class=Parser)
    kinds.add_to(commands)
    audit.add_to(commands)
    pulumi.add_to(commands)
    serve.add_to(commands)
    terraform.add_to(commands)
    index.add_to(commands)
    events.add_to(commands)
    warm.add_to(commands)
    completion.add_to(commands)
    return root


if __name__ == "__main__":
    sys.exit(main())

"""`jvp token` and `jvp index`: what is about the index of a server.

What the commands take and do stands in modules of their own, which are imported when one of them was typed.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from jvp.doors.cli.late import Parser
from jvp.doors.cli.words import sentence

TOKEN = {
    "create": "make a token for the REST API, and print its text",
    "list": "list the tokens, without their texts",
    "revoke": "take tokens back, at once",
}
INDEX = {
    "search": "find objects by a part of their name, address or tags, as they were seen last",
    "rebuild": "read the inventory of the node anew",
}
COMMANDS = {
    "token": ("make, list and revoke tokens of the REST API", TOKEN),
    "index": ("search the inventory that a server keeps, or read it anew", INDEX),
}
"""Each command: what it is about, and the words below it."""
_MODULES = {"token": "jvp.doors.cli.tokens", "index": "jvp.doors.cli.inventory"}


def add_to(commands: Any) -> None:
    """Add the commands."""
    for word, (about, below) in COMMANDS.items():
        commands.add_parser(word, help=about, description=sentence(about), fill=partial(_fill, word, below))


def _fill(command: str, words: dict[str, str], parser: Parser) -> None:
    below = parser.add_subparsers(metavar="command", required=True, parser_class=Parser)
    for word, about in words.items():
        below.add_parser(word, help=about, description=sentence(about), fill=partial(_later, command, word))


def _later(command: str, word: str, parser: Parser) -> None:
    import_module(_MODULES[command]).fill(word, parser)

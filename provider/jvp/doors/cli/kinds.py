"""The commands of each type of resource, and of what is no resource: one for each that is registered.

What they take and do stands in `commands`, which is imported when one of them was typed.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from jvp.doors.cli import known
from jvp.doors.cli.late import Parser
from jvp.doors.cli.words import sentence

FILES = {
    "apply": "make and change what YAML files declare",
    "plan": "say what an apply of YAML files would do",
    "delete": "delete what YAML files declare",
    "export": "print an object as a document, which changes nothing when it is applied",
}
"""The commands over documents."""


def add_to(commands: Any) -> None:
    """Add the commands of all kinds, and of the questions that are about none."""
    for word, token in known.kinds().items():
        about = f"list, show and change {known.kebab(token).replace('-', ' ')}s"
        commands.add_parser(word, help=about, description=sentence(about), fill=partial(_later, "of_kind", token))
    for word, about in FILES.items():
        commands.add_parser(word, help=about, description=sentence(about), fill=partial(_later, "of_documents", word))
    for word, function in known.other_functions():
        about, fill = f"tell about the {word.replace('-', ' ')}", partial(_later, "of_question", function)
        commands.add_parser(word, help=about, description=sentence(about), fill=fill)


def _later(name: str, token: str, parser: Parser) -> None:
    getattr(import_module("jvp.doors.cli.commands"), name)(token, parser)

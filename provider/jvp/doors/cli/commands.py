"""What the commands of a type of resource take and do, derived from what is declared.

The properties are the options of `create` and `set`, the filters those of `list`, and functions and actions are
commands of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from jvp.core.facts import Later
from jvp.core.model import fields
from jvp.doors.cli import applying, changes, exits, known, options, output, reading, screenshot, searching, session
from jvp.doors.cli.late import Parser
from jvp.doors.cli.words import sentence

Run = Callable[[argparse.Namespace], int]
_FILLS = {"getTemplateSearch": searching.fill, "getInstanceScreenshot": screenshot.fill}
"""Functions whose commands are more than the question."""


def of_kind(token: str, parser: Parser) -> None:
    """Add the commands of a type of resource."""
    below = parser.add_subparsers(metavar="command", required=True, parser_class=Parser)
    for word, about, fill in commands_of(token):
        below.add_parser(word, help=about, description=sentence(about), fill=fill)


def of_question(function: str, parser: Parser) -> None:
    """Add what a question takes that is about no type of resource."""
    _fill_function(function, None, parser)


def commands_of(token: str) -> Iterator[tuple[str, str, Callable[[Parser], None]]]:
    """The commands of one type of resource: the word, what it does, and what adds its options."""
    kind = known.type_of(token).kind
    yield "list", f"list {kind}s, ours and others'", partial(_fill_list, token)
    yield "show", f"show one {kind}", partial(_fill_show, token)
    for word, function in known.functions_of(token):
        fill = _FILLS.get(function) or partial(_fill_function, function, token)
        yield word, first_line(known.function(function)), fill
    yield "create", f"make a new {kind}", partial(_fill_create, token)
    yield "set", f"change properties of one {kind}", partial(_fill_set, token)
    yield "delete", f"delete {kind}s", partial(_fill_delete, token)
    for name in known.actions_of(token):
        yield known.action(name).word, first_line(known.action(name)), partial(_fill_action, name, token)


def first_line(declared: Any) -> str:
    """The first sentence of the docstring of a function or an action, for a list of commands."""
    text = " ".join((declared.__doc__ or "").split()).partition(". ")[0].removesuffix(".")
    return f"{text[:1].lower()}{text[1:]}".replace("%", "%%")


def _finish(parser: Parser, run: Run, **more: Any) -> None:
    parser.set_defaults(run=lambda parsed: exits.ending(lambda: run(parsed)), **more)


def _common(parser: Parser) -> None:
    """What every command has. Before the properties, which give way to it."""
    output.add_to(parser)
    session.add_to(parser)


def _changing(parser: Parser, force: str = "--force") -> None:
    parser.add_argument("--plan", action="store_true", help="say what it would do, and do nothing")
    about = "also what another program declares, or nobody of jvp made"
    parser.add_argument(force, dest="force", action="store_true", help=about)


def _fill_create(token: str, parser: Parser) -> None:
    parser.add_argument("reference", metavar=known.reference_of(token), help="its name")
    _changing(parser)
    _common(parser)
    options.add(parser, known.type_of(token).spec, skip=("name",))
    _finish(parser, changes.create, token=token)


def _fill_set(token: str, parser: Parser) -> None:
    parser.add_argument("reference", metavar=known.reference_of(token), help="its name or id")
    about = "take a property out: it goes back to its default"
    parser.add_argument("--unset", action="append", metavar="PROPERTY", help=about)
    _changing(parser)
    _common(parser)
    options.add(parser, known.type_of(token).spec)
    _finish(parser, changes.set_, token=token)


def _fill_delete(token: str, parser: Parser) -> None:
    spec = known.type_of(token).spec
    parser.add_argument("references", nargs="+", metavar=known.reference_of(token), help="names or ids")
    _changing(parser)
    session.add_to(parser)
    options.add(parser, spec, skip=tuple(name for name, facts in fields(spec).items() if not facts.fact(Later)))
    _finish(parser, changes.delete, token=token)


def _fill_action(action: str, token: str, parser: Parser) -> None:
    args = known.action(action).args
    parser.add_argument("reference", metavar=known.reference_of(token), help="its name or id")
    # An action may have a force of its own: to cut a guest off.
    _changing(parser, "--force-others" if "force" in fields(args) else "--force")
    _common(parser)
    if known.action(action).local:
        parser.add_argument(f"{options.PREFIX}path", metavar="FILE", help="the file to write, on this machine")
    options.add(parser, args, skip=("path",) if known.action(action).local else ())
    _finish(parser, changes.act, action=action)


def of_documents(word: str, parser: Parser) -> None:
    """Add what the commands over documents take."""
    if word == "export":
        parser.add_argument("kind", metavar="KIND", help=", ".join(known.kinds()))
        about = "its name or id; POOL/NAME of what is in a pool, INSTANCE/NAME of a snapshot"
        parser.add_argument("reference", metavar="NAME", help=about)
        session.add_to(parser)
        _finish(parser, applying.export)
        return
    about = "a YAML file; - is standard input"
    parser.add_argument("-f", "--file", dest="files", action="append", required=True, metavar="FILE", help=about)
    if word != "plan":
        _changing(parser)
    _common(parser)
    _finish(parser, {"apply": applying.apply, "plan": applying.plan, "delete": applying.delete}[word])


def _fill_list(token: str, parser: Parser) -> None:
    _common(parser)
    parser.add_argument("--sort", metavar="PROPERTY", help="by which property; by default name, of snapshots createdAt")
    parser.add_argument("--reverse", action="store_true", help="from the last to the first")
    about = "the properties to tell, in their order: name,state"
    parser.add_argument("--fields", metavar="PROPERTY,…", help=about)
    options.add(parser, known.type_of(token).filters)
    _finish(parser, reading.list_, token=token)


def _fill_show(token: str, parser: Parser) -> None:
    parser.add_argument("reference", metavar=known.reference_of(token), help="its name or id")
    _common(parser)
    _finish(parser, reading.show, token=token)


def _fill_function(function: str, token: str | None, parser: Parser) -> None:
    args = known.function(function).args
    subject = known.subject_of(args, token)
    if subject is not None:
        about, how = ("its name or id", None) if fields(args)[subject].required else ("one of them alone", "?")
        parser.add_argument("reference", metavar=known.reference_of(token or ""), nargs=how, help=about)
    _common(parser)
    options.add(parser, args, skip=(subject,) if subject else ())
    _finish(parser, reading.ask, function=function, subject=subject)

"""`jvp token`: the tokens of the REST API, in the index that its server reads."""

from __future__ import annotations

import argparse
import os
import pwd
import sys
import uuid
from typing import Any

from jvp.core.errors import Invalid
from jvp.core.types import lifetime_s, utc_text
from jvp.doors.cli import exits, extra, known, output
from jvp.doors.cli.late import Parser

ROLES = ("admin", "operator", "viewer")
EXPIRES, NEVER = "90d", "never"
_COLUMNS = ("id", "subject", "role", "state", "expires", "used", "scope")
NODE = "Node"
"""What a scope calls the questions about a node, which is no kind of resource."""


def fill(word: str, parser: Parser) -> None:
    """Add what one of the commands takes."""
    extra.add_index(parser)
    {"create": _fill_create, "list": output.add_to, "revoke": _fill_revoke}[word](parser)
    run = {"create": create, "list": list_, "revoke": revoke}[word]
    parser.set_defaults(run=lambda parsed: exits.ending(lambda: run(parsed)))


def _fill_revoke(parser: Parser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="as the list tells them")


def _fill_create(parser: Parser) -> None:
    parser.add_argument("--role", choices=ROLES, required=True, help="what its bearer may do")
    parser.add_argument("--subject", metavar="NAME", help="who that is, for operations and the audit; by default you")
    about = f"how long it is taken, like 12h or 90d, or {NEVER} (by default {EXPIRES})"
    parser.add_argument("--expires", metavar="TIME", default=EXPIRES, help=about)
    parser.add_argument("--once", action="store_true", help="it is taken once: to join, which gives a lasting one")
    for name, about in (
        ("kinds", "only for these kinds of objects, like Instance"),
        ("nodes", "only for these nodes, by their hosts' uuids"),
        ("tags", "only for objects with one of these tags: team, or team=web"),
    ):
        metavar = f"{name[:-1].upper()},…"
        parser.add_argument(f"--{name}", action="extend", type=_words, metavar=metavar, help=about)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def create(parsed: argparse.Namespace) -> int:
    """Make a token. Standard output has its text alone, which is nowhere else."""
    expires_s, scope = _expires_s(parsed.expires), _scope(parsed)
    subject = parsed.subject if parsed.subject is not None else _user()
    with extra.index(parsed, make=True) as index:
        from jvp.index import tokens

        made, text = tokens.create(index, subject, parsed.role, scope=scope, expires_s=expires_s, once=parsed.once)
        until = "for ever" if made.expires is None else f"until {utc_text(made.expires)}"
        once = ", once" if made.once else ""
        print(
            f'token {made.id} of "{made.subject}", {made.role}, is taken {until}{once}; {_limits(scope)}',
            file=sys.stderr,
        )
        print(f"it is kept in {index.url}, which does not have this text; nobody shows it again:", file=sys.stderr)
    print(text)
    return exits.DONE


def list_(parsed: argparse.Namespace) -> int:
    """All tokens, the newest first."""
    format = output.chosen(parsed)
    with extra.index(parsed) as index:
        from jvp.index import tokens

        found = tokens.all_of(index)
    if format == "name":
        for one in found:
            print(one.id)
    elif format in ("json", "yaml"):
        output.structured([_document(one) for one in found], format)
    else:
        output.table(_COLUMNS, [{**_document(one), "scope": _shown(one.scope)} for one in found])
    return exits.DONE


def revoke(parsed: argparse.Namespace) -> int:
    """Take tokens back, in the order in which they are named. The first that is not there ends it."""
    with extra.index(parsed) as index:
        from jvp.index import tokens

        for one in parsed.ids:
            tokens.revoke(index, one)
            print(f'token "{one}" revoked')
    return exits.DONE


def _expires_s(text: str) -> float | None:
    try:
        return lifetime_s(text)
    except ValueError as error:
        raise Invalid(str(error), path=("expires",)) from None


def _scope(parsed: argparse.Namespace) -> dict[str, list[str]]:
    """What is given of it. Raises Invalid."""
    given = {name: getattr(parsed, name) for name in ("nodes", "kinds", "tags") if getattr(parsed, name)}
    for name, words in given.items():
        if not all(words):
            raise Invalid("holds an empty word", path=(name,))
    if "kinds" in given:
        given["kinds"] = [NODE if one == NODE else known.token_of(one) for one in given["kinds"]]
    for number, one in enumerate(given.get("nodes", ())):
        try:
            given["nodes"][number] = str(uuid.UUID(one))
        except ValueError:
            raise Invalid(f'"{one}" is no uuid of a host; "jvp node" tells it', path=("nodes", number)) from None
    return given


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _limits(scope: dict[str, list[str]]) -> str:
    return f"it is limited to {_shown(scope)}" if scope else "it is not limited to any part"


def _shown(scope: dict[str, list[str]]) -> str:
    return " ".join(f"{name}={','.join(words)}" for name, words in scope.items())


def _document(one: Any) -> dict[str, Any]:
    """A token as it is shown; a property without a value is left out."""
    times = {"created": one.created, "expires": one.expires, "used": one.used}
    shown = {name: utc_text(value) for name, value in times.items() if value is not None}
    return {"id": one.id, "subject": one.subject, "role": one.role, "state": one.state, "once": one.once,
            "scope": one.scope, **shown}  # fmt: skip

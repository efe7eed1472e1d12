"""`jvp audit`: who changed what, as the lines of this machine and the index tell it."""

from __future__ import annotations

import argparse
import importlib.util
import os
from typing import TYPE_CHECKING, Any

from jvp.core.errors import Invalid
from jvp.doors.cli.late import Parser
from jvp.doors.cli.words import sentence

if TYPE_CHECKING:
    from jvp.index.store import Index

ABOUT = "tell who changed what, in order of time"
NONE = "none"
_COLUMNS = ("at", "who", "door", "verb", "kind", "name", "outcome", "changed", "detail")
_WIDE = ("at", "who", "door", "origin", "program", "verb", "kind", "name", "id", "outcome", "seconds", "properties",
         "changed", "detail")  # fmt: skip


def add_to(commands: Any) -> None:
    """Add the command."""
    commands.add_parser("audit", help=ABOUT, description=sentence(ABOUT), fill=_fill)


def _fill(parser: Parser) -> None:
    from jvp.audit.finding import FILTERS
    from jvp.doors.cli import exits, output

    for name, about in FILTERS.items():
        text = about.removesuffix(".")
        parser.add_argument(f"--{name}", metavar=name.upper(), help=f"{text[:1].lower()}{text[1:]}")
    about = "the last so many, by default 100"
    parser.add_argument("-n", "--limit", type=_number, default=100, metavar="N", help=about)
    about = f"also those of this index, by default of $JVP_INDEX or the usual one, where it is; {NONE}: of this machine"
    parser.add_argument("--index", metavar="URL", help=about)
    output.add_to(parser)
    parser.set_defaults(run=lambda parsed: exits.ending(lambda: run(parsed)))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:9])):
        raise argparse.ArgumentTypeError("must be a number from 1")
    return int(text[:9])


def run(parsed: argparse.Namespace) -> int:
    """Print the entries that are asked for, the oldest first."""
    from jvp.audit import finding
    from jvp.core import trail
    from jvp.doors.cli import exits, known, output

    format = output.chosen(parsed)
    given = {name: text for name in finding.FILTERS if (text := getattr(parsed, name)) is not None}
    if "kind" in given:
        given["kind"] = known.declarable(given["kind"])
    query = finding.query_of(given, parsed.limit)
    index = _index(parsed.index)
    try:
        found = finding.find(query, _rows(index))[: parsed.limit]
    finally:
        if index is not None:
            index.close()
    documents = [trail.document(one) for one in reversed(found)]
    if format in ("json", "yaml"):
        output.structured(documents, format)
    elif format == "name":
        for one in documents:
            print(one["name"])
    else:
        output.table(_WIDE if format == "wide" else _COLUMNS, map(_row, documents))
    return exits.DONE


def _row(document: dict[str, Any]) -> dict[str, Any]:
    from jvp.core.trail import UNKNOWN

    return {**document, "outcome": "not known" if document["outcome"] == UNKNOWN else document["outcome"]}


def _rows(index: Index | None) -> Any:
    if index is None:
        return None
    from jvp.index import audit

    return lambda query: audit.newest(index, query)


def _index(given: str | None) -> Index | None:
    """The index that is asked for, or the usual one where it is. Raises JvpError."""
    named = given or os.environ.get("JVP_INDEX")
    if named == NONE:
        return None
    if not all(map(importlib.util.find_spec, ("sqlalchemy", "alembic"))):
        if named:
            raise Invalid('needs the server\'s packages: pip install "pulumi-jvp[serve]"', path=("index",))
        return None
    from pathlib import Path

    from jvp.index.store import Index, default_url

    url = named or default_url()
    if not named and not Path(url.removeprefix("sqlite:///")).exists():
        return None
    return Index(url)

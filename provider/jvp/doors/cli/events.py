"""`jvp events`: what happens on the node, as libvirt tells it, until Ctrl-C. It needs no server."""

from __future__ import annotations

import argparse
import json
import queue
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from jvp.doors.cli import exits
from jvp.doors.cli.late import Parser
from jvp.doors.cli.words import sentence
from jvp.resources import registry

if TYPE_CHECKING:
    from jvp.core.happened import Happened

KINDS = ("Instance", "Network", "StoragePool")
"""Those of which libvirt tells."""
FORMATS = ("table", "json")


def add_to(commands: Any) -> None:
    """Add the command."""
    about = "tell what happens to instances, networks and storage pools, until Ctrl-C"
    commands.add_parser("events", help=about, description=sentence(about), fill=_fill)


def _fill(parser: Parser) -> None:
    parser.add_argument("--uri", metavar="URI", help="the libvirt connection; by default $JVP_URI, and else the usual")
    parser.add_argument("--kinds", metavar="KIND,…", help=f"only these kinds of {', '.join(KINDS)}")
    parser.add_argument(
        "--names", metavar="NAME,…", help="only objects of these names; * and ? stand for what is left out"
    )
    parser.add_argument(
        "-o", "--output", choices=FORMATS, default=FORMATS[0], metavar="|".join(FORMATS),
        help="lines for people, or one JSON object in each line",
    )  # fmt: skip
    parser.set_defaults(run=lambda parsed: exits.ending(lambda: run(parsed)))


def run(parsed: argparse.Namespace) -> int:
    """Tell until Ctrl-C, which is how it ends well. Raises Invalid."""
    from jvp.doors.cli.session import settings

    kinds, names = _kinds(parsed.kinds), _words(parsed.names)
    heard: queue.SimpleQueue[Happened | str] = queue.SimpleQueue()
    watch = registry.node_events(settings(parsed), heard.put, heard.put)
    watch.start()
    try:
        while True:
            one = heard.get()
            if isinstance(one, str) or _is_wanted(one, kinds, names):
                _show(one, parsed.output)
    except KeyboardInterrupt:
        return exits.DONE
    finally:
        watch.stop()


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",")]


def _kinds(text: str | None) -> list[str] | None:
    from jvp.core.errors import Invalid

    for word in _words(text) or ():
        if word not in KINDS:
            raise Invalid(f'"{word}" is none of {", ".join(KINDS)}', path=("kinds",))
    return _words(text)


def _is_wanted(one: Happened, kinds: list[str] | None, names: list[str] | None) -> bool:
    return (kinds is None or one.kind in kinds) and (
        names is None or any(fnmatchcase(one.name, name) for name in names)
    )


def _show(one: Happened | str, format: str) -> None:
    """Print an event, or why something may be missing."""
    if format == "json":
        print(json.dumps({"gap": one} if isinstance(one, str) else one.document()), flush=True)
    elif isinstance(one, str):
        exits.complain(one)
    else:
        from jvp.core.types import utc_text

        detail = f" ({one.detail})" if one.detail else ""
        print(f"{utc_text(one.at)}  {one.kind:11}  {one.name}  {one.event}{detail}", flush=True)

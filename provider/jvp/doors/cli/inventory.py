"""`jvp index`: the inventory that a server keeps of its nodes."""

from __future__ import annotations

import argparse
import time

from jvp.core.types import utc_text
from jvp.doors.cli import exits, extra, known, output, session
from jvp.doors.cli.late import Parser
from jvp.resources import registry

_COLUMNS = ("kind", "pool", "name", "state", "ipAddress", "cidr", "tags", "seen")
_WIDE = ("node", "id")


def fill(word: str, parser: Parser) -> None:
    """Add what one of the commands takes."""
    extra.add_index(parser)
    if word == "search":
        parser.add_argument("text", metavar="TEXT", help="what to look for, in any case")
        output.add_to(parser)
    else:
        session.add_to(parser)
    run = search if word == "search" else rebuild
    parser.set_defaults(run=lambda parsed: exits.ending(lambda: run(parsed)))


def search(parsed: argparse.Namespace) -> int:
    """What the inventory has. No node is asked."""
    format = output.chosen(parsed)
    with extra.index(parsed) as index:
        from jvp.index import inventory

        hits = inventory.search(index, parsed.text)
    found = [{**hit.item, "kind": hit.kind, "node": hit.node, "seen": utc_text(hit.seen)} for hit in hits]
    if format in ("json", "yaml"):
        output.structured(found, format)
    elif format == "name":
        for one in found:
            print(f"{one['pool']}/{one['name']}" if "pool" in one else one["name"])
    else:
        there = [name for name in _COLUMNS if name in ("kind", "name", "seen") or any(one.get(name) for one in found)]
        output.table([*there, *(_WIDE if format == "wide" else ())], found)
    return exits.DONE


def rebuild(parsed: argparse.Namespace) -> int:
    """Forget what the inventory has of the node, and read it from libvirt. Nothing else in the index is touched."""
    asked = session.Session(parsed)
    with extra.index(parsed, make=True) as index:
        from jvp.index import inventory

        objects, notes = asked.objects(), []
        with asked.work() as work:
            for token in registry.TYPES:
                began = time.time()
                notes.append(inventory.Note(token, objects.list(token, {"details": True}, work), began))
        inventory.rebuild(index, objects.host(), notes)
    told = ", ".join(f"{len(note.items)} of {known.word_of(note.kind)}s" for note in notes)
    print(f"the inventory of {objects.host()} is read: {told}")
    return exits.DONE

"""`jvp instance screenshot`: what is on an instance's screen, as a PNG file."""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path

from jvp.core.errors import Invalid, Rejected
from jvp.core.types import shortened
from jvp.doors.cli import exits, files, known, output, reading, session
from jvp.doors.cli.late import Parser

_OUTPUT = "-"
MODE = 0o600
"""Of the file: a screen may show what is for nobody else."""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    parser.add_argument("reference", metavar=known.reference_of("Instance"), help="its name or id")
    about = "the file to write, on this machine; - is standard output"
    parser.add_argument("file", nargs="?", metavar="FILE", help=about)
    output.add_to(parser)
    session.add_to(parser)
    parser.set_defaults(run=lambda parsed: exits.ending(lambda: screenshot(parsed)))


def screenshot(parsed: argparse.Namespace) -> int:
    """Write the picture; without a file, tell it in base64 to a program."""
    format = output.chosen(parsed)
    if parsed.file is None and format not in ("json", "yaml"):
        raise Invalid("say in which file; - is standard output, and -o json tells the picture in base64")
    if parsed.file == _OUTPUT and sys.stdout.isatty():
        raise Invalid("a terminal shows no PNG; say in which file")
    found = reading.asked(session.Session(parsed), "getInstanceScreenshot", {"instance": parsed.reference})
    if parsed.file is None:
        output.structured(found, format)
        return exits.DONE
    if "png" not in found:
        raise Rejected(f'instance "{shortened(parsed.reference)}" {found["missing"]}')
    picture = base64.b64decode(found["png"])
    if parsed.file == _OUTPUT:
        sys.stdout.buffer.write(picture)
        return exits.DONE
    files.write_whole(Path(parsed.file), picture, MODE)
    print(f'instance "{parsed.reference}": its screen is in {parsed.file}')
    return exits.DONE

"""Generates docs/cli.md: the prose of docs/examples/cli.md, and the commands and exit codes that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jvp.doors.cli import audit, commands, exits, index, kinds, known

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "cli.md"


def pages() -> dict[Path, str]:
    """The page by its path."""
    return {PAGE: "".join(_page())}


def _page() -> Iterator[str]:
    yield (DOCS / "examples" / "cli.md").read_text(encoding="utf-8")
    yield "\n## Commands\n\n| command | what it does |\n|---|---|\n"
    for word, token in known.kinds().items():
        for command, about, _ in commands.commands_of(token):
            yield f"| `jvp {word} {command}` | {about.replace('%%', '%')} |\n"
    for word, about in kinds.FILES.items():
        yield f"| `jvp {word}` | {about} |\n"
    for word, function in known.other_functions():
        yield f"| `jvp {word}` | {commands.first_line(known.function(function))} |\n"
    for word, (_, below) in index.COMMANDS.items():
        for command, about in below.items():
            yield f"| `jvp {word} {command}` | {about} |\n"
    yield f"| `jvp audit` | {audit.ABOUT}: [The audit](audit.md) |\n"
    yield "\n`jvp pulumi`, `jvp terraform` and `jvp warm` are for the engines: see [Install](install.md).\n"
    yield "\n## Exit codes\n\n| code | what happened |\n|---|---|\n"
    for code, (about, _) in exits.CODES.items():
        yield f"| {code} | {about} |\n"

"""What commands print: tables for people, JSON and YAML for programs, names for shells.

On a terminal rich draws the tables. Elsewhere they are plain columns, for its import takes as long as a short list.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from jvp.core.errors import Invalid
from jvp.core.text import harmless
from jvp.core.types import size_text
from jvp.core.values import UNKNOWN, Bag, Secret
from jvp.doors.cli.known import kebab

FORMATS = ("table", "wide", "json", "yaml", "name")
NONE = "-"
"""In a table, what is not known or not there."""
_STYLES = {"running": "green", "active": "green", "paused": "yellow", "suspended": "yellow", "stopping": "yellow",
           "degraded": "yellow", "crashed": "red", "inaccessible": "red", "stopped": "dim",
           "inactive": "dim"}  # fmt: skip
"""States and their styles on a terminal."""
_BYTES = "Bytes"


def add_to(parser: argparse.ArgumentParser, more: tuple[str, ...] = ()) -> None:
    """The option for the form of what is printed, with `more` forms than every command has."""
    forms = (*FORMATS, *more)
    parser.add_argument(
        "-o", "--output", choices=forms, metavar="|".join(forms), help="the form; by default $JVP_OUTPUT, or table"
    )


def chosen(parsed: argparse.Namespace, more: tuple[str, ...] = ()) -> str:
    """The form that is asked for. Raises Invalid."""
    found = parsed.output or os.environ.get("JVP_OUTPUT") or FORMATS[0]
    if found not in (*FORMATS, *more):
        raise Invalid(f'"{found}" is no form of output; there are {", ".join(FORMATS)}', path=("JVP_OUTPUT",))
    return str(found)


def plain(value: Any) -> Any:
    """A value as JSON and YAML have it: no secret is shown, nor what is not known yet."""
    if value is UNKNOWN:
        return None
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def structured(value: Any, format: str) -> None:
    """Print a value as JSON or YAML."""
    if format == "json":
        print(json.dumps(plain(value), indent=2, ensure_ascii=False))
        return
    print(as_yaml(value), end="")


def as_yaml(value: Any) -> str:
    """A value as YAML."""
    import yaml

    return yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True, width=120)


def table(columns: Sequence[str], rows: Iterable[Bag]) -> None:
    """Print rows under the names of their properties."""
    head = [heading(name) for name in columns]
    body = [[_cell(name, row.get(name)) for name in columns] for row in rows]
    if sys.stdout.isatty():
        from jvp.doors.cli import terminal

        terminal.table(head, [[*map(_styled, columns, cells)] for cells in body])
        return
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    for cells in (head, *body):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def heading(name: str) -> str:
    """A property at the head of a column."""
    return kebab(name.removesuffix(_BYTES)).upper()


def in_words(bag: Bag) -> str:
    """A few values in a sentence: one alone, several with their names."""
    told = [(heading(name).lower(), _cell(name, value)) for name, value in bag.items()]
    return told[0][1] if len(told) == 1 else ", ".join(f"{name} {text}" for name, text in told)


def properties(bag: Bag) -> None:
    """Print one object: a line for each value, and a text of many lines, such as XML, as it is below them."""
    texts = {name: value for name, value in bag.items() if isinstance(value, str) and "\n" in value}
    _pairs(list(_flat({name: value for name, value in bag.items() if name not in texts}, "")))
    for name, text in texts.items():
        print(f"\n{name}:")
        for line in text.splitlines():
            print(harmless(line))


def _pairs(rows: list[tuple[str, str]]) -> None:
    if sys.stdout.isatty():
        from jvp.doors.cli import terminal

        terminal.pairs([(name, _styled(name, text)) for name, text in rows])
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name.ljust(width)}  {text}".rstrip())


def _flat(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from _flat(one, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for index, one in enumerate(value):
            yield from _flat(one, f"{path}[{index}]")
    else:
        yield path, _cell(path.rpartition(".")[2], value)


def _cell(name: str, value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return NONE
    if value is UNKNOWN:
        return "(known later)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith(_BYTES) and isinstance(value, int):
        return short_size(value)
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={one}" if one else str(key) for key, one in value.items())
    return " ".join(str(value).splitlines())


def short_size(size: int) -> str:
    """A size as people read it: three digits and a unit."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            found = size / 1024**power
            return f"{found:.0f}{unit}" if found >= 100 or found == int(found) else f"{found:.1f}{unit}"
    return size_text(size) if size else "0"


def _styled(name: str, text: str) -> tuple[str, str]:
    return text, _STYLES.get(text, "") if name == "state" else ""

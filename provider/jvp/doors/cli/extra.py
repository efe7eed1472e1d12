"""What only the extra `serve` brings: the commands that need it say so where it is not installed."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jvp.core.errors import NotFound, Rejected

INDEX = ("alembic", "psycopg", "sqlalchemy")
"""What the index needs."""


def require(what: str, modules: Sequence[str]) -> None:
    """Raise Rejected where one of the modules is not installed."""
    if not all(map(importlib.util.find_spec, modules)):
        raise Rejected(f'the {what} is not installed; install it with: pip install "pulumi-jvp[serve]"')


def add_index(parser: argparse.ArgumentParser) -> None:
    """The option of every command that opens the index itself."""
    parser.add_argument(
        "--index",
        metavar="URL",
        help="the server's database; by default $JVP_INDEX, else the file of jvp serve",
    )


@contextmanager
def index(parsed: argparse.Namespace, *, make: bool = False) -> Iterator[Any]:
    """The open index, made where `make` says so and it is not there. Raises Rejected where the extra is not installed,
    NotFound, and what opening it raises."""
    require("index", INDEX)
    from jvp.index.store import Index, default_url

    url = parsed.index or default_url()
    file = url.removeprefix("sqlite:///").partition("?")[0]
    if not make and url.startswith("sqlite:///") and not Path(file).exists():
        raise NotFound(f'there is no index at "{file}"; "jvp serve" and "jvp token create" make it')
    found = Index(url)
    try:
        yield found
    finally:
        found.close()

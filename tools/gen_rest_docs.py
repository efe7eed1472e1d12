"""Writes into docs/rest.md what follows from the server's tables: roles by path, and properties for admins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from jvp.core.facts import ForAdmins
from jvp.core.model import Spec, fields
from jvp.doors.rest import roles
from jvp.doors.rest.doorkeeper import JOIN
from jvp.doors.rest.login import ROLES
from jvp.resources import registry

PAGE = Path(__file__).resolve().parents[1] / "docs" / "rest.md"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """The page by its path."""
    parts = {"roles": _roles, "admins": _admins}
    text = PAGE.read_text(encoding="utf-8")
    return {PAGE: _PART.sub(lambda part: f"{part[1]}\n{''.join(parts[part[2]]())}\n{part[3]}", text)}


def _roles() -> Iterator[str]:
    yield f"| method | path | {' | '.join(ROLES)} | a token with a scope |\n|---|---|{'---|' * len(ROLES)}---|\n"
    for row in roles.TABLE:
        may = ["yes" if ROLES.index(role) >= ROLES.index(row.role) else "" for role in ROLES]
        scope = "its own part" if row.narrows else "no"
        if row.kind is not None or "{kind}" in row.path or "{function}" in row.path:
            scope = "of its kind"
        elif row.path == JOIN:
            scope = "one for one use alone"
        path = row.path.replace("{kind}", "KIND").replace("{ref:path}", "REF").replace("{action}", "NAME")
        path = path.replace("{function}", "NAME").replace("{id}", "ID")
        yield f"| `{row.method}` | `{path}` | {' | '.join(may)} | {scope} |\n"


def _admins() -> Iterator[str]:
    yield "| kind | property | |\n|---|---|---|\n"
    for token, kind in registry.TYPES.items():
        for name, fact in _for_admins(kind.spec, ""):
            yield f"| `{token}` | `{name}` | {fact.what} |\n"


def _for_admins(model: type[Spec], prefix: str) -> Iterator[tuple[str, ForAdmins]]:
    for name, facts in fields(model).items():
        fact = facts.fact(ForAdmins)
        if fact is not None and fact.always:
            yield f"{prefix}{name}", fact
        if facts.item is not None:
            yield from _for_admins(facts.item, f"{prefix}{name}{'[]' if facts.holds_many else ''}.")

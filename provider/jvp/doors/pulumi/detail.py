"""A plan as a DiffResponse: what changes, by property path, and how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jvp.core.diff import Change, Kind
from jvp.core.errors import Path
from jvp.core.facts import Effect
from jvp.core.handler import AnyHandler
from jvp.core.model import fields
from jvp.core.stored import Plan, Stored
from jvp.core.values import Bag, is_in
from jvp.doors.pulumi.protocol import (
    ADD,
    ADD_REPLACE,
    DELETE,
    DELETE_REPLACE,
    DIFF_NONE,
    DIFF_SOME,
    UPDATE,
    UPDATE_REPLACE,
    Message,
    message,
)
from jvp.doors.pulumi.urns import covers, property_path

_DiffResponse = message("DiffResponse")
_KINDS = {
    Kind.ADD: (ADD, ADD_REPLACE),
    Kind.UPDATE: (UPDATE, UPDATE_REPLACE),
    Kind.DELETE: (DELETE, DELETE_REPLACE),
}


def response(handler: AnyHandler, plan: Plan, stored: Stored, news: Bag, ignored: Sequence[str]) -> Message:
    """The answer to Diff. `ignored` are the paths of `ignoreChanges`, which a refresh leaves to us."""
    patterns = [property_path(text) for text in ignored]
    changes = [change for change in plan.changes if not any(covers(pattern, change.path) for pattern in patterns)]
    replaces = _tops(change for change in changes if change.effect is Effect.REPLACE)
    answer = _DiffResponse(
        changes=DIFF_SOME if changes else DIFF_NONE,
        replaces=replaces,
        # Also for a replacement that only the program asks for (replaceOnChanges).
        deleteBeforeReplace=handler.deletes_first(replaces),
        diffs=_tops(changes),
        stables=[] if replaces else _stables(handler, changes),
        hasDetailedDiff=True,
    )
    for path, (kind, effect) in _by_path(changes).items():
        entry = answer.detailedDiff[spelled(path)]
        # New values are looked up in the program's inputs, which have no defaults: `preview_update` says those.
        shown = Kind.DELETE if kind is Kind.UPDATE and not is_in(news, path) else kind
        entry.kind = _KINDS[shown][effect is Effect.REPLACE]
        # Old values are looked up in the old state, unless only the inputs have them.
        entry.inputDiff = path[0] not in stored.state
    return answer


def spelled(path: Path) -> str:
    """The path as the engine parses it: a key of a map with a dot in it must be quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif set(part) & set('.[]"'):
            text += '["' + part.replace('"', '\\"') + '"]'
        else:
            text += f".{part}" if text else part
    return text


def _by_path(changes: Iterable[Change]) -> dict[Path, tuple[Kind, Effect]]:
    """One entry per path, and none inside another.

    A list item that went and one that came share an index, as do one that went and one that moved there and
    changed: together they are an update of that index.
    """
    merged: dict[Path, tuple[Kind, Effect]] = {}
    for change in sorted(changes, key=lambda change: len(change.path)):
        holder = next((path for path in merged if change.path[: len(path)] == path), None)
        if holder is None:
            merged[change.path] = (change.kind, change.effect)
        else:
            merged[holder] = (Kind.UPDATE, max(merged[holder][1], change.effect))
    return merged


def _tops(changes: Iterable[Change]) -> list[str]:
    return list(dict.fromkeys(str(change.path[0]) for change in changes))


def _stables(handler: AnyHandler, changes: Sequence[Change]) -> list[str]:
    """What this update leaves as it is, so that what depends on it stays known."""
    changed = set(_tops(changes))
    return [
        name
        for name, field in fields(handler.state).items()
        if (field.output is not None and not changed.intersection(field.output.follows))
        or (field.output is None and field.computed and name not in changed)
    ]

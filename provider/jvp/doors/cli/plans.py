"""What a change would do, and what it did, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jvp.core.errors import NotFound, dotted
from jvp.core.model import fields
from jvp.core.values import UNKNOWN, Bag
from jvp.doors.cli import exits, output

_HIDDEN = "[secret]"


@dataclass(frozen=True)
class Plan:
    """The plan of one object, of a type of resource."""

    kind: Any
    name: str
    planned: Any

    @property
    def verb(self) -> str:
        if self.planned.id is None:
            return "create"
        if self.planned.replaces:
            return "replace"
        return "change" if self.planned.changes or self.planned.unfinished else "nothing"

    def bag(self) -> Bag:
        """For programs."""
        changes = [
            {
                "path": dotted(change.path),
                "change": change.kind.value,
                "effect": change.effect.words,
                **_values(self.kind.spec, change),
                **({"note": change.note} if change.note else {}),
            }
            for change in self.planned.changes
        ]
        found = {"kind": self.kind.token, "name": self.name, "plan": self.verb, "changes": changes}
        found |= {"unfinished": [*self.planned.unfinished]} if self.planned.unfinished else {}
        return found | ({"declaredBy": self.planned.holder} if self.planned.holder else {})


def show(plans: list[Plan], format: str) -> int:
    """Print plans. A replacement is said, and is not done unasked."""
    if format in ("json", "yaml"):
        output.structured([plan.bag() for plan in plans], format)
        return exits.DONE
    for plan in plans:
        for line in _lines(plan):
            print(line)
    return exits.DONE


def _lines(plan: Plan) -> Iterator[str]:
    sign, words = {
        "create": ("+", "is made"),
        "replace": ("!", "would have to be made anew, which is not done unasked"),
        "change": ("~", "is changed"),
        "nothing": ("=", "stays as it is"),
    }[plan.verb]
    yield f'{sign} {plan.kind.kind} "{plan.name}" {words}'
    if plan.planned.holder and plan.verb != "nothing":
        yield f"    is {plan.planned.holder}, and takes --force"
    for reason in plan.planned.unfinished:
        yield f"    {reason}"
    for change in plan.planned.changes:
        values = _values(plan.kind.spec, change)
        told = f": {_shown(values['old'])} -> {_shown(values['new'])}" if values else ""
        yield f"    {dotted(change.path)}{told} ({change.effect.words}){f', {change.note}' if change.note else ''}"


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    if value is UNKNOWN:
        return "(known later)"
    return str(output.plain(value))


def _values(model: Any, change: Any) -> Bag:
    """What a property is and will be, unless it is secret or cannot be read."""
    return {} if _is_hidden(model, change.path) else {"old": change.old, "new": change.new}


def _is_hidden(model: Any, path: tuple[Any, ...]) -> bool:
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        facts = fields(model).get(part)
        if facts is None:
            return False
        if facts.write_only or facts.sensitive:
            return True
        hides, model = facts.hides, facts.item
        if hides and part == path[-1]:
            return True
    return bool(path) and isinstance(path[-1], int) and model is not None and any(
        facts.hides for facts in fields(model).values()
    )  # fmt: skip


def told(model: Any, applied: Any) -> str:
    """What an apply did, as the end of a sentence."""
    if applied.created:
        return "created"
    what = ", ".join(dict.fromkeys(dotted(change.path) for change in applied.changes))
    return f"changed: {what}" if what else "is as declared"


def show_delete(kind: Any, name: str, found: Any) -> None:
    """Print what a delete would take. Raises NotFound."""
    if found is None:
        raise NotFound(f'{kind.kind} "{name}" is gone')
    print(f'- {kind.kind} "{name}" is deleted')
    if found.holder:
        print(f"    is {found.holder}, and takes --force")

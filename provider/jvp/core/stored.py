"""What an engine keeps of an object, and what the calls answer beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jvp.core.check import Checked
from jvp.core.diff import Change
from jvp.core.errors import Rejected
from jvp.core.facts import Effect
from jvp.core.model import Spec
from jvp.core.text import sentence
from jvp.core.values import Bag
from jvp.core.wanted import set_alone


@dataclass(frozen=True)
class Stored:
    """What an engine keeps of one object between runs."""

    id: str
    inputs: Bag
    state: Bag
    private: Bag = field(default_factory=dict)
    """Ours alone: the schema version, the host, what an import found that nobody declared, what is not finished."""

    @property
    def imported(self) -> bool:
        """Whether the object was imported and not updated since."""
        return bool(self.private.get("imported"))

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Why the last create or update left the object short of its declaration; the next update goes on."""
        # An older version may have kept what a guest wrote.
        return tuple(sentence(reason) for reason in self.private.get("unfinished", ()))


@dataclass(frozen=True)
class Result:
    """The outcome of a create or update. With `reasons` the object exists and is not yet as declared."""

    stored: Stored

    @property
    def reasons(self) -> tuple[str, ...]:
        return self.stored.unfinished


@dataclass(frozen=True)
class Plan:
    """What an update would do. Names are unique on a node, so a replacement deletes first."""

    changes: tuple[Change, ...]
    wanted: Checked[Any] = field(repr=False)
    """What it leads to: what the program sets, and what follows from it."""
    prior: Any = field(repr=False)
    """The state that it begins from, as the kind's model."""

    @property
    def replaces(self) -> bool:
        return any(change.effect is Effect.REPLACE for change in self.changes)


def refuse_newer(model: type[Spec], stored: Stored) -> None:
    """Raise Rejected for a state in which a newer version of us may have kept what this one would lose."""
    version, ours = stored.private.get("schema"), model.schema_version
    if isinstance(version, int | float) and version > ours:
        raise Rejected(
            f"the state was written by a newer version of jvp (its form is {version:g}, this one reads {ours}); "
            "install that version"
        )


def upgraded(model: type[Spec], stored: Stored) -> Stored:
    """What an older version kept, as this one has it."""
    ours, version = model.schema_version, stored.private.get("schema")
    if not isinstance(version, int | float) or version >= ours:
        return stored
    inputs = set_alone(model, stored.inputs)
    return replace(stored, inputs=inputs, private={**stored.private, "schema": ours})

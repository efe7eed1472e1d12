"""Names that the program leaves out.

Engines propose a name only where the user configured `pulumi:autonaming` (`resource/autonaming/strategy.go`): by
default nothing is sent, and the core derives the name from the object's uuid.
"""

from __future__ import annotations

from jvp.core.check import Failure
from jvp.core.model import fields
from jvp.core.values import Bag
from jvp.doors.pulumi.protocol import DISABLE, Message

NAME = "name"


def named(model: type, bag: Bag, old: Bag, asked: Message | None) -> tuple[Bag, Failure | None]:
    """The inputs with the name that the old ones had or the user's pattern gives."""
    if NAME not in fields(model) or bag.get(NAME) is not None:
        return bag, None
    if old.get(NAME) is not None:
        return {**bag, NAME: old[NAME]}, None
    if asked is None:
        return bag, None
    if asked.mode == DISABLE:
        return bag, Failure((NAME,), "is required, because autonaming is disabled by pulumi:autonaming")
    return {**bag, NAME: asked.proposed_name}, None

"""How the paths spell what the registry calls by tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jvp.core.action import AnyAction


def kebab(token: str) -> str:
    """`StoragePool` as `storage-pool`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", token).lower()


def plural(token: str) -> str:
    """`StoragePool` as `storage-pools`, the last part of a path."""
    return f"{kebab(token)}s"


def actions() -> Mapping[str, type[AnyAction]]:
    """The actions that a server has, by their tokens: none that writes files of its own machine."""
    from jvp.resources import registry

    return {token: action for token, action in registry.ACTIONS.items() if not action.local}

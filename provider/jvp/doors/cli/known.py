"""What is registered, by the words of the command line. Nothing here imports a model before it is asked for one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jvp.core.errors import Invalid
from jvp.resources import registry


def kebab(name: str) -> str:
    """`rootDisk` and `StoragePool` as options and commands are written: `root-disk`, `storage-pool`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def word_of(token: str) -> str:
    """The command of a type of resource, the last word of its name: `StoragePool` is `pool`."""
    return kebab(token).rpartition("-")[2]


def kinds() -> dict[str, str]:
    """The types of resources by their words, in the order in which they stand on each other."""
    return {word_of(token): token for token in registry.TYPES}


def type_of(token: str) -> Any:
    """The type of resource."""
    return registry.TYPES[token]


def token_of(kind: str) -> str:
    """The token of a kind as people and documents name it: `Instance`, `pool`, `storage pool`. Raises Invalid."""
    wanted = re.sub(r"[\s_-]", "", kind).lower()
    for word, token in kinds().items():
        if wanted in (word, token.lower()):
            return token
    raise Invalid(f'"{kind}" is no kind of resource; there are {", ".join(registry.TYPES)}', path=("kind",))


def declarable(kind: str) -> str:
    """The same, of what stands for an action, too: `RestartInstance`."""
    return kind if kind in registry.RESOURCES else token_of(kind)


def function(token: str) -> Any:
    """The function's class."""
    return registry.FUNCTIONS[token]


def action(token: str) -> Any:
    """The action's class."""
    return registry.ACTIONS[token]


def actions_of(token: str) -> list[str]:
    """The actions on a resource, by their tokens."""
    return [name for name, action in registry.ACTIONS.items() if action.on == token]


def subject_of(args: Any, token: str | None) -> str | None:
    """The argument of a function that names the object which it is about: the one called like the type."""
    from jvp.core.model import fields

    wanted = f"{token[:1].lower()}{token[1:]}" if token else None
    return next((name for name in fields(args) if name == wanted), None)


def reference_of(token: str) -> str:
    """How an object is named, for a usage line: what is in a pool, or of an instance, by both."""
    within = type_of(token).within if token else ""
    return f"{within.upper()}/NAME" if within else "NAME"


def functions_of(token: str) -> Iterator[tuple[str, str]]:
    """Further questions about a resource: the word, and the function's token. `getInstanceXml` is `xml`."""
    about = [one for one in registry.FUNCTIONS if _subject(one) == token]
    for one in about:
        if (word := kebab(one.removeprefix(f"get{token}"))) and one != f"get{token}s":
            yield word, one


def function_for(token: str) -> str | None:
    """The function that tells of one resource what its state does, and more; None where there is none."""
    return f"get{token}" if f"get{token}" in registry.FUNCTIONS else None


def other_functions() -> Iterator[tuple[str, str]]:
    """Questions that are about no type of resource: the word, and the function's token. `getNode` is `node`."""
    for one in registry.FUNCTIONS:
        if _subject(one) is None:
            yield kebab(one.removeprefix("get")), one


def _subject(function: str) -> str | None:
    """The token that the name of a function begins with, the longest."""
    found = [token for token in registry.TYPES if function.removeprefix("get").startswith(token)]
    return max(found, key=len, default=None)

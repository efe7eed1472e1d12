"""Names in Pulumi: URNs of resources, tokens of types, paths of properties.

urn:pulumi:<stack>::<project>::<type>::<name>      <type> is <parent's type>$...$<own type>
jvp:index:Network    jvp:index:getNetwork          <package>:<module>:<name>
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jvp.core.errors import Path

PACKAGE = "jvp"
MODULE = "index"
_STEP = re.compile(r'\.?([^.\[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\[(\*)\]')


def token(name: str) -> str:
    """The token of a resource, a type or a function of ours."""
    return f"{PACKAGE}:{MODULE}:{name}"


def name_of(typed: str) -> str:
    """The last part of a token: `Network` of `jvp:index:Network` and of `jvp:index/network:Network`."""
    return typed.rpartition(":")[2]


@dataclass(frozen=True)
class Urn:
    """A resource's URN, taken apart."""

    stack: str
    """With `urn:pulumi:` before it."""
    project: str
    types: tuple[str, ...]
    """The parents' types and last the own one."""
    name: str

    @classmethod
    def parse(cls, text: str) -> Urn:
        """Raises ValueError. A name may hold anything, `::` too."""
        stack, project, types, name = text.split("::", 3)
        return cls(stack, project, tuple(types.split("$")), name)

    @property
    def type(self) -> str:
        return self.types[-1]

    @property
    def label(self) -> str:
        """Project and stack, as people call them."""
        return f"{self.project}/{self.stack.removeprefix('urn:pulumi:')}"

    @property
    def address(self) -> str:
        """The URN without the resource's own type: what a key is made of."""
        return "::".join((self.stack, self.project, "$".join(self.types[:-1]), self.name))


def property_path(text: str) -> Path:
    """A path as `ignoreChanges` spells it: `nics[0].mac`, `tags["a.b"]`, `nics[*].mac`. A `*` stands for any step."""
    steps: list[str | int] = []
    for name, index, quoted, star in _STEP.findall(text):
        steps.append(int(index) if index else star or name or quoted.replace('\\"', '"'))
    return tuple(steps)


def covers(pattern: Path, path: Path) -> bool:
    """Whether `path` is what `pattern` names, or lies inside it."""
    return len(pattern) <= len(path) and all(want in ("*", have) for want, have in zip(pattern, path, strict=False))

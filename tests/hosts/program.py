"""The Pulumi program of the tests: declares what resources.json beside it says. `${name.id}` is a reference."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pulumi

made: dict[str, pulumi.CustomResource] = {}


def resolved(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item) for item in value]
    found = re.fullmatch(r"\$\{(.+)\.id\}", value) if isinstance(value, str) else None
    return made[found[1]].id if found else value


class Anything(pulumi.CustomResource):
    def __init__(self, kind: str, name: str, properties: dict[str, Any]) -> None:
        super().__init__(f"jvp:index:{kind}", name, resolved(properties))


for name, (kind, properties) in json.loads(Path("resources.json").read_text()).items():
    made[name] = Anything(kind, name, properties)

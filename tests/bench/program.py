"""The Pulumi program of the race: declares what resources.json beside it says. `${name.output}` is a reference."""

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
    found = re.fullmatch(r"\$\{(.+)\.(.+)\}", value) if isinstance(value, str) else None
    return getattr(made[found[1]], found[2]) if found else value


for kind, name, properties in json.loads(Path("resources.json").read_text()):
    made[name] = pulumi.CustomResource(kind, name, resolved(properties))

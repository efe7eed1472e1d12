"""How the paths spell what the registry calls by tokens."""

from __future__ import annotations

import re


def kebab(token: str) -> str:
    """`StoragePool` as `storage-pool`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", token).lower()


def plural(token: str) -> str:
    """`StoragePool` as `storage-pools`, the last part of a path."""
    return f"{kebab(token)}s"

"""Whose objects these are when nobody says: the root module and its workspace.

The host starts a provider in the root module's folder. It tells the workspace by a variable, or by a file in its own
folder. Source: OpenTofu, `internal/command/meta.go` (WorkspaceOverridden) and `internal/backend/local`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from jvp.core.identity import DeclaredBy


def default_owner(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The owner of what is declared in `folder` and its workspace: a digest, for the folder's name is nobody's."""
    text = f"{folder.resolve()}\0{workspace(folder, environment)}"
    return f"tf-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def declarer(label: str, type_name: str, name: str) -> DeclaredBy:
    """Who declares a resource, as far as the host tells: not the address, of which the type and the name are part."""
    return DeclaredBy.of("terraform", label, f"{type_name} {name}")


def workspace(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The workspace that the host works in."""
    if named := environment.get("TF_WORKSPACE"):
        return named
    data = folder / environment.get("TF_DATA_DIR", ".terraform")
    with contextlib.suppress(OSError):
        return (data / "environment").read_text(encoding="utf-8").strip() or "default"
    return "default"

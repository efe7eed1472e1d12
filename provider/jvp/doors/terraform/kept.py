"""What the host keeps for us beside a state: the private bytes."""

from __future__ import annotations

import json
from typing import Any

from jvp.core.calls import AnyHandler, Stored
from jvp.core.check import hide
from jvp.core.errors import Invalid
from jvp.core.values import Bag, reveal
from jvp.doors.terraform.values import Raw, to_bag

VERSION = 1


def packed(stored: Stored) -> bytes:
    """The inputs of the last apply, and what the core keeps. (The state beside it holds the same values as openly.)"""
    return json.dumps({"version": VERSION, "inputs": reveal(stored.inputs), "core": reveal(stored.private)}).encode()


def stored(handler: AnyHandler, raw: Raw, private: bytes) -> Stored:
    """What an earlier call returned. Raises Invalid for what only a newer version can read."""
    inputs, core = _opened(handler, private)
    return Stored(str(raw.get("id") or ""), inputs, to_bag(handler.state, raw), core)


def _opened(handler: AnyHandler, private: bytes) -> tuple[Bag, Bag]:
    if not private:
        return {}, {}
    try:
        found: dict[str, Any] = json.loads(private)
        version, inputs, core = found["version"], found["inputs"], found["core"]
    except (ValueError, KeyError, TypeError):
        raise Invalid(
            "what jvp keeps beside the state is broken; remove the resource from the state and import it again"
        ) from None
    if version > VERSION:
        raise Invalid(
            f"the state was written by a newer version of jvp (its form is {version}, this one reads {VERSION})"
        )
    return hide(inputs, set(), handler.spec), core

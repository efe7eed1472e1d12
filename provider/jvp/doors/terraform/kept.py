"""What the host keeps for us beside a state: the private bytes."""

from __future__ import annotations

import json
from typing import Any

from jvp.core.calls import AnyHandler, Stored
from jvp.core.check import hide
from jvp.core.errors import Invalid
from jvp.core.values import Bag, has_unknown, reveal
from jvp.doors.terraform.values import Raw, to_bag

VERSION = 1
_EMPTY = {"version": VERSION, "inputs": {}, "core": {}}


def packed(stored: Stored) -> bytes:
    """The inputs of the last apply, and what the core keeps. (The state beside it holds the same values as openly.)"""
    return json.dumps({"version": VERSION, "inputs": reveal(stored.inputs), "core": reveal(stored.private)}).encode()


def planned(private: bytes, given: Bag) -> bytes:
    """The private bytes of a planned update, with the configuration that the plan was made of.

    The host asks for a plan of what `ignore_changes` makes of the configuration, and sends the bare configuration with
    the apply (OpenTofu, `internal/tofu/node_resource_abstract_instance.go`): what was planned is what is applied.
    """
    known = {name: reveal(value) for name, value in given.items() if not has_unknown(value)}
    plan = {"given": known, "open": [name for name in given if name not in known]}
    return json.dumps({**(json.loads(private) if private else _EMPTY), "plan": plan}).encode()


def given(handler: AnyHandler, private: bytes, config: Bag) -> Bag:
    """What a planned update applies: what its plan was made of, with what `config` has where that was not known yet."""
    plan = json.loads(private).get("plan") if private else None
    if plan is None:
        return config
    later = {name: config[name] for name in plan["open"] if name in config}
    return hide({**plan["given"], **later}, set(), handler.spec)


def stored(handler: AnyHandler, raw: Raw, private: bytes) -> Stored:
    """What an earlier call returned. Raises Invalid for what only a newer version can read."""
    inputs, core = _opened(handler, private)
    return Stored(str(raw.get("id") or ""), inputs, to_bag(handler.state, raw), core)


def _opened(handler: AnyHandler, private: bytes) -> tuple[Bag, Bag]:
    if not private:
        return {}, {}
    try:
        found: dict[str, Any] = json.loads(private)
        version, inputs, core = int(found["version"]), dict(found["inputs"]), dict(found["core"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Invalid(
            "what jvp keeps beside the state is broken; remove the resource from the state and import it again"
        ) from None
    if version > VERSION:
        raise Invalid(
            f"the state was written by a newer version of jvp (its form is {version}, this one reads {VERSION})"
        )
    return hide(inputs, set(), handler.spec), core

"""What the host keeps for us beside a state: the private bytes."""

from __future__ import annotations

import json
from typing import Any

from jvp.core.check import hide
from jvp.core.errors import Invalid
from jvp.core.handler import AnyHandler
from jvp.core.stored import Stored
from jvp.core.values import Bag, has_unknown, reveal
from jvp.doors.terraform.upgrade import refuse_broken
from jvp.doors.terraform.values import Raw, to_bag, to_raw

VERSION = 1
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, Invalid)
_CORE: dict[str, type] = {"host": str, "unfinished": list, "unmanaged": list}
"""What the core reads of its own."""
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
    """What a planned update applies: what its plan was made of, with what `config` has where that was not known yet.

    Raises Invalid.
    """
    plan = json.loads(private).get("plan") if private else None
    if plan is None:
        return config
    try:
        later = {name: config[name] for name in plan["open"] if name in config}
        return hide({**plan["given"], **later}, set(), handler.spec)
    except _BROKEN:
        raise Invalid("what jvp keeps beside the plan is broken; make the plan again") from None


def stored(handler: AnyHandler, raw: Raw, private: bytes) -> Stored:
    """What an earlier call returned. Raises Invalid for what only a newer version can read."""
    inputs, core = _opened(handler, private)
    return Stored(str(raw.get("id") or ""), inputs, to_bag(handler.state, raw), core)


def _opened(handler: AnyHandler, private: bytes) -> tuple[Bag, Bag]:
    if not private:
        return {}, {}
    try:
        found: dict[str, Any] = json.loads(private)
        version = int(found["version"])
        if version <= VERSION:
            return _intact(handler, found["inputs"], found["core"])
    except _BROKEN:
        raise Invalid(
            "what jvp keeps beside the state is broken; remove the resource from the state and import it again"
        ) from None
    raise Invalid(
        f"the state was written by a newer version of jvp (its form is {version}, this one reads {VERSION}); install "
        "that version"
    )


def _intact(handler: AnyHandler, inputs: Bag, core: Bag) -> tuple[Bag, Bag]:
    """Both, the inputs with Secrets. Raises one of _BROKEN for what nobody has packed."""
    refuse_broken(handler.spec, to_raw(handler.spec, inputs), "inputs")
    for name, kind in _CORE.items():
        if not isinstance(core.get(name, kind()), kind):
            raise TypeError(name)
    return hide(inputs, set(), handler.spec), core

"""What the provider did, for TF_LOG_PROVIDER=debug: the call, the object and how long it took. Never a value."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from jvp.doors.terraform import hclog
from jvp.doors.terraform.protocol import Message

LEVELS = {"DEBUG", "TRACE", "JSON"}
_STATES = ("prior_state", "current_state", "planned_state", "config")


def wanted() -> bool:
    """Whether the host shows such lines. Source: Terraform, `internal/logging/logging.go`."""
    told = os.environ.get("TF_LOG_PROVIDER") or os.environ.get("TF_LOG") or ""
    return told.upper() in LEVELS


def timed(name: str, request: Message, call: Callable[[Message], Any]) -> Any:
    """The answer of `call`, with a line in the host's log that names it."""
    begun = time.monotonic()
    try:
        return call(request)
    finally:
        took_ms = (time.monotonic() - begun) * 1000
        hclog.write("debug", f"{f'{name} {_object(request)}'.rstrip()}: {took_ms:.0f} ms")


def _object(request: Message) -> str:
    """The resource type, and the object's name or id."""
    known = request.DESCRIPTOR.fields_by_name
    kind = str(request.type_name) if "type_name" in known else ""
    if not kind:
        return ""
    from jvp.doors.terraform.values import decode  # late: the models are not there at the first calls

    for field in _STATES:
        raw = None
        with contextlib.suppress(ValueError):  # what cannot be read the call itself complains of
            raw = decode(getattr(request, field)) if field in known else None
        if not isinstance(raw, dict):
            continue
        for key in ("name", "id"):
            if isinstance(raw.get(key), str):
                return f'{kind} "{raw[key]}"'
    return kind

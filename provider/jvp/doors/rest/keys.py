"""Idempotency-Key: a request that comes again with the same one is answered as the first.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from jvp.core.errors import Invalid

if TYPE_CHECKING:
    from jvp.doors.rest.changes import Call

HEADER = "idempotency-key"
LENGTH_MAX = 255
KEPT_S = 86_400.0
"""So long a key stands for its request."""


@dataclass(frozen=True)
class Key:
    """The key of one caller's request. Neither it nor the request can be read from this."""

    id: str
    """A digest of the caller and the key."""
    request: str
    """A digest of the request that nobody can make who does not know the key: its body may hold a password."""

    @classmethod
    def of(cls, request: Request, caller: str, call: Call) -> Key | None:
        """That of a request for a change, as it came; None where it has none. Raises Invalid."""
        given = request.headers.getlist(HEADER)
        if not given:
            return None
        if len(given) > 1 or not given[0] or len(given[0]) > LENGTH_MAX:
            raise Invalid(f"must be one text of 1 to {LENGTH_MAX} letters", path=("Idempotency-Key",))
        whole = json.dumps([request.method, request.url.path, asdict(call)], sort_keys=True)
        secret = f"{caller}\0{given[0]}".encode()
        return cls(hashlib.sha256(secret).hexdigest(), hmac.new(secret, whole.encode(), "sha256").hexdigest())

"""Who asks, and what that allows. `doorkeeper` finds it out, `roles` holds each path to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fastapi import Request

from jvp.doors.rest.scope import Scope

ROLES = ("viewer", "operator", "admin")
"""Each may do what the one before it may, and more."""
_TOKEN = re.compile(r"(jvp_[0-9a-f]{12}_)[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Login:
    """Who asks, and what that allows."""

    subject: str
    role: str
    scope: Scope = field(default_factory=Scope)
    token_id: str | None = None
    """None over the unix socket."""
    origin: str = "local"
    """The address that it comes from."""

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    def may(self, role: str) -> bool:
        """Whether it has at least this role."""
        return self.role in ROLES and ROLES.index(self.role) >= ROLES.index(role)


def login_of(request: Request) -> Login:
    """Who asks."""
    found: Login = request.state.caller
    return found


def masked(text: str) -> str:
    """A text without tokens: somebody may have put one into a path, or taken it for an id."""
    return _TOKEN.sub(r"\1***", text)

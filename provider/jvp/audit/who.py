"""Who runs this process, as the audit names them."""

from __future__ import annotations

import os
import pwd
from functools import cache


def who() -> str:
    """The user with the number: `uid 1000 (anna)`. Behind sudo also who went through it."""
    uid, sudo = os.getuid(), os.environ.get("SUDO_USER")
    return f"uid {uid} ({_name(uid)})" + (f" by sudo of {sudo}" if sudo and uid == 0 else "")


@cache
def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "no name"

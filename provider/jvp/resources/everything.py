"""Importing this imports all that is registered, and makes its models ready: for a process that others are forked from.

Those then find everything there, and share its memory.
"""

from __future__ import annotations

from jvp.core import calls as calls
from jvp.core.model import build
from jvp.resources import registry

registry.import_all()
build()

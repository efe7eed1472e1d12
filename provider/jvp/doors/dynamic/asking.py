"""What a program of the dynamic form asks the node: arguments in, one call of the core, an answer out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from jvp.core.errors import Invalid, JvpError
from jvp.core.model import fields
from jvp.core.types import duration_s
from jvp.core.values import reveal, secret_paths
from jvp.core.work import Work
from jvp.doors.dynamic.values import decode
from jvp.doors.dynamic.verbs import calls_of, provider_of, settings_of
from jvp.resources import registry


def ask(token: str, args: Mapping[str, Any], config: Callable[[str], Any]) -> tuple[dict[str, Any], bool]:
    """What a function answers, and whether a secret is in it. Raises JvpError, with a short traceback."""
    try:
        provider = provider_of(settings_of(config))
        names = {facts.attribute: name for name, facts in fields(registry.FUNCTIONS[token].args).items()}
        given = {names[name]: value.value if isinstance(value, Enum) else value for name, value in args.items()}
        work = Work(time.monotonic() + float(duration_s(provider.timeouts.update)))
        found, failures = calls_of(provider).invoke(token, decode(given), work)
        if failures:
            raise Invalid(failures[0].message, path=failures[0].path)
        return dict(reveal(found or {})), bool(secret_paths(found or {}))
    except JvpError as error:
        raised = type(error)(error.message, path=error.path)
    raise raised

"""What a read says of an object whose pool is stopped."""

from __future__ import annotations

from typing import TypeVar

from jvp.core.errors import Stopped, Undefined
from jvp.core.work import Work

T = TypeVar("T")


def unread(work: Work, stopped: Stopped, what: str, prior: T | None) -> T:
    """What was known of an object whose pool is stopped, said with a warning; the error where nothing was.

    An engine reads everything before it changes anything: as an error it would keep the pool from being started. Of a
    pool that is undefined only to an engine that replans: to another one the unknown id of the pool that is made again
    is a replacement of all that is in it.
    """
    if prior is None or (isinstance(stopped, Undefined) and not work.replans):
        raise stopped
    work.warn(f"{what} is taken to be as it was: {stopped.message.partition(';')[0]}")
    return prior

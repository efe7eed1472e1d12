"""Attributes that the provider alone tells: a host takes them in a configuration, and would hold us to their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jvp.core.check import Failure
from jvp.core.errors import Path
from jvp.doors.terraform.protocol import LIST, Message
from jvp.doors.terraform.values import Raw


def failures(attributes: Iterable[Message], raw: Raw, path: Path = ()) -> Iterator[Failure]:
    """Where a configuration sets what it can only read. `attributes` are the schema's."""
    for one in attributes:
        value, here = raw.get(one.name), (*path, one.name)
        if value is None:
            continue
        if not one.optional and not one.required:
            yield Failure(here, "is told by the provider and cannot be set; leave it out")
        elif one.nested_type.nesting == LIST and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from failures(one.nested_type.attributes, item, (*here, index))
        elif isinstance(value, dict):
            yield from failures(one.nested_type.attributes, value, here)

"""The provider's own settings, as engines send them.

SDKs send every setting that is not a string as JSON text, and `pulumi config set` knows text only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from jvp.core.check import Checked, check
from jvp.core.model import FieldFacts, fields
from jvp.core.values import Bag, Secret, Value
from jvp.doors.pulumi.wire import meaning, public
from jvp.resources.provider import Provider

ENGINES = ("version", "pluginDownloadURL")
"""Settings of every provider that engines keep for themselves."""


def settings(bag: Bag) -> Bag:
    """Only what is ours, with JSON text opened."""
    known = fields(Provider)
    return {
        name: _opened(value, known.get(name))
        for name, value in public(bag).items()
        if name in known or name not in ENGINES
    }


def from_variables(variables: Mapping[str, str]) -> Bag:
    """The older form: `jvp:config:uri` -> text."""
    return {name.rpartition(":")[2]: value for name, value in variables.items()}


def checked(bag: Bag) -> Checked[Provider]:
    """The settings validated."""
    return check(Provider, settings(bag))


def changed(old: Bag, new: Bag) -> list[str]:
    """The settings that differ."""
    before, after = settings(old), settings(new)
    return [name for name in (*before, *(set(after) - set(before))) if before.get(name) != after.get(name)]


def _opened(value: Value, field: FieldFacts | None) -> Value:
    if isinstance(value, Secret):
        return Secret(_opened(value.reveal(), field))
    if field is None or field.annotation is str or not isinstance(value, str):
        return value
    try:
        return meaning(json.loads(value))
    except ValueError:
        return value  # plain text for a choice of words, or a mistake: the check says which

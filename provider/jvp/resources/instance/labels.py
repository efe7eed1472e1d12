"""What people write on an instance: its description, which is libvirt's own, and its tags, which our mark keeps.

The guest has nothing of them. They are changed while it runs, in both definitions.
"""

from __future__ import annotations

from typing import Any

from jvp.core import tags
from jvp.core.diff import Change, Kind
from jvp.core.text import harmless_value
from jvp.core.types import TEXT_MAX
from jvp.core.work import Work
from jvp.libvirt.domain import devices, metadata
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.xml import Element, put, value
from jvp.resources.instance.model import Instance, InstanceState

DESCRIPTION, TAGS = "description", "tags"
"""The properties; the second is a fact of the mark, too."""


def description_of(root: Element) -> str | None:
    """What a definition says of itself; None also for what no program could declare: a blank, or a whole book."""
    text = value(root, DESCRIPTION) or ""
    return text if text.strip() and len(harmless_value(text)) <= TEXT_MAX else None


def tags_of(root: Element) -> dict[str, str]:
    """The tags of a domain that a program has; a copy of it has none."""
    return tags.read(marks.facts_of(root).get(TAGS, "")) if marks.bearer(root) is not None else {}


def told(root: Element) -> dict[str, Any]:
    """What can differ between the running and the inactive definition, by property."""
    return {DESCRIPTION: description_of(root), **_noted(tags_of(root))}


def wanted(spec: Instance) -> dict[str, Any]:
    """What a definition will tell once it bears the mark of this declaration, and does not before."""
    return _noted(spec.tags)


def _noted(given: dict[str, str]) -> dict[str, Any]:
    return {TAGS: tuple(sorted(given.items()))}


def state_of(seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    """The properties, of what was seen of both definitions."""
    return {DESCRIPTION: seen[DESCRIPTION], TAGS: dict(seen[TAGS])}


def write(root: Element, spec: Instance) -> None:
    """Write the description that is declared. A stranger's text stays as it is where a state has it without what acts
    on a display."""
    if spec.description not in (None, harmless_value(description_of(root))):
        put(root, DESCRIPTION, spec.description)


def take_out(root: Element, change: Change) -> None:
    """Take the description out that the program says no longer."""
    if change.path == (DESCRIPTION,) and change.kind is Kind.DELETE:
        put(root, DESCRIPTION, None)


def fact(spec: Instance) -> dict[str, str]:
    """What the mark is to tell."""
    return {TAGS: tags.text_of(spec.tags)}


def note(root: Element, spec: Instance) -> None:
    """Note the tags in a definition. Before: it bears a mark."""
    marks.set_fact(root, TAGS, tags.text_of(spec.tags))


def carry(_work: Work, domain: handles.Domain, _running: Element, inactive: Element, path: str) -> str | None:
    """Have the running definition say what the inactive one does; why libvirt refused it, None when it was done."""
    if path == DESCRIPTION:
        return devices.refused(metadata.describe, domain, description_of(inactive))
    return devices.refused(metadata.bear, domain, marks.find(inactive))

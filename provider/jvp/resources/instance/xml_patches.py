"""What a program wrote into the machine's XML itself: noted beside our mark, and read back path by path.

The note keeps for each path the value, and what was there before, to which it goes back once nobody says it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from lxml import etree

from jvp.core.errors import Rejected
from jvp.libvirt.link import told as words
from jvp.libvirt.link.xml import Element, ensure, text_of
from jvp.resources.instance import xml_paths

NAMESPACE = "urn:jvp:xml:1"
_NOTE = f"{{{NAMESPACE}}}paths"
PREFIX = "xml."
_GONE = ""
"""The value of what is to be taken out, and of what is not there."""


@dataclass(frozen=True)
class Noted:
    """What is noted of a path: its value, and what was there before; None where nothing was."""

    value: str
    was: str | None


def noted(root: Element) -> dict[str, Noted]:
    """What was written, by path. Anybody may have edited the note: what cannot be declared is left out."""
    note = root.find(f"metadata/{_NOTE}")
    found = words.json_of(note.text or "") if note is not None else None
    items = found.items() if isinstance(found, dict) else ()
    return {path: one for path, item in items if (one := _noted(path, item)) is not None}


def _noted(path: str, item: Any) -> Noted | None:
    match item:
        case [str() as value, str() | None as was] if xml_paths.fault(path) is None:
            return Noted(value, was) if _is_sound(value) and _is_sound(was or "") else None
    return None


def _is_sound(value: str) -> bool:
    """Whether a value that looks like an element is one."""
    with contextlib.suppress(ValueError):
        return not value.lstrip().startswith("<") or xml_paths.fragment(value) is not None
    return False


def note(root: Element, items: dict[str, Noted]) -> None:
    """Note what was written."""
    metadata = ensure(root, "metadata")
    for old in metadata.findall(_NOTE):
        metadata.remove(old)
    if items:
        element = etree.SubElement(metadata, _NOTE, nsmap={"jvpxml": NAMESPACE})
        element.text = json.dumps({path: [one.value, one.was] for path, one in sorted(items.items())})


def told(root: Element) -> dict[str, Any]:
    """What can differ between the running and the inactive definition, by property: of each path, the value."""
    return {f"{PREFIX}{path}": shown(root, path, one.value) for path, one in noted(root).items()}


def state_of(seen: dict[str, Any]) -> dict[str, str]:
    """The property, of what was seen of both definitions."""
    return {path.removeprefix(PREFIX): one for path, one in seen.items() if path.startswith(PREFIX)}


def shown(root: Element, path: str, value: str) -> str:
    """What a path says: the value itself where the definition says all of it, else what is there."""
    steps, attribute = xml_paths.split(path)
    try:
        there = xml_paths.one(root, steps)
    except Rejected:
        return f"({len(xml_paths.find(root, steps))} elements)"
    if attribute is not None:
        return (there.get(attribute) if there is not None else None) or _GONE
    if there is None:
        return _GONE
    if value.lstrip().startswith("<"):
        return value if xml_paths.holds(there, xml_paths.fragment(value)) else plain(there)
    return value if value and (there.text or "").strip() == value.strip() else plain(there)


def plain(element: Element) -> str:
    """An element as people write it."""
    return text_of(element).strip().replace(f' xmlns:{xml_paths.QEMU}="{xml_paths.NAMESPACES[xml_paths.QEMU]}"', "")

"""Paths into the XML of a domain, as people write them for what no property says: `features/kvm/hidden/@state`.

A path goes from the domain's element to an element, or to an attribute at its end. A step may have conditions,
`interface[mac/@address='52:54:00:00:00:01']`, that tell an element from others of its name.
"""

from __future__ import annotations

import re

from lxml import etree

from jvp.core.errors import Rejected
from jvp.core.text import shortened
from jvp.libvirt.link.xml import Element

QEMU = "qemu"
NAMESPACES = {QEMU: "http://libvirt.org/schemas/domain/qemu/1.0"}
PATH_MAX = 512
_NAME = r"(?:qemu:)?[A-Za-z_][\w-]*"
_CONDITION = rf"\[(?:(?:{_NAME}/)*@[A-Za-z_][\w-]*='[^'\n]*'|[1-9]\d{{0,3}})\]"
_STEP = re.compile(rf"({_NAME})((?:{_CONDITION})*)(?:/|\Z)", re.ASCII)
_ATTRIBUTE = re.compile(r"@([A-Za-z_][\w-]*)\Z", re.ASCII)
_MADE = re.compile(r"\[@([A-Za-z_][\w-]*)='([^']*)'\]")
_KEPT = {
    "metadata": "keeps what others note of the machine",
    "uuid": "is what the instance is known by",
    "name": "is what `name` declares",
    "description": "is what `description` declares",
}
"""What of a domain no path leads to, and why."""


def fault(path: str) -> str | None:
    """What is wrong with a path, in a sentence; None where nothing is."""
    if len(path) > PATH_MAX:
        return f"is {len(path)} characters long; at most {PATH_MAX} are allowed"
    steps, attribute = split(path)
    if not steps and attribute is None:
        return (
            f'"{shortened(path)}" is not a path; it looks like "features/kvm/hidden/@state" or '
            "\"devices/interface[mac/@address='52:54:00:00:00:01']/driver/@queues\""
        )
    first = steps[0][0] if steps else ""
    return f'"{first}" {_KEPT[first]}' if first in _KEPT else None


def split(path: str) -> tuple[list[tuple[str, str]], str | None]:
    """The steps, each a name with its conditions, and the attribute at the end. Both empty for what is no path."""
    steps: list[tuple[str, str]] = []
    place = 0
    while place < len(path):
        if (found := _STEP.match(path, place)) is not None:
            steps.append((found[1], found[2]))
            place = found.end()
        elif (last := _ATTRIBUTE.match(path, place)) is not None:
            return steps, last[1]
        else:
            return [], None
    return ([], None) if path.endswith("/") else (steps, None)


def is_of_qemu(path: str) -> bool:
    """Whether a path leads to what is QEMU's own."""
    return any(name.startswith(f"{QEMU}:") for name, _ in split(path)[0])


def find(root: Element, steps: list[tuple[str, str]]) -> list[Element]:
    """The elements that the steps lead to."""
    found = root.xpath("/".join((".", *(name + conditions for name, conditions in steps))), namespaces=NAMESPACES)
    return [one for one in found if isinstance(one, etree._Element)] if isinstance(found, list) else []


def one(root: Element, steps: list[tuple[str, str]]) -> Element | None:
    """The element that the steps lead to; None where there is none. Raises Rejected where there are several."""
    found = find(root, steps)
    if len(found) > 1:
        raise Rejected(f"leads to {len(found)} elements; say which by a condition, like [@type='pci'] or [1]")
    return found[0] if found else None


def holder(root: Element, steps: list[tuple[str, str]]) -> Element:
    """The element that the steps lead to, made where it is missing. Raises Rejected where nothing says how."""
    here = root
    for index, (name, conditions) in enumerate(steps):
        there = one(root, steps[: index + 1])
        if there is None:
            if _MADE.sub("", conditions):
                raise Rejected(f"leads to nothing: there is no {name}{conditions}")
            there = etree.SubElement(
                here, tag(name), dict(_MADE.findall(conditions)), nsmap=NAMESPACES if ":" in name else None
            )
        here = there
    return here


def tag(name: str) -> str:
    """The name of an element as lxml has it."""
    prefix, _, local = name.rpartition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}" if prefix else local


def fragment(text: str) -> Element:
    """The element that a text is. Raises ValueError for what is no single element."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True, remove_comments=True)
    if "<!" in text.replace("<!--", ""):
        raise ValueError("has a document type or a CDATA section; only elements are allowed")
    try:
        whole = etree.fromstring(f'<x xmlns:{QEMU}="{NAMESPACES[QEMU]}">{text}</x>', parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ValueError(f"is no XML: {str(error).partition(', line')[0]}") from None
    if len(whole) != 1 or (whole.text or "").strip() or (whole[0].tail or "").strip():
        raise ValueError("has to be one element")
    return whole[0]


def holds(there: Element, wanted: Element) -> bool:
    """Whether an element says all that another one says. What libvirt adds to it, like addresses, is no difference."""
    if there.tag != wanted.tag or (there.text or "").strip() != (wanted.text or "").strip():
        return False
    if any(there.get(name) != text for name, text in wanted.items()):
        return False
    left = list(there)
    for child in wanted:
        match = next((one for one in left if holds(one, child)), None)
        if match is None:
            return False
        left.remove(match)
    return True

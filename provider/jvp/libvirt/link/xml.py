"""XML of libvirt's objects: parsed safely, read and patched by the `At` facts of a model, never rewritten.

A path is `forward/@mode`, `mtu/@size` or `name`: elements from the root, an attribute or the text at the end.
An element may carry one predicate, `ip[@family=ipv6]/@address`, which also says how to make it.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from lxml import etree

from jvp.core.facts import At
from jvp.core.model import FieldFacts, Spec, fields
from jvp.libvirt.link import handles, told

Element = etree._Element
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True, huge_tree=True)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_STEP = re.compile(r"(?P<tag>[\w:-]+)(?:\[@(?P<key>[\w-]+)=(?P<value>[^\]]*)\])?")


def parse(text: str) -> Element:
    """The root element of XML that libvirt gave."""
    try:
        return etree.fromstring(text.encode(), _PARSER)
    except etree.XMLSyntaxError:
        # libvirt writes the names of files as they are, and XML takes no U+FFFE.
        return etree.fromstring(_NOT_XML.sub("\ufffd", text).encode(), _PARSER)


def volume_xml(volume: handles.StorageVol) -> Element:
    """A volume as libvirt tells it, whatever bytes are in its name or path. Raises libvirtError."""
    return parse(told.readable(lambda: str(volume.XMLDesc(0))))


def text_of(root: Element) -> str:
    """The XML as libvirt takes it."""
    return etree.tostring(root, encoding="unicode")


def value(root: Element, path: str) -> str | None:
    """The text or attribute at `path`, None when it is not there. An element without text gives ""."""
    elements, attribute = _split(path)
    element = _walk(root, elements)
    if element is None:
        return None
    return element.get(attribute) if attribute else (element.text or "")


def number(root: Element, path: str) -> int | None:
    """The number at `path`; None when it is not there, or none."""
    return told.number(value(root, path))


def put(root: Element, path: str, text: str | None) -> None:
    """Set the text or attribute at `path`, making elements; None removes it and what it leaves empty."""
    elements, attribute = _split(path)
    if text is None:
        _drop(root, elements, attribute)
        return
    element = _walk(root, elements, make=True)
    assert element is not None
    if attribute:
        element.set(attribute, text)
    else:
        element.text = text


def ensure(root: Element, path: str) -> Element:
    """The element at `path`, made when missing."""
    element = _walk(root, _split(path)[0], make=True)
    assert element is not None
    return element


def sub(parent: Element, tag: str, text: str | None = None, /, **attributes: str | None) -> Element:
    """A new child element; attributes that are None are left out."""
    child = etree.SubElement(parent, tag, {key: item for key, item in attributes.items() if item is not None})
    if text is not None:
        child.text = text
    return child


def drop(parent: Element, path: str) -> None:
    """Remove the element at `path`, when it is there."""
    element = parent.find(path)
    if element is not None:
        holder = element.getparent()
        assert holder is not None
        holder.remove(element)


def read_facts(model: type[Spec], root: Element) -> dict[str, Any]:
    """The values of every property of `model` that has an `At`, by attribute name; None where the XML has none."""
    return {
        field.attribute: from_text(field, value(root, at.path))
        for field in fields(model).values()
        if (at := field.fact(At)) is not None
    }


def write_facts(model: type[Spec], root: Element, spec: Spec, *, only: set[str] | None = None) -> None:
    """Patch `root` with every `At` property of `spec` (or those in `only`, by the users' spelling).

    A property that is computed and unset is left as it is; another unset one is removed.
    """
    for field in fields(model).values():
        at = field.fact(At)
        if at is None or (only is not None and field.name not in only):
            continue
        item = getattr(spec, field.attribute)
        if item is None and field.computed:
            continue
        put(root, at.path, to_text(item))


def to_text(item: Any) -> str | None:
    """A value as libvirt's XML spells it."""
    if item is None:
        return None
    if isinstance(item, bool):
        return "yes" if item else "no"
    return str(item)


def from_text(field: FieldFacts, text: str | None) -> Any:
    """A value from libvirt's XML, of the property's own type."""
    if text is None or text == "":
        return None
    if field.annotation is bool:
        return text in ("yes", "on", "1")
    if field.annotation is int:
        return told.number(text)
    return text


def same_xml(one: Element, other: Element) -> bool:
    """Whether two documents say the same, whatever the white space and the order of attributes."""
    return etree.tostring(one, method="c14n") == etree.tostring(other, method="c14n")


_Step = tuple[str, str | None, str | None]
"""A tag, and the attribute and value that tell the element from others of it."""


@functools.cache
def _split(path: str) -> tuple[tuple[_Step, ...], str | None]:
    """The steps of a path and the attribute at its end. There are no more paths than the code names."""
    *steps, last = path.split("/")
    if last.startswith("@"):
        return _steps(steps), last[1:]
    return _steps([*steps, last]), None


def _steps(texts: list[str]) -> tuple[_Step, ...]:
    found = []
    for text in texts:
        match = _STEP.fullmatch(text)
        assert match is not None, f"not a step of a path: {text}"
        found.append((match["tag"], match["key"], match["value"]))
    return tuple(found)


def _walk(root: Element, steps: tuple[_Step, ...], *, make: bool = False) -> Element | None:
    element = root
    for tag, key, wanted in steps:
        for child in element.iterchildren(tag):
            if key is None or child.get(key) == wanted:
                element = child
                break
        else:
            if not make:
                return None
            element = sub(element, tag, **({key: wanted} if key else {}))
    return element


def _drop(root: Element, steps: tuple[_Step, ...], attribute: str | None) -> None:
    element = _walk(root, steps)
    if element is None:
        return
    if attribute:
        element.attrib.pop(attribute, "")
    else:
        element.text = None
    while element is not root and not len(element) and not element.attrib and not element.text:
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
        element = parent

"""Our mark in the metadata of domains and networks: whose it is, and what we deferred."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from lxml import etree

from jvp.core.declaration import nameless
from jvp.core.identity import DeclaredBy, Mark
from jvp.core.listing import declarer
from jvp.core.work import Work
from jvp.libvirt.link import told
from jvp.libvirt.link.xml import Element, ensure

NAMESPACE = "urn:jvp:mark:1"
PREFIX = "jvp"
_TAG = f"{{{NAMESPACE}}}mark"
_DECLARED = f"{{{NAMESPACE}}}declared"
MOST = 16 * 1024
"""No mark is longer."""
_OWN = {"key", "generation", "acknowledged", "owner", "door", "label", "address"}
"""The attributes that are no facts. To older versions the last three are facts, which they keep."""


def element_of(mark: Mark, facts: dict[str, str] | None = None, pending: dict[str, str] | None = None) -> Element:
    """The mark as XML. `facts` are further attributes, `pending` maps a deferred path to the reason."""
    attributes = {
        "key": mark.key,
        "generation": str(mark.generation),
        "acknowledged": "yes" if mark.acknowledged else "no",
        **({"owner": mark.owner} if mark.owner else {}),
        **(mark.declared_by.note() if mark.declared_by else {}),
        **{name: text for name, text in (facts or {}).items() if text},
    }
    element = etree.Element(_TAG, attributes, nsmap={PREFIX: NAMESPACE})
    for path, why in (pending or {}).items():
        child = etree.SubElement(element, f"{{{NAMESPACE}}}pending", {"path": path})
        child.text = why
    if mark.declared:
        etree.SubElement(element, _DECLARED).text = mark.declared
    return element


def _fit(element: Element) -> None:
    """Leave out the declared names where the mark would be too long, and then the declaration."""
    for shorter in (nameless, lambda _: ""):
        child = element.find(_DECLARED)
        if child is None or len(etree.tostring(element)) <= MOST:
            return
        child.text = shorter(child.text or "")
        if not child.text:
            element.remove(child)


def find(root: Element) -> Element | None:
    """Our mark's element in an object's XML."""
    return root.find(f"metadata/{_TAG}")


def mark_of(root: Element) -> Mark | None:
    """Our mark in an object's XML (the root of the object), None when the object is foreign."""
    element = find(root)
    # An object that was imported carries our notes under an empty key: it is not one that we made.
    return None if element is None or not element.get("key") else parsed(element)


def parsed(element: Element) -> Mark:
    """The mark from its element."""
    return Mark(
        key=element.get("key", ""),
        generation=told.number(element.get("generation")) or 0,
        acknowledged=element.get("acknowledged") == "yes",
        owner=element.get("owner", ""),
        declared_by=DeclaredBy.read(element.attrib),
        declared=_declared_in(element),
    )


def _declared_in(element: Element) -> str:
    """What is declared of the object itself, as its mark notes it: a copy of the object is not declared by that."""
    child, metadata = element.find(_DECLARED), element.getparent()
    if child is None:
        return ""
    root = metadata.getparent() if metadata is not None else None
    of = child.get("of")
    return told.note(child.text) if root is None or of is None or of == root.findtext("uuid") else ""


def bearer(root: Element) -> Mark | None:
    """The mark of the object itself, None when no program has it: not one that came with a copy of another object."""
    element, uuid = find(root), root.findtext("uuid") or ""
    if element is None or not is_held(root):
        return None
    mark, child = parsed(element), element.find(_DECLARED)
    copied = child is not None and child.get("of") not in (None, uuid)
    return mark if mark.may_be_of(uuid) and not copied else None


def facts_of(root: Element) -> dict[str, str]:
    """The further attributes of our mark."""
    element = find(root)
    return {} if element is None else {str(k): str(v) for k, v in element.attrib.items() if k not in _OWN}


DECLARED_BY = "declaredBy"
"""A fact of the mark of one that was imported and changed by a program which did not tell its name."""


def is_held(root: Element) -> bool:
    """Whether a program has the object: we made it for one, or one that imported it has changed it since."""
    element = find(root)
    mark = parsed(element) if element is not None else Mark("", 0)
    return bool(mark.key or mark.declared_by or DECLARED_BY in facts_of(root))


def stack_of(root: Element) -> str:
    """Which program declares an object, to be compared, as far as its mark tells; empty when it does not."""
    mark = bearer(root)
    return mark.stack if mark is not None else ""


def declarer_of(root: Element) -> str | None:
    """Who has an object, for lists; None where no program of ours has it."""
    mark = bearer(root)
    return declarer(mark.declared_by) if mark is not None else None


def pending_of(root: Element) -> dict[str, str]:
    """What we deferred to the next boot: path and reason."""
    return _pending_in(find(root))


def _pending_in(element: Element | None) -> dict[str, str]:
    if element is None:
        return {}
    return {child.get("path", ""): child.text or "" for child in element.iterfind(f"{{{NAMESPACE}}}pending")}


def put(root: Element, mark: Element) -> None:
    """Write our mark into an object's XML, in place of the one that is there."""
    metadata = ensure(root, "metadata")
    old = metadata.find(_TAG)
    if old is not None:
        metadata.remove(old)
    metadata.append(mark)
    child, uuid = mark.find(_DECLARED), root.findtext("uuid")
    if child is not None and uuid:
        child.set("of", uuid)
    _fit(mark)


def acknowledge(root: Element) -> None:
    """Note in `root` that an engine's state has the object; nothing when it is foreign."""
    if mark_of(root) is not None:
        set_fact(root, "acknowledged", "yes")


def update(root: Element, work: Work, written: Mapping[str, object]) -> None:
    """Note in `root` what an update writes, who declares it and what. An imported one gets a mark that owns nothing.

    One whose mark is gone gets it back.
    """
    element, key = find(root), work.key
    if element is None and work.mark is None and (key is None or key.declared_by is None):
        return  # there is nothing to note
    mark = parsed(element) if element is not None else work.mark or Mark("", 0)
    facts, pending = facts_of(root), _pending_in(element)
    put(root, element_of(mark.updated(key, work.declaration), {**facts, WROTE: wrote(written)}, pending))


def is_empty(root: Element) -> bool:
    """Whether the mark in `root` says nothing at all."""
    element = find(root)
    return element is not None and parsed(element) == Mark("", 0) and not facts_of(root) and not len(element)


def drop(root: Element) -> None:
    """Take our mark out of an object's XML."""
    element = find(root)
    metadata = root.find("metadata")
    if element is None or metadata is None:
        return
    metadata.remove(element)
    if not len(metadata):
        root.remove(metadata)


WROTE = "wrote"
"""A fact of the mark: a digest of each value that we last wrote into the definition, by path."""


def wrote(values: Mapping[str, object]) -> str:
    """The fact `WROTE` for these values."""
    return json.dumps({path: _digest(value) for path, value in sorted(values.items())}, separators=(",", ":"))


def edited(root: Element, values: Mapping[str, object]) -> set[str]:
    """The paths in which a definition is not what we last wrote: somebody else edited it.

    `values` is what the definition says now, by path. Empty where we keep no record (a foreign object).
    """
    kept = told.json_of(facts_of(root).get(WROTE) or "null")
    if not isinstance(kept, dict):
        return set()
    now = {path: _digest(value) for path, value in values.items()}
    return {path for path in kept.keys() | now.keys() if kept.get(path) != now.get(path)}


def set_fact(root: Element, name: str, text: str) -> None:
    """Change one fact of the mark in `root`, or with an empty text remove it; nothing when the object is foreign."""
    element = find(root)
    if element is not None and text:
        element.set(name, text)
        _fit(element)
    elif element is not None:
        element.attrib.pop(name, "")


def note_fact(root: Element, name: str, text: str) -> None:
    """Change one fact in `root`; a foreign object gets a mark for it that owns nothing, as an import does."""
    if find(root) is None:
        put(root, element_of(Mark("", 0)))
    set_fact(root, name, text)


def hold(root: Element) -> None:
    """Note in `root`, which is then defined, that a program has an object that we did not make."""
    if not is_held(root):
        note_fact(root, DECLARED_BY, "engine")


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]

"""Writing what a program says of the machine's XML itself: after everything else, and nothing that a property says."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from jvp.core.errors import Invalid, Path, Rejected
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element
from jvp.resources.instance import parts, xml_patches, xml_paths
from jvp.resources.instance.definition import boots, comparable
from jvp.resources.instance.xml_patches import Noted
from jvp.resources.provider import Provider

_LOST, _BOOT = "lost", "boot"


def refuse_namespace(provider: Provider, given: dict[str, str]) -> None:
    """Raise Rejected for QEMU's own options where the provider does not allow them."""
    for path in given:
        if xml_paths.is_of_qemu(path) and not provider.allow_qemu_options:
            raise Rejected(
                "gives options to QEMU itself, which libvirt does not check; the provider's allowQemuOptions allows it",
                path=_place(path),
            )


def restore(root: Element, given: dict[str, str]) -> None:
    """Put back what was there where the program says a path no longer. Before: nothing else is written yet."""
    items = xml_patches.noted(root)
    for path in sorted(items.keys() - given.keys(), reverse=True):
        with _at(path):
            _put(root, path, items.pop(path).was)
    if xml_patches.noted(root) != items:
        xml_patches.note(root, items)


def write(root: Element, given: dict[str, str]) -> None:
    """Write what the program says. Raises Rejected for what leads nowhere, and for what a property declares."""
    items, before = xml_patches.noted(root), _modelled(root) if given else {}
    for path, value in sorted(given.items()):
        with _at(path):
            items[path] = Noted(value, items[path].was if path in items else _there(root, path))
            if xml_patches.shown(root, path, value) != value:
                _put(root, path, value)
        after = _modelled(root)
        if after[_LOST] != before[_LOST]:
            raise Rejected(f"{after[_LOST][-1]}: every machine has that", path=_place(path))
        if after[_BOOT] != before[_BOOT]:
            raise Rejected("changes what the guest boots from, which follows from its disks", path=_place(path))
        changed = sorted(one for one in before.keys() | after.keys() if before.get(one) != after.get(one))
        if changed:
            raise Rejected(f"changes what {changed[0]} says; declare it there", path=_place(path))
        before = after
    if items or xml_patches.noted(root):
        xml_patches.note(root, items)


def define(api: DomainApi, root: Element, given: dict[str, str]) -> handles.Domain:
    """Define the machine. Raises Rejected where libvirt does not take or keep what the program says, libvirtError."""
    try:
        domain = api.define(root, strictly=bool(given))
    except Invalid as error:
        raise Rejected(str(error), path=("xml",)) from None
    if given:
        _refuse_unkept(devices.inactive_xml(domain), given)
    return domain


def _refuse_unkept(root: Element, given: dict[str, str]) -> None:
    for path, value in given.items():
        there = xml_patches.shown(root, path, value)
        if there != value:
            said = f"as {there}; write it so" if there else "not at all; is it misspelt, or not for this machine?"
            raise Rejected(f"libvirt keeps it {said}", path=_place(path))


def _modelled(root: Element) -> dict[str, Any]:
    """What the definition says of properties, and what it lacks that every machine has, in words."""
    found = {path: one for path, one in comparable(root).items() if not path.startswith(xml_patches.PREFIX)}
    return found | {_LOST: [part.lost for part in parts.lost(root)], _BOOT: boots(root)}


@contextlib.contextmanager
def _at(path: str) -> Iterator[None]:
    """A refusal is that of this path."""
    try:
        yield
    except Rejected as error:
        raise Rejected(error.message, path=_place(path)) from None


def _place(path: str) -> Path:
    return ("xml", path)


def _there(root: Element, path: str) -> str | None:
    """What a path says before anything is written there."""
    steps, attribute = xml_paths.split(path)
    there = xml_paths.one(root, steps)
    if there is None:
        return None
    return there.get(attribute) if attribute is not None else xml_patches.plain(there)


def _put(root: Element, path: str, value: str | None) -> None:
    """Have a path say this; None or an empty text takes out what is there."""
    steps, attribute = xml_paths.split(path)
    if not value:
        _take_out(root, steps, attribute)
    elif attribute is not None:
        xml_paths.holder(root, steps).set(attribute, value)
    elif value.lstrip().startswith("<"):
        _put_element(root, steps, xml_paths.fragment(value))
    else:
        element = xml_paths.holder(root, steps)
        for child in list(element):
            element.remove(child)
        element.text = value


def _put_element(root: Element, steps: list[tuple[str, str]], element: Element) -> None:
    new, old = copy.deepcopy(element), xml_paths.one(root, steps)
    if old is not None:
        above = old.getparent()
        assert above is not None
        above.replace(old, new)
    else:
        xml_paths.holder(root, steps[:-1]).append(new)
    if new not in xml_paths.find(root, steps):
        raise Rejected("does not lead to the element that it is given: its condition says otherwise")


def _take_out(root: Element, steps: list[tuple[str, str]], attribute: str | None) -> None:
    element = xml_paths.one(root, steps)
    if element is None:
        return
    if attribute is not None:
        element.attrib.pop(attribute, "")
        if not _is_empty(element):
            return
    above = element.getparent()
    while above is not None:  # what was made for it alone goes with it
        above.remove(element)
        element, above = above, above.getparent() if _is_empty(above) and above.tag != "devices" else None


def _is_empty(element: Element) -> bool:
    return not len(element) and not element.attrib and not (element.text or "").strip()

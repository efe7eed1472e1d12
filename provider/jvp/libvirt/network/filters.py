"""Filters of libvirt's nwfilter through libvirt: finding, defining, removing, and our mark in one.

A filter has no metadata. Our mark stands, packed, in the comments of rules that do nothing (`continue`), so that it is
written together with the rules and is the same object. Here alone it is told how: for everybody else it is an element
of `<metadata>`, as in a network.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import copy
import zlib
from collections.abc import Iterator
from pathlib import Path

import libvirt
from lxml import etree

from jvp.core import errors
from jvp.core.errors import NotFound
from jvp.core.identity import Mark
from jvp.core.types import is_uuid, shortened
from jvp.core.words import listed
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import Gone, is_gone, seen_to_go, unless_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, drop, parse, sub, text_of, value

_MARK = "jvp-mark:"
_CHUNK = 240
"""libvirt cuts a comment after 256 characters."""
_FIRST = "-1000"


_SWITCHES = Path("/proc/sys/net/bridge")


def switched_off() -> list[str]:
    """The kernel's switches of this machine that keep what crosses a bridge from the rules. Where the folder is missing
    libvirt's first filter loads the module, and they are on."""
    found = []
    for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
        with contextlib.suppress(OSError):
            found += [name] if (_SWITCHES / name).read_text().strip() == "0" else []
    return found


class FilterApi:
    """The calls on filters of one node. Raise libvirtError unless they say otherwise."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def find(self, uuid: str) -> handles.NWFilter | None:
        """The filter with this uuid, None when there is none."""
        try:
            return self.node.connection.nwfilterLookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.FILTER):
                return None
            raise

    def found(self, uuid: str) -> tuple[handles.NWFilter, Element] | None:
        """The filter with this uuid and its definition, None when there is none."""
        try:
            found = self.node.connection.nwfilterLookupByUUIDString(uuid)
            return found, definition(found)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.FILTER):
                return None
            raise

    def named(self, name: str) -> handles.NWFilter | None:
        """The filter with this name, None when there is none."""
        try:
            return self.node.connection.nwfilterLookupByName(name)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.FILTER):
                return None
            raise

    def by_reference(self, reference: str, path: errors.Path) -> handles.NWFilter:
        """The filter of an id or name. Raises NotFound with the names that exist."""
        found = self.find(reference) if is_uuid(reference) else None
        found = found or self.named(reference)
        if found is None:
            names = listed(one.name() for one in self.node.connection.listAllNWFilters(0))
            raise NotFound(f'there is no firewall "{shortened(reference)}" on the node; there are: {names}', path=path)
        return found

    def mark_of(self, found: handles.NWFilter) -> Mark | None:
        """Our mark of the filter, None of one that we did not make. Raises NotFound when it is gone."""
        with seen_to_go(Gone.FILTER):
            return marks.mark_of(definition(found))

    def define(self, root: Element) -> handles.NWFilter:
        """Define or redefine by the uuid in `root`; running guests that use it have the new rules when this returns."""
        return self.node.connection.nwfilterDefineXML(text_of(_packed(root)))

    def remove(self, uuid: str) -> None:
        """Undefine it; gone already is fine."""
        with unless_gone(Gone.FILTER):
            if (found := self.find(uuid)) is not None:
                found.undefine()

    def acknowledge(self, root: Element) -> None:
        """Note in the filter, and in `root`, that an engine's state has the object.

        Best effort, and nothing when it is noted or foreign. Nor while a guest runs behind it, for a filter is written
        whole, and libvirt before 11.6 opens what runs behind any meanwhile; then the next update notes it.
        """
        mark = marks.mark_of(root)
        if mark is None or mark.acknowledged:
            return
        with contextlib.suppress(libvirt.libvirtError):
            if not self._is_at_work(value(root, "@name")):
                marks.acknowledge(root)
                self.define(root)

    def _is_at_work(self, name: str | None) -> bool:
        """Whether a guest runs behind it."""
        return any(one.filterName() == name for one in self.node.connection.listAllNWFilterBindings(0))

    def users(self, name: str) -> list[str]:
        """The names of the domains with a card that this filter is for, as they run or as they will. Costs a call or
        two for each domain."""
        found = []
        for domain, root in devices.plain_definitions(self.node.connection):
            roots = [root]
            if domain.ID() >= 0:
                with unless_gone(Gone.DOMAIN):
                    roots.append(devices.live_xml(domain))
            if any(name in filters_of(one) for one in roots):
                found.append(domain.name())
        return sorted(found)

    def definitions(self) -> Iterator[tuple[handles.NWFilter, Element]]:
        """Every filter with its definition; one that somebody removes meanwhile is left out."""
        for found in self.node.connection.listAllNWFilters(0):
            with unless_gone(Gone.FILTER):
                yield found, definition(found)


def stands(connection: handles.Connection, card: Element) -> bool:
    """Whether the filter of a card stands, as far as it runs: in an inactive definition there is nothing to stand."""
    port = value(card, "target/@dev")
    if port is None:
        return True
    try:
        return connection.nwfilterBindingLookupByPortDev(port).filterName() == value(card, "filterref/@filter")
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.BINDING):
            return False
        raise


def stand_again(domain: handles.Domain, root: Element) -> None:
    """Have the filters of a running guest's cards stand that somebody took away (`root` is its live definition).

    Raises libvirtError.
    """
    connection = domain.connect()
    for card in root.iterfind("devices/interface"):
        if card.find("filterref") is None or stands(connection, card):
            continue
        binding = parse("<filterbinding/>")
        owner = sub(binding, "owner")
        sub(owner, "name", domain.name())
        sub(owner, "uuid", domain.UUIDString())
        sub(binding, "portdev", name=value(card, "target/@dev"))
        binding.extend(copy.deepcopy(one) for one in (card.find("mac"), card.find("filterref")) if one is not None)
        connection.nwfilterBindingCreateXML(text_of(binding))


def filters_of(domain: Element) -> set[str]:
    """The names of the filters that the cards of a domain's definition have."""
    refs = (value(card, "filterref/@filter") for card in domain.iterfind("devices/interface"))
    return {name for name in refs if name}


def definition(found: handles.NWFilter) -> Element:
    """A filter's definition, with our mark in its metadata. Raises libvirtError."""
    root = parse(found.XMLDesc(0))
    chunks = []
    for rule in root.findall("rule"):
        comment = value(rule, "mac/@comment") or ""
        if rule.get("action") == "continue" and comment.startswith(_MARK):
            chunks.append(comment.removeprefix(_MARK))
            root.remove(rule)
    mark = _unpacked("".join(chunk[3:] for chunk in sorted(chunks)))
    if mark is not None:
        sub(root, "metadata").append(mark)
    return root


def _unpacked(text: str) -> Element | None:
    """The mark, which anybody may have written to; None for what is none."""
    with contextlib.suppress(ValueError, binascii.Error, zlib.error, etree.XMLSyntaxError):
        unpacking = zlib.decompressobj()
        packed = unpacking.decompress(base64.b64decode(text, validate=True), 2 * marks.MOST)
        return parse(packed.decode()) if unpacking.eof else None
    return None


def _packed(root: Element) -> Element:
    """The definition as libvirt takes it."""
    packed = copy.deepcopy(root)
    mark = marks.find(packed)
    drop(packed, "metadata")
    if mark is not None:
        text = base64.b64encode(zlib.compress(text_of(mark).encode(), 9)).decode()
        for index in range(0, len(text), _CHUNK):
            rule = sub(packed, "rule", action="continue", direction="in", priority=_FIRST)
            sub(rule, "mac", comment=f"{_MARK}{index // _CHUNK:02}:{text[index : index + _CHUNK]}")
    return packed

"""What a running domain says of itself, in its running definition: no guest is asked, and none notices."""

from __future__ import annotations

import copy

import libvirt
from lxml import etree

from jvp.libvirt.domain.devices import LIVE
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.xml import Element, text_of


def describe(domain: handles.Domain, text: str | None) -> None:
    """Have it say this description, or none. Raises libvirtError."""
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, text, None, None, LIVE)


def bear(domain: handles.Domain, mark: Element | None) -> None:
    """Have it bear a mark of ours, or none. Raises libvirtError."""
    text = plain(mark) if mark is not None else None
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, marks.PREFIX, marks.NAMESPACE, LIVE)


def plain(mark: Element) -> str:
    """A mark without its namespace, which libvirt gives it. Source: virXMLInjectNamespace, which refuses a second."""
    bare = copy.deepcopy(mark)
    bare.tail = None
    for one in bare.iter("*"):
        one.tag = etree.QName(one).localname
    etree.cleanup_namespaces(bare)
    return text_of(bare)

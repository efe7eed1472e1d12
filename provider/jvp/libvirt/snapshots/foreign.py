"""Snapshots that other tools made, which libvirt keeps: they are listed, and left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libvirt

from jvp.core.types import utc_text
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, unless_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number, parse, value


@dataclass(frozen=True)
class Foreign:
    """One of them."""

    uuid: str
    """The domain's."""
    domain: str
    name: str
    created: str | None
    parent: str | None
    description: str | None


def every(node: Node, uuid: str | None) -> Iterator[Foreign]:
    """Those of all domains, or of one. Raises libvirtError."""
    for domain in node.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT):
        if uuid in (None, domain.UUIDString()):
            with unless_gone(Gone.DOMAIN):
                yield from _of(domain)


def _of(domain: handles.Domain) -> Iterator[Foreign]:
    uuid, name = domain.UUIDString(), domain.name()
    for one in domain.listAllSnapshots(0):
        root = parse(one.getXMLDesc(0))
        created = number(root, "creationTime")
        yield Foreign(
            uuid,
            name,
            one.getName(),
            utc_text(created) if created is not None else None,
            value(root, "parent/name"),
            value(root, "description"),
        )

"""All networks of a node, or those that filters take."""

from __future__ import annotations

from collections.abc import Iterator

from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.ranges import ranges_of
from jvp.libvirt.link.xml import value
from jvp.libvirt.network import bulk
from jvp.resources.network.definition import mode_of
from jvp.resources.network.items import NetworkFilters, NetworkItem


def items(node: Node, work: Work, filters: NetworkFilters) -> Iterator[NetworkItem]:
    """Raises libvirtError."""
    for one in bulk.networks(
        node.connection, lambda name, active: filters.takes(name=name, state=_word(active)), looks=filters.looks
    ):
        work.check()
        if one.root is None:
            yield NetworkItem.of(id=one.id, name=one.name, state=_word(one.active))
            continue
        by, mode = marks.declarer_of(one.root), mode_of(one.root)
        if not filters.takes_declarer(by) or not filters.takes(mode=mode):
            continue
        ranges = sorted(ranges_of(one.root), key=lambda network: network.version)
        yield NetworkItem.of(
            id=one.id,
            name=one.name,
            state=_word(one.active),
            declared_by=by,
            mode=mode,
            cidr=str(ranges[0]) if ranges else None,
            bridge=value(one.root, "bridge/@name"),
        )


def _word(active: bool) -> str:
    return "active" if active else "inactive"

"""All instances of a node, or those that filters take."""

from __future__ import annotations

from collections.abc import Iterator

from jvp.core.work import Work
from jvp.libvirt.domain import bulk
from jvp.libvirt.link import marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.network.networks import NetworkApi
from jvp.libvirt.storage import lookup, templates
from jvp.resources.instance import labels
from jvp.resources.instance.definition import root_name
from jvp.resources.instance.items import InstanceFilters, InstanceItem


def items(node: Node, work: Work, filters: InstanceFilters) -> Iterator[InstanceItem]:
    """Raises NotFound for a network or template that is not there, libvirtError."""
    network, roots = _network(node, filters), _roots(node, filters)
    leases, takes = bulk.Leases(node.connection), None
    if filters.name is not None or filters.state is not None:
        takes = lambda name, state: filters.takes(name=name, state=state)  # noqa: E731
    for one in bulk.domains(node.connection, takes, looks=filters.looks):
        if roots is not None and root_name(one.id) not in roots:
            continue
        if one.root is None:
            yield InstanceItem.of(id=one.id, name=one.name, state=one.state)
            continue
        work.check()
        by = marks.declarer_of(one.root)
        networks = list(dict.fromkeys(name for name, _ in one.cards))
        if not filters.takes_declarer(by) or (network is not None and network not in networks):
            continue
        if not filters.takes_tags(tags := labels.tags_of(one.root)):
            continue
        yield InstanceItem.of(
            id=one.id,
            name=one.name,
            state=one.state,
            declared_by=by,
            cpus=one.cpus,
            memory_bytes=one.memory_bytes,
            ip_address=leases.first(one) if filters.details else None,
            networks=networks,
            description=labels.description_of(one.root),
            tags=tags or None,
        )


def _network(node: Node, filters: InstanceFilters) -> str | None:
    """The name of the network that is asked for."""
    if filters.network is None:
        return None
    return str(NetworkApi(node).by_reference(filters.network, ("network",)).name())


def _roots(node: Node, filters: InstanceFilters) -> set[str] | None:
    """The names of the volumes that stand on the template that is asked for."""
    if filters.template is None:
        return None
    paths = templates.paths_of(node, filters.template, ("template",))
    bases = lookup.backing_map(node.connection, fresh=True)
    return {user.rpartition("/")[2] for path in paths for user in bases.get(path, ())}

"""What is left of a way back to a snapshot that was cut off, and how it is ended."""

from __future__ import annotations

from jvp.libvirt.domain import devices, disk_source
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import disks, making, record
from jvp.libvirt.snapshots.record import Snap
from jvp.libvirt.storage import kinds, layer_names

INTENT = record.ROLLBACK


def settle(node: Node, domain: handles.Domain, snap: Snap) -> None:
    """End what is under way, wherever it came to. Raises libvirtError. Again: yes."""
    begun = snap.record.facts.get(INTENT)
    if begun is None:
        return
    serial, ways = str(begun.get("serial")), snap.ways
    if is_back(devices.inactive_xml(domain), snap, serial):
        dropped = [str(name) for name in begun.get("drop") or ()]
        kept = {held.file for one in record.of(node, snap.instance) for held in one.disks}
        ways += 1
        going = [(pool, name) for pool, name in (one.partition("/")[::2] for one in dropped) if name not in kept]
    else:
        going = [(held.pool, layer_names.layer(snap.instance, serial, place)) for place, held in enumerate(snap.disks)]
    for pool, name in going:
        if layer_names.is_layer(name) and not disks.uses(domain, name):
            making.remove_file(node, pool, name)
    disks.sync(View(node), devices.inactive_xml(domain))
    facts = {name: fact for name, fact in snap.record.facts.items() if name != INTENT}
    snap.put(snap.record.having(facts={**facts, "ways": ways}))


def is_back(root: Element, snap: Snap, serial: str) -> bool:
    """Whether a definition has the new layers: they are all defined at once."""
    names = {kinds.name_of(disk_source.path_of(disk) or "") for disk in disks.written(root)}
    return layer_names.layer(snap.instance, serial, 0) in names

"""Whether a domain with the id of an instance of ours is that instance, or one that somebody defined anew."""

from __future__ import annotations

from jvp.core.identity import Bearing, Mark, bearing
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import Element, value
from jvp.resources.instance.definition import FORMAT, root_disk, source_of
from jvp.resources.instance.from_snapshot import DISKS, SNAPSHOT
from jvp.resources.instance.model import InstanceState
from jvp.resources.instance.reading import CREATED

_ALIAS = "ua-jvp-"


def bearing_of(work: Work, root: Element, prior: InstanceState | None) -> Bearing:
    """What the domain is, by its inactive definition."""
    if work.mark is None:
        return Bearing.OURS
    same = prior is None or _is_like(root, prior, work.mark)
    return bearing(marked=marks.find(root) is not None, expected=work.mark, same=same)


def _is_like(root: Element, prior: InstanceState, mark: Mark) -> bool:
    """Whether a domain without our mark is what we knew. One that we made has devices with aliases of ours.

    One that was imported is known by its root disk and its cards, and a machine without any by its name.
    """
    if any((devices.alias_of(one) or "").startswith(_ALIAS) for one in root.iterfind("devices/*")):
        return True
    device = root_disk(root)
    path = source_of(device) if device is not None else None
    macs = {value(card, "mac/@address") for card in root.iterfind("devices/interface")}
    has_any = prior.root_disk_path or prior.nics or prior.disks
    if mark.key and has_any:
        return False
    if not has_any:
        return value(root, "name") == prior.name
    return path == prior.root_disk_path and macs >= {nic.mac for nic in prior.nics if nic.mac}


def put_back(work: Work, api: DomainApi, root: Element, prior: InstanceState) -> None:
    """Where our mark is gone from a domain (its inactive definition), write it again, with what it told of the
    instance. Raises libvirtError."""
    if work.mark is None or not work.mark.key or marks.find(root) is not None:
        return
    facts = {
        FORMAT: (prior.root_disk.format if prior.root_disk is not None else None) or "",
        CREATED: prior.created_at or "",
        "template": prior.template or "",
        SNAPSHOT: prior.snapshot or "",
        DISKS: prior.snapshot_disks if prior.snapshot else "",
    }
    marks.put(root, marks.element_of(work.mark, facts))
    api.define(root)

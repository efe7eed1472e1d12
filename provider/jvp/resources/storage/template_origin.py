"""Templates of disks that are on the node: as a snapshot holds them, or as a volume is.

Such a disk is copied once, and again when the program names another one: what becomes of the snapshot or volume after
that changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from jvp.core.diff import Change
from jvp.core.types import in_lower_case
from jvp.core.values import known, surely
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage.clone_source import original_of
from jvp.libvirt.storage.flat_copy import Disk
from jvp.libvirt.storage.layer_names import FORMAT, ROOT
from jvp.libvirt.storage.templates import Record
from jvp.resources.foreseen import is_there
from jvp.resources.storage import whole_disk
from jvp.resources.storage.template_model import TemplateSource, TemplateState

_NAMES = ("snapshot", "volume")


def is_disk(source: TemplateSource) -> bool:
    """Whether a template is made of a disk, and not of an image."""
    return any(surely(getattr(source, name)) for name in _NAMES)


def disk_of(node: Node, source: TemplateSource) -> Disk:
    """The disk. Raises NotFound, Rejected, libvirtError."""
    if source.snapshot is not None:
        return whole_disk.of_snapshot(node, source.snapshot, source.disk, ("source",))
    return whole_disk.of_volume(node, original_of(node, source.volume or "", ("source", "volume")))


def is_there_by_now(node: Node, source: TemplateSource) -> bool:
    """Whether the disk has to be on the node by now: it is known, and the same program does not make it."""
    texts = {name: getattr(source, name) for name in _NAMES}
    there = (is_there(node.plans, text, name) for name, text in texts.items() if text is not None)
    return known(source.disk, source.format) and all(there)


def format_of(source: TemplateSource) -> str:
    """What the template is to be."""
    return source.format or FORMAT


def kept(source: TemplateSource, disk: Disk) -> dict[str, Any]:
    """What the template's record keeps of a disk."""
    facts = disk.facts
    if (snapshot := facts.get("snapshot_id")) is not None:
        told, holder = {"snapshot": snapshot, "disk": facts["snapshot_disk"]}, facts.get("snapshot_instance")
    else:
        told, holder = {"volume": facts["volume_id"]}, facts["volume_pool"]
    if source.format is not None:
        told["format"] = source.format
    object_id = told.get("snapshot") or told["volume"]
    name = f"{holder}/{object_id.partition('/')[2]}" if holder else ""
    key = json.dumps([object_id, told.get("disk"), format_of(source), disk.nonce])
    return {"source": told, "source_name": name, "source_key": hashlib.sha256(key.encode()).hexdigest()[:32]}


def means(source: TemplateSource, record: Record) -> bool:
    """Whether a template that is there was made of this disk, whatever became of that since."""
    told = record.source
    said = next((name for name in _NAMES if surely(getattr(source, name))), None)
    if (
        said is None
        or not told.get(said)
        or in_lower_case(getattr(source, said)) not in (told[said], record.source_name)
    ):
        return False
    disk = said == "volume" or (source.disk or ROOT) == told.get("disk")
    return disk and format_of(source) == (told.get("format") or FORMAT)


def is_no_change(change: Change, state: TemplateState) -> bool:
    """Whether it only spells differently of what disk the template is."""
    if state.source_id is None or change.path[0] != "source" or len(change.path) != 2:
        return False
    name = change.path[1]
    if name in _NAMES:
        return isinstance(change.new, str) and in_lower_case(change.new) in (state.source_id, state.source_name)
    default = {"disk": ROOT, "format": FORMAT}.get(str(name))
    return default is not None and {change.old, change.new} == {None, default}

"""What a machine was declared to be when a snapshot of it was taken, as far as its disks depend on it."""

from __future__ import annotations

from jvp.libvirt.link.xml import Element, value
from jvp.resources.instance.definition import root_disk, root_format
from jvp.resources.instance.machine import firmware_of, machine_of

HARDWARE = "hardware"
"""A fact of a snapshot's record: firmware, machine type, bus and format of the root disk."""


def of(root: Element) -> dict[str, str]:
    """These of an inactive definition."""
    device = root_disk(root)
    told = {
        "firmware": firmware_of(root),
        "machine": machine_of(root),
        "bus": value(device, "target/@bus") if device is not None else None,
        "format": root_format(root),
    }
    return {name: text for name, text in told.items() if text}

"""The facets of an instance: themes of its properties, each kept by a module of its own.

The fields of a theme stand in a base class of `Instance`, in `<theme>_model.py`; what they are in XML, in the module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from jvp.core.diff import Change
from jvp.core.work import Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element
from jvp.resources.instance import filesystems, labels, placement, processor, small_devices, smbios, xml_patches
from jvp.resources.instance.model import Instance, InstanceState


class Facet(Protocol):
    """What the module of a theme does. `root` is a domain's definition."""

    def write(self, root: Element, spec: Instance) -> None:
        """Write what is declared into the inactive definition; what is not declared stays."""

    def take_out(self, root: Element, change: Change) -> None:
        """Take out what the program says no longer, where the change is one of this theme."""

    def told(self, root: Element) -> dict[str, Any]:
        """What can differ between the running and the inactive definition, by the property's path.

        What a machine of ours has from the start is left out: the marks of older machines have no digest of it.
        """

    def state_of(self, seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
        """The fields of the state, of what `told` gave of both definitions."""


FACETS: tuple[Facet, ...] = (labels, processor, placement, small_devices, smbios, filesystems)

Carry = Callable[[Work, handles.Domain, Element, Element, str], str | None]
"""Brings the path of a property to the running guest (its definition, then the inactive one); why it refused, or None.
"""
CARRIED: dict[str, Carry] = {labels.DESCRIPTION: labels.carry, labels.TAGS: labels.carry}
"""What a running guest is tried with, by the first part of the property's path; all else waits for its next power
cycle."""


def write(root: Element, spec: Instance) -> None:
    """Write everything that is declared."""
    for facet in FACETS:
        facet.write(root, spec)


def take_out(root: Element, change: Change) -> None:
    """Take out what a change says no longer."""
    for facet in FACETS:
        facet.take_out(root, change)


def told(root: Element) -> dict[str, Any]:
    """What can differ between two definitions, by the property's path."""
    return {path: one for facet in FACETS for path, one in facet.told(root).items()} | xml_patches.told(root)


def state_of(seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    """The fields of the state."""
    found = {name: one for facet in FACETS for name, one in facet.state_of(seen, prior).items()}
    return {**found, "xml": xml_patches.state_of(seen)}


def carry_of(path: str) -> Carry | None:
    """What brings this path to a running guest, where something does."""
    return CARRIED.get(path.partition(".")[0])

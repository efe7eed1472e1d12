"""What the steps of an update hand on: `changing` has those up to the definition, `catching_up` those of the guest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jvp.core.diff import Change
from jvp.core.work import Work
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.network import reservations
from jvp.libvirt.node_view import View
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.provider import Provider


@dataclass(frozen=True)
class Update:
    """One update: what there is, and what is to be."""

    work: Work
    api: DomainApi
    provider: Provider
    prior: InstanceState
    spec: Instance
    changes: Sequence[Change]
    domain: handles.Domain
    inactive: Element
    """Its definition, mended."""
    view: View
    """What is seen of the node until the definition is written."""

    @property
    def node(self) -> Node:
        return self.api.node

    @property
    def uuid(self) -> str:
        return str(self.domain.UUIDString())

    @property
    def what(self) -> str:
        return f'instance "{self.prior.name}"'

    def changed(self) -> set[str]:
        """The properties that change."""
        return {str(change.path[0]) for change in self.changes}


@dataclass(frozen=True)
class Draft:
    """What is to be written."""

    root: Element
    """The definition."""
    kept: dict[reservations.Card, reservations.Host]
    """What the networks are to keep for its cards."""
    old_iso: str | None
    """The CD image that the definition had so far."""
    run: str | None
    """The run of the guest that its triggers are to end."""
    files: list[str | None]
    """The files of the disks in the definition that it is made of."""

"""The kind of a pool that is there: where its volumes are, and what it refuses to do."""

from __future__ import annotations

from dataclasses import dataclass

from jvp.core.errors import Path
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element, parse, value
from jvp.libvirt.storage import kinds
from jvp.libvirt.storage.kinds import Ability, Kind, Volumes


@dataclass(frozen=True)
class Layout:
    """Where a pool keeps its volumes."""

    kind: Kind
    folder: str

    def path(self, name: str) -> str:
        """The path that a volume of this name has, or will have when it is made."""
        return self.kind.path(self.folder, name)

    @property
    def disk(self) -> str:
        """The type of a domain's disk on a volume."""
        return self.kind.volumes.disk


def layout_of(pool: handles.StoragePool) -> Layout:
    """Raises libvirtError."""
    root = parse(pool.XMLDesc(0))
    return Layout(kinds.kind_of(root.get("type")), value(root, "target/path") or "")


def require(pool: handles.StoragePool, ability: Ability, path: Path = ()) -> None:
    """Raise Rejected where pools of this kind cannot do it. Raises libvirtError."""
    if not kinds.always(ability):
        layout_of(pool).kind.require(ability, path)


def volumes_of(root: Element) -> Volumes:
    """How a volume of this XML is told."""
    return kinds.volumes_of(root.get("type"))

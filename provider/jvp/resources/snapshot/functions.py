"""A snapshot as it is."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core.errors import NotFound
from jvp.core.handler import Partial
from jvp.core.model import Spec
from jvp.core.types import Reference
from jvp.core.work import Work
from jvp.libvirt.link.node import Node
from jvp.resources.snapshot.handler import Snapshots
from jvp.resources.snapshot.model import SnapshotState


class GetSnapshotArgs(Spec):
    """Which snapshot."""

    snapshot: Annotated[Reference, Field(description="The snapshot, by id or instance/name.")]


class SnapshotFound(SnapshotState):
    """A snapshot as it is, whoever took it."""

    id: Annotated[str | None, Field(description="The snapshot's id, by which it is imported.")] = None


class GetSnapshot:
    """A snapshot as it is: when it was taken, what it holds, what it follows, and what it takes."""

    token: ClassVar[str] = "getSnapshot"
    on: ClassVar[str] = "Snapshot"
    args: ClassVar[type[Spec]] = GetSnapshotArgs
    result: ClassVar[type[Spec]] = SnapshotFound

    def __init__(self, node: Node) -> None:
        self.snapshots = Snapshots(node)

    def call(self, work: Work, args: GetSnapshotArgs) -> SnapshotFound:
        """Raises NotFound with the names that exist."""
        try:
            object_id = self.snapshots.find(work, args.snapshot)
            found = self.snapshots.read(work, object_id, None)
        except NotFound as error:
            raise error.at("snapshot") from None
        if found is None:
            raise NotFound(f'snapshot "{args.snapshot}" is gone', path=("snapshot",))
        state = found.state if isinstance(found, Partial) else found
        return SnapshotFound.model_construct(**dict(state), id=object_id)

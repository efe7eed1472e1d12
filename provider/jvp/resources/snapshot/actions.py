"""What can be done to snapshots. What works on the host is imported by the call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from jvp.core.action import Action, Requests
from jvp.core.model import Spec
from jvp.core.work import Work
from jvp.resources.storage.volume_actions import Exported, Exporting, written

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node
    from jvp.resources.snapshot.rollback import Way


class Nothing(Spec):
    """Nothing more is asked for."""


class RolledBack(Spec):
    """The instance after it went back."""

    state: Annotated[str, Field(description="What the guest is doing: running, stopped.")]


class RollbackSnapshot(Action[Nothing, RolledBack]):
    """Takes the disks of an instance back to a snapshot, and its memory where that holds it. What was written since is
    lost, unless another snapshot holds it; the guest is cut off, and runs again where it did, or goes on from its
    memory. Disks that came later, cards, CPUs and sizes stay as they are declared."""

    token, on, word, args, result = "rollbackSnapshot", "Snapshot", "rollback", Nothing, RolledBack
    others = ("Instance",)
    effect = "cuts the guest off, drops what was written to its disks since, and starts it again where it ran"
    idempotent: ClassVar[bool] = False

    def __init__(self, node: Node) -> None:
        self.node = node

    def foreseen(self, work: Work, object_id: str) -> Iterable[str]:
        return self._way(object_id).foreseen()

    def call(self, work: Work, object_id: str, args: Nothing) -> RolledBack:
        return self.go_on(work, object_id, args, self.since(work, object_id))

    def requests(self, work: Work, object_id: str) -> Requests:
        return self._way(object_id)

    def since(self, work: Work, object_id: str) -> str:
        return str(self._way(object_id).ways())

    def go_on(self, work: Work, object_id: str, args: Nothing, since: str) -> RolledBack:
        return RolledBack(state=self._way(object_id).go(work, int(since)))

    def told(self, work: Work, object_id: str, made: str = "") -> RolledBack:
        return RolledBack(state=self._way(object_id).state())

    def alone(self, work: Work, object_id: str) -> contextlib.AbstractContextManager[None]:
        return self.node.turn(work, f"the rollback to {object_id}")

    def _way(self, object_id: str) -> Way:
        from jvp.resources.snapshot.rollback import Way

        return Way(self.node, object_id)


class ExportingHeld(Exporting):
    """Which disk of a snapshot is written, where to, and how."""

    disk: Annotated[str, Field(description="The name of the disk.")] = "root"


class ExportSnapshot(Action[ExportingHeld, Exported]):
    """Writes a disk as a snapshot holds it into a file of the machine where the provider or the command runs. The image
    is sparse, and stands on nothing. The instance may run."""

    token, on, word, args, result = "exportSnapshot", "Snapshot", "export", ExportingHeld, Exported
    effect: ClassVar[str] = "writes the disk into a file of this machine, and changes nothing on the node"
    local: ClassVar[bool] = True

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, object_id: str, args: ExportingHeld) -> Exported:
        from jvp.libvirt.link.errors import libvirt_errors
        from jvp.resources.storage import exporting

        with libvirt_errors(f'snapshot "{object_id.partition("/")[2]}"'):
            return written(work, self.node, exporting.of_snapshot(self.node, object_id, args.disk), args)

"""Snapshots as actions on their instance. What works on the host is imported by the call."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from jvp.core.action import Action, AnyAction, Requests
from jvp.core.errors import NotFound
from jvp.core.model import Spec, bag_of
from jvp.core.types import Name
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.resources.snapshot.actions import Nothing, RollbackSnapshot, RolledBack
from jvp.resources.snapshot.model import Kept

if TYPE_CHECKING:
    from jvp.core.objects import Objects
    from jvp.libvirt.link.node import Node
    from jvp.libvirt.snapshots.record import Snap


class Taking(Kept):
    """How the snapshot is called, and what it keeps."""

    name: Annotated[Name | None, Field(description="Its name; by default the time, like 20260131-084512.")] = None


class Taken(Spec):
    """The snapshot."""

    state: Annotated[str, Field(description="What the guest is doing: running, paused, stopped.")]
    name: Annotated[str, Field(description="The snapshot's name.")]
    id: Annotated[str, Field(description="The snapshot's id.")]


class SnapshotInstance(Action[Taking, Taken]):
    """Takes a snapshot of an instance, as a declared one is: of its disks, running or not, and of its memory where that
    is wanted. It is deleted as any other, and with the instance."""

    token, on, word, args, result = "snapshotInstance", "Instance", "snapshot", Taking, Taken
    others = ("Snapshot",)
    effect = "freezes the files of its disks as they are, and has it go on in new ones over them"
    idempotent: ClassVar[bool] = False

    def __init__(self, node: Node, objects: Callable[[], Objects], asked: Taking | None = None, name: str = "") -> None:
        """`objects` gives those of doors without an engine, in whose name it is taken."""
        self.node, self.objects, self.asked, self.name = node, objects, asked, name

    def meant(self, work: Work, object_id: str, args: Taking) -> tuple[AnyAction, str, Any]:
        name = args.name or self._free(object_id)
        return SnapshotInstance(self.node, self.objects, args, name), object_id, args

    def call(self, work: Work, object_id: str, args: Taking) -> Taken:
        return self._taken(work, object_id, args, self.name, new=True)

    def requests(self, work: Work, object_id: str) -> Requests:
        from jvp.resources.instance.power import Guest

        return Guest(self.node, object_id)

    def since(self, work: Work, object_id: str) -> str:
        return "" if self.asked is not None and self.asked.name else self.name

    def go_on(self, work: Work, object_id: str, args: Taking, since: str) -> Taken:
        return self._taken(work, object_id, args, since or self.name, new=False)

    def made(self, result: Taken) -> str:
        return "" if self.asked is not None and self.asked.name else result.name

    def told(self, work: Work, object_id: str, made: str = "") -> Taken:
        name = (self.asked.name if self.asked is not None else None) or made
        if self._whole(object_id, name) is None:
            raise NotFound(f'the snapshot "{name}" that this request took is gone')
        return self._answer(work, object_id, name)

    def alone(self, work: Work, object_id: str) -> contextlib.AbstractContextManager[None]:
        return self.node.turn(work, f"the snapshot of {object_id}")

    def _taken(self, work: Work, object_id: str, args: Taking, name: str, *, new: bool) -> Taken:
        from jvp.core.identity import DeclaredBy
        from jvp.core.ownership import DOORS

        door = work.caller.door if work.caller is not None else ""
        by = DeclaredBy(door if door in DOORS else DOORS[0])
        wanted = {**bag_of(args, given=True), "name": name, "instance": object_id}
        self.objects().apply("Snapshot", wanted, work, by=by, new=new)
        return self._answer(work, object_id, name)

    def _answer(self, work: Work, object_id: str, name: str) -> Taken:
        from jvp.resources.instance.power import Guest

        return Taken(state=Guest(self.node, object_id).state(), name=name, id=f"{object_id}/{name}")

    def _whole(self, object_id: str, name: str) -> Snap | None:
        from jvp.libvirt.link.errors import libvirt_errors
        from jvp.libvirt.snapshots import record

        with libvirt_errors("snapshots"):
            return record.whole(self.node, object_id, name)

    def _names(self, object_id: str) -> list[str]:
        from jvp.libvirt.link.errors import libvirt_errors
        from jvp.libvirt.snapshots import record

        with libvirt_errors("snapshots"):
            return [one.name for one in record.of(self.node, object_id)]

    def _free(self, object_id: str) -> str:
        there, now = self._names(object_id), time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        return next(name for name in (now, *(f"{now}-{number}" for number in range(2, 99))) if name not in there)


class GoingBack(Spec):
    """Where an instance goes back to."""

    to: Annotated[Name, Field(description="The name of one of its snapshots.")]


class RollbackInstance(Action[GoingBack, RolledBack]):
    """Takes the disks of an instance back to one of its snapshots, and its memory where that holds it. What was written
    since is lost, unless another snapshot holds it."""

    token, on, word, args, result = "rollbackInstance", "Instance", "rollback", GoingBack, RolledBack
    others = ("Snapshot",)
    effect = RollbackSnapshot.effect
    idempotent: ClassVar[bool] = False

    def __init__(self, node: Node) -> None:
        self.node = node

    def meant(self, work: Work, object_id: str, args: GoingBack) -> tuple[AnyAction, str, Any]:
        from jvp.libvirt.link.errors import libvirt_errors
        from jvp.libvirt.snapshots import record

        with libvirt_errors("snapshots"):
            if record.whole(self.node, object_id, args.to, ("to",)) is None:
                names = [one.name for one in record.of(self.node, object_id) if one.merging is None]
                raise NotFound(f'there is no snapshot "{args.to}" of it; there are: {listed(names)}', path=("to",))
        return RollbackSnapshot(self.node), f"{object_id}/{args.to}", Nothing()

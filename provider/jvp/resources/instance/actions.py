"""What is done to an instance that is there. How it is done stands in `power`, which is imported when it is."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from jvp.core.action import Action, Requests
from jvp.core.model import Spec
from jvp.core.types import Duration
from jvp.core.work import Work
from jvp.resources.storage.volume_actions import Compacted, Exported, Exporting, written

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node
    from jvp.resources.instance.power import Guest


class Nothing(Spec):
    """Nothing more is asked for."""


class Stopping(Spec):
    """How a guest is brought down."""

    timeout: Annotated[
        Duration | None,
        Field(
            description="How long the guest may take to shut down before it is cut off; by default the instance's "
            "`shutdownTimeout`."
        ),
    ] = None
    force: Annotated[bool, Field(description="Whether to cut the guest off at once, as by pulling the plug.")] = False


class Power(Spec):
    """What the guest is doing after the action."""

    state: Annotated[str, Field(description="What the guest is doing: running, paused, stopped.")]


class _OnInstance:
    on: ClassVar[str] = "Instance"
    result: ClassVar[type[Spec]] = Power

    def __init__(self, node: Node) -> None:
        self.node = node

    def guest(self, object_id: str) -> Guest:
        from jvp.resources.instance.power import Guest

        return Guest(self.node, object_id)


class StartInstance(_OnInstance, Action[Nothing, Power]):
    """Starts an instance. One that runs is left as it is."""

    token, word, args = "startInstance", "start", Nothing
    effect = "starts the guest"

    def call(self, work: Work, object_id: str, args: Nothing) -> Power:
        return Power(state=self.guest(object_id).start(work))


class StopInstance(_OnInstance, Action[Stopping, Power]):
    """Shuts an instance down, and cuts it off where the guest takes too long. One that is stopped is left as it is."""

    token, word, args = "stopInstance", "stop", Stopping
    effect = "shuts the guest down, or cuts it off"

    def call(self, work: Work, object_id: str, args: Stopping) -> Power:
        return Power(state=self.guest(object_id).stop(work, args.timeout, force=args.force))


class RestartInstance(_OnInstance, Action[Stopping, Power]):
    """Shuts an instance down and starts it again: a power cycle, not a reboot in the guest."""

    token, word, args = "restartInstance", "restart", Stopping
    effect = "shuts the guest down and starts it again, and what waits for its next power cycle takes effect"
    idempotent = False

    def call(self, work: Work, object_id: str, args: Stopping) -> Power:
        return self.go_on(work, object_id, args, self.since(work, object_id))

    def requests(self, work: Work, object_id: str) -> Requests:
        return self.guest(object_id)

    def since(self, work: Work, object_id: str) -> str:
        return self.guest(object_id).run()

    def go_on(self, work: Work, object_id: str, args: Stopping, since: str) -> Power:
        return Power(state=self.guest(object_id).restart(work, since, args.timeout, force=args.force))

    def told(self, work: Work, object_id: str, made: str = "") -> Power:
        return Power(state=self.guest(object_id).state())

    def alone(self, work: Work, object_id: str) -> contextlib.AbstractContextManager[None]:
        return self.node.turn(work, f"the restart of {object_id}")


class Compacting(Spec):
    """What of an instance gives back space."""

    disk: Annotated[
        str | None,
        Field(description="The name of the disk, of the root disk `root`; by default all that the guest can write to."),
    ] = None


class CompactInstance(Action[Compacting, Compacted]):
    """Gives back the space that the disks of an instance take for zeros. What they hold stays as it is: a guest that
    runs discards what its file systems do not use, by its agent; of one that is off all that is zero is taken out of
    the files."""

    token, on, word, args, result = "compactInstance", "Instance", "compact", Compacting, Compacted
    effect: ClassVar[str] = "gives back the space that the disks take for nothing, and changes nothing in them"

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, object_id: str, args: Compacting) -> Compacted:
        from jvp.core.errors import NotFound
        from jvp.libvirt.domain.domains import DomainApi
        from jvp.libvirt.link.errors import libvirt_errors
        from jvp.resources.storage import compacting

        with libvirt_errors("instance"):
            domain = DomainApi(self.node).find(object_id)
            if domain is None:
                raise NotFound("the instance is gone")
            return Compacted.of(*compacting.compact_instance(work, self.node, domain, args.disk))


class ExportingDisk(Exporting):
    """Which disk is written, where to, and how."""

    disk: Annotated[str, Field(description="The name of the disk.")] = "root"


class ExportInstance(Action[ExportingDisk, Exported]):
    """Writes a disk of an instance that is off into a file of the machine where the provider or the command runs. The
    image is sparse, and stands on nothing. Of one that runs, take a snapshot and export that."""

    token, on, word, args, result = "exportInstance", "Instance", "export", ExportingDisk, Exported
    effect: ClassVar[str] = "writes the disk into a file of this machine, and changes nothing on the node"
    local: ClassVar[bool] = True

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, object_id: str, args: ExportingDisk) -> Exported:
        from jvp.core.errors import NotFound
        from jvp.libvirt.domain.domains import DomainApi
        from jvp.libvirt.link.errors import libvirt_errors
        from jvp.resources.storage import exporting

        with libvirt_errors("instance"):
            domain = DomainApi(self.node).find(object_id)
            if domain is None:
                raise NotFound("the instance is gone")
            return written(work, self.node, exporting.of_instance(self.node, domain, args.disk), args)


class PauseInstance(_OnInstance, Action[Nothing, Power]):
    """Halts a running instance where it is. Its memory stays, and `resume` lets it go on."""

    token, word, args = "pauseInstance", "pause", Nothing
    effect = "halts the guest's processors, and its memory stays as it is"

    def call(self, work: Work, object_id: str, args: Nothing) -> Power:
        return Power(state=self.guest(object_id).pause())


class ResumeInstance(_OnInstance, Action[Nothing, Power]):
    """Lets an instance go on that is paused or suspended. One that runs is left as it is."""

    token, word, args = "resumeInstance", "resume", Nothing
    effect = "lets the guest go on"

    def call(self, work: Work, object_id: str, args: Nothing) -> Power:
        return Power(state=self.guest(object_id).resume(work))

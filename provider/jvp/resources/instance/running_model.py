"""The properties that say how a machine is run; the guest has nothing of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Changes, Effect, Later, WriteOnly
from jvp.core.model import Spec
from jvp.core.types import Duration
from jvp.resources.instance.instance_facts import Beside

PowerState = Literal["running", "stopped", "paused", "unmanaged"]


class Running(Spec):
    """How a machine is run."""

    power_state: Annotated[
        PowerState,
        Beside(ends_wait=True),
        Later("unmanaged"),
        Field(description="What the instance should be doing; unmanaged leaves it as it is found."),
    ] = "running"
    update_policy: Annotated[
        Literal["live", "restart"],
        Beside(ends_wait=True),
        WriteOnly(),
        Later(),
        Field(
            description="What becomes of a change that a running guest cannot take. live: it waits for the next power "
            "cycle. restart: the guest is shut down and started again at once."
        ),
    ] = "live"
    restart_triggers: Annotated[
        dict[str, str] | None,
        Beside(ends_wait=True),
        WriteOnly(),
        Changes(Effect.POWER_OFF),
        Field(description="Words of your own: where one changes, a running guest is shut down and started again."),
    ] = None
    compact_triggers: Annotated[
        dict[str, str] | None,
        Beside(),
        WriteOnly(),
        Field(
            description="Words of your own: where one changes, the disks give back the space that they take for zeros. "
            "A guest that runs does it by its agent."
        ),
    ] = None
    shutdown_timeout: Annotated[
        Duration,
        Beside(),
        WriteOnly(),
        Later(),
        Field(description="How long the guest may take to shut down before it is cut off."),
    ] = "60s"
    autostart: Annotated[bool, Beside(), Field(description="Whether the instance starts with the node.")] = False
    wait_for: Annotated[
        Literal["none", "ip", "agent"],
        Beside(),
        WriteOnly(),
        Later(),
        Field(
            description="What to wait for after a start. ip: until a network card has an address. "
            "agent: until the QEMU guest agent answers."
        ),
    ] = "none"
    wait_timeout: Annotated[Duration, Beside(), WriteOnly(), Later(), Field(description="How long to wait for it.")] = (
        "5m"
    )

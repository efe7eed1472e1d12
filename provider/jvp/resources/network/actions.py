"""What is done to a network that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from jvp.core.action import Action
from jvp.core.model import Spec
from jvp.core.work import Work

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node


class Nothing(Spec):
    """Nothing more is asked for."""


class NetworkTold(Spec):
    """The network after the action."""

    state: Annotated[str, Field(description="active or inactive.")]


class _OnNetwork:
    on: ClassVar[str] = "Network"
    args: ClassVar[type[Spec]] = Nothing
    result: ClassVar[type[Spec]] = NetworkTold

    def __init__(self, node: Node) -> None:
        self.node = node


class StartNetwork(_OnNetwork, Action[Nothing, NetworkTold]):
    """Starts a network, and plugs the cards of our instances that are on it in again."""

    token, word = "startNetwork", "start"
    effect = "starts the network, and gives guests that run on it their cards back"

    def call(self, work: Work, object_id: str, args: Nothing) -> NetworkTold:
        from jvp.resources.network import power

        power.start(work, self.node, object_id)
        return NetworkTold(state="active")


class StopNetwork(_OnNetwork, Action[Nothing, NetworkTold]):
    """Stops a network. What runs on it is cut off until it is started again."""

    token, word = "stopNetwork", "stop"
    effect = "cuts off what runs on the network until it is started again"

    def call(self, work: Work, object_id: str, args: Nothing) -> NetworkTold:
        from jvp.resources.network import power

        power.stop(work, self.node, object_id)
        return NetworkTold(state="inactive")

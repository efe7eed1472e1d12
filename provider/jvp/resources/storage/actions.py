"""What is done to a storage pool that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from jvp.core.action import Action
from jvp.core.facts import Unit
from jvp.core.model import Spec
from jvp.core.work import Work

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node
    from jvp.resources.storage.pool_power import Pool


class Nothing(Spec):
    """Nothing more is asked for."""


class PoolTold(Spec):
    """The pool after the action."""

    state: Annotated[str, Field(description="running, inactive, or what else libvirt says of it.")]
    capacity_bytes: Annotated[int | None, Unit("bytes"), Field(description="Its whole room, while it runs.")] = None
    allocation_bytes: Annotated[int | None, Unit("bytes"), Field(description="The room that is used.")] = None
    available_bytes: Annotated[int | None, Unit("bytes"), Field(description="The room that is free.")] = None


class _OnPool:
    on: ClassVar[str] = "StoragePool"
    args: ClassVar[type[Spec]] = Nothing
    result: ClassVar[type[Spec]] = PoolTold

    def __init__(self, node: Node) -> None:
        self.node = node

    def pool(self, object_id: str) -> Pool:
        from jvp.resources.storage.pool_power import Pool

        return Pool(self.node, object_id)


class StartStoragePool(_OnPool, Action[Nothing, PoolTold]):
    """Starts a storage pool. One that runs is left as it is."""

    token, word = "startStoragePool", "start"
    effect = "makes the pool's volumes reachable"

    def call(self, work: Work, object_id: str, args: Nothing) -> PoolTold:
        return self.pool(object_id).start(work)


class StopStoragePool(_OnPool, Action[Nothing, PoolTold]):
    """Stops a storage pool. Its volumes stay; one that is stopped is left as it is."""

    token, word = "stopStoragePool", "stop"
    effect = "makes the pool's volumes unreachable until it is started again; guests that run with them run on"

    def call(self, work: Work, object_id: str, args: Nothing) -> PoolTold:
        return self.pool(object_id).stop(work)


class RefreshStoragePool(_OnPool, Action[Nothing, PoolTold]):
    """Has a storage pool look at its volumes again, so that libvirt knows what others put there or took away."""

    token, word = "refreshStoragePool", "refresh"
    effect = "changes nothing in the pool but what libvirt knows of it"

    def call(self, work: Work, object_id: str, args: Nothing) -> PoolTold:
        return self.pool(object_id).refresh(work)

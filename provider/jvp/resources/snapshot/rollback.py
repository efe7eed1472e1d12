"""The way back to a snapshot, and the requests for it, which the snapshot's record notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jvp.core import action
from jvp.core.action import Request
from jvp.core.errors import NotFound
from jvp.core.work import Work
from jvp.libvirt.domain import guest
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link.errors import libvirt_errors, start_errors
from jvp.libvirt.link.handles import Domain
from jvp.libvirt.link.node import Node
from jvp.libvirt.snapshots import record, rolling
from jvp.libvirt.snapshots.record import Snap
from jvp.resources.instance.catching_up import catch_up

REQUESTS = "requests"
"""A fact of the record: the last requests."""


class Way:
    """One snapshot. Each call looks at it anew, and raises NotFound when it is gone, Stopped, Rejected, Busy."""

    def __init__(self, node: Node, object_id: str) -> None:
        self._node, self._domains = node, DomainApi(node)
        self._uuid, _, self._name = object_id.partition("/")

    def ways(self) -> int:
        """How often the instance went back to it."""
        with self._found() as (snap, _):
            return snap.ways

    def go(self, work: Work, way: int) -> str:
        """Go back, or on; what the guest does then. Again: yes, with the same number that `ways` gave."""
        with (
            record.turn(work, self._node, self._uuid),
            self._found() as (snap, domain),
            start_errors(f'instance "{domain.name()}"', {}, {}),
        ):
            rolling.back(work, self._node, domain, snap, way)
        with self._found() as (snap, domain):  # another run of the guest than before
            if snap.memory is not None:
                catch_up(work, self._domains, domain)
            return guest.state_of(domain) or "unknown"

    def foreseen(self) -> list[str]:
        """What of the instance as it is the snapshot lacks, in sentences."""
        with self._found() as (snap, domain):
            return list(rolling.lacks(self._node, domain, snap))

    def state(self) -> str:
        """What the guest is doing."""
        with self._found() as (_, domain):
            return guest.state_of(domain) or "unknown"

    def read(self) -> tuple[Request, ...]:
        with self._found() as (snap, _):
            return action.noted(str(snap.record.facts.get(REQUESTS) or ""))

    def write(self, requests: tuple[Request, ...]) -> None:
        with self._found() as (snap, _):
            facts = {name: fact for name, fact in snap.record.facts.items() if name != REQUESTS}
            text = action.text_of(requests)
            snap.put(snap.record.having(facts={**facts, REQUESTS: text} if text else facts))

    @contextmanager
    def _found(self) -> Iterator[tuple[Snap, Domain]]:
        with libvirt_errors(f'snapshot "{self._name}"'):
            snap = record.whole(self._node, self._uuid, self._name)
            domain = self._domains.find(self._uuid)
            if snap is None:
                raise NotFound(f'snapshot "{self._name}" is gone')
            if domain is None:
                raise NotFound(f'the instance of the snapshot "{self._name}" is gone')
            yield snap, domain

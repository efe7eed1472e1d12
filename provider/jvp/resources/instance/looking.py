"""Functions that look at what guests do: what they have counted, and what is on their screens."""

from __future__ import annotations

import base64
import time
from typing import Annotated, Any, ClassVar

from pydantic import Field

from jvp.core.facts import Unit
from jvp.core.model import Spec
from jvp.core.types import Reference
from jvp.core.work import Work
from jvp.libvirt.domain import screen, stats
from jvp.libvirt.domain.domains import DomainApi, runs
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value
from jvp.resources.instance import listing
from jvp.resources.instance.definition import disk_key, nic_key
from jvp.resources.instance.functions import GetInstanceArgs
from jvp.resources.instance.items import InstanceFilters

Bytes = Annotated[int | None, Unit("bytes")]
Microseconds = Annotated[int | None, Unit("microseconds")]


class GetInstanceMetricsArgs(InstanceFilters):
    """Which instances: one, or those that the filters take, or all."""

    instance: Annotated[
        Reference | None, Field(description="Only this one, by id or name; it need not be one of ours.")
    ] = None


class DiskMetrics(Spec):
    """What one disk has done since the guest was started."""

    key: ClassVar[str] = "target"

    target: Annotated[str, Field(description="The disk's place in the guest's definition, like vda.")]
    name: Annotated[str | None, Field(description="With details, of a guest that runs: the disk's name.")] = None
    path: Annotated[str | None, Field(description="The file or device on the node that the guest writes to.")] = None
    capacity_bytes: Annotated[Bytes, Field(description="How large the guest sees it.")] = None
    allocation_bytes: Annotated[Bytes, Field(description="The room that it takes, or the highest place written.")] = (
        None
    )
    read_bytes: Annotated[Bytes, Field(description="What was read.")] = None
    read_requests: Annotated[int | None, Field(description="By how many requests.")] = None
    read_microseconds: Annotated[Microseconds, Field(description="How long they took together.")] = None
    written_bytes: Annotated[Bytes, Field(description="What was written.")] = None
    write_requests: Annotated[int | None, Field(description="By how many requests.")] = None
    write_microseconds: Annotated[Microseconds, Field(description="How long they took together.")] = None
    flush_requests: Annotated[int | None, Field(description="How often what was written was flushed.")] = None
    flush_microseconds: Annotated[Microseconds, Field(description="How long that took together.")] = None


class NicMetrics(Spec):
    """What went through one card since the guest was started, as the guest sees it."""

    key: ClassVar[str] = "device"

    device: Annotated[str, Field(description="The card's other end, an interface of the node, like vnet0.")]
    name: Annotated[str | None, Field(description="With details: the card's name.")] = None
    mac: Annotated[str | None, Field(description="With details: the card's MAC address.")] = None
    received_bytes: Annotated[Bytes, Field(description="What the guest was sent.")] = None
    received_packets: Annotated[int | None, Field(description="In how many packets.")] = None
    receive_errors: Annotated[int | None, Field(description="How many of them were broken.")] = None
    receive_drops: Annotated[int | None, Field(description="How many of them were dropped.")] = None
    sent_bytes: Annotated[Bytes, Field(description="What the guest has sent.")] = None
    sent_packets: Annotated[int | None, Field(description="In how many packets.")] = None
    send_errors: Annotated[int | None, Field(description="How many of them were broken.")] = None
    send_drops: Annotated[int | None, Field(description="How many of them were dropped.")] = None


class InstanceMetrics(Spec):
    """What one instance has counted since its guest was started. What libvirt does not tell is unset."""

    key: ClassVar[str] = "id"

    id: Annotated[str, Field(description="The instance's id.")]
    name: Annotated[str, Field(description="The instance's name.")]
    state: Annotated[str | None, Field(description="What the guest is doing: running, paused, stopped, crashed.")] = (
        None
    )
    cpus: Annotated[int | None, Field(description="How many CPUs it has.")] = None
    cpu_microseconds: Annotated[Microseconds, Field(description="The CPU time that it took of the node.")] = None
    user_microseconds: Annotated[Microseconds, Field(description="What of it was spent in user space.")] = None
    system_microseconds: Annotated[Microseconds, Field(description="What of it was spent in the node's kernel.")] = None
    memory_bytes: Annotated[Bytes, Field(description="The memory that the guest has now.")] = None
    resident_bytes: Annotated[Bytes, Field(description="The node's memory that its process takes.")] = None
    guest_memory_bytes: Annotated[Bytes, Field(description="The memory of its kernel, where that tells.")] = None
    guest_unused_bytes: Annotated[Bytes, Field(description="What of it nothing is in.")] = None
    guest_usable_bytes: Annotated[Bytes, Field(description="What of it programs could have without swapping.")] = None
    guest_cache_bytes: Annotated[Bytes, Field(description="What of it caches files.")] = None
    disks: Annotated[list[DiskMetrics], Field(description="Its disks and CD drives.")] = []
    nics: Annotated[list[NicMetrics], Field(description="Its cards, while it runs.")] = []


class InstancesMetrics(Spec):
    """The counters of instances at one moment."""

    taken_at_milliseconds: Annotated[
        int,
        Unit("milliseconds since 1970"),
        Field(description="When they were taken, by this machine's clock: two answers give what there is per second."),
    ]
    instances: Annotated[list[InstanceMetrics], Field(description="The instances, by name.")] = []


class GetInstanceMetrics:
    """What guests have used of CPU, memory, disks and network since they were started: one, or many by one call."""

    token: ClassVar[str] = "getInstanceMetrics"
    on: ClassVar[str] = "Instance"
    args: ClassVar[type[Spec]] = GetInstanceMetricsArgs
    result: ClassVar[type[Spec]] = InstancesMetrics

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetInstanceMetricsArgs) -> InstancesMetrics:
        """Raises NotFound for an instance, network or template that is not there."""
        with libvirt_errors("the metrics of instances"):
            domains, chosen = None, self._chosen(work, args)
            if args.instance is not None:
                domains = [DomainApi(self.node).by_reference(args.instance, ("instance",))]
            told = list(stats.counted(self.node.connection, domains))
            now = time.time_ns() // 1_000_000
            found = []
            for one in told:
                work.check()
                id = one.domain.UUIDString()
                if args.takes(name=one.name, state=one.state) and (chosen is None or id in chosen):
                    found.append(_metrics(id, one, one.running() if args.details else None))
        found.sort(key=lambda one: (one.name, one.id))
        return InstancesMetrics.model_construct(taken_at_milliseconds=now, instances=found)

    def _chosen(self, work: Work, args: InstanceFilters) -> set[str] | None:
        """The ids of those that are taken by what the counters do not tell; None where nothing goes by that."""
        filters = args.model_copy(update={"details": False})
        if not filters.looks and filters.template is None:
            return None
        return {item.id for item in listing.items(self.node, work, filters)}


def _metrics(id: str, one: stats.Counted, root: Element | None) -> InstanceMetrics:
    disks: dict[str | None, str] = {}
    cards: dict[str | None, dict[str, Any]] = {}
    if root is not None:
        disks = {value(disk, "target/@dev"): disk_key(disk) for disk in root.iterfind("devices/disk")}
        cards = {value(card, "target/@dev"): _card(card) for card in root.iterfind("devices/interface")}
    return InstanceMetrics.model_construct(
        id=id,
        name=one.name,
        state=one.state,
        disks=[
            DiskMetrics.model_construct(target=target, name=disks.get(target), path=one.paths.get(target), **numbers)
            for target, numbers in one.disks.items()
        ],
        nics=[
            NicMetrics.model_construct(device=device, **cards.get(device, {}), **numbers)
            for device, numbers in one.cards.items()
        ],
        **one.numbers,
    )


def _card(card: Element) -> dict[str, Any]:
    return {"name": nic_key(card), "mac": value(card, "mac/@address")}


class InstanceScreenshot(Spec):
    """What is on an instance's screen."""

    id: Annotated[str, Field(description="The instance's id.")]
    png: Annotated[str | None, Field(description="The picture as PNG, in base64; unset where there is none.")] = None
    missing: Annotated[str | None, Field(description="Why there is no picture: what the instance is or lacks.")] = None


class GetInstanceScreenshot:
    """What is on the first screen of an instance that runs, as a picture. The state of a program keeps what it asks."""

    token: ClassVar[str] = "getInstanceScreenshot"
    on: ClassVar[str] = "Instance"
    args: ClassVar[type[Spec]] = GetInstanceArgs
    result: ClassVar[type[Spec]] = InstanceScreenshot

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetInstanceArgs) -> InstanceScreenshot:
        """Raises NotFound with the names that exist, and Rejected for a picture that is no PNG, or too large."""
        with libvirt_errors(f'instance "{args.instance}"'):
            domain = DomainApi(self.node).by_reference(args.instance, ("instance",))
            id = domain.UUIDString()
            if not runs(domain):
                return InstanceScreenshot(id=id, missing="does not run")
            if not screen.has_display(domain):
                return InstanceScreenshot(id=id, missing="has no display device")
            return InstanceScreenshot(id=id, png=base64.b64encode(screen.picture(domain)).decode())

"""What an instance is declared with, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from jvp.core import tags as words
from jvp.core.facts import Effect, Output, Sentences, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import FieldFacts, Rule, Spec, fields
from jvp.core.types import (
    memory_bytes,
    over_qcow2,
)
from jvp.core.values import known, surely
from jvp.resources.instance.cloudinit import CloudInit, repeated
from jvp.resources.instance.devices_model import Devices, device_rules
from jvp.resources.instance.disk_model import RootDisk, disk_rules
from jvp.resources.instance.filesystems_model import Filesystems, filesystem_rules
from jvp.resources.instance.instance_facts import Beside
from jvp.resources.instance.items import InstanceFilters, InstanceItem
from jvp.resources.instance.machine_model import DirectKernel, Machine
from jvp.resources.instance.nic_model import card_rules
from jvp.resources.instance.processor_model import Processor, processor_rules
from jvp.resources.instance.running_model import Running
from jvp.resources.instance.xml_model import OwnXml, xml_rules

MAX_DEVICES = 200
"""A root port for each: a PCI Express bus has room for some 240 of them (tried)."""


class Instance(OwnXml, Filesystems, Devices, Processor, Running, Machine):
    """A virtual machine."""

    def rules(self) -> Iterator[Rule]:
        yield from self._room_rules()
        yield from self._theme_rules()
        size = self.root_disk.size if isinstance(self.root_disk, RootDisk) else None
        blank = self.template is None and self.snapshot is None
        if surely(self.template) and surely(self.snapshot):
            yield ("snapshot",), "cannot stand beside template: a root disk is made from one thing"
        if self.snapshot is None and self.snapshot_disks == "root":
            yield ("snapshotDisks",), "means nothing without a snapshot"
        if blank and size is None and self.direct_kernel is None and self.iso is None:
            needs = "an instance needs a template, a rootDisk.size for an empty disk, an iso or a directKernel"
            yield ("template",), f"{needs}, or a snapshot"
        if blank and size is not None and known(size):
            pool = self.root_disk.pool if self.root_disk else None
            if pool is None:
                yield ("rootDisk", "pool"), "is required for an empty root disk"
        has_kernel = isinstance(self.direct_kernel, DirectKernel)
        if blank and isinstance(self.root_disk, RootDisk) and size is None and has_kernel:
            yield ("rootDisk", "size"), "is required for an empty root disk"
        if size is not None and known(size) and (why := over_qcow2(size)):
            yield ("rootDisk", "size"), why
        if isinstance(self.cloud_init, CloudInit) and blank and self.root_disk is None:
            yield ("cloudInit",), "needs a root disk, whose pool holds the cloud-init disk"
        for field in ("disks", "nics"):
            yield from repeated((field,), getattr(self, field), "name")
        yield from self._slot_rules()
        yield from repeated(("nics",), self.nics, "mac")
        yield from repeated(("nics",), self.nics, "address")
        yield from repeated(("nics",), self.nics, "hostname", within="network")
        yield from card_rules(self.nics)
        yield from repeated(("disks",), self.disks, "volume")
        yield from disk_rules(self.root_disk, self.disks)
        if isinstance(self.cloud_init, CloudInit):
            yield from ((("cloudInit", *path), sentence) for path, sentence in self.cloud_init.rules())
        if self.wait_for == "ip" and known(self.nics) and not self.nics:
            yield ("waitFor",), "an instance without nics never has an address"
        if self.wait_for == "ip" and self.power_state in ("stopped", "paused"):
            yield ("waitFor",), f"a {self.power_state} instance never has an address"
        if self.wait_for == "agent" and self.power_state in ("stopped", "paused"):
            yield ("waitFor",), f"the agent of a {self.power_state} instance never answers"

    def _theme_rules(self) -> Iterator[Rule]:
        """What each theme says of its own properties."""
        yield from ((("tags", *place), sentence) for place, sentence in words.rules(self.tags))
        yield from processor_rules(self, self.cpus, self.max_cpus)
        yield from xml_rules(self.xml)
        yield from device_rules(self)
        yield from repeated(("filesystems",), self.filesystems, "tag")
        yield from filesystem_rules(self.filesystems, self.memory_backing)

    def _slot_rules(self) -> Iterator[Rule]:
        given = {name: items for name in ("disks", "nics") if isinstance(items := getattr(self, name), list)}
        count = sum(len(items) for items in given.values())
        if count > MAX_DEVICES:
            most = max(given, key=lambda name: len(given[name]))
            yield (most,), f"a machine takes at most {MAX_DEVICES} disks and cards together, and these are {count}"

    def _room_rules(self) -> Iterator[Rule]:
        if known(self.cpus, self.max_cpus) and self.max_cpus is not None and self.max_cpus < self.cpus:
            yield ("maxCpus",), f"is {self.max_cpus}, less than cpus, which is {self.cpus}"
        if not known(self.memory):
            return
        if memory_bytes(self.memory) < 16 * 1024**2:
            yield ("memory",), f'"{self.memory}" is too little for any guest; at least 16MiB are needed'
        if known(self.max_memory) and self.max_memory and memory_bytes(self.max_memory) < memory_bytes(self.memory):
            yield ("maxMemory",), f'"{self.max_memory}" is less than memory, which is "{self.memory}"'

    def derived(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        # Not known yet when what it follows from is not.
        if self.max_cpus is None:
            found["max_cpus"] = self.cpus
        if self.max_memory is None:
            found["max_memory"] = self.memory
        return found


class GuestAddress(Spec):
    """An address of the guest, and how it is known."""

    nic: Annotated[str | None, Field(description="The network card's name.")] = None
    mac: Annotated[str, Field(description="The network card's MAC address.")]
    address: Annotated[str, Field(description="The IP address.")]
    source: Annotated[str, Field(description="How it was first known: lease (of the network) or agent (in the guest).")]


def _may_wait(field: FieldFacts) -> bool:
    """Whether a change of it can wait for the next power cycle, or ends that wait."""
    beside = field.fact(Beside)
    return field.effect in (Effect.LIVE, Effect.NEXT_BOOT) if beside is None else beside.ends_wait


_POWER_CYCLED = tuple(name for name, field in fields(Instance).items() if _may_wait(field))


class InstanceState(Instance):
    """An instance as it is."""

    uuid: Annotated[str, Output(), Field(description="libvirt's uuid.")]
    node: Annotated[str | None, Output(), Field(description="The name of the host that it is on.")] = None
    created_at: Annotated[
        str | None, Output(), Field(description="When it was made, UTC; unset for one that was imported.")
    ] = None
    state: Annotated[
        str | None,
        Output(follows=("powerState",)),
        Field(description="What the guest is doing: running, paused, stopped, crashed, suspended."),
    ] = None
    ip_address: Annotated[
        str | None,
        Output(follows=("nics", "powerState", "name")),
        Field(description="The first IPv4 address that is known."),
    ] = None
    addresses: Annotated[
        list[GuestAddress],
        Output(follows=("nics", "powerState", "name")),
        Field(description="Every address that is known, and from where."),
    ] = []
    acceleration: Annotated[
        str | None, Output(follows=("virtType",)), Field(description="How it runs: kvm or qemu.")
    ] = None
    memory_bytes: Annotated[
        int | None, Output(follows=("memory",)), Unit("bytes"), Field(description="The memory, in whole MiB.")
    ] = None
    max_memory_bytes: Annotated[
        int | None,
        Output(follows=("maxMemory", "memory")),
        Unit("bytes"),
        Field(description="The most that the memory can grow to, in whole MiB."),
    ] = None
    root_disk_bytes: Annotated[
        int | None, Output(follows=("rootDisk",)), Unit("bytes"), Field(description="The root disk's size.")
    ] = None
    root_disk_path: Annotated[str | None, Output(), Field(description="The root disk's path on the node.")] = None
    pending_restart: Annotated[
        bool | None,
        Output(follows=_POWER_CYCLED),
        Field(description="Whether something waits for the next power cycle."),
    ] = None
    pending: Annotated[
        list[str],
        Output(follows=_POWER_CYCLED),
        Sentences(),
        Field(description="What waits for the next power cycle, and why."),
    ] = []
    undeclared: Annotated[
        list[str],
        Output(),
        Field(
            description="What the machine has and the program does not declare: disks, network cards, graphics, file "
            "systems and devices of the node."
        ),
    ] = []


class InstanceType(ResourceType[Instance, InstanceState]):
    """Instances."""

    kind, token, spec, state = "instance", "Instance", Instance, InstanceState
    filters, item = InstanceFilters, InstanceItem

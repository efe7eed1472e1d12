"""What an instance is declared with, and what is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import Changes, Computed, Effect, Later, Output, Sentences, Unit, WriteOnly
from jvp.core.handler import ResourceType
from jvp.core.model import FieldFacts, Rule, Spec, fields
from jvp.core.types import (
    Address,
    DomainName,
    Duration,
    Mac,
    MemorySize,
    Name,
    NodeFile,
    Reference,
    Text,
    address_of,
    memory_bytes,
    over_qcow2,
    shortened,
)
from jvp.core.values import known
from jvp.resources.instance.cloudinit import CloudInit, repeated
from jvp.resources.instance.disk import DeviceName, Disk, RootDisk, serial_rules
from jvp.resources.instance.items import InstanceFilters, InstanceItem

MAX_DEVICES = 200
"""A root port for each: a PCI Express bus has room for some 240 of them (tried)."""
PowerState = Literal["running", "stopped", "paused", "unmanaged"]
VirtType = Literal["auto", "kvm", "qemu"]


class Beside:
    """A fact of a property that is no part of the machine, but says how it is run. With `ends_wait` its change may end
    the wait for a power cycle."""

    def __init__(self, *, ends_wait: bool = False) -> None:
        self.ends_wait = ends_wait


class OfTheGuest:
    """A fact of a property that a running guest has to take or to let go of: trying alone tells whether it does."""


class ByType:
    """A fact of a property of which KVM and emulation can each do what they can."""


def _machine(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a machine type; it looks like "q35" or "pc-q35-7.2"')
    return text


def _cpu(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a CPU; it looks like "host-model" or "Nehalem"')
    return text


class Nic(Spec):
    """A network card. Its order in the list never matters."""

    name: Annotated[DeviceName, Field(description="A short name that stays with the card.")]
    network: Annotated[
        Reference | None,
        Field(
            description="The network, by id or name. Without one the card has user-mode networking: "
            "a way out, no way in."
        ),
    ] = None
    mac: Annotated[Mac | None, Computed(), Field(description="Its MAC address; chosen when left out.")] = None
    model: Annotated[
        Literal["virtio", "e1000e", "e1000", "rtl8139"],
        Field(description="The hardware that the guest sees; a running guest takes a new e1000 or rtl8139 only cold."),
    ] = "virtio"
    address: Annotated[
        Address | None,
        Field(
            description="An IPv4 address that the network's DHCP keeps for the card, from before the instance starts "
            "until it is deleted."
        ),
    ] = None
    hostname: Annotated[
        DomainName | None,
        Field(
            description="The host name that goes with the address: the network's DNS knows it, and its DHCP tells it "
            "to the guest."
        ),
    ] = None


class DirectKernel(Spec):
    """A kernel that the node loads in place of the guest's boot loader."""

    kernel: Annotated[NodeFile, Field(description="The kernel's path on the node.")]
    initrd: Annotated[NodeFile | None, Field(description="The initial RAM disk's path on the node.")] = None
    cmdline: Annotated[Text | None, Field(description="The kernel's command line.")] = None


class Instance(Spec):
    """A virtual machine."""

    name: Annotated[
        Name | None,
        Changes(Effect.POWER_OFF),
        Computed(),
        Field(description="Unique on the node; made up from the resource's name when left out."),
    ] = None
    template: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Field(description="The template that the root disk is a copy-on-write child of, by id or name."),
    ] = None
    root_disk: Annotated[
        RootDisk | None, Computed(), ByType(), Field(description="The disk that the instance boots from.")
    ] = None
    iso: Annotated[
        Reference | None,
        Field(
            description="A CD image in the guest's drive: a template or a volume, by id or name. It is booted when the "
            "root disk has nothing to boot."
        ),
    ] = None
    cpus: Annotated[int, OfTheGuest(), Field(ge=1, le=512, description="Virtual CPUs.")] = 1
    max_cpus: Annotated[
        int | None,
        Changes(Effect.NEXT_BOOT),
        Field(ge=1, le=512, description="How many CPUs it can have without a reboot; by default what it has."),
    ] = None
    memory: Annotated[MemorySize, OfTheGuest(), Field(description="Memory, rounded up to whole MiB.")] = "1GiB"
    max_memory: Annotated[
        MemorySize | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="How far memory can grow without a reboot; by default what it has."),
    ] = None
    disks: Annotated[
        list[Disk], OfTheGuest(), Field(description="Further disks: volumes, plugged in and out live.")
    ] = []
    nics: Annotated[list[Nic], OfTheGuest(), Field(description="Network cards, plugged in and out live.")] = []
    cloud_init: Annotated[
        CloudInit | None,
        WriteOnly(),
        Changes(Effect.NEXT_BOOT),
        Field(description="What cloud-init in the guest is told."),
    ] = None
    direct_kernel: Annotated[
        DirectKernel | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="Boot this kernel directly instead of the root disk's boot loader."),
    ] = None
    firmware: Annotated[
        Literal["bios", "uefi"],
        ByType(),
        Changes(Effect.NEXT_BOOT),
        Field(
            description="What starts the boot loader. uefi: without secure boot, with variables of its own in the root "
            "disk's pool. A system boots only by the firmware that it was installed for."
        ),
    ] = "bios"
    machine: Annotated[
        Annotated[str, AfterValidator(_machine)] | None,
        ByType(),
        Changes(Effect.NEXT_BOOT),
        Computed(),
        Field(description="The machine type, q35 (on ARM virt) or one of its versions; by default the newest."),
    ] = None
    cpu_mode: Annotated[
        Annotated[str, AfterValidator(_cpu)] | None,
        ByType(),
        Changes(Effect.NEXT_BOOT),
        Computed(),
        Field(
            description="The CPU that the guest sees: host-model, host-passthrough, maximum or a model by its name; "
            "by default host-model with KVM, and QEMU's own without."
        ),
    ] = None
    virt_type: Annotated[
        VirtType | None,
        Changes(Effect.NEXT_BOOT),
        Computed(),
        Later("auto"),
        Field(description="kvm, qemu (emulation), or auto: kvm where it really works. By default the provider's."),
    ] = None
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

    def rules(self) -> Iterator[Rule]:
        yield from self._room_rules()
        size = self.root_disk.size if isinstance(self.root_disk, RootDisk) else None
        if self.template is None and size is None and self.direct_kernel is None and self.iso is None:
            needs = "an instance needs a template, a rootDisk.size for an empty disk, an iso or a directKernel"
            yield ("template",), needs
        if self.template is None and size is not None and known(size):
            pool = self.root_disk.pool if self.root_disk else None
            if pool is None:
                yield ("rootDisk", "pool"), "is required for an empty root disk"
        has_kernel = isinstance(self.direct_kernel, DirectKernel)
        if self.template is None and isinstance(self.root_disk, RootDisk) and size is None and has_kernel:
            yield ("rootDisk", "size"), "is required for an empty root disk"
        if size is not None and known(size) and (why := over_qcow2(size)):
            yield ("rootDisk", "size"), why
        if isinstance(self.cloud_init, CloudInit) and self.template is None and self.root_disk is None:
            yield ("cloudInit",), "needs a root disk, whose pool holds the cloud-init disk"
        for field in ("disks", "nics"):
            yield from repeated((field,), getattr(self, field), "name")
        yield from self._slot_rules()
        yield from repeated(("nics",), self.nics, "mac")
        yield from repeated(("nics",), self.nics, "address")
        yield from repeated(("nics",), self.nics, "hostname", within="network")
        yield from self._address_rules()
        yield from repeated(("disks",), self.disks, "volume")
        yield from serial_rules(self.disks)
        if isinstance(self.cloud_init, CloudInit):
            yield from ((("cloudInit", *path), sentence) for path, sentence in self.cloud_init.rules())
        if self.wait_for == "ip" and known(self.nics) and not self.nics:
            yield ("waitFor",), "an instance without nics never has an address"
        if self.wait_for == "ip" and self.power_state in ("stopped", "paused"):
            yield ("waitFor",), f"a {self.power_state} instance never has an address"
        if self.wait_for == "agent" and self.power_state in ("stopped", "paused"):
            yield ("waitFor",), f"the agent of a {self.power_state} instance never answers"

    def _slot_rules(self) -> Iterator[Rule]:
        given = {name: items for name in ("disks", "nics") if isinstance(items := getattr(self, name), list)}
        count = sum(len(items) for items in given.values())
        if count > MAX_DEVICES:
            most = max(given, key=lambda name: len(given[name]))
            yield (most,), f"a machine takes at most {MAX_DEVICES} disks and cards together, and these are {count}"

    def _address_rules(self) -> Iterator[Rule]:
        for index, nic in enumerate(self.nics if isinstance(self.nics, list) else ()):
            if isinstance(nic, Nic) and nic.address is not None:
                if nic.network is None:
                    yield ("nics", index, "address"), "needs a network, which keeps it for the card"
                elif known(nic.address) and address_of(nic.address).version != 4:
                    yield ("nics", index, "address"), f'"{nic.address}" is not an IPv4 address'
            if isinstance(nic, Nic) and nic.hostname is not None:
                if nic.address is None:
                    yield ("nics", index, "hostname"), "needs an address, with which the network keeps it"
                elif known(nic.hostname) and not nic.hostname[0].isalpha():
                    yield ("nics", index, "hostname"), f'"{nic.hostname}" must begin with a letter'

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

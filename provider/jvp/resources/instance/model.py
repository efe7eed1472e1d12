"""What an instance is declared with, and what is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import Changes, Computed, Effect, Output, Unit, WriteOnly
from jvp.core.model import Rule, Spec
from jvp.core.types import (
    Address,
    DiskSize,
    Duration,
    Mac,
    MemorySize,
    Name,
    NodePath,
    Reference,
    Text,
    address_of,
    memory_bytes,
    shortened,
)
from jvp.core.values import Secret, known

PowerState = Literal["running", "stopped", "paused", "unmanaged"]
VirtType = Literal["auto", "kvm", "qemu"]
_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*", re.ASCII)


def _device_name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", text, re.ASCII) is None:
        raise ValueError(
            f'"{shortened(text)}" is not a device name: at most 32 letters, digits, _ and -, '
            "beginning with a letter or digit"
        )
    return text


def _hostname(text: str) -> str:
    if len(text) > 253 or _HOSTNAME.fullmatch(text) is None:
        raise ValueError(f'"{shortened(text)}" is not a host name: letters, digits and - in labels of at most 63')
    return text


def _user_name(text: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a user name: lower-case letters, digits, _ and -')
    return text


def _ssh_key(text: str) -> str:
    if re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]{16,}( [^\r\n]*)?", text.strip(), re.ASCII) is None:
        raise ValueError('is not a public SSH key; it looks like "ssh-ed25519 AAAA… name"')
    return text


DeviceName = Annotated[str, AfterValidator(_device_name)]


class RootDisk(Spec):
    """The disk that the instance boots from. It belongs to the instance and goes with it."""

    pool: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="The storage pool that holds it, by id or name; by default the template's."),
    ] = None
    size: Annotated[
        DiskSize | None,
        Computed(),
        Field(description="Its size; by default the template's. It can grow, also while the guest runs, never shrink."),
    ] = None


class Disk(Spec):
    """A volume attached to the instance. Its order in the list never matters."""

    name: Annotated[DeviceName, Field(description="A short name that stays with the disk.")]
    volume: Annotated[Reference, Field(description="The volume, by id or as pool/name.")]
    read_only: Annotated[bool, Field(description="Whether the guest may only read it.")] = False


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


class User(Spec):
    """A login that cloud-init makes."""

    name: Annotated[str, AfterValidator(_user_name), Field(description="The user's name.")]
    ssh_keys: Annotated[
        list[Annotated[str, AfterValidator(_ssh_key)]], Field(description="Public SSH keys that may log in.")
    ] = []
    password: Annotated[Secret[str] | None, Field(description="A password; without one only keys log in.")] = None
    sudo: Annotated[bool, Field(description="Whether the user may become root without a password.")] = False
    groups: Annotated[list[Text], Field(description="Further groups of the user.")] = []
    shell: Annotated[NodePath | None, Field(description="The login shell in the guest.")] = None


class CloudInit(Spec):
    """What the guest is told at its first boot, on a small read-only disk in the pool (NoCloud)."""

    hostname: Annotated[
        Annotated[str, AfterValidator(_hostname)] | None,
        Field(description="The guest's host name; by default the instance's name."),
    ] = None
    users: Annotated[list[User], Field(description="Users to make.")] = []
    ssh_keys: Annotated[
        list[Annotated[str, AfterValidator(_ssh_key)]],
        Field(description="Public SSH keys for the image's own default user."),
    ] = []
    user_data: Annotated[
        Secret[str] | None,
        Field(description="Raw user data in place of users and keys: a #cloud-config document or a script."),
    ] = None
    on_change: Annotated[
        Literal["nextBoot", "replace", "ignore"],
        Field(
            description="What a change does to an existing instance. nextBoot: the data is rewritten and seen at the "
            "next boot, where most of cloud-init's modules have run already. replace: a new instance. ignore: nothing."
        ),
    ] = "nextBoot"


class DirectKernel(Spec):
    """A kernel that the node loads in place of the guest's boot loader."""

    kernel: Annotated[NodePath, Field(description="The kernel's path on the node.")]
    initrd: Annotated[NodePath | None, Field(description="The initial RAM disk's path on the node.")] = None
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
    root_disk: Annotated[RootDisk | None, Computed(), Field(description="The disk that the instance boots from.")] = (
        None
    )
    cpus: Annotated[int, Field(ge=1, le=512, description="Virtual CPUs.")] = 1
    max_cpus: Annotated[
        int | None,
        Changes(Effect.NEXT_BOOT),
        Field(ge=1, le=512, description="How many CPUs it can have without a reboot; by default what it has."),
    ] = None
    memory: Annotated[MemorySize, Field(description="Memory.")] = "1GiB"
    max_memory: Annotated[
        MemorySize | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="How far memory can grow without a reboot; by default what it has."),
    ] = None
    disks: Annotated[list[Disk], Field(description="Further disks: volumes, plugged in and out live.")] = []
    nics: Annotated[list[Nic], Field(description="Network cards, plugged in and out live.")] = []
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
    virt_type: Annotated[
        VirtType | None,
        Changes(Effect.NEXT_BOOT),
        Computed(),
        Field(description="kvm, qemu (emulation), or auto: kvm where it really works. By default the provider's."),
    ] = None
    power_state: Annotated[
        PowerState,
        Field(description="What the instance should be doing; unmanaged leaves it as it is found."),
    ] = "running"
    shutdown_timeout: Annotated[
        Duration, WriteOnly(), Field(description="How long the guest may take to shut down before it is cut off.")
    ] = "60s"
    autostart: Annotated[bool, Field(description="Whether the instance starts with the node.")] = False
    wait_for: Annotated[
        Literal["none", "ip"],
        WriteOnly(),
        Field(description="What to wait for after a start. ip: until a network card has leased an address."),
    ] = "none"
    wait_timeout: Annotated[Duration, WriteOnly(), Field(description="How long to wait for it.")] = "5m"

    def rules(self) -> Iterator[Rule]:
        yield from self._room_rules()
        size = self.root_disk.size if isinstance(self.root_disk, RootDisk) else None
        if self.template is None and size is None and self.direct_kernel is None:
            yield ("template",), "an instance needs a template, a rootDisk.size for an empty disk, or a directKernel"
        if self.template is None and size is not None and known(size):
            pool = self.root_disk.pool if self.root_disk else None
            if pool is None:
                yield ("rootDisk", "pool"), "is required for an empty root disk"
        if self.template is None and isinstance(self.root_disk, RootDisk) and size is None and self.direct_kernel:
            yield ("rootDisk", "size"), "is required for an empty root disk"
        for field in ("disks", "nics"):
            yield from _repeated(field, getattr(self, field), "name")
        yield from _repeated("nics", self.nics, "mac")
        yield from _repeated("nics", self.nics, "address")
        yield from self._address_rules()
        yield from _repeated("disks", self.disks, "volume")
        cloud_init = self.cloud_init
        if isinstance(cloud_init, CloudInit) and cloud_init.user_data is not None:
            for name, given in (("users", cloud_init.users), ("sshKeys", cloud_init.ssh_keys)):
                if given:
                    yield ("cloudInit", name), "cannot stand beside userData; put it into the user data"
        if isinstance(cloud_init, CloudInit):
            for path, sentence in _repeated("users", cloud_init.users, "name"):
                yield ("cloudInit", *path), sentence
        if self.wait_for == "ip" and known(self.nics) and not self.nics:
            yield ("waitFor",), "an instance without nics never has an address"
        if self.wait_for == "ip" and self.power_state in ("stopped", "paused"):
            yield ("waitFor",), f"a {self.power_state} instance never has an address"

    def _address_rules(self) -> Iterator[Rule]:
        for index, nic in enumerate(self.nics if isinstance(self.nics, list) else ()):
            if isinstance(nic, Nic) and nic.address is not None:
                if nic.network is None:
                    yield ("nics", index, "address"), "needs a network, which keeps it for the card"
                elif known(nic.address) and address_of(nic.address).version != 4:
                    yield ("nics", index, "address"), f'"{nic.address}" is not an IPv4 address'

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


def _repeated(field: str, items: Any, attribute: str) -> Iterator[Rule]:
    seen: set[str] = set()
    for index, item in enumerate(items if isinstance(items, list) else ()):
        text = getattr(item, attribute, None)
        if not isinstance(text, str):
            continue
        if text.lower() in seen:
            yield (field, index, attribute), f'"{text}" is given twice'
        seen.add(text.lower())


class GuestAddress(Spec):
    """An address of the guest, and how it is known."""

    nic: Annotated[str | None, Field(description="The network card's name.")] = None
    mac: Annotated[str, Field(description="The network card's MAC address.")]
    address: Annotated[str, Field(description="The IP address.")]
    source: Annotated[str, Field(description="How it is known: lease.")]


class InstanceState(Instance):
    """An instance as it is."""

    uuid: Annotated[str, Output(), Field(description="libvirt's uuid.")]
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
    root_disk_bytes: Annotated[
        int | None, Output(follows=("rootDisk",)), Unit("bytes"), Field(description="The root disk's size.")
    ] = None
    root_disk_path: Annotated[str | None, Output(), Field(description="The root disk's path on the node.")] = None
    pending_restart: Annotated[
        bool | None,
        Output(follows=("cpus", "maxCpus", "memory", "maxMemory", "disks", "nics", "directKernel", "virtType",
                        "cloudInit", "powerState")),
        Field(description="Whether something waits for the next power cycle."),
    ] = None  # fmt: skip
    pending: Annotated[
        list[str],
        Output(follows=("cpus", "maxCpus", "memory", "maxMemory", "disks", "nics", "directKernel", "virtType",
                        "cloudInit", "powerState")),
        Field(description="What waits for the next power cycle, and why."),
    ] = []  # fmt: skip
    undeclared: Annotated[
        list[str], Output(), Field(description="Disks and network cards that the program does not declare.")
    ] = []

"""The properties that every machine has: what it is made of, and what it is built with."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import Changes, Computed, Effect, Later, WriteOnly
from jvp.core.model import Spec
from jvp.core.types import Lines, MemorySize, Name, NodeFile, Reference, Text, shortened
from jvp.resources.instance.cloudinit import CloudInit
from jvp.resources.instance.disk_model import Disk, RootDisk
from jvp.resources.instance.instance_facts import Beside, ByType, OfTheGuest
from jvp.resources.instance.nic_model import Nic

VirtType = Literal["auto", "kvm", "qemu"]


def _machine(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a machine type; it looks like "q35" or "pc-q35-7.2"')
    return text


def _cpu(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a CPU; it looks like "host-model" or "Nehalem"')
    return text


class DirectKernel(Spec):
    """A kernel that the node loads in place of the guest's boot loader."""

    kernel: Annotated[NodeFile, Field(description="The kernel's path on the node.")]
    initrd: Annotated[NodeFile | None, Field(description="The initial RAM disk's path on the node.")] = None
    cmdline: Annotated[Text | None, Field(description="The kernel's command line.")] = None


class Machine(Spec):
    """What a machine is made of."""

    name: Annotated[
        Name | None,
        Changes(Effect.POWER_OFF),
        Computed(),
        Field(description="Unique on the node; made up from the resource's name when left out."),
    ] = None
    description: Annotated[
        Lines | None, Beside(), Field(description="What it is for, in your words; libvirt's own description.")
    ] = None
    tags: Annotated[
        dict[str, str],
        Beside(),
        Field(
            description="Names with values of your own, like team: web, which lists are filtered by and tokens limited "
            "to. The guest has nothing of them."
        ),
    ] = {}
    template: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Field(description="The template that the root disk is a copy-on-write child of, by id or name."),
    ] = None
    snapshot: Annotated[
        Reference | None,
        Changes(Effect.REPLACE),
        Field(
            description="The snapshot that the disks are full copies of, by id or instance/name. What becomes of it "
            "later changes nothing. Machine type, bus and format of the root disk are as its instance had them, "
            "unless they are declared; memory is not taken over."
        ),
    ] = None
    snapshot_disks: Annotated[
        Literal["all", "root"],
        Changes(Effect.REPLACE),
        Field(
            description="Which disks of the snapshot are copied: all, or the root disk alone. The copies belong to the "
            "instance. A disk of `disks` by the same name is taken in place of the copy."
        ),
    ] = "all"
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

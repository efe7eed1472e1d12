"""What the machine is built of: its firmware, its type and its CPU, as XML and as the node offers them."""

from __future__ import annotations

import math
import re

from jvp.core.errors import Invalid, Path, Rejected
from jvp.core.types import memory_bytes
from jvp.core.values import known
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import told
from jvp.libvirt.link.xml import Element, drop, ensure, put, sub, value
from jvp.resources.instance import processor, small_devices
from jvp.resources.instance.memory import cpus_in_cells, too_little
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.processor_model import Cpu

CPU_MODES = ("host-model", "host-passthrough", "maximum")
_BOARDS = {"pc-q35": "q35", "pc-i440fx": "pc", "virt": "virt"}
_WITH_SLOTS = ("q35", "virt")
"""Boards with PCI Express, whose ports take devices while the guest runs."""
_NUMBER = re.compile(r"\d+")
_SHOWN = 6
"""So many versions of a board a sentence lists."""


def firmware_of(root: Element) -> str:
    """`uefi` or `bios`. A running definition tells only by its loader."""
    by_loader = value(root, "os/loader/@type") == "pflash"
    return "uefi" if root.find("os[@firmware='efi']") is not None or by_loader else "bios"


def machine_of(root: Element) -> str | None:
    return value(root, "os/type/@machine")


def cpu_of(root: Element) -> str | None:
    """The CPU's mode, or the model's name of a named one.

    The running definition of a host-model CPU names the model that it came to.
    """
    mode = value(root, "cpu/@mode")
    return mode if mode in CPU_MODES else value(root, "cpu/model")


def board(machine: str) -> str:
    """What all versions of a machine type have in common, which is also the name of its newest: `q35`."""
    return _BOARDS.get(machine.rpartition("-")[0], machine)


def means(wanted: str, actual: str | None) -> bool:
    """Whether a machine type is what was wanted: the name of a board means any version of it."""
    return actual is not None and wanted in (actual, board(actual))


def patch_machine(root: Element, spec: Instance, nvram: str | None) -> None:
    """Write what the program declares; the rest stays. `nvram` is where UEFI shall keep its variables."""
    if firmware_of(root) != spec.firmware:
        _put_firmware(root, nvram if spec.firmware == "uefi" else None)
    if spec.machine is not None and not means(spec.machine, machine_of(root)):
        put_machine(root, spec.machine)
    if spec.cpu_mode is not None and spec.cpu_mode != cpu_of(root):
        _put_cpu(root, spec.cpu_mode)
    processor.write_cpu(root, spec)


def put_machine(root: Element, machine: str) -> None:
    put(root, "os/type/@machine", machine)


def pin_machine(api: DomainApi, root: Element) -> None:
    """Write the version that the machine type's name means on the node now, as libvirt does when it defines it."""
    arch, name = value(root, "os/type/@arch") or api.arch(), machine_of(root) or ""
    put(root, "os/type/@machine", api.machines(arch).get(name, name))


def _put_firmware(root: Element, nvram: str | None) -> None:
    """UEFI with these variables, or BIOS. Source: libvirt picks the image itself, at every start."""
    for tag in ("loader", "nvram", "firmware"):
        drop(root, f"os/{tag}")
    put(root, "os/@firmware", "efi" if nvram else None)
    if nvram:
        os = ensure(root, "os")
        sub(sub(os, "firmware"), "feature", enabled="no", name="secure-boot")
        put(os, "nvram", nvram)


def _put_cpu(root: Element, wanted: str) -> None:
    cpu = ensure(root, "cpu")
    for child in [one for one in cpu if one.tag in ("model", "vendor", "feature", "maxphysaddr")]:
        cpu.remove(child)
    for name in ("match", "check", "migratable"):
        cpu.attrib.pop(name, "")
    cpu.set("mode", wanted if wanted in CPU_MODES else "custom")
    if wanted not in CPU_MODES:
        cpu.set("match", "exact")
        sub(cpu, "model", wanted, fallback="forbid")


def refuse_unsupported(api: DomainApi, root: Element, spec: Instance, asked: set[str]) -> None:
    """Raise Rejected for what the node cannot build of the properties in `asked`. Raises libvirtError."""
    wanted = {
        "machine": spec.machine,
        "cpuMode": spec.cpu_mode,
        "firmware": spec.firmware if spec.firmware == "uefi" else None,
        "rootDisk": spec.root_disk.bus if spec.root_disk else None,
        "disks": [disk.bus for disk in spec.disks if disk.bus] or None,
        "tpm": spec.tpm,
    }
    asked = {name for name in asked if wanted.get(name) is not None}
    if not asked:
        return
    arch, machine = value(root, "os/type/@arch") or api.arch(), machine_of(root)
    told = spec.machine if "machine" in asked else None
    if told is not None and told in api.machines(arch) and board(told) not in _WITH_SLOTS:
        raise Rejected(
            f'"{told}" has no PCI Express, without which nothing can be plugged in; it has to be '
            f"{_machines(api, arch)}",
            path=("machine",),
        )
    offer = api.capabilities(arch, machine, root.get("type"))
    if offer is None:
        raise Rejected(f'the node has no machine type "{machine}"; it has {_machines(api, arch)}', path=("machine",))
    if "firmware" in asked:
        _refuse_firmware(offer)
    if "rootDisk" in asked and spec.root_disk is not None and spec.root_disk.bus is not None:
        _refuse_bus(offer, spec.root_disk.bus, ("rootDisk", "bus"))
    for index, disk in enumerate(spec.disks if "disks" in asked else ()):
        if disk.bus is not None:
            _refuse_bus(offer, disk.bus, ("disks", index, "bus"))
    if "cpuMode" in asked and spec.cpu_mode is not None:
        _refuse_cpu(offer, spec.cpu_mode)
    if "tpm" in asked and spec.tpm is not None:
        small_devices.refuse_tpm(offer, spec.tpm)


_NEVER_TOO_MANY = 128
"""Every machine type with PCI Express takes more, so the node is not asked about fewer."""
_X86_CPUS = 255
"""More need an IOMMU with extended interrupts. Source: libvirt, qemuValidateDomainDefIOMMU."""


def refuse_too_large(api: DomainApi, root: Element, spec: Instance, asked: set[str]) -> None:
    """Raise Rejected for more CPUs than the node gives a machine, or more memory where that is in `asked`.

    Raises libvirtError.
    """
    if "memory" in asked:
        refuse_memory(api, spec)
    if (odd := odd_cpus(root, spec) or too_little(root, spec)) is not None:
        raise odd
    _refuse_cpus(api, root, spec)


def refuse_memory(api: DomainApi, spec: Instance) -> None:
    """Raise Rejected for more memory than the node has. Raises libvirtError."""
    if memory_bytes(spec.memory) > (there := api.memory_bytes()):
        raise Rejected(f'is "{spec.memory}", and the node has {there // 1024**2}MiB', path=("memory",))


def misfit(root: Element, spec: Instance, prior: InstanceState) -> Rejected | None:
    """What a plan is to say of CPUs and memory that change, and do not go with how somebody has laid them out."""
    laid_out = isinstance(spec.cpu, Cpu) and spec.cpu.topology is not None  # compared with the number by itself
    asked = not laid_out and known(spec.cpus, spec.max_cpus) and spec.max_cpus != prior.max_cpus
    odd = odd_cpus(root, spec) if asked else None
    return odd or (too_little(root, spec) if known(spec.memory, spec.max_memory) else None)


def odd_cpus(root: Element, spec: Instance) -> Rejected | None:
    """What is to be said of another number of CPUs than somebody has laid out in the definition.

    Source: libvirt, virDomainDefCPUValidate; it multiplies whatever parts it knows.
    """
    topology, room = root.find("cpu/topology"), max(spec.max_cpus or 0, spec.cpus)
    if room < (placed := cpus_in_cells(root)):
        return Rejected(
            f"is {room}, and the NUMA cells in the machine's definition have {placed}: set maxCpus to {placed} or "
            'more, or take CPUs out of the cells with "virsh edit"',
            path=("maxCpus",),
        )
    if topology is None:
        return None
    parts = {str(name): told.number(count) or 1 for name, count in topology.attrib.items()}
    there = math.prod(parts.values())
    if room == there:
        return None
    shape = " by ".join(f"{count} {name}" for name, count in parts.items() if count != 1) or "1 of each part"
    return Rejected(
        f"is {room}, and the topology in the machine's definition makes {there} ({shape}): set maxCpus to {there}, or "
        'take <topology> out of the definition with "virsh edit"',
        path=("cpus",) if spec.cpus > there else ("maxCpus",),
    )


def _refuse_cpus(api: DomainApi, root: Element, spec: Instance) -> None:
    room = max(spec.max_cpus or 0, spec.cpus)
    if room <= _NEVER_TOO_MANY:
        return
    machine = machine_of(root)
    arch = value(root, "os/type/@arch") or api.arch()
    most = api.most_cpus(arch, machine)
    if arch == "x86_64" and root.find("devices/iommu") is None:
        most = min(most or _X86_CPUS, _X86_CPUS)
    if most is not None and room > most:
        path = ("cpus",) if spec.cpus > most else ("maxCpus",)
        raise Rejected(f"is {room}, and the node gives a machine of the type {machine} at most {most}", path=path)


def _machines(api: DomainApi, arch: str) -> str:
    """What a machine can be: the boards, then their versions, the newest first."""
    found = {name for name in api.machines(arch) if board(name) in _WITH_SLOTS}
    versions = sorted(found - {*_WITH_SLOTS}, key=lambda name: [int(one) for one in _NUMBER.findall(name)])[::-1]
    rest = ", or an older one" if len(versions) > _SHOWN else ""
    return ", ".join([*sorted(found & {*_WITH_SLOTS}), *versions[:_SHOWN]]) + rest


def _refuse_firmware(offer: Element) -> None:
    if "efi" not in [one.text for one in offer.iterfind("os/enum[@name='firmware']/value")]:
        raise Rejected(
            'the node has no UEFI firmware; install it there (on Debian the package "ovmf"), or use "bios"',
            path=("firmware",),
        )


def _refuse_bus(offer: Element, wanted: str, path: Path) -> None:
    found = [one.text or "" for one in offer.iterfind("devices/disk/enum[@name='bus']/value")]
    if wanted not in found:
        machine, offered = offer.findtext("machine"), ", ".join(sorted(found))
        raise Rejected(f'a machine of the type {machine} has no bus "{wanted}"; it has {offered}', path=path)


def _refuse_cpu(offer: Element, wanted: str) -> None:
    path: Path = ("cpuMode",)
    kind = offer.findtext("domain")
    if wanted in CPU_MODES:
        found = offer.find(f"cpu/mode[@name='{wanted}']")
        if found is None or found.get("supported") != "yes":
            raise Rejected(f'"{wanted}" does not work with {kind} on this node', path=path)
        return
    models = {one.text or "": one.get("usable") for one in offer.iterfind("cpu/mode[@name='custom']/model")}
    usable = ", ".join(sorted(name for name, state in models.items() if state != "no"))
    if wanted not in models:
        raise Rejected(f'there is no CPU model "{wanted}"; usable here are {", ".join(CPU_MODES)}, {usable}', path=path)
    if models[wanted] == "no":
        raise Rejected(f'the node cannot give a guest the CPU "{wanted}" with {kind}; it can give {usable}', path=path)


def at_fault(spec: Instance) -> tuple[dict[str, Path], dict[str, Path]]:
    """The properties at fault when the guest does not start, as `start_errors` takes them."""
    roomy = spec.max_memory is not None and memory_bytes(spec.max_memory) > memory_bytes(spec.memory)
    paths: dict[str, Path] = {
        "memory": ("maxMemory",) if roomy else ("memory",),
        "kvm": ("virtType",),
        "features": processor.FEATURES,
    }
    files: dict[str, Path] = {}
    if spec.direct_kernel is not None:
        paths["kernel"] = ("directKernel", "kernel")
        files = {spec.direct_kernel.kernel: paths["kernel"]}
        if spec.direct_kernel.initrd is not None:
            files[spec.direct_kernel.initrd] = ("directKernel", "initrd")
    files |= {one.source: ("filesystems", index, "source") for index, one in enumerate(spec.filesystems)}
    return paths, files


def refuse_without_disk(spec: Instance, root: Element, nvram: str | None) -> None:
    """Raise Invalid when UEFI has no place for its variables."""
    if spec.firmware == "uefi" and nvram is None and firmware_of(root) != "uefi":
        raise Invalid("uefi needs a root disk, in whose pool the firmware keeps its variables", path=("firmware",))

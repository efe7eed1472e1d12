"""Writing an instance's XML: the skeleton of a new one, and the patch of one that is there; what is foreign stays."""

from __future__ import annotations

from collections.abc import Iterable

from jvp.core.diff import Change
from jvp.core.types import memory_bytes
from jvp.libvirt.domain import disk_source
from jvp.libvirt.domain.devices import DISK_ALIAS, NIC_ALIAS, OWN_ALIAS, alias_of
from jvp.libvirt.link.marks import facts_of
from jvp.libvirt.link.xml import Element, drop, ensure, parse, put, sub, value
from jvp.resources.instance import disk_options, facets, nic_options, xml_writing
from jvp.resources.instance.definition import (
    FORMAT,
    ISO_ALIAS,
    NONE,
    PREFIXES,
    ROOT_ALIAS,
    SEED_ALIAS,
    DiskSource,
    Names,
    Resolved,
    by_alias,
    disk_key,
    is_declared,
    is_own_file,
    mac_of,
    nic_facts,
    nic_key,
    put_firewall,
    put_place,
    root_disk,
    source_of,
    told_format,
)
from jvp.resources.instance.disk_model import Disk, serial_of
from jvp.resources.instance.machine import patch_machine
from jvp.resources.instance.machine_model import DirectKernel
from jvp.resources.instance.memory import put_room
from jvp.resources.instance.model import Instance
from jvp.resources.instance.nic_model import Nic

ROOT_PORTS = 16
"""Hot-plug slots from the first boot on: a running q35 guest cannot be given more (libvirt's default is one)."""
SCSI_UNITS = 15
"""So many disks a controller has, by their targets. Source: libvirt, virDomainDiskDefAssignAddress."""


def skeleton(uuid: str, arch: str, acceleration: str) -> Element:
    """A new domain without anything that the program declares."""
    root = parse("<domain><devices/></domain>")
    root.set("type", acceleration)
    put(root, "uuid", uuid)
    os = ensure(root, "os")
    sub(os, "type", "hvm", arch=arch, machine="q35" if arch == "x86_64" else "virt")
    sub(os, "boot", dev="hd")
    if arch == "x86_64":
        # Elsewhere libvirt wants UEFI for it.
        features = ensure(root, "features")
        sub(features, "acpi")
        sub(features, "apic")
    if acceleration == "kvm":
        sub(root, "cpu", mode="host-model")
    for tag, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        put(root, tag, action)
    devices = ensure(root, "devices")
    sub(devices, "controller", type="pci", index="0", model="pcie-root")
    for index in range(1, ROOT_PORTS + 1):
        sub(devices, "controller", type="pci", index=str(index), model="pcie-root-port")
    sub(devices, "controller", type="usb", model="none")
    sub(sub(devices, "serial", type="pty"), "target", port="0")
    sub(sub(devices, "console", type="pty"), "target", type="serial", port="0")
    sub(sub(devices, "channel", type="unix"), "target", type="virtio", name="org.qemu.guest_agent.0")
    sub(devices, "memballoon", model="virtio")
    rng = sub(devices, "rng", model="virtio")
    sub(rng, "backend", "/dev/urandom", model="random")
    return root


def patch(root: Element, name: str, spec: Instance, resolved: Resolved, known: Names = NONE) -> None:
    """Write everything that the program declares; what it does not declare stays.

    `known` names the devices that it declared before: they are its own even without our alias.
    """
    xml_writing.restore(root, spec.xml)
    put(root, "name", name)
    facets.write(root, spec)
    _patch_room(root, spec)
    _patch_kernel(root, spec.direct_kernel)
    patch_machine(root, spec, resolved.nvram)
    devices = ensure(root, "devices")
    if resolved.root is not None and by_alias(devices, ROOT_ALIAS) is None:
        add_root(root, resolved.root)
    if (device := root_disk(root)) is not None and is_own_file(root) and (made_as := facts_of(root).get(FORMAT)):
        put(device, "driver/@type", made_as)
    if spec.root_disk is not None and spec.root_disk.bus is not None:
        _patch_bus(root, spec.root_disk.bus)
    if spec.root_disk is not None and (device := root_disk(root)) is not None:
        disk_options.write(device, spec.root_disk, ("rootDisk",))
    _patch_iso(root, devices, resolved.iso)
    _patch_seed(root, resolved.seed)
    _patch_disks(root, spec.disks, resolved, known)
    _patch_controllers(devices)
    _patch_nics(root, devices, spec.nics, resolved, known)
    xml_writing.write(root, spec.xml)


def add_root(root: Element, source: DiskSource) -> None:
    """Give the domain its root disk."""
    _add_disk(ensure(root, "devices"), ROOT_ALIAS, source, "virtio")


def add_own(root: Element, name: str, source: DiskSource) -> None:
    """Give the domain a further disk that belongs to it, where a declared one would be."""
    devices = ensure(root, "devices")
    put(_add_disk(devices, OWN_ALIAS + name, source, _usual_bus(root)), "serial", serial_of(name))
    _patch_controllers(devices)


def _patch_bus(root: Element, bus: str) -> None:
    """Put the root disk on another bus, and the seed with it: a system without virtio's driver sees neither there.

    Where it stands in the list, and so the boot order, stays.
    """
    devices, device = ensure(root, "devices"), root_disk(root)
    if device is None or value(device, "target/@bus") == bus:
        return
    _move(devices, device, bus, root=True)
    _go_ahead(device, (one for one in devices.iterfind("disk") if (alias_of(one) or "").startswith(DISK_ALIAS)))
    # With its target an imported one would lose what it is known by.
    put(device, "alias/@name", ROOT_ALIAS)
    if (seed := by_alias(devices, SEED_ALIAS)) is not None:
        source = DiskSource(source_of(seed) or "", told_format(seed), seed.get("type") or disk_source.FILE)
        devices.remove(seed)
        _patch_seed(root, source)


def _move(devices: Element, device: Element, bus: str, *, root: bool = False) -> None:
    """Give a disk a free place on a bus."""
    drop(device, "address")
    if bus != "scsi":
        drop(device, "wwn")
    target = free_target(devices, PREFIXES[bus], root=root)
    put(device, "target/@dev", target)
    put(device, "target/@bus", bus)


def _go_ahead(device: Element, others: Iterable[Element]) -> None:
    """Have a disk stand before others on its bus: of the disks, and of the CDs, libvirt boots the first.

    Source: virDomainDiskInsert sorts the disks of a bus by their targets.
    """
    bus, mine = value(device, "target/@bus"), value(device, "target/@dev") or ""
    on_it = {
        target: one for one in others if value(one, "target/@bus") == bus and (target := value(one, "target/@dev"))
    }
    first = min(on_it, key=_place, default=mine)
    if _place(first) < _place(mine):
        for one, target in ((device, first), (on_it[first], mine)):
            drop(one, "address")
            put(one, "target/@dev", target)


def _place(target: str) -> tuple[int, str]:
    """What targets are sorted by: `sdz` comes before `sdaa`."""
    return len(target), target


def _patch_controllers(devices: Element) -> None:
    """Every disk on scsi needs a controller that guests have a driver for; libvirt's own choice is an old one. A
    machine of ours has none for USB before a disk needs it."""
    there = {one.get("index", "0") for one in devices.iterfind("controller[@type='scsi']")}
    for disk in devices.findall("disk"):
        if value(disk, "target/@bus") == "scsi" and disk.find("address") is None:
            index = str(_number(value(disk, "target/@dev") or "sda") // SCSI_UNITS)
            if index not in there:
                sub(devices, "controller", type="scsi", index=index, model="virtio-scsi")
                there.add(index)
    none = devices.find("controller[@type='usb'][@model='none']")
    if none is not None and devices.find("disk/target[@bus='usb']") is not None:
        none.set("model", "qemu-xhci")


def _number(target: str) -> int:
    """Which disk of its bus a target is, from 0: `sdb` is 1."""
    number = 0
    for letter in target[2:]:
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def _patch_room(root: Element, spec: Instance) -> None:
    memory, room = memory_bytes(spec.memory), memory_bytes(spec.max_memory or spec.memory)
    put_room(root, room // 1024)
    put(root, "currentMemory", str(memory // 1024))
    put(root, "currentMemory/@unit", "KiB")
    room_cpus = spec.max_cpus or spec.cpus
    put(root, "vcpu", str(room_cpus))
    put(root, "vcpu/@current", None if room_cpus == spec.cpus else str(spec.cpus))
    # A list of single vcpus, which libvirt writes for a guest with hot-plugged ones, would contradict the number.
    drop(root, "vcpus")


def _patch_kernel(root: Element, kernel: DirectKernel | None) -> None:
    for tag in ("kernel", "initrd", "cmdline"):
        text = getattr(kernel, tag) if kernel is not None else None
        put(root, f"os/{tag}", text)


def _patch_seed(root: Element, seed: DiskSource | None) -> None:
    """The cloud-init disk: on a bus other than virtio a CD, which every system there can read."""
    devices = ensure(root, "devices")
    found = by_alias(devices, SEED_ALIAS)
    if found is not None and seed is None:
        devices.remove(found)
    elif found is None and seed is not None:
        bus = _usual_bus(root)
        device = _add_disk(devices, SEED_ALIAS, seed, bus, read_only=True)
        if bus != "virtio":
            device.set("device", "cdrom")
            _put_drive_first(devices)


def _put_drive_first(devices: Element) -> None:
    """Of two CDs libvirt boots the first, and the seed has nothing to boot."""
    drive, seed, first = by_alias(devices, ISO_ALIAS), by_alias(devices, SEED_ALIAS), devices.find("disk")
    if drive is None or seed is None or first is None or seed.get("device") != "cdrom":
        return
    if value(drive, "target/@bus") != value(seed, "target/@bus") and first is not drive:
        first.addprevious(drive)
    _go_ahead(drive, [seed])


def _usual_bus(root: Element) -> str:
    """Where a disk goes for which no bus is declared: beside the root disk."""
    device = root_disk(root)
    bus = value(device, "target/@bus") if device is not None else None
    return bus if bus in PREFIXES else "virtio"


def _patch_iso(root: Element, devices: Element, iso: DiskSource | None) -> None:
    """The CD drive, which is booted from after the disks. Imported drives are not ours to touch."""
    drive = by_alias(devices, ISO_ALIAS)
    if iso is None:
        if drive is not None:
            devices.remove(drive)
            drop(root, "os/boot[@dev='cdrom']")
        return
    if drive is None:
        # Installers look for a real drive; SATA is built into q35, other boards have none.
        x86 = (value(root, "os/type/@arch") or "x86_64") in ("x86_64", "i686")
        drive = sub(devices, "disk", type=iso.type, device="cdrom")
        sub(drive, "driver", name="qemu", type=iso.format)
        sub(drive, "target", dev=free_target(devices, "sd"), bus="sata" if x86 else "scsi")
        sub(drive, "readonly")
        sub(drive, "alias", name=ISO_ALIAS)
        _put_drive_first(devices)
    disk_source.point(drive, iso.path, iso.type)
    os = ensure(root, "os")
    boots = os.findall("boot")
    if boots and all(boot.get("dev") != "cdrom" for boot in boots):
        boots[-1].addnext(parse("<boot dev='cdrom'/>"))


def _patch_disks(root: Element, disks: list[Disk], resolved: Resolved, known: Names) -> None:
    devices, usual = ensure(root, "devices"), _usual_bus(root)
    wanted, before = {disk.name: disk for disk in disks}, dict[str, Element]()
    for device in [one for one in devices.findall("disk") if is_declared(one, known)]:
        disk = wanted.get(disk_key(device))
        if disk is None:
            devices.remove(device)
        elif _differs(device, disk, resolved.disks[disk.name]):
            if (alias_of(device) or "").startswith(DISK_ALIAS):
                before[disk.name] = device
                devices.remove(device)
            else:
                _point(devices, device, disk, resolved.disks[disk.name])
    present = {disk_key(device): device for device in devices.iterfind("disk")}
    for index, disk in enumerate(disks):
        if disk.name not in present:
            old = before.get(disk.name)
            bus, serial = (usual, serial_of(disk.name)) if old is None else _told(old)
            new = _add_disk(devices, DISK_ALIAS + disk.name, resolved.disks[disk.name], disk.bus or bus,
                            read_only=disk.read_only)  # fmt: skip
            put(new, "serial", disk.serial or serial)
            if old is not None:  # one that is only changed keeps what the program does not say
                disk_options.keep(old, new)
            present[disk.name] = new
        disk_options.write(present[disk.name], disk, ("disks", index))


def take_out(root: Element, spec: Instance, changes: Iterable[Change]) -> None:
    """Take out what the program says no longer, of the disks and of the instance."""
    for change in changes:
        facets.take_out(root, change)
        first, *rest = change.path
        if first == "rootDisk" and rest and (device := root_disk(root)) is not None:
            disk_options.take_out(device, change, str(rest[0]), tuple(rest[1:]))
        elif first == "disks" and len(rest) > 1 and isinstance(rest[0], int):
            key = spec.disks[rest[0]].name
            for device in (one for one in root.iterfind("devices/disk") if disk_key(one) == key):
                disk_options.take_out(device, change, str(rest[1]), tuple(rest[2:]))
        elif first == "nics" and len(rest) > 1 and isinstance(rest[0], int):
            nic = spec.nics[rest[0]]
            for device in (one for one in root.iterfind("devices/interface") if nic_key(one) == nic.name):
                nic_options.take_out(device, change, str(rest[1]), nic)


def _told(device: Element) -> tuple[str, str | None]:
    return value(device, "target/@bus") or "virtio", value(device, "serial")


def _differs(device: Element, disk: Disk, source: DiskSource) -> bool:
    """Whether a disk is not as the program declares it. What the program does not say may be anything."""
    bus, serial = value(device, "target/@bus"), value(device, "serial")
    return (
        (source_of(device), device.find("readonly") is not None) != (source.path, disk.read_only)
        or disk.bus not in (None, bus)
        or disk.serial not in (None, serial)
    )


def _point(devices: Element, device: Element, disk: Disk, source: DiskSource) -> None:
    """Have an imported disk hold another volume, where it is unless the program says another bus."""
    for tag in ("source", "backingStore", "readonly"):
        drop(device, tag)
    put(device, "driver/@name", "qemu")
    put(device, "driver/@type", source.format)
    disk_source.point(device, source.path, source.type)
    if disk.read_only:
        sub(device, "readonly")
    if disk.bus not in (None, value(device, "target/@bus")):
        _move(devices, device, disk.bus or "virtio")
    if disk.serial is not None:
        put(device, "serial", disk.serial)
    put(device, "alias/@name", DISK_ALIAS + disk.name)


def _patch_nics(root: Element, devices: Element, nics: list[Nic], resolved: Resolved, known: Names) -> None:
    wanted = {nic.name: nic for nic in nics}
    for device in [one for one in devices.findall("interface") if is_declared(one, known)]:
        nic, before = wanted.get(nic_key(device)), nic_facts(device)
        if nic is None:
            devices.remove(device)
            continue
        _patch_nic(device, nic, resolved)
        if nic_facts(device) != before:
            # With another MAC it could not be told by that any more.
            put(device, "alias/@name", NIC_ALIAS + nic.name)
    present = {nic_key(device) for device in devices.iterfind("interface")}
    for nic in nics:
        if nic.name not in present:
            device = sub(devices, "interface")
            mac = nic.mac or mac_of(value(root, "uuid") or "", nic.name)
            sub(device, "mac", address=mac.lower())
            _patch_nic(device, nic, resolved)
            sub(device, "alias", name=NIC_ALIAS + nic.name)


def _patch_nic(device: Element, nic: Nic, resolved: Resolved) -> None:
    put_place(device, resolved.networks[nic.name], nic)
    nic_options.write(device, nic)
    if nic.mac:
        put(device, "mac/@address", nic.mac.lower())
    if value(device, "model/@type") != nic.model:
        drop(device, "address")
        put(device, "model/@type", nic.model)
    put_firewall(device, resolved.firewalls.get(nic.name), nic.address)


def _add_disk(devices: Element, alias: str, source: DiskSource, bus: str, *, read_only: bool = False) -> Element:
    device = sub(devices, "disk", type=source.type, device="disk")
    sub(device, "driver", name="qemu", type=source.format, **({} if read_only else {"discard": "unmap"}))
    disk_source.point(device, source.path, source.type)
    sub(device, "target", dev=free_target(devices, PREFIXES[bus], root=alias == ROOT_ALIAS), bus=bus)
    if read_only:
        sub(device, "readonly")
    sub(device, "alias", name=alias)
    return device


def free_target(devices: Element, prefix: str = "vd", *, root: bool = False) -> str:
    """The first target of a bus that no disk has: `vdb`.

    The first of virtio is kept for our root disk, on whatever bus it is: libvirt boots from the first.
    """
    taken = {value(disk, "target/@dev") for disk in devices.iterfind("disk")}
    if not root and by_alias(devices, ROOT_ALIAS) is not None:
        taken.add("vda")
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [prefix + one for one in letters] + [prefix + one + two for one in letters for two in letters]
    return next(name for name in names if name not in taken)

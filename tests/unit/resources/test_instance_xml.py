"""An instance's XML: golden files, round trips, and patches that keep what is foreign."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.resources.golden.files import same_as_golden
from tests.unit.resources.test_instance_model import DEVICES, EACH, EACH_BYTES

from jvp.core.check import check
from jvp.core.identity import Mark
from jvp.core.model import fields
from jvp.core.types import memory_bytes, size_bytes
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse, same_xml, text_of, value
from jvp.resources.instance.cloudinit import CloudInit
from jvp.resources.instance.definition import (
    ROOT_ALIAS,
    DiskSource,
    Resolved,
    comparable,
    disk_key,
    mac_of,
)
from jvp.resources.instance.disk_model import Disk, RootDisk, serial_of
from jvp.resources.instance.machine import cpu_of, firmware_of, means, patch_machine
from jvp.resources.instance.model import Instance
from jvp.resources.instance.nocloud import content_of
from jvp.resources.instance.patching import patch, skeleton

UUID = "6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10"

GOLDEN: dict[str, dict[str, Any]] = {
    "instance-kernel": {"name": "web", "directKernel": {"kernel": "/k"}, "virtType": "qemu"},
    "instance-disk": {"name": "web", "rootDisk": {"pool": "p", "size": "1GiB"}, "virtType": "kvm"},
    "instance-maximum": {"name": "web", "rootDisk": {"pool": "p", "size": "1GiB"}, "virtType": "kvm",
                         "firmware": "bios", "machine": "q35", "cpuMode": "maximum"},
    "instance-scsi": {"name": "web", "virtType": "qemu", "iso": "p/cd",
                      "rootDisk": {"pool": "p", "size": "1GiB", "format": "raw", "bus": "scsi"}},
    "instance-disks": {
        "name": "web", "virtType": "qemu",
        "rootDisk": {"pool": "p", "size": "1GiB", "format": "raw", "bus": "scsi", "cache": "none", "io": "native",
                     "discard": "ignore", "detectZeroes": "unmap", "serial": "ROOT", "wwn": "5000c50015ea71ab",
                     "iops": EACH, "bandwidth": EACH_BYTES},
        "disks": [{"name": "a", "volume": "p/a", "wwn": "5000c50015ea71ac", "iops": EACH, "bandwidth": EACH_BYTES},
                  {"name": "b", "volume": "p/b", "bus": "usb", "cache": "unsafe", "io": "io_uring", "discard": "unmap",
                   "detectZeroes": "on", "iops": {"total": 9, "totalMax": 18},
                   "bandwidth": {"total": "1MB", "totalMax": "2MB"}},
                  {"name": "raw", "volume": "p/raw", "bus": "virtio", "shareable": True}],
    },
    "instance-full": {
        "name": "web", "template": "t", "description": "The shop <&>, at night",
        "rootDisk": {"pool": "p", "size": "10GiB", "format": "qcow2", "bus": "sata",
                     "iops": {"total": 9, "totalMax": 9}, "bandwidth": {"total": "1MB", "totalMax": "1MB"}},
        "cpus": 2, "maxCpus": 4,
        "memory": "1GiB", "maxMemory": "2GiB", "virtType": "qemu", "firmware": "uefi", "machine": "pc-q35-7.2",
        "cpuMode": "Nehalem", "iso": "p/cd",
        "cpu": {"features": {"vmx": "require", "x2apic": "disable"},
                "topology": {"sockets": 1, "dies": 1, "cores": 2, "threads": 2}},
        "cpuset": "0-3,^1", "memoryBacking": {"hugePages": "2MiB", "shared": True, "locked": True},
        "clock": {"offset": "timezone", "timezone": "Europe/Berlin",
                  "timers": [{"name": "rtc", "present": True, "tickpolicy": "catchup"},
                             {"name": "hpet", "present": False}]},
        "directKernel": {"kernel": "/k", "initrd": "/i", "cmdline": "console=ttyS0 a=\"<&>\""},
        "disks": [{"name": "data", "volume": "p/data", "bus": "virtio", "serial": "D-1"},
                  {"name": "iso", "volume": "p/iso", "readOnly": True}],
        "nics": [{"name": "eth0", "network": "n", "mac": "52:54:00:AB:CD:EF", "model": "e1000e", "address": "10.0.0.9",
                  "hostname": "web", "firewall": "f"},
                 {"name": "eth1"}, {"name": "eth2", "bridge": "br0"}, {"name": "eth3", "device": "eth0"},
                 {"name": "eth4", "bridge": "ovs0", "virtualPort": "openvswitch", "vlan": 42, "trunk": [47]},
                 {"name": "eth5", "device": "eth1", "deviceMode": "passthrough", "vlan": 42}],
        "cloudInit": {"hostname": "web"},
        **DEVICES,
        "xml": {"features/kvm/hidden/@state": "on", "devices/redirdev": "<redirdev bus='usb' type='spicevmc'/>"},
    },
}  # fmt: skip


def spec_of(raw: dict[str, Any]) -> Instance:
    checked = check(Instance, raw)
    assert checked.spec is not None, checked.failures
    return checked.spec


def has_root(spec: Instance) -> bool:
    return bool(spec.template or spec.root_disk)


def root_of(spec: Instance) -> DiskSource:
    return DiskSource(f"/pools/p/jvp-{UUID}-root", (spec.root_disk.format if spec.root_disk else None) or "qcow2")


def resolved_of(spec: Instance) -> Resolved:
    """References as a node would resolve them."""
    return Resolved(
        disks={
            disk.name: DiskSource(f"/pools/{disk.volume}", "raw" if disk.shareable else "qcow2") for disk in spec.disks
        },
        networks={nic.name: nic.network for nic in spec.nics},
        root=root_of(spec) if has_root(spec) else None,
        seed=DiskSource(f"/pools/p/jvp-{UUID}-seed", "raw") if spec.cloud_init else None,
        iso=DiskSource(f"/pools/{spec.iso}", "raw") if spec.iso else None,
        nvram=f"/pools/p/jvp-{UUID}-nvram",
        firewalls={nic.name: nic.firewall for nic in spec.nics if nic.firewall},
    )


def made(spec: Instance) -> Any:
    root = skeleton(UUID, "x86_64", spec.virt_type or "qemu")
    patch(root, spec.name or "", spec, resolved_of(spec))
    return root


def ours(spec: Instance) -> Any:
    """The same with our mark, without which its first disk would be taken for an imported root disk."""
    root = made(spec)
    marks.put(root, marks.element_of(Mark("ours", 0), {}))
    return root


def options(path: str, disk: RootDisk | Disk | None, discard: str | None) -> dict[str, Any]:
    """What `comparable` must find of a disk beside its data, where `discard` is the default."""
    found: dict[str, Any] = {f"{path}.discard": (disk and disk.discard) or discard}
    for name in ("cache", "io", "wwn"):
        found[f"{path}.{name}"] = getattr(disk, name, None)
    found[f"{path}.detectZeroes"] = disk and disk.detect_zeroes
    if isinstance(disk, RootDisk):
        found[f"{path}.serial"] = disk.serial
    if disk is not None and disk.iops is not None:
        found[f"{path}.iops"] = tuple((side, rate) for side, rate in disk.iops if rate)
    if disk is not None and disk.bandwidth is not None:
        rates = ((side, rate and size_bytes(rate)) for side, rate in disk.bandwidth)
        found[f"{path}.bandwidth"] = tuple((side, rate) for side, rate in rates if rate)
    return {name: one for name, one in found.items() if one is not None}


def meaning(spec: Instance, virt_type: str) -> dict[str, Any]:
    """What `comparable` must find for a spec."""
    kernel = spec.direct_kernel
    found: dict[str, Any] = {
        "memory": memory_bytes(spec.memory) // 1024, "maxMemory": memory_bytes(spec.max_memory or "") // 1024,
        "cpus": spec.cpus, "maxCpus": spec.max_cpus, "virtType": virt_type,
        "iso": f"/pools/{spec.iso}" if spec.iso else None,
        "rootDisk.bus": (spec.root_disk.bus if spec.root_disk else None) or ("virtio" if has_root(spec) else None),
        "firmware": spec.firmware, "machine": spec.machine or "q35", "boot": ("hd",), "devices": (),
        "directKernel": (kernel.kernel, kernel.initrd, kernel.cmdline) if kernel else (None, None, None),
        "description": spec.description, "tags": (), **{f"xml.{path}": one for path, one in spec.xml.items()},
    }  # fmt: skip
    if has_root(spec):
        found["rootDisk"] = (root_of(spec).path, False, root_of(spec).format)
        found |= options("rootDisk", spec.root_disk, "unmap")
    usual = (spec.root_disk.bus if spec.root_disk else None) or "virtio"
    for one in spec.disks:
        bus = one.bus or usual
        more = [("bus", bus)] if bus != "virtio" else []
        found[f"disks.{one.name}"] = (
            f"/pools/{one.volume}",
            one.read_only,
            *more,
            ("serial", one.serial or serial_of(one.name)),
        )
        found |= options(f"disks.{one.name}", one, None if one.read_only else "unmap")
    for nic in spec.nics:
        found[f"nics.{nic.name}"] = (nic.network, (nic.mac or mac_of(UUID, nic.name)).lower(), nic.model)
    return found


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden(name: str) -> None:
    same_as_golden(name, made(spec_of(GOLDEN[name])))


def test_a_node_of_another_architecture() -> None:
    root = skeleton(UUID, "aarch64", "qemu")
    assert value(root, "os/type/@machine") == "virt"
    assert root.find("features/apic") is None


text = st.text(st.characters(max_codepoint=0x2FF, categories=("L", "N", "P", "S")), min_size=1, max_size=9)
files = text.map(lambda name: f"/{name}x")
device_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True)
buses = st.sampled_from(["virtio", "sata", "scsi", "usb"])
volumes = device_names.map("p/".__add__)
tunes = {
    "cache": st.sampled_from(["none", "writeback", "directsync"]),
    "io": st.sampled_from(["threads", "io_uring"]),
    "discard": st.sampled_from(["ignore", "unmap"]),
    "iops": st.fixed_dictionaries({"read": st.integers(1, 99)}) | st.just({"total": 7, "totalMax": 8}),
    "bandwidth": st.just({"write": "1MB"}) | st.just({"total": "4MiB"}),
}
sizes = st.integers(16, 9000).map(lambda mib: f"{mib}MiB") | st.just("1GB") | st.just("123456kB")
macs = st.integers(0, 2**24 - 1).map(
    lambda number: "52:54:00:" + ":".join(f"{number:06X}"[at : at + 2] for at in (0, 2, 4))
)


@st.composite
def raws(draw: Any) -> dict[str, Any]:
    """Declarations of every form, all valid."""
    cpus, memory = draw(st.integers(1, 64)), draw(sizes)
    raw: dict[str, Any] = {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)),
        "cpus": cpus, "memory": memory,
        "disks": draw(st.lists(
            st.fixed_dictionaries(
                {"name": device_names, "volume": volumes, "readOnly": st.booleans()},
                optional={"bus": buses, "serial": device_names.map(lambda name: f"{name[:18]}."), **tunes},
            ),
            max_size=4, unique_by=(lambda one: one["name"].lower(), lambda one: one["volume"].lower(),
                                   lambda one: one.get("serial", one["name"])),
        )),
        "nics": draw(st.lists(
            st.fixed_dictionaries(
                {"name": device_names},
                optional={"network": device_names, "mac": macs, "model": st.sampled_from(["virtio", "e1000e"])},
            ),
            max_size=4, unique_by=(lambda one: one["name"].lower(), lambda one: one.get("mac", one["name"])),
        )),
    }  # fmt: skip
    if draw(st.booleans()):
        raw["maxCpus"] = cpus + draw(st.integers(0, 8))
    if draw(st.booleans()):
        raw["maxMemory"] = f"{memory_bytes(memory) // 1024**2 + draw(st.integers(0, 8))}MiB"
    boots = draw(st.sampled_from(["kernel", "disk", "template", "both"]))
    if boots in ("kernel", "both"):
        optional = {"initrd": files, "cmdline": text}
        raw["directKernel"] = draw(st.fixed_dictionaries({"kernel": files}, optional=optional))
        raw["directKernel"] = {
            name: one.replace("..", "--") if isinstance(one, str) else one for name, one in raw["directKernel"].items()
        }
    if boots in ("disk", "both"):
        raw["rootDisk"] = {"pool": "p", "size": "1GiB", "format": draw(st.sampled_from(["qcow2", "raw"]))}
        raw["rootDisk"] |= {"bus": draw(buses), **draw(st.fixed_dictionaries({}, optional=tunes))}
    if boots == "template":
        raw["template"] = "t"
    if draw(st.booleans()):
        raw["iso"] = draw(volumes)
    raw["firmware"] = draw(st.sampled_from(["bios", "uefi"]))
    # A machine type that a program stops saying keeps what it has.
    raw["machine"] = draw(st.sampled_from(["pc-q35-7.2", "pc-q35-6.1"]))
    raw["cpuMode"] = draw(st.sampled_from(["host-model", "host-passthrough", "maximum", "Nehalem", "qemu64"]))
    if boots != "kernel" and draw(st.booleans()):
        raw["cloudInit"] = {"hostname": "h"}
    return raw


def in_full(spec: Instance) -> Instance:
    """A MAC, bus or serial number that is not said keeps what it has: for comparing two declarations, say it."""
    usual = (spec.root_disk.bus if spec.root_disk else None) or "virtio"
    disks = [
        disk.model_copy(update={"bus": disk.bus or usual, "serial": disk.serial or serial_of(disk.name)})
        for disk in spec.disks
    ]
    nics = [nic.model_copy(update={"mac": nic.mac or mac_of(UUID, nic.name)}) for nic in spec.nics]
    return spec.model_copy(update={"disks": disks, "nics": nics})


def untuned(disk: RootDisk) -> RootDisk:
    return disk.model_copy(update={fields(RootDisk)[name].attribute: None for name in tunes})


@given(raws())
def test_what_is_written_reads_as_the_same_meaning(raw: dict[str, Any]) -> None:
    spec = spec_of(raw)
    root = parse(text_of(ours(spec)))
    assert comparable(root) == meaning(spec, "qemu")
    assert cpu_of(root) == spec.cpu_mode
    assert value(root, "name") == spec.name
    targets = [value(disk, "target/@dev") for disk in root.iterfind("devices/disk")]
    assert len(set(targets)) == len(targets)


@settings(max_examples=60)
@given(raws(), raws())
def test_a_patch_is_as_good_as_new(before: dict[str, Any], after: dict[str, Any]) -> None:
    # What a program does not say of a disk stays.
    plain = [{name: one for name, one in disk.items() if name not in tunes} for disk in before["disks"]]
    first, spec = (in_full(spec_of(raw)) for raw in ({**before, "disks": plain}, after))
    first = first.model_copy(update={"root_disk": first.root_disk and untuned(first.root_disk)})
    root = ours(first)
    # An update makes no root disk: that is a replacement.
    resolved = dataclasses.replace(resolved_of(spec), root=None)
    patch(root, spec.name or "", spec, resolved)
    # A bus that is not said stays.
    said = spec.root_disk.bus if spec.root_disk and has_root(first) else None
    bus = {"rootDisk.bus": said or meaning(first, "qemu")["rootDisk.bus"]}
    wanted = {path: one for path, one in meaning(spec, "qemu").items() if not path.startswith("rootDisk")} | bus
    wanted |= options("rootDisk", spec.root_disk, "unmap") if has_root(first) else {}
    wanted |= {path: one for path, one in meaning(first, "qemu").items() if path == "rootDisk"}
    assert comparable(parse(text_of(root))) == wanted
    assert cpu_of(root) == spec.cpu_mode
    again = parse(text_of(root))
    patch(again, spec.name or "", spec, resolved)
    assert same_xml(again, root)


@given(raws())
def test_order_of_devices_never_matters(raw: dict[str, Any]) -> None:
    spec = spec_of(raw)
    root = made(spec)
    before = parse(text_of(root))
    turned = spec.model_copy(update={"disks": spec.disks[::-1], "nics": spec.nics[::-1]})
    patch(root, spec.name or "", turned, resolved_of(turned))
    assert same_xml(root, before)


FOREIGN = """<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>old</name>
<uuid>6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10</uuid><title>T</title>
<metadata><x:y xmlns:x='urn:x'>kept</x:y></metadata><memory unit='KiB'>1048576</memory>
<vcpu placement='static' cpuset='0-1' current='1'>2</vcpu><cputune><shares>9</shares></cputune>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader type='rom'>/x</loader><boot dev='network'/></os>
<cpu mode='custom'><model>qemu64</model></cpu>
<devices><emulator>/usr/bin/kvm</emulator>
<disk type='file' device='disk'><source file='/old.img'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><source file='/old.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:77'/><source bridge='br0'/><model type='virtio'/></interface>
<graphics type='vnc' port='-1'/><hostdev mode='subsystem' type='usb'><source><vendor id='1'/></source></hostdev>
</devices>
<qemu:commandline><qemu:arg value='-foo'/></qemu:commandline></domain>"""


@given(raws())
def test_a_patch_keeps_what_is_foreign(raw: dict[str, Any]) -> None:
    root = parse(FOREIGN)
    spec = spec_of({name: item for name, item in raw.items() if name not in ("firmware", "machine", "cpuMode")})
    patch(root, spec.name or "", spec, resolved_of(spec))
    assert root.get("type") == "kvm"
    kept = {
        "title": "T", "cputune/shares": "9", "os/loader": "/x", "os/boot/@dev": "network", "cpu/model": "qemu64",
        "os/type/@machine": "pc-q35-7.2", "devices/emulator": "/usr/bin/kvm", "devices/graphics/@port": "-1",
        "devices/hostdev/source/vendor/@id": "1", "vcpu/@placement": "static", "vcpu/@cpuset": "0-1",
    }  # fmt: skip
    assert {path: value(root, path) for path in kept} == kept
    assert root.findtext("metadata/{urn:x}y") == "kept"
    assert value(root, "devices/disk[@device=disk]/source/@file") == "/old.img"
    assert "sda" in [disk_key(disk) for disk in root.iterfind("devices/disk")]
    assert "52-54-00-00-00-77" in {path.partition(".")[2] for path in comparable(root) if path.startswith("nics.")}
    assert len(root.findall("{http://libvirt.org/schemas/domain/qemu/1.0}commandline")) == 1


def test_a_root_disk_on_another_bus_keeps_its_place_in_the_boot_order() -> None:
    """libvirt sorts the disks of one bus by their targets, and boots from the first disk."""
    raw = {"name": "a", "rootDisk": {"pool": "p", "size": "1GiB", "bus": "sata"}, "iso": "p/cd"}
    spec = spec_of({**raw, "disks": [{"name": "data", "volume": "p/data"}]})
    root = made(spec)
    targets = {disk_key(disk): value(disk, "target/@dev") for disk in root.iterfind("devices/disk")}
    assert targets == {"sda": "sda", "sdb": "sdb", "data": "sdc"}
    back = spec.model_copy(update={"root_disk": RootDisk(pool="p", size="1GiB", bus="virtio")})
    root.find("devices/disk").append(parse("<address type='drive'/>"))
    patch(root, "a", back, resolved_of(back))
    first = root.find("devices/disk")
    assert (value(first, "alias/@name"), value(first, "target/@dev")) == (ROOT_ALIAS, "vda")
    assert first.find("address") is None


def test_a_cd_is_booted_after_the_disks_and_an_imported_drive_is_left_alone() -> None:
    spec = spec_of({"name": "a", "rootDisk": {"pool": "p", "size": "1GiB"}, "iso": "p/cd"})
    root = made(spec)
    assert [boot.get("dev") for boot in root.iterfind("os/boot")] == ["hd", "cdrom"]
    without = spec.model_copy(update={"iso": None})
    patch(root, "a", without, resolved_of(without))
    assert same_xml(root, made(without))
    foreign = parse(FOREIGN)
    patch(foreign, "a", without, resolved_of(without))
    assert value(foreign, "devices/disk[@device=cdrom]/source/@file") == "/old.iso"
    patch(foreign, "a", spec, resolved_of(spec))
    targets = [value(disk, "target/@dev") for disk in foreign.iterfind("devices/disk[@device='cdrom']")]
    assert targets == ["sda", "sdb"]


def test_a_board_without_sata_has_its_drive_on_another_bus() -> None:
    spec = spec_of({"name": "a", "iso": "p/cd"})
    root = skeleton(UUID, "aarch64", "qemu")
    patch(root, "a", spec, resolved_of(spec))
    assert value(root, "devices/disk[@device=cdrom]/target/@bus") == "scsi"


def test_firmware_that_somebody_chose_by_hand_is_left_alone() -> None:
    by_hand = "<os><type>hvm</type><loader type='pflash'>/x</loader><nvram>/y</nvram></os>"
    root = parse(f"<domain>{by_hand}</domain>")
    uefi = spec_of({"name": "a", "directKernel": {"kernel": "/k"}, "firmware": "uefi"})
    patch_machine(root, uefi, "/z")
    assert same_xml(root, parse(f"<domain>{by_hand}</domain>"))
    bios = uefi.model_copy(update={"firmware": "bios"})
    patch_machine(root, bios, None)
    assert same_xml(root, parse("<domain><os><type>hvm</type></os></domain>"))
    patch_machine(root, uefi, "/z")
    assert firmware_of(root) == "uefi"
    assert value(root, "os/nvram") == "/z"


def test_another_cpu_takes_its_features_along_and_leaves_the_topology() -> None:
    root = parse(
        "<domain><cpu mode='custom' match='exact' check='full'><model fallback='allow'>EPYC</model><vendor>AMD</vendor>"
        "<feature name='a'/><topology sockets='2'/><feature name='b'/></cpu></domain>"
    )
    spec = spec_of({"name": "a", "directKernel": {"kernel": "/k"}, "cpuMode": "host-model"})
    patch_machine(root, spec, None)
    assert same_xml(root, parse("<domain><cpu mode='host-model'><topology sockets='2'/></cpu></domain>"))
    patch_machine(root, spec.model_copy(update={"cpu_mode": "Nehalem"}), None)
    assert value(root, "cpu/model") == "Nehalem"
    assert value(root, "cpu/@match") == "exact"


@pytest.mark.parametrize(
    ("wanted", "actual", "same"),
    [
        ("q35", "pc-q35-7.2", True), ("pc-q35-7.2", "pc-q35-7.2", True), ("pc-q35-7.1", "pc-q35-7.2", False),
        ("virt", "virt-7.2", True), ("q35", "pc-i440fx-7.2", False), ("pc", "pc-i440fx-7.2", True),
        ("q35", None, False),
    ],
)  # fmt: skip
def test_the_name_of_a_board_means_any_version_of_it(wanted: str, actual: str | None, same: bool) -> None:
    assert means(wanted, actual) is same


def test_a_mac_follows_from_instance_and_name_and_never_changes_between_releases() -> None:
    assert mac_of(UUID, "eth0") == "52:54:00:dd:c2:6b"
    assert mac_of(UUID, "eth1") != mac_of(UUID, "eth0")


def test_a_card_keeps_its_mac_when_the_program_stops_saying_it() -> None:
    raw = {"name": "a", "directKernel": {"kernel": "/k"}, "nics": [{"name": "e", "mac": "52:54:00:00:00:99"}]}
    root = made(spec_of(raw))
    spec = spec_of({**raw, "nics": [{"name": "e"}]})
    patch(root, "a", spec, resolved_of(spec))
    assert comparable(root)["nics.e"][1] == "52:54:00:00:00:99"


def test_another_model_gets_another_place_on_the_bus() -> None:
    raw = {"name": "a", "directKernel": {"kernel": "/k"}, "nics": [{"name": "e", "network": "n"}]}
    root = made(spec_of(raw))
    card = root.find("devices/interface")
    card.append(parse("<address type='pci' slot='0x05'/>"))
    spec = spec_of({**raw, "nics": [{"name": "e", "network": "n", "model": "e1000e"}]})
    patch(root, "a", spec, resolved_of(spec))
    assert root.find("devices/interface/address") is None


def test_a_guest_with_hot_plugged_cpus_is_redefined_with_a_plain_number() -> None:
    spec = spec_of({"name": "a", "directKernel": {"kernel": "/k"}, "cpus": 2, "maxCpus": 4})
    root = made(spec)
    root.append(parse("<vcpus><vcpu id='0' enabled='yes'/><vcpu id='1' enabled='no'/></vcpus>"))
    patch(root, "a", spec, resolved_of(spec))
    assert root.find("vcpus") is None
    assert (value(root, "vcpu"), value(root, "vcpu/@current")) == ("4", "2")


def test_a_seed_is_large_enough_for_busybox_to_recognise_it() -> None:
    """Its findfs reads 64 KiB and more before it believes a label."""
    data = content_of(UUID, "web", CloudInit(hostname="h"))
    assert len(data) >= 72 * 1024
    assert len(data) % 512 == 0
    assert data == content_of(UUID, "web", CloudInit(hostname="h"))

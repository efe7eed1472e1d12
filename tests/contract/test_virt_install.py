"""What virt-install and virsh made: imported without a change, and then only what is declared changes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench

from jvp.core.errors import Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse, put, text_of, value

MIB = 1024**2
LIMIT_S = 120
COMMON = ("--virt-type", "qemu", "--memory", "64", "--noautoconsole")
VOLUMES = {"root.qcow2": ("4M", "qcow2"), "data.img": ("2M", "raw"), "cd.iso": ("1M", "raw")}


@dataclass
class Hands:
    """A pool, volumes and a network of somebody who works with virsh, and machines by virt-install."""

    bench: Bench
    name: str
    """Of the pool, of the network, and how each machine's name begins."""
    folder: Path

    def virsh(self, *arguments: str) -> None:
        subprocess.run(
            ["virsh", "--connect", self.bench.connection.getURI(), "--quiet", *arguments],
            check=True,
            timeout=LIMIT_S,
            stdout=subprocess.DEVNULL,
        )

    def install(self, label: str, *arguments: str) -> Any:
        name = f"{self.name}-{label}"
        command = ["virt-install", "--connect", self.bench.connection.getURI(), "--name", name, *COMMON, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.bench.connection.lookupByName(name)

    def imported(self, token: str, reference: str) -> Stored:
        stored = self.bench.calls.import_(token, reference, Work())
        assert stored is not None
        return self.same(token, stored, stored.inputs)

    def same(self, token: str, stored: Stored, raw: Bag) -> Stored:
        """It is as `raw` says, now and when it is read again."""
        assert self.bench.plan(token, stored, raw) == []
        read = self.bench.read(token, stored)
        assert read is not None
        assert self.bench.plan(token, read, raw) == []
        return read

    def changed(self, token: str, stored: Stored, raw: Bag, paths: set[str]) -> Stored:
        """It is updated to `raw`, of which just `paths` differ from what there is."""
        assert set(self.bench.plan(token, stored, raw)) == paths
        return self.same(token, self.bench.update(token, stored, raw).stored, raw)


@pytest.fixture(scope="module")
def hands(furnished: Bench) -> Iterator[Hands]:
    if shutil.which("virt-install") is None:
        pytest.skip("virt-install is not installed (Debian package virtinst)")
    name = furnished.name("hand")
    found = Hands(furnished, name, furnished.folder / name)
    found.folder.mkdir()
    base = furnished.cidr().rpartition(".")[0]
    network = furnished.folder / f"{name}.xml"
    network.write_text(
        f"<network><name>{name}</name><forward mode='nat'/><ip address='{base}.1' netmask='255.255.255.0'>"
        f"<dhcp><range start='{base}.10' end='{base}.20'/></dhcp></ip></network>"
    )
    try:
        found.virsh("pool-define-as", name, "dir", "--target", str(found.folder))
        found.virsh("pool-start", name)
        for volume, (size, format) in VOLUMES.items():
            found.virsh("vol-create-as", name, volume, size, "--format", format)
        found.virsh("net-define", str(network))
        found.virsh("net-start", name)
        yield found
    finally:
        found.virsh("net-destroy", name)
        found.virsh("net-undefine", name)
        found.virsh("pool-destroy", name)
        found.virsh("pool-undefine", name)
        shutil.rmtree(found.folder)
        network.unlink()


@pytest.fixture
def bench(hands: Hands, leftovers: None) -> Bench:
    """After each test nothing of it may be left beside what the hands made."""
    return hands.bench


TUNED = (
    "serial=HAND,wwn=5000c50015ea71ac,shareable=on,driver.cache=none,driver.io=native,driver.discard=unmap,"
    "driver.detect_zeroes=unmap,iotune.read_iops_sec=500,iotune.total_bytes_sec=1000001"
)
"""What a disk can have beside its data."""
MACHINES = {
    "import": ("--import", "--noreboot", "--disk", "vol={0}/root.qcow2,bus=virtio", "--disk",
               "vol={0}/data.img,bus=scsi," + TUNED,
               "--network", "network={0},model=virtio", "--osinfo", "detect=off,require=off"),
    "sized": ("--cdrom", "{1}/cd.iso", "--disk", "pool={0},size=0.004", "--network", "network={0}",
              "--osinfo", "generic"),
    "uefi": ("--import", "--boot", "uefi", "--disk", "pool={0},size=0.004,format=raw",
             "--network", "network={0},mac=52:54:00:0D:1F:7A", "--network", "user", "--osinfo", "linux2022"),
}  # fmt: skip


@pytest.fixture
def machine(hands: Hands, bench: Bench, request: pytest.FixtureRequest) -> Iterator[Any]:
    """One of MACHINES; its disk that virt-install made goes with it."""
    label = request.param
    if label == "uefi" and not Path("/usr/share/OVMF").is_dir():
        pytest.skip("there is no UEFI firmware (Debian package ovmf)")
    made = set(hands.folder.iterdir())
    domain = hands.install(label, *(one.format(hands.name, hands.folder) for one in MACHINES[label]))
    uuid = domain.UUIDString()
    yield domain
    for left in bench.connection.listAllDomains(0):
        if left.UUIDString() == uuid:
            if left.isActive():
                left.destroy()
            left.undefineFlags(7)
    for path in set(hands.folder.iterdir()) - made:
        path.unlink()


def definition(domain: Any, **changes: str) -> list[str]:
    """The inactive definition without our notes, with these texts by their tags."""
    root = devices.inactive_xml(domain)
    marks.drop(root)
    for tag, text in changes.items():
        put(root, tag, text)
    return text_of(parse(text_of(root))).split("\n")


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_a_machine_comes_as_it_is_and_only_what_is_declared_changes(hands: Hands, machine: Any) -> None:
    before, inactive, live = definition(machine), machine.XMLDesc(2), machine.XMLDesc(0)
    stored = hands.imported("Instance", machine.name())
    assert (machine.XMLDesc(2), machine.XMLDesc(0)) == (inactive, live)
    tuned = [one for one in stored.inputs.get("disks", ()) if one.get("serial") == "HAND"]
    assert len(tuned) == inactive.count("<wwn>")
    for disk in tuned:
        assert {**disk, "name": "", "volume": ""} == {
            "name": "", "volume": "", "readOnly": False, "bus": "scsi", "serial": "HAND", "wwn": "5000c50015ea71ac",
            "shareable": True, "cache": "none", "io": "native", "discard": "unmap", "detectZeroes": "unmap",
            "iops": {"read": 500}, "bandwidth": {"total": "1000.001kB"},
        }  # fmt: skip
    # The least that a person would write: what it leaves out stays as it is found.
    least = {"name": machine.name(), "rootDisk": stored.inputs["rootDisk"]}
    hands.same("Instance", stored, least)
    grown = {"memory": str(96 * 1024), "currentMemory": str(96 * 1024)}
    wanted = definition(machine, **grown)
    assert wanted != before
    stored = hands.changed("Instance", stored, {**least, "memory": "96MiB"}, {"memory", "maxMemory"})
    assert definition(machine) == wanted
    wanted = definition(machine, vcpu="3")
    stored = hands.changed("Instance", stored, {**least, "memory": "96MiB", "cpus": 3}, {"cpus", "maxCpus"})
    assert definition(machine) == wanted
    if machine.isActive():
        pending = [one.partition(":")[0] for one in stored.state["pending"]]
        assert pending == ["cpus", "maxCpus", "maxMemory", "memory"]
        machine.destroy()
        machine.create()
        stored = hands.same("Instance", stored, {**least, "memory": "96MiB", "cpus": 3})
        assert stored.state["pending"] == []
    # It has no system that would shut down.
    hands.bench.delete("Instance", replace(stored, state={**stored.state, "shutdownTimeout": "1s"}))
    assert machine.name() not in [one.name() for one in hands.bench.connection.listAllDomains(0)]
    assert not Path(value(parse(inactive), "os/nvram") or "/none").exists()
    disks = [value(one, "source/@file") for one in parse(inactive).iterfind("devices/disk")]
    assert all(Path(path).exists() for path in disks if path), "a disk of theirs is gone"


@pytest.mark.parametrize("machine", ["import"], indirect=True)
def test_cpus_that_were_laid_out_are_told_from_those_that_can_be_had(hands: Hands, machine: Any) -> None:
    root = devices.inactive_xml(machine)
    put(root, "vcpu", "3")
    put(root, "vcpu/@current", "1")
    for name, count in (("sockets", "1"), ("cores", "3"), ("threads", "1")):
        put(root, f"cpu/topology/@{name}", count)
    hands.bench.connection.defineXML(text_of(root))
    before = machine.XMLDesc(2)
    stored, least = hands.imported("Instance", machine.name()), {"name": machine.name()}
    raw = {**least, "rootDisk": stored.inputs["rootDisk"], "maxCpus": 4}
    lines: list[str] = []
    hands.bench.calls.preview_update("Instance", stored, hands.bench.inputs("Instance", raw), Work(warn=lines.append))
    said = "maxCpus: is 4, and the topology in the machine's definition makes 3 (3 cores): set maxCpus to 3, or"
    assert [one for one in lines if one.startswith(said) and one.endswith(": this will fail")], lines
    with pytest.raises(Rejected) as caught:
        hands.bench.update("Instance", stored, raw)
    assert str(caught.value).startswith(said)
    assert machine.XMLDesc(2) == before
    read = hands.bench.read("Instance", stored)
    assert read is not None
    raw = {**raw, "maxCpus": 3, "cpus": 2}
    hands.same("Instance", hands.bench.update("Instance", read, raw).stored, raw)
    hands.bench.delete("Instance", read)


@pytest.mark.parametrize("machine", ["import"], indirect=True)
def test_what_an_update_made_for_a_machine_goes_with_it(hands: Hands, machine: Any) -> None:
    """The cloud-init disk, UEFI's variables and the card's address; the root disk stays."""
    before, network = sorted(hands.folder.iterdir()), hands.bench.connection.networkLookupByName(hands.name)
    kept = network.XMLDesc(1)
    stored = hands.imported("Instance", machine.name())
    address = hands.bench.read("Network", hands.imported("Network", hands.name)).state["dhcp"]["end"]  # type: ignore[union-attr]
    raw = {
        **stored.inputs, "cloudInit": {"hostname": "hand"}, "firmware": "uefi", "shutdownTimeout": "0s",
        "nics": [{**stored.inputs["nics"][0], "address": address}],
    }  # fmt: skip
    stored = hands.bench.update("Instance", stored, raw).stored
    machine.create()  # now there are variables
    assert len(list(hands.folder.iterdir())) == len(before) + 2
    assert network.XMLDesc(1) != kept
    hands.bench.delete("Instance", stored)
    assert sorted(hands.folder.iterdir()) == before
    assert network.XMLDesc(1) == kept


def test_pools_volumes_and_networks_come_as_they_are(hands: Hands, bench: Bench) -> None:
    connection = bench.connection
    pool, network = connection.storagePoolLookupByName(hands.name), connection.networkLookupByName(hands.name)
    volume = pool.storageVolLookupByName("root.qcow2")

    def looks() -> list[str]:
        # without the filesystem's use, which is not the pool's alone, and without times
        texts = [pool.XMLDesc(1), network.XMLDesc(1), volume.XMLDesc(0)]
        return [re.sub(r"<(allocation|available|physical|[abcm]time).*", "", text) for text in texts]

    before = looks()
    pools = hands.imported("StoragePool", hands.name)
    networks = hands.imported("Network", hands.name)
    volumes = hands.imported("Volume", f"{hands.name}/root.qcow2")
    hands.same("StoragePool", pools, {"name": hands.name})
    hands.same("Network", networks, {"name": hands.name, "cidr": networks.state["cidr"]})
    hands.same("Volume", volumes, {"pool": hands.name, "name": "root.qcow2", "size": "4MiB"})
    assert looks() == before
    assert sorted(path.name for path in hands.folder.iterdir()) == sorted(VOLUMES)

    hands.changed("Volume", volumes, {**volumes.inputs, "size": "5MiB"}, {"size"})
    assert looks()[2] == before[2].replace(str(4 * MIB), str(5 * MIB))
    end = networks.state["dhcp"]["end"]
    moved = {**networks.inputs, "dhcp": {**networks.state["dhcp"], "end": end[:-1] + "1"}}
    hands.changed("Network", networks, moved, {"dhcp.end"})
    assert network.XMLDesc(1) == before[1].replace(f"'{end}'", f"'{end[:-1]}1'")
    hands.changed("StoragePool", pools, {**pools.inputs, "active": False}, {"active"})
    assert (pool.isActive(), pool.autostart()) == (0, 0)
    pool.create()

"""Whose a device is: the program's, somebody else's, or an imported one that the program changes."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.drift import domain_edited
from tests.contract.kinds import foreign_domain, running, stopped

from jvp.core.errors import Cancelled, Invalid, NameTaken, Rejected, dotted
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, put, text_of, value
from jvp.libvirt.storage import kvm_probe
from jvp.libvirt.storage.streams import read_small, write_small
from jvp.resources.instance import attaching, rootplan, storage

LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE
DISK = "<disk type='file' device='disk'><source file='{}'/><target dev='{}' bus='virtio'/></disk>"
CARD = "<interface type='user'><mac address='52:54:00:0d:1f:77'/><model type='virtio'/></interface>"
HANDMADE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type machine='q35'>hvm</type></os><on_reboot>restart</on_reboot><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='{root}'/>
<target dev='sda' bus='sata'/></disk>
<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{data}'/>
<target dev='sdc' bus='sata'/></disk>
<interface type='network'><mac address='52:54:00:0d:1f:78'/><source network='{network}'/><model type='rtl8139'/>
</interface></devices></domain>"""


@pytest.mark.parametrize(
    ("raw", "path", "says"),
    [
        ({"directKernel": {"kernel": "/no/such"}}, "directKernel.kernel", 'cannot load "/no/such": No such file'),
        ({"directKernel": {"kernel": "/etc/hostname"}}, "directKernel.kernel", "no kernel that QEMU can boot"),
        ({"maxMemory": "8191TiB"}, "maxMemory", "does not have so much memory to give"),
        ({"memory": "8191TiB"}, "memory", 'is "8191TiB", and the node has'),
        ({"cpus": 256}, "cpus", "is 256, and the node gives"),
    ],
)
def test_what_keeps_a_guest_from_starting_is_named_and_nothing_is_left(
    bench: Bench, raw: Bag, path: str, says: str
) -> None:
    with pytest.raises(Rejected, match=says) as caught:
        bench.create("Instance", "unstarted", {**running(bench, bench.name("unstarted")), **raw})
    assert dotted(caught.value.path) == path


def volume_path(bench: Bench, index: int) -> str:
    pool = bench.connection.storagePoolLookupByUUIDString(bench.volumes[index].id.partition("/")[0])
    return str(pool.storageVolLookupByName(bench.volumes[index].state["name"]).path())


def test_a_device_that_nobody_declared_is_neither_unplugged_nor_plugged_in(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    raw = running(bench, bench.name("foreign"))
    stored = made(raw)
    domain = domain_of(bench, stored)
    domain.attachDeviceFlags(DISK.format(volume_path(bench, 1), "vdx"), LIVE)
    domain.attachDeviceFlags(CARD, CONFIG)
    stored = bench.update("Instance", stored, {**raw, "autostart": True}).stored
    assert "vdx" in domain.XMLDesc(0)
    assert "vdx" not in domain.XMLDesc(INACTIVE)
    assert "0d:1f:77" in domain.XMLDesc(INACTIVE)
    assert "0d:1f:77" not in domain.XMLDesc(0)
    assert stored.state["pending"] == []
    assert sorted(stored.state["undeclared"]) == ["disk vdx", "nic 52-54-00-0d-1f-77"]
    bench.converged("Instance", stored, {**raw, "autostart": True})


@pytest.mark.parametrize("power", ["running", "paused"])
def test_a_guest_that_gives_no_memory_back_is_no_drift(bench: Bench, made: Callable[[Bag], Stored], power: str) -> None:
    """Nothing in this guest serves its balloon: it keeps the room that it was started with."""
    raw = {**running(bench, bench.name("room")), "disks": [], "maxMemory": "64MiB", "powerState": power}
    stored = made(raw)
    assert stored.state["memory"] == "32MiB"
    (pending,) = stored.state["pending"]
    assert pending.startswith("memory: the guest has its whole room still")
    assert 'acknowledged="no"' in domain_of(bench, stored).XMLDesc(INACTIVE)
    bench.converged("Instance", stored, raw)


def test_a_new_device_cannot_have_the_name_of_one_that_nobody_declared(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    raw = stopped(bench, bench.name("named"))
    stored = made(raw)
    domain = domain_of(bench, stored)
    domain.attachDeviceFlags(DISK.format("/nowhere/x", "vdx"), CONFIG)
    before = domain.XMLDesc(INACTIVE)
    more = [*raw["disks"], {"name": "vdx", "volume": bench.volumes[1].id}]
    with pytest.raises(Rejected, match=r'disks\[1\].name: "vdx" is what a device is called that the program does not'):
        bench.update("Instance", stored, {**raw, "disks": more})
    assert domain.XMLDesc(INACTIVE) == before


@pytest.fixture
def handmade(bench: Bench) -> Iterator[Any]:
    """A domain as virt-install defines it: SATA disks, an empty CD drive, an old card."""
    assert bench.pool is not None
    assert bench.network is not None
    pool = bench.connection.storagePoolLookupByUUIDString(bench.pool.id)
    name = bench.name("handmade")
    volume = pool.createXML(f"<volume><name>{name}.img</name><capacity>1048576</capacity></volume>", 0)
    xml = HANDMADE.format(
        name=name, root=volume.path(), data=volume_path(bench, 0), network=bench.network.state["name"]
    )
    domain = bench.connection.defineXML(xml)
    yield domain
    with contextlib.suppress(libvirt.libvirtError):  # a test may have deleted it
        domain.undefine()
    with contextlib.suppress(libvirt.libvirtError):
        volume.delete()


def imported(bench: Bench, domain: Any) -> Stored:
    before = domain.XMLDesc(INACTIVE)
    found = bench.calls.import_("Instance", domain.name(), Work())
    assert found is not None
    assert bench.plan("Instance", found, found.inputs) == []
    assert domain.XMLDesc(INACTIVE) == before
    return found


def without(root: Any, *paths: str) -> str:
    """The XML without our notes and these parts."""
    for path in ("metadata", *paths):
        drop(root, path)
    return text_of(root)


def test_the_disks_and_cards_of_an_import_change_where_they_are(bench: Bench, handmade: Any) -> None:
    stored = imported(bench, handmade)
    assert [disk["name"] for disk in stored.inputs["disks"]] == ["sdc"]
    assert stored.state["undeclared"] == ["disk sdb"]
    (nic,) = stored.inputs["nics"]
    assert nic["model"] == "rtl8139"
    raw = {
        **stored.inputs,
        "disks": [{"name": "sdc", "volume": bench.volumes[1].id}],
        "nics": [{**nic, "model": "e1000", "mac": "52:54:00:0d:1f:79"}],
    }
    before = parse(handmade.XMLDesc(INACTIVE))
    assert sorted(bench.plan("Instance", stored, raw)) == ["disks[0].volume", "nics[0].mac", "nics[0].model"]
    stored = bench.update("Instance", stored, raw).stored
    bench.converged("Instance", stored, raw)
    after = parse(handmade.XMLDesc(INACTIVE))
    disk = next(one for one in after.iterfind("devices/disk") if value(one, "target/@dev") == "sdc")
    assert value(disk, "source/@file") == volume_path(bench, 1)
    assert value(disk, "target/@bus") == "sata"
    card = after.find("devices/interface")
    assert card is not None
    assert (value(card, "mac/@address"), value(card, "model/@type")) == ("52:54:00:0d:1f:79", "e1000")
    for root in (before, after):
        changed = [one for one in root.iterfind("devices/disk") if value(one, "target/@dev") == "sdc"]
        for one in (*changed, *root.iterfind("devices/interface")):
            one.getparent().remove(one)
    assert without(before) == without(after)
    stored = bench.update("Instance", stored, {**raw, "disks": [], "nics": []}).stored
    assert volume_path(bench, 1) not in handmade.XMLDesc(INACTIVE)
    assert "<interface" not in handmade.XMLDesc(INACTIVE)
    assert "sdb" in handmade.XMLDesc(INACTIVE)
    bench.converged("Instance", stored, {**raw, "disks": [], "nics": []})


def test_what_followed_from_another_property_follows_it_after_an_import(bench: Bench, handmade: Any) -> None:
    stored = imported(bench, handmade)
    assert ["maxCpus"] in stored.private["unmanaged"]
    raw = {**{name: given for name, given in stored.inputs.items() if name != "maxCpus"}, "cpus": 2}
    stored = bench.update("Instance", stored, raw).stored
    assert (stored.state["cpus"], stored.state["maxCpus"]) == (2, 2)
    bench.converged("Instance", stored, raw)


@pytest.mark.parametrize("goes", [False, True])
def test_the_root_disk_of_an_import_goes_with_it_when_that_is_declared(bench: Bench, handmade: Any, goes: bool) -> None:
    stored = imported(bench, handmade)
    disk = Path(value(parse(handmade.XMLDesc(INACTIVE)), "devices/disk/source/@file") or "")
    raw = {**stored.inputs, "rootDisk": {**stored.inputs["rootDisk"], "deleteWithInstance": goes}}
    assert bench.plan("Instance", stored, raw) == (["rootDisk.deleteWithInstance"] if goes else [])
    before = handmade.XMLDesc(INACTIVE)
    stored = bench.update("Instance", stored, raw).stored
    assert without(parse(handmade.XMLDesc(INACTIVE))) == without(parse(before))
    stored = bench.converged("Instance", stored, raw)
    bench.delete("Instance", stored)
    assert bench.read("Instance", stored) is None
    assert disk.exists() is not goes
    assert Path(volume_path(bench, 0)).exists()


def test_a_root_disk_of_an_import_that_a_program_declares_does_not_go_with_it(bench: Bench, handmade: Any) -> None:
    mine = volume_path(bench, 2)
    domain_edited(lambda _, root: put(root, "devices/disk/source/@file", mine))(bench, handmade)
    stored = imported(bench, handmade)
    raw = {**stored.inputs, "rootDisk": {**stored.inputs["rootDisk"], "deleteWithInstance": True}}
    stored = bench.update("Instance", stored, raw).stored
    with pytest.raises(Rejected, match="is a volume that a program declares, so it does not go with the instance"):
        bench.delete("Instance", stored)
    assert Path(mine).exists()
    assert handmade.XMLDesc(INACTIVE)


def test_an_import_whose_root_disk_is_in_no_pool_is_refused(bench: Bench, handmade: Any) -> None:
    domain_edited(lambda _, root: put(root, "devices/disk/source/@file", "/nowhere/root.img"))(bench, handmade)
    with pytest.raises(Rejected, match=r"its root disk /nowhere/root\.img is in no active storage pool"):
        bench.calls.import_("Instance", handmade.name(), Work())


def test_an_import_that_no_program_can_declare_is_refused(bench: Bench, handmade: Any) -> None:
    domain_edited(lambda _, root: put(root, "devices/interface/model/@type", "ne2k_pci"))(bench, handmade)
    with pytest.raises(Rejected, match=r"so it is not imported: nics\[0\].model: must be one of"):
        bench.calls.import_("Instance", handmade.name(), Work())


def test_an_import_that_boots_from_nothing_is_refused_in_words_of_an_import(bench: Bench) -> None:
    domain = foreign_domain(bench, {"name": bench.name("diskless")})
    with pytest.raises(Rejected, match="it boots from no disk and no kernel, and of such a machine nothing can be"):
        bench.calls.import_("Instance", domain.name(), Work())
    domain.undefine()


@pytest.mark.parametrize(("alias", "path"), [("ua-jvp-root", "rootDisk"), ("ua-jvp-seed", "cloudInit")])
def test_a_disk_of_the_instance_that_was_taken_out_of_its_definition_comes_back(
    bench: Bench, made: Callable[[Bag], Stored], alias: str, path: str
) -> None:
    raw = stopped(bench, bench.name("lost"))
    stored = made(raw)
    domain = domain_of(bench, stored)

    def sources() -> list[tuple[str | None, str | None]]:
        root = parse(domain.XMLDesc(INACTIVE))
        return sorted((value(one, "source/@file"), value(one, "alias/@name")) for one in root.iterfind("devices/disk"))

    def take(_: Any, root: Any) -> None:
        devices = root.find("devices")
        for disk in devices.findall("disk"):
            if value(disk, "alias/@name") == alias:
                devices.remove(disk)

    before = sources()
    domain_edited(take)(bench, domain)
    assert sources() != before
    read = bench.read("Instance", stored)
    assert read is not None
    assert bench.plan("Instance", read, raw) == [path]
    assert not bench.calls.diff("Instance", read, bench.inputs("Instance", raw)).replaces
    stored = bench.update("Instance", read, raw).stored
    assert sources() == before
    bench.converged("Instance", stored, raw)


@pytest.mark.parametrize("gone", [False, True], ids=["other bytes", "gone"])
def test_a_seed_that_somebody_changed_is_seen_and_written_again(
    bench: Bench, made: Callable[[Bag], Stored], gone: bool
) -> None:
    raw = stopped(bench, bench.name("seed"))
    stored = made(raw)
    pool = bench.connection.storagePoolLookupByUUIDString(bench.pool.id if bench.pool else "")
    name = f"jvp-{stored.id}-seed"
    volume, size = pool.storageVolLookupByName(name), 128 * 1024
    before = read_small(bench.connection, volume, size)
    assert bench.plan("Instance", stored, {**raw, "autostart": True}) == ["autostart"]
    if gone:
        volume.delete()
    else:
        write_small(bench.connection, volume, bytes(size))
    read = bench.read("Instance", stored)
    assert read is not None
    assert bench.plan("Instance", read, raw) == ["cloudInit"]
    stored = bench.update("Instance", read, raw).stored
    assert read_small(bench.connection, pool.storageVolLookupByName(name), size) == before
    bench.converged("Instance", stored, raw)


def test_an_instance_whose_root_disk_is_out_of_reach_is_not_deleted(bench: Bench) -> None:
    """Its files would be left behind, the cloud-init disk with its secrets among them."""
    name = bench.name("apart")
    pool = bench.create("StoragePool", name, {"name": name, "path": f"{bench.folder}/{name}"}).stored
    raw = {**stopped(bench, bench.name("apart")), "rootDisk": {"pool": pool.id, "size": "1MiB"}}
    stored = bench.create("Instance", raw["name"], raw).stored
    holder = bench.connection.storagePoolLookupByUUIDString(pool.id)
    holder.destroy()
    with pytest.raises(Rejected, match=r"its root disk /\S+ is in no active storage pool, so it would be left behind"):
        bench.delete("Instance", stored)
    assert domain_of(bench, stored).name() == raw["name"]
    holder.create()
    bench.delete("Instance", stored)
    bench.delete("StoragePool", pool)
    assert not Path(f"{bench.folder}/{name}").exists()


def test_one_volume_under_two_spellings_is_refused(bench: Bench) -> None:
    assert bench.pool is not None
    name = bench.name("twice")
    other = f"{bench.pool.state['name']}/{bench.volumes[0].state['name']}"
    raw = {
        **stopped(bench, name),
        "disks": [{"name": "a", "volume": bench.volumes[0].id}, {"name": "b", "volume": other}],
    }
    with pytest.raises(Invalid, match=r'disks\[1\].volume: ".*" is the volume of the disk "a" too'):
        bench.create("Instance", name, raw)


def test_a_volume_moves_from_one_instance_to_another_by_two_updates_at_once(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    giver = {**stopped(bench, bench.name("giver")), "nics": []}
    taker = {**giver, "name": bench.name("taker"), "disks": []}
    first, second, waits = made(giver), made(taker), threading.Event()
    work = Work(status=lambda line: waits.set() if "to let go of the volume" in line else None)
    with ThreadPoolExecutor() as pool:
        taking = pool.submit(bench.update, "Instance", second, {**taker, "disks": giver["disks"]}, work)
        assert waits.wait(60)
        bench.update("Instance", first, {**giver, "disks": []})
        assert [disk["name"] for disk in taking.result().stored.state["disks"]] == ["data"]


@pytest.mark.parametrize(
    ("shared", "says"),
    [
        ({"nics": []}, r'disks\[0\].volume: volume ".*" is attached to .* already'),
        ({"disks": [], "nics": [{"name": "a", "mac": "52:54:00:0d:1f:79"}]}, r'nics\[0\].mac: ".*" is (the MAC|given)'),
    ],
)
def test_two_instances_that_are_made_at_once_do_not_both_get_a_volume_or_a_mac(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, shared: Bag, says: str
) -> None:
    monkeypatch.setattr(attaching, "RELEASE_S", 1.0)
    raws = [{**stopped(bench, bench.name("both")), **shared} for _ in range(2)]

    def make(raw: Bag) -> Stored | Rejected:
        try:
            return bench.create("Instance", raw["name"], raw).stored
        except Rejected as error:
            return error

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(make, raws))
    made = [one for one in found if isinstance(one, Stored)]
    for stored in made:
        bench.delete("Instance", stored)
    assert len(made) == 1
    assert re.search(says, " ".join(map(str, found)))


def test_two_instances_exchange_their_volumes(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    data = {"name": "data", "volume": bench.volumes[0].id}, {"name": "data", "volume": bench.volumes[1].id}
    before = [{**stopped(bench, bench.name("swap")), "nics": [], "disks": [disk]} for disk in data]
    stored = [made(raw) for raw in before]
    after = [{**raw, "disks": [disk]} for raw, disk in zip(before, reversed(data), strict=True)]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda one, raw: bench.update("Instance", one, raw).stored, stored, after))
    for one, raw in zip(found, after, strict=True):
        bench.converged("Instance", one, raw)


def test_the_volume_of_a_probe_that_was_cut_off_goes(bench: Bench) -> None:
    assert bench.pool is not None
    pool = bench.connection.storagePoolLookupByUUIDString(bench.pool.id)
    names = [f"jvp-probe-{int(time.time()) - age:x}-0123abcd" for age in (600, 1)]
    for name in (*names, "jvp-probe-of-mine"):
        pool.createXML(f"<volume><name>{name}</name><capacity>512</capacity></volume>", 0)
    kvm_probe.sweep(pool)
    assert names[0] not in pool.listVolumes()
    assert names[1] in pool.listVolumes()
    kvm_probe.sweep(pool, older_s=0)
    assert names[1] not in pool.listVolumes()
    pool.storageVolLookupByName("jvp-probe-of-mine").delete(0)


@pytest.mark.parametrize(
    ("raw", "path"), [({"cpus": 500}, "cpus"), ({"cpus": 2, "maxCpus": 500}, "maxCpus")], ids=["cpus", "room"]
)
def test_more_cpus_than_the_node_gives_are_refused(bench: Bench, raw: Bag, path: str) -> None:
    name = bench.name("many")
    with pytest.raises(Rejected, match=rf"^{path}: is 500, and the node gives a machine of the type \S+ at most \d+$"):
        bench.create("Instance", name, {**stopped(bench, name), **raw})


def test_a_root_disk_outlives_a_machine_that_was_undefined(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    """Nothing that a guest has written is lost, whatever goes wrong on the way back."""
    raw = stopped(bench, bench.name("outlived"))
    raw["rootDisk"] = {**raw["rootDisk"], "format": "raw"}
    stored, data, warned = made(raw), b"all that the guest has", list[str]()

    def disk() -> Any:
        return bench.connection.storageVolLookupByPath(stored.state["rootDiskPath"])

    write_small(bench.connection, disk(), data)
    domain_of(bench, stored).undefine()
    assert bench.calls.read("Instance", stored, Work(warn=warned.append)) is None
    assert "is taken over when the instance is made again" in warned.pop()

    work = Work(status=lambda _: work.cancelled.set())
    with pytest.raises(Cancelled):
        bench.create("Instance", raw["name"], raw, work)
    assert read_small(bench.connection, disk(), len(data)) == data
    other = {**raw, "rootDisk": {**raw["rootDisk"], "format": "qcow2"}}
    with pytest.raises(Rejected, match="is not what is declared now") as refused:
        bench.create("Instance", raw["name"], other)
    assert refused.value.path == ("rootDisk",)

    raw["rootDisk"]["size"] = "2MiB"
    again = bench.create("Instance", raw["name"], raw, Work(warn=warned.append)).stored
    assert (again.id, again.state["rootDiskBytes"]) == (stored.id, 2 << 20)
    assert read_small(bench.connection, disk(), len(data)) == data
    assert "is kept with all that is on it" in warned[0]
    assert f" {rootplan.OUTLIVED}=" not in domain_of(bench, again).XMLDesc(INACTIVE)
    bench.converged("Instance", again, raw)


def test_a_machine_that_was_removed_with_its_files_by_hand_is_made_anew(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    """The pool lists the files until it looks at its folder again: none of them outlived the machine."""
    raw, warned = stopped(bench, bench.name("by-hand")), list[str]()
    stored = made(raw)
    assert bench.read("Instance", stored) is not None
    domain_of(bench, stored).undefine()
    root = Path(stored.state["rootDiskPath"])
    for path in (root, root.with_name(storage.seed_name(stored.id))):
        path.unlink()
    assert bench.calls.read("Instance", stored, Work(warn=warned.append)) is None
    again = bench.create("Instance", raw["name"], raw, Work(warn=warned.append)).stored
    assert (again.id, warned) == (stored.id, [])
    assert root.exists()
    bench.converged("Instance", again, raw)


@pytest.mark.parametrize("named", [storage.seed_name, storage.nvram_name])
def test_a_file_of_somebody_under_the_name_of_one_of_its_own_is_left(bench: Bench, named: Callable[[str], str]) -> None:
    assert bench.pool is not None
    raw = stopped(bench, bench.name("theirs"))
    path = bench.folder / "base" / named(bench.key("Instance", raw["name"]).uuid(0))
    path.write_bytes(b"precious")
    bench.connection.storagePoolLookupByUUIDString(bench.pool.id).refresh(0)
    with pytest.raises(Rejected, match=r"has the name of the instance's .*, and is none; move it away") as refused:
        bench.create("Instance", raw["name"], raw)
    assert str(path) in refused.value.message
    assert path.read_bytes() == b"precious"
    path.unlink()
    bench.connection.storagePoolLookupByUUIDString(bench.pool.id).refresh(0)


def test_two_instances_exchange_their_names_by_way_of_a_third(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raws = [{**stopped(bench, bench.name("name")), "nics": [], "disks": [], "cloudInit": None} for _ in range(2)]
    one, two = (made(raw) for raw in raws)
    names = [raw["name"] for raw in raws]
    for stored, raw, name in ((one, raws[0], names[1]), (two, raws[1], names[0])):
        says = "choose another name, or have .* exchange theirs need a third name"
        with pytest.raises(NameTaken, match=says) as told:
            bench.update("Instance", stored, {**raw, "name": name})
        assert dotted(told.value.path) == "name"
    one = bench.update("Instance", one, {**raws[0], "name": bench.name("third")}).stored
    two = bench.update("Instance", two, {**raws[1], "name": names[0]}).stored
    one = bench.update("Instance", one, {**raws[0], "name": names[1]}).stored
    bench.converged("Instance", one, {**raws[0], "name": names[1]})
    bench.converged("Instance", two, {**raws[1], "name": names[0]})

"""How every declared property can be changed out of band, as virsh would: the table that drift is tested by.

A property that is not here must be in `NOT_READ`, with the reason. `tests/unit/resources` checks that none is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import libvirt

from jvp.libvirt.link.xml import drop, parse, put, sub, text_of

Act = Callable[[Any, Any], None]
"""Of a bench and the libvirt object."""
INACTIVE = 1


@dataclass(frozen=True)
class Drift:
    """One change of one property."""

    property: str
    act: Act
    paths: frozenset[str]
    """What the plan must then change; prefixes."""
    label: str = ""
    """Why it is not seen today; then the test expects just that."""


def edited(change: Callable[[Any, Any], None], *, restart: bool = False) -> Act:
    """`virsh net-edit`, and with `restart` also net-destroy and net-start."""

    def act(bench: Any, network: Any) -> None:
        root = parse(network.XMLDesc(INACTIVE))
        change(bench, root)
        network.connect().networkDefineXML(text_of(root))
        if restart:
            network.destroy()
            network.create()

    return act


def domain_edited(change: Callable[[Any, Any], None]) -> Act:
    """`virsh edit`."""

    def act(bench: Any, domain: Any) -> None:
        root = parse(domain.XMLDesc(2))
        change(bench, root)
        domain.connect().defineXML(text_of(root))

    return act


def _cidr(bench: Any, root: Any) -> None:
    base = bench.cidr().rpartition(".")[0]
    put(root, "ip/@address", f"{base}.1")
    put(root, "ip/dhcp/range/@start", f"{base}.2")
    put(root, "ip/dhcp/range/@end", f"{base}.254")
    put(root, "route/@gateway", f"{base}.7")  # which libvirt wants inside of it


def _gateway(bench: Any, root: Any) -> None:
    base = root.find("ip").get("address").rpartition(".")[0]
    put(root, "ip/@address", f"{base}.254")
    put(root, "ip/dhcp/range/@end", f"{base}.253")


def _range(bench: Any, root: Any) -> None:
    base = root.find("ip").get("address").rpartition(".")[0]
    put(root, "ip/dhcp/range/@start", f"{base}.100")


def _live_range(bench: Any, network: Any) -> None:
    """`virsh net-update --live`: only the running network differs."""
    one = parse(network.XMLDesc(0)).find("ip/dhcp/range")
    assert one is not None
    base = one.get("start", "").rpartition(".")[0]
    section, live = libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, text_of(one).strip(), live)
    new = f"<range start='{base}.50' end='{base}.60'/>"
    network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, new, live)


def _range6(_: Any, root: Any) -> None:
    start = root.find("ip[@family='ipv6']").get("address")
    put(root, "ip[@family=ipv6]/dhcp/range/@start", f"{start}9")


def _host(root: Any) -> Any:
    return root.find("ip/dhcp/host")


def _host_gone(_: Any, root: Any) -> None:
    root.find("ip/dhcp").remove(_host(root))


def _host_moved(_: Any, root: Any) -> None:
    _host(root).set("ip", _host(root).get("ip").rpartition(".")[0] + ".9")


def _host_recarded(_: Any, root: Any) -> None:
    _host(root).set("mac", "52:54:00:0d:1f:99")


def _live_host(_: Any, network: Any) -> None:
    """`virsh net-update delete ip-dhcp-host --live`."""
    text = text_of(_host(parse(network.XMLDesc(0)))).strip()
    section, live = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, text, live)


def _live_record(_: Any, network: Any) -> None:
    """`virsh net-update delete dns-host --live`."""
    text = text_of(parse(network.XMLDesc(0)).find("dns/host")).strip()
    section, live = libvirt.VIR_NETWORK_SECTION_DNS_HOST, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, text, live)


def _option(text: str) -> Callable[[Any, Any], None]:
    """Another option of dnsmasq's in the place of the last one."""

    def change(_: Any, root: Any) -> None:
        root.findall(".//{http://libvirt.org/schemas/network/dnsmasq/1.0}option")[-1].set("value", text)

    return change


NETWORK = [
    Drift("mode", edited(lambda _, root: drop(root, "forward")), frozenset({"mode"}), "edited"),
    Drift("mode", edited(lambda _, root: drop(root, "forward"), restart=True), frozenset({"mode"}), "restarted"),
    Drift("cidr", edited(_cidr), frozenset({"cidr", "gateway", "dhcp", "routes"}), "edited"),
    Drift("cidr", edited(_cidr, restart=True), frozenset({"cidr", "gateway", "dhcp", "routes"}), "restarted"),
    Drift("gateway", edited(_gateway, restart=True), frozenset({"gateway", "dhcp"})),
    Drift("dhcp", edited(_range), frozenset({"dhcp"}), "edited"),
    Drift("dhcp", edited(lambda _, root: drop(root, "ip/dhcp/range"), restart=True), frozenset({"dhcp"}), "off"),
    Drift("dhcp", _live_range, frozenset({"dhcp"}), "live"),
    Drift(
        "bridge",
        edited(lambda bench, root: put(root, "bridge/@name", f"jt{bench.prefix[-8:-1]}"), restart=True),
        frozenset({"bridge"}),
    ),
    Drift(
        "domain",
        edited(lambda _, root: put(root, "domain/@name", "other.example"), restart=True),
        frozenset({"domain"}),
        "restarted",
    ),
    Drift("reservations", edited(_host_gone), frozenset({"reservations"}), "removed"),
    Drift("reservations", edited(_host_moved), frozenset({"reservations"}), "another address"),
    Drift("reservations", edited(_host_recarded, restart=True), frozenset({"reservations"}), "another MAC"),
    Drift("reservations", _live_host, frozenset({"reservations"}), "live"),
    Drift("ipv6", edited(lambda _, root: drop(root, "ip[@family='ipv6']"), restart=True), frozenset({"ipv6"}), "gone"),
    Drift(
        "ipv6",
        edited(_range6),
        frozenset({"ipv6"}),
        "range",
    ),
    Drift("domain", edited(lambda _, root: drop(root, "domain")), frozenset({"domain"}), "edited"),
    Drift("dns", edited(lambda _, root: put(root, "dns/txt/@value", "other")), frozenset({"dns"}), "edited"),
    Drift("dns", _live_record, frozenset({"dns"}), "live"),
    Drift("dns", edited(lambda _, root: drop(root, "dns/forwarder"), restart=True), frozenset({"dns"}), "restarted"),
    Drift("routes", edited(lambda _, root: put(root, "route/@metric", "9")), frozenset({"routes"}), "edited"),
    Drift("routes", edited(lambda _, root: drop(root, "route"), restart=True), frozenset({"routes"}), "restarted"),
    Drift("boot", edited(lambda _, root: put(root, "ip/dhcp/bootp/@file", "other")), frozenset({"boot"})),
    Drift("dhcpOptions", edited(_option("dhcp-option=option:ntp-server,192.0.2.9")), frozenset({"dhcpOptions"})),
    Drift("dnsmasqOptions", edited(_option("log-dhcp"), restart=True), frozenset({"dnsmasqOptions", "dhcpOptions"})),
    Drift("mtu", edited(lambda _, root: put(root, "mtu/@size", "1300"), restart=True), frozenset({"mtu"})),
    Drift("mode", edited(lambda _, root: put(root, "forward/@dev", "lo")), frozenset({"mode"}), "way out edited"),
    Drift(
        "mode", edited(lambda _, root: put(root, "forward/@dev", "lo"), restart=True), frozenset({"mode"}), "way out"
    ),
    Drift("autostart", lambda _, network: network.setAutostart(0), frozenset({"autostart"})),
    Drift("active", lambda _, network: network.destroy(), frozenset({"active"})),
]

NETWORK_NOT_READ = {
    "name": "libvirt 9.0 cannot rename a network: another name is another network",
    "virtualPort": "not beside these: test_network_services.py::test_a_vlan_of_an_open_vswitch",
    "vlan": "not beside these: test_network_services.py::test_a_vlan_of_an_open_vswitch",
    "trunk": "not beside these: test_network_services.py::test_a_vlan_of_an_open_vswitch",
    "device": "not beside these: test_network_node_devices.py::test_the_wire_of_an_interface",
    "deviceMode": "not beside these: test_network_node_devices.py::test_the_wire_of_an_interface",
    "hostDevices": "not beside these: test_network_node_devices.py::test_virtual_functions_that_are_not_there",
    "portForwards": "they change the packet filter of the machine; tests/hosts/test_forwards.py has one of its own",
}


def _disk_gone(bench: Any, root: Any) -> None:
    devices = root.find("devices")
    for disk in devices.findall("disk"):
        if disk.find("alias").get("name") == "ua-jvp-disk-data":
            devices.remove(disk)


def _data(root: Any) -> Any:
    return next(one for one in root.iterfind("devices/disk") if one.find("alias").get("name") == "ua-jvp-disk-data")


def _read_only(_: Any, root: Any) -> None:
    sub(_data(root), "readonly")


def _other_volume(bench: Any, root: Any) -> None:
    holder = bench.connection.storagePoolLookupByUUIDString(bench.pool.id)
    path = holder.storageVolLookupByName(bench.volumes[1].state["name"]).path()
    put(_data(root), "source/@file", path)


def _memory(kib: int, *, room: bool) -> Callable[[Any, Any], None]:
    def change(bench: Any, root: Any) -> None:
        put(root, "memory" if room else "currentMemory", str(kib))

    return change


def _kept(bench: Any, flags: int, address: str | None, name: str = "own") -> None:
    """`virsh net-update` of what the network keeps for the card: taken out, or another address or name."""
    network = bench.connection.networkLookupByUUIDString(bench.network.id)
    section, delete = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
    network.update(delete, section, -1, f"<host mac='{CARD}'/>", flags)
    if address is not None:
        base = bench.network.state["cidr"].rpartition(".")[0]
        new = f"<host mac='{CARD}' name='{name}' ip='{base}{address}'/>"
        network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, new, flags)


LIMITS = "<bandwidth><inbound average='1'/></bandwidth>"
CARD = "52:54:00:0d:1f:01"
"""The MAC of the instance under test."""
LIVE, BOTH = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE, 3


def _drive(root: Any) -> Any:
    return next(one for one in root.iterfind("devices/disk") if one.find("alias").get("name") == "ua-jvp-iso")


def _root(root: Any) -> Any:
    return next(one for one in root.iterfind("devices/disk") if one.find("alias").get("name") == "ua-jvp-root")


def _other_bus(_: Any, root: Any) -> None:
    _to_sata(_root(root))


def _to_sata(disk: Any) -> None:
    drop(disk, "address")
    put(disk, "target/@dev", "sdx")
    put(disk, "target/@bus", "sata")


def _bare(_: Any, root: Any) -> None:
    """Without the parts that no property names; each of them alone is in the unit tests."""
    for path in ("devices/serial", "devices/console", "devices/rng", "features/acpi"):
        drop(root, path)
    put(root, "devices/memballoon/@model", "none")
    put(root, "on_reboot", "destroy")


def _no_cd(_: Any, root: Any) -> None:
    root.find("devices").remove(_drive(root))


def _other_cd(bench: Any, root: Any) -> None:
    holder = bench.connection.storagePoolLookupByUUIDString(bench.pool.id)
    path = holder.storageVolLookupByName(bench.volumes[3].state["name"]).path()
    put(_drive(root), "source/@file", path)


def _elsewhere(alias: str) -> Act:
    """Point one of our own disks at another file."""

    def change(bench: Any, root: Any) -> None:
        holder = bench.connection.storagePoolLookupByUUIDString(bench.pool.id)
        put(_of(root, alias), "source/@file", holder.storageVolLookupByName(bench.volumes[1].state["name"]).path())

    return domain_edited(change)


def _of(root: Any, alias: str) -> Any:
    return next(one for one in root.iterfind("devices/disk") if one.find("alias").get("name") == alias)


def _in_card(text: str) -> Act:
    return domain_edited(lambda _, root: root.find("devices/interface").append(parse(text)))


def _numbered(_: Any, root: Any) -> None:
    drop(root, "os/boot[@dev='cdrom']")
    drop(root, "os/boot")
    sub(root.find("devices/interface"), "boot", order="1")


def _tuned(disk_of: Any) -> Act:
    """Every option of a disk is another one, or is gone; each by itself is in test_instance_disks.py."""

    def change(_: Any, root: Any) -> None:
        disk = disk_of(root)
        for name, text in (("cache", "unsafe"), ("io", None), ("discard", "ignore"), ("detect_zeroes", "off")):
            put(disk, f"driver/@{name}", text)
        put(disk, "wwn", "5000c50015ea71ff")
        drop(disk, "iotune")
        put(disk, "iotune/total_iops_sec", "7")
        put(disk, "iotune/read_bytes_sec", "7")
        if (serial := disk.find("serial")) is not None and disk_of is _root:
            serial.text = "other"

    return domain_edited(change)


def _retagged(_: Any, root: Any) -> None:
    """`virsh metadata` of our mark."""
    root.find("metadata/{urn:jvp:mark:1}mark").set("tags", "team=db")


def _other_tables(_: Any, root: Any) -> None:
    put(root, "sysinfo/system/entry", "other")
    drop(root, "sysinfo/oemStrings")


def _uefi(_: Any, root: Any) -> None:
    put(root, "os/@firmware", "efi")


def _no_cpu(_: Any, root: Any) -> None:
    drop(root, "cpu")


INSTANCE = [
    Drift("name", lambda bench, domain: domain.rename(bench.name("drift"), 0), frozenset({"name"})),
    Drift("description", domain_edited(lambda _, root: put(root, "description", "x")), frozenset({"description"})),
    Drift("tags", domain_edited(_retagged), frozenset({"tags"})),
    Drift("xml", domain_edited(lambda _, root: put(root, "features/kvm/hidden/@state", "off")), frozenset({"xml"})),
    Drift("tpm", domain_edited(lambda _, root: put(root, "devices/tpm/@model", "tpm-tis")), frozenset({"tpm"})),
    Drift("watchdog", domain_edited(lambda _, root: drop(root, "devices/watchdog")), frozenset({"watchdog"})),
    Drift(
        "filesystems",
        domain_edited(lambda _, root: put(root, "devices/filesystem/source/@dir", "/srv")),
        frozenset({"filesystems"}),
    ),
    Drift("rng", domain_edited(lambda _, root: drop(root, "devices/rng/rate")), frozenset({"rng"})),
    Drift("smbios", domain_edited(_other_tables), frozenset({"smbios"})),
    Drift("memory", domain_edited(_memory(16 * 1024, room=False)), frozenset({"memory"})),
    Drift("maxMemory", domain_edited(_memory(80 * 1024, room=True)), frozenset({"maxMemory"})),
    Drift("cpus", domain_edited(lambda _, root: put(root, "vcpu/@current", "2")), frozenset({"cpus"})),
    Drift("maxCpus", domain_edited(lambda _, root: put(root, "vcpu", "8")), frozenset({"maxCpus"})),
    Drift("disks", domain_edited(_disk_gone), frozenset({"disks"}), "removed"),
    Drift("disks", domain_edited(_other_volume), frozenset({"disks"}), "another volume"),
    Drift("disks", domain_edited(_read_only), frozenset({"disks"}), "read-only"),
    Drift("rootDisk", domain_edited(_other_bus), frozenset({"rootDisk"}), "bus"),
    Drift(
        "rootDisk",
        domain_edited(lambda _, root: put(_root(root), "driver/@type", "raw")),
        frozenset({"rootDisk"}),
        "format",
    ),
    Drift("nics", domain_edited(lambda _, root: drop(root, "devices/interface")), frozenset({"nics"}), "removed"),
    Drift(
        "nics",
        domain_edited(lambda _, root: put(root, "devices/interface/mac/@address", "52:54:00:0d:1f:07")),
        frozenset({"nics"}),
        "another MAC",
    ),
    Drift(
        "nics",
        domain_edited(lambda _, root: put(root, "devices/interface/model/@type", "e1000e")),
        frozenset({"nics"}),
        "another model",
    ),
    Drift(
        "nics",
        domain_edited(lambda _, root: put(root, "devices/interface/source/@network", "default")),
        frozenset({"nics"}),
        "another network",
    ),
    Drift("nics", lambda bench, _: _kept(bench, BOTH, None), frozenset({"nics"}), "address given up"),
    Drift("nics", lambda bench, _: _kept(bench, LIVE, None), frozenset({"nics"}), "address given up live"),
    Drift("nics", lambda bench, _: _kept(bench, BOTH, ".99"), frozenset({"nics"}), "another address"),
    Drift("nics", lambda bench, _: _kept(bench, BOTH, ".7", "other"), frozenset({"nics"}), "another host name"),
    Drift("nics", lambda bench, _: _kept(bench, LIVE, ".7", "other"), frozenset({"nics"}), "another host name live"),
    Drift(
        "directKernel", domain_edited(lambda _, root: drop(root, "os/kernel")), frozenset({"directKernel"}), "removed"
    ),
    Drift(
        "directKernel",
        domain_edited(lambda _, root: put(root, "os/cmdline", "other")),
        frozenset({"directKernel"}),
        "line",
    ),
    Drift("iso", domain_edited(_no_cd), frozenset({"iso"}), "removed"),
    Drift("iso", domain_edited(_other_cd), frozenset({"iso"}), "another"),
    Drift("firmware", domain_edited(_uefi), frozenset({"firmware"})),
    Drift(
        "machine", domain_edited(lambda _, root: put(root, "os/type/@machine", "pc-q35-6.1")), frozenset({"machine"})
    ),
    Drift("cpuMode", domain_edited(lambda _, root: put(root, "cpu/model", "Nehalem")), frozenset({"cpuMode"}), "model"),
    Drift("cpuMode", domain_edited(_no_cpu), frozenset({"cpuMode"}), "the hypervisor's own"),
    Drift(
        "cpu", domain_edited(lambda _, root: put(root, "cpu/feature/@policy", "force")), frozenset({"cpu"}), "feature"
    ),
    Drift("cpu", domain_edited(lambda _, root: drop(root, "cpu/topology")), frozenset({"cpu"}), "topology"),
    Drift("cpuset", domain_edited(lambda _, root: put(root, "vcpu/@cpuset", "1")), frozenset({"cpuset"})),
    Drift(
        "memoryBacking",
        domain_edited(lambda _, root: drop(root, "memoryBacking/locked")),
        frozenset({"memoryBacking"}),
    ),
    Drift("clock", domain_edited(lambda _, root: put(root, "clock/@offset", "utc")), frozenset({"clock"})),
    Drift("clock", domain_edited(lambda _, root: drop(root, "clock/timer")), frozenset({"clock"}), "timer"),
    Drift("autostart", lambda _, domain: domain.setAutostart(0), frozenset({"autostart"})),
    Drift("rootDisk", _elsewhere("ua-jvp-root"), frozenset({"rootDisk"}), "pointed elsewhere"),
    Drift("rootDisk", domain_edited(lambda _, root: sub(_root(root), "readonly")), frozenset({"rootDisk"}), "readonly"),
    Drift(
        "rootDisk",
        domain_edited(lambda _, root: put(root, "os/boot/@dev", "network")),
        frozenset({"rootDisk"}),
        "boot device",
    ),
    Drift("rootDisk", domain_edited(_numbered), frozenset({"rootDisk"}), "boot order"),
    Drift("cloudInit", _elsewhere("ua-jvp-seed"), frozenset({"cloudInit"}), "pointed elsewhere"),
    Drift(
        "cloudInit",
        domain_edited(lambda _, root: drop(_of(root, "ua-jvp-seed"), "readonly")),
        frozenset({"cloudInit"}),
        "writable",
    ),
    Drift(
        "disks", domain_edited(lambda _, root: put(_data(root), "driver/@type", "raw")), frozenset({"disks"}), "format"
    ),
    Drift("disks", domain_edited(lambda _, root: _to_sata(_data(root))), frozenset({"disks"}), "bus"),
    Drift("disks", domain_edited(lambda _, root: put(_data(root), "serial", "x")), frozenset({"disks"}), "serial"),
    Drift("disks", _tuned(_data), frozenset({"disks"}), "options"),
    Drift("disks", domain_edited(lambda _, root: drop(_data(root), "shareable")), frozenset({"disks"}), "shareable"),
    Drift("rootDisk", _tuned(_root), frozenset({"rootDisk"}), "options"),
    Drift("nics", _in_card("<link state='down'/>"), frozenset({"nics"}), "link"),
    Drift("nics", _in_card(LIMITS), frozenset({"nics"}), "bandwidth"),
    Drift("nics", _in_card("<filterref filter='clean-traffic'/>"), frozenset({"nics"}), "filter"),
    Drift(
        "machine",
        domain_edited(lambda _, root: drop(root, "devices/channel")),
        frozenset({"machine"}),
        "agent's channel",
    ),
    Drift("machine", domain_edited(_bare), frozenset({"machine", "rng"}), "parts"),
    Drift("powerState", lambda _, domain: domain.create(), frozenset({"powerState", "memory"})),
]

POOL = [
    Drift("autostart", lambda _, pool: pool.setAutostart(0), frozenset({"autostart"})),
    Drift("active", lambda _, pool: pool.destroy(), frozenset({"active"})),
]

POOL_NOT_READ = {
    "name": "libvirt 9.0 cannot rename a pool: another name is another pool",
    "path": "libvirt changes the folder of a stopped pool only; tests/contract/test_storage_pool.py has another folder",
    "type": "libvirt has no way to make another type of a pool: it is made anew",
    "source": "libvirt changes it of a stopped pool only; tests/contract/test_storage_mounted.py has another device",
    "deleteData": "a setting of our own",
}

VOLUME = [Drift("size", lambda _, volume: volume.resize(1024**2 * 5, 0), frozenset({"size"}))]

VOLUME_NOT_READ = {
    "name": "another name is another volume",
    "pool": "a volume of another pool is another volume",
    "format": "ours by the record: what a guest writes into its disk must not change it",
    "template": "what a volume was made from does not change: it is recorded",
    "volume": "what a volume was made from does not change: it is recorded",
    "snapshot": "what a volume was made from does not change: it is recorded",
    "disk": "what a volume was made from does not change: it is recorded",
    "imageUpload": "what a volume was made from does not change: it is recorded",
    "imageUrl": "what a volume was made from does not change: it is recorded",
    "imageChecksum": "what a volume was made from does not change: it is recorded",
    "imagePath": "what a volume was made from does not change: it is recorded",
    "fullClone": "what a volume was made from does not change: it is recorded",
    "detachOnDelete": "a setting of our own",
    "compactTriggers": "write-only: words of the program's, which the volume has nothing of",
}

TEMPLATE_NOT_READ = {
    "name": "another name is another template",
    "pool": "a template of another pool is another template",
    "source": "recorded with the image; an image that is gone is a template that is gone",
    "os": "recorded with the image",
}


def filter_edited(change: Callable[[Any], None]) -> Act:
    """`virsh nwfilter-edit`."""

    def act(bench: Any, found: Any) -> None:
        root = parse(found.XMLDesc(0))
        change(root)
        bench.connection.nwfilterDefineXML(text_of(root))

    return act


def _rule(root: Any, comment: str, **attributes: str) -> Any:
    """The first rule with this comment and these attributes."""
    return next(
        rule
        for rule in root.iterfind("rule")
        if rule[0].get("comment") == comment and attributes.items() <= dict(rule.attrib).items()
    )


def _no_policy(direction: str, priority: str) -> Callable[[Any], None]:
    return lambda root: root.remove(_rule(root, "jvp", direction=direction, priority=priority))


FIREWALL = [
    Drift("rules", filter_edited(lambda root: put(_rule(root, "jvp:ssh")[0], "@dstportstart", "2222")),
          frozenset({"rules"}), "port"),
    Drift("rules", filter_edited(lambda root: root.remove(_rule(root, "jvp:ssh"))), frozenset({"rules"}), "half gone"),
    Drift("rules", filter_edited(lambda root: _rule(root, "jvp:ssh").set("action", "drop")), frozenset({"rules"}),
          "half of it drops"),
    Drift("outbound", filter_edited(_no_policy("out", "-40")), frozenset({"outbound"})),
    Drift("inbound", filter_edited(lambda root: root.append(parse(
        "<rule action='accept' direction='in' priority='850'><all comment='jvp'/></rule>"))), frozenset({"inbound"})),
    Drift("antiSpoofing", filter_edited(lambda root: drop(root, "filterref")), frozenset({"antiSpoofing"})),
]  # fmt: skip

FIREWALL_NOT_READ = {"name": "libvirt 9.0 cannot rename a filter: another name is another firewall"}

SNAPSHOT_NOT_READ = {
    "name": "another name is another snapshot",
    "instance": "a snapshot of another instance is another snapshot",
    "quiesce": "a setting of our own",
    "memory": "recorded with the snapshot",
    "volumes": "recorded with the snapshot",
    "description": "recorded with the snapshot",
}

INSTANCE_NOT_READ = {
    "snapshot": "what the disks were made from does not change: it is recorded in the mark",
    "snapshotDisks": "what the disks were made from does not change: it is recorded in the mark",
    "template": "what the root disk was made from does not change: it is recorded in the mark",
    "virtType": "needs a node with KVM to be changed to anything else",
    "updatePolicy": "write-only: a setting of our own",
    "restartTriggers": "write-only: words of the program's, which the guest has nothing of",
    "compactTriggers": "write-only: words of the program's, which the disks have nothing of",
    "shutdownTimeout": "write-only: a setting of our own",
    "waitFor": "write-only: a setting of our own",
    "waitTimeout": "write-only: a setting of our own",
}

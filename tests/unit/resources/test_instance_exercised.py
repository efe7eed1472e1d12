"""Every declared property is in the drift table and has a class of change; most are in the golden files too."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.contract import drift
from tests.unit.resources import test_instance_model, test_instance_xml, test_network_model, test_network_xml

from jvp.core.calls import Calls
from jvp.core.diff import diff
from jvp.core.facts import Effect, Later
from jvp.core.model import Spec, fields, load
from jvp.core.stored import Stored
from jvp.core.values import UNKNOWN, reveal
from jvp.libvirt.link.node import Node
from jvp.resources import registry
from jvp.resources.firewall.model import Firewall
from jvp.resources.instance.model import Instance
from jvp.resources.network.model import Network
from jvp.resources.provider import Provider
from jvp.resources.snapshot.model import Snapshot
from jvp.resources.storage.pool import StoragePool
from jvp.resources.storage.template import Template
from jvp.resources.storage.volume import Volume

OURS = {
    "rootDisk.deleteWithInstance",
    "shutdownTimeout",
    "updatePolicy",
    "waitFor",
    "waitTimeout",
    "powerState",
    "restartTriggers",
    "compactTriggers",
    "autostart",
    "active",
    "portForwards",
    "snapshot",
    "snapshotDisks",
    "tags",
}
"""What is no part of the XML: switches of libvirt's and settings of our own."""


def leaves(model: type[Spec]) -> set[str]:
    """Every property below, nested ones as `nics.mac`."""
    found = set()
    for name, facts in fields(model).items():
        nested = leaves(facts.item) if facts.item is not None else set()
        found |= {f"{name}.{one}" for one in nested} or {name}
    return found


def said(raw: Any, prefix: str = "") -> set[str]:
    """Every property that a declaration says."""
    if isinstance(raw, list):
        return set().union(*(said(item, prefix) for item in raw)) if raw and isinstance(raw[0], dict) else {prefix}
    if isinstance(raw, dict):
        return set().union(*(said(value, f"{prefix}.{name}".strip(".")) for name, value in raw.items()))
    return {prefix}


@pytest.mark.parametrize(
    ("model", "golden", "full"),
    [
        (Network, test_network_xml.GOLDEN, test_network_model.FULL),
        (Instance, test_instance_xml.GOLDEN, test_instance_model.FULL),
    ],
)
def test_models_and_golden_files(model: type[Spec], golden: dict[str, dict[str, Any]], full: dict[str, Any]) -> None:
    declared = leaves(model)
    exclusive = {"cloudInit.userData"}  # cannot stand beside the rest of cloudInit
    exclusive |= {"snapshot", "snapshotDisks"}  # nor beside a template
    exclusive |= {
        "virtualPort",
        "vlan",
        "trunk",
        "device",
        "deviceMode",
        "hostDevices",
    }  # nor beside a bridge of its own
    exclusive |= {name for name in declared if name.rpartition(".")[2] in ("total", "totalMax")}  # nor beside each
    words = {name for name, facts in fields(model).items() if facts.is_map and facts.item is None}
    assert full.keys() >= words  # of the program's own, which no model has
    exclusive |= words
    exclusive |= {"cloudInit.metaData"} if "cloudInit.metaData.role" in said(full) else set()  # words again
    exclusive |= {"cpu.features"} if "cpu.features.vmx" in said(full) else set()
    assert said(full) >= declared - exclusive
    shown = set().union(*(said(raw) for raw in golden.values()))
    features = {"cpu.features"} if "cpu.features.vmx" in shown else set()  # words, too
    top = {one for one in declared - words - features if not {one, one.partition(".")[0]} & (OURS | {"cloudInit"})}
    assert shown >= top
    assert {"cloudInit.hostname"} <= shown or model is Network


@pytest.mark.parametrize(
    ("model", "table", "exempt"),
    [
        (Network, drift.NETWORK, drift.NETWORK_NOT_READ),
        (Instance, drift.INSTANCE, drift.INSTANCE_NOT_READ),
        (StoragePool, drift.POOL, drift.POOL_NOT_READ),
        (Volume, drift.VOLUME, drift.VOLUME_NOT_READ),
        (Template, [], drift.TEMPLATE_NOT_READ),
        (Snapshot, [], drift.SNAPSHOT_NOT_READ),
        (Firewall, drift.FIREWALL, drift.FIREWALL_NOT_READ),
    ],
)
def test_drift(model: type[Spec], table: list[drift.Drift], exempt: dict[str, str]) -> None:
    exercised = {one.property for one in table}
    assert exercised | set(exempt) == set(fields(model))
    assert not exercised & set(exempt)
    assert all(exempt.values())
    # What no read tells the object's own mark keeps.
    ours = {name for name, why in exempt.items() if "a setting of our own" in why}
    kept = {name for name, facts in fields(model).items() if (later := facts.fact(Later)) and not later.words}
    assert ours == kept


LIVE, BOOT, RESTART, OFF, NEW = Effect
NET = "192.168.50"
RATES = ("total", "read", "write", "totalMax", "readMax", "writeMax")
OPTIONS: dict[str, tuple[Effect, Any]] = {
    "cache": (BOOT, "writeback"), "io": (BOOT, "threads"), "discard": (BOOT, "unmap"), "detectZeroes": (BOOT, "unmap"),
    "wwn": (BOOT, "5000c50015ea71ad"),
    **{f"iops.{side}": (LIVE, 8 if "Max" not in side else 1000) for side in RATES},
    **{f"bandwidth.{side}": (LIVE, "8kB" if "Max" not in side else "1GiB") for side in RATES},
}  # fmt: skip
"""Of every disk."""
CLASSES: dict[str, dict[str, tuple[Effect, Any]]] = {
    "StoragePool": {
        "name": (NEW, "b"), "path": (NEW, "/b"), "active": (LIVE, False), "autostart": (LIVE, False),
        "deleteData": (LIVE, True), "type": (NEW, "dir"), "source.device": (NEW, "/dev/b"),
        "source.format": (NEW, "xfs"),
    },
    "Template": {
        "name": (NEW, "b"), "pool": (NEW, "q"), "os": (LIVE, "debian-13"), "source.path": (LIVE, "/b"),
        "source.url": (LIVE, "https://example.org/b"), "source.checksum": (LIVE, "sha256:" + "b" * 64),
        "source.digest": (LIVE, "b" * 64), "source.allowPrivateRedirects": (LIVE, True),
        "source.format": (LIVE, "raw"), "source.upload": (LIVE, "sha256:" + "b" * 64),
        "source.snapshot": (LIVE, "i/t"), "source.disk": (LIVE, "logs"), "source.volume": (LIVE, "p/w"),
    },
    "Snapshot": {
        "name": (NEW, "b"), "instance": (NEW, "j"), "quiesce": (LIVE, "never"),
        "memory": (NEW, True), "volumes": (NEW, ["data"]),
        "description": (LIVE, "another"),
    },
    "Volume": {
        "name": (NEW, "b"), "pool": (NEW, "q"), "size": (LIVE, "2GiB"), "format": (NEW, "raw"), "template": (NEW, "u"),
        "volume": (NEW, "p/w"), "snapshot": (NEW, "i/t"), "disk": (NEW, "logs"), "imagePath": (NEW, "/b"),
        "imageUrl": (NEW, "https://example.org/b"), "imageChecksum": (NEW, "sha256:" + "b" * 64),
        "imageUpload": (NEW, "sha256:" + "b" * 64), "fullClone": (NEW, True), "detachOnDelete": (LIVE, False),
        "compactTriggers": (LIVE, {"month": "b"}),
    },
    "Firewall": {
        "name": (NEW, "b"), "inbound": (LIVE, "accept"), "outbound": (LIVE, "drop"), "antiSpoofing": (LIVE, True),
        "rules.name": (LIVE, "other"), "rules.direction": (LIVE, "out"), "rules.action": (LIVE, "reject"),
        "rules.protocol": (LIVE, "udp"), "rules.ports": (LIVE, ["23"]), "rules.cidr": (LIVE, "fd00::/8"),
        "rules.priority": (LIVE, 9),
    },
    "Network": {
        "name": (NEW, "b"), "mode": (RESTART, "route"), "cidr": (RESTART, f"{NET}.0/25"),
        "gateway": (RESTART, f"{NET}.2"), "bridge": (RESTART, "br8"), "domain": (RESTART, "other.example"),
        "mtu": (RESTART, 1500), "active": (LIVE, False), "autostart": (LIVE, False), "dhcp.enabled": (LIVE, False),
        "dhcp.start": (LIVE, f"{NET}.8"), "dhcp.end": (LIVE, f"{NET}.11"), "dhcp.leaseTime": (LIVE, "3h"),
        "reservations.mac": (LIVE, "52:54:00:00:00:09"), "reservations.address": (LIVE, f"{NET}.12"),
        "reservations.name": (LIVE, "other"), "ipv6.cidr": (RESTART, "fd01::/64"), "ipv6.gateway": (RESTART, "fd00::2"),
        "ipv6.dhcp.enabled": (LIVE, False), "ipv6.dhcp.start": (LIVE, "fd00::8"), "ipv6.dhcp.end": (LIVE, "fd00::11"),
        "ipv6.dhcp.leaseTime": (LIVE, "3h"), "ipv6.reservations.name": (LIVE, "other"),
        "ipv6.reservations.duid": (LIVE, "00:03:00:02"), "ipv6.reservations.address": (LIVE, "fd00::9"),
        "portForwards.name": (LIVE, "other"),
        "portForwards.protocol": (LIVE, "udp"), "portForwards.hostAddress": (LIVE, "192.0.2.2"),
        "portForwards.hostPort": (LIVE, 8081), "portForwards.hostPorts": (LIVE, "7000-7011"),
        "portForwards.to": (LIVE, f"{NET}.10"), "portForwards.port": (LIVE, 81),
        "dns.enabled": (RESTART, False), "dns.hosts.address": (LIVE, "10.9.0.9"), "dns.hosts.names": (LIVE, ["x"]),
        "dns.txt.name": (LIVE, "b"), "dns.txt.value": (LIVE, "v=2"), "dns.srv.name": (LIVE, "_x._tcp"),
        "dns.srv.targets.name": (LIVE, "x"), "dns.srv.targets.port": (LIVE, 1),
        "dns.srv.targets.priority": (LIVE, 9), "dns.srv.targets.weight": (LIVE, 9),
        "dns.forwarders": (RESTART, ["192.0.2.9"]), "dns.zones.name": (RESTART, "other.example"),
        "dns.zones.forwarders": (RESTART, ["192.0.2.9"]),
        "virtualPort": (RESTART, None), "vlan": (RESTART, 43), "trunk": (RESTART, [48]),
        "device": (RESTART, "eth2"), "deviceMode": (RESTART, "vepa"), "hostDevices": (RESTART, ["0000:03:10.3"]),
        "routes.cidr": (RESTART, "10.98.0.0/16"), "routes.gateway": (RESTART, f"{NET}.12"),
        "routes.metric": (RESTART, 9),
        "boot.file": (RESTART, "b"), "boot.server": (RESTART, "192.0.2.9"), "boot.tftpRoot": (RESTART, "/b"),
        "dhcpOptions": (RESTART, {"ntp-server": "192.0.2.9"}), "dnsmasqOptions": (RESTART, ["log-dhcp"]),
    },
    "Instance": {
        "name": (OFF, "b"), "description": (LIVE, "another"), "tags": (LIVE, {"team": "db"}), "xml": (BOOT, {}),
        "tpm.type": (BOOT, "passthrough"), "tpm.model": (BOOT, "tpm-crb"), "tpm.device": (BOOT, "/dev/tpm1"),
        "filesystems.tag": (BOOT, "other"), "filesystems.source": (BOOT, "/srv/other"),
        "filesystems.driver": (BOOT, "9p"), "filesystems.readOnly": (BOOT, False),
        "filesystems.accessMode": (BOOT, "squash"),
        "watchdog.model": (BOOT, "i6300esb"), "watchdog.action": (BOOT, "none"),
        "rng.source": (BOOT, "/dev/random"), "rng.rate": (BOOT, 9),
        **{f"smbios.{table}.{name}": (BOOT, "other")
           for table, names in test_instance_model.FULL["smbios"].items() if isinstance(names, dict) for name in names},
        "smbios.oemStrings": (BOOT, ["other"]),
        "template": (NEW, "u"),
        "snapshot": (NEW, "i/t"), "snapshotDisks": (NEW, "root"),
        "cpus": (LIVE, 3), "maxCpus": (BOOT, 8), "memory": (LIVE, "2GiB"),
        "maxMemory": (BOOT, "4GiB"), "iso": (LIVE, "p/other"), "firmware": (BOOT, "bios"),
        "cpu.features": (BOOT, {"ssse3": "require"}),
        "cpu.topology.sockets": (BOOT, 2), "cpu.topology.dies": (BOOT, 2), "cpu.topology.cores": (BOOT, 2),
        "cpu.topology.threads": (BOOT, 2), "cpuset": (BOOT, "0"), "memoryBacking.hugePages": (BOOT, "1GiB"),
        "memoryBacking.shared": (BOOT, False), "memoryBacking.locked": (BOOT, False),
        "clock.offset": (BOOT, "localtime"), "clock.timezone": (BOOT, "Asia/Tokyo"),
        "clock.timers.name": (BOOT, "kvmclock"), "clock.timers.present": (BOOT, False),
        "clock.timers.tickpolicy": (BOOT, "delay"),
        "machine": (BOOT, "pc-q35-6.1"), "cpuMode": (BOOT, "Nehalem"), "virtType": (BOOT, "kvm"),
        "powerState": (LIVE, "unmanaged"), "autostart": (LIVE, False), "updatePolicy": (LIVE, "live"),
        "restartTriggers": (OFF, {"kernel": "b"}), "compactTriggers": (LIVE, {"month": "b"}),
        "waitFor": (LIVE, "agent"), "waitTimeout": (LIVE, "91s"), "shutdownTimeout": (LIVE, "6s"),
        "rootDisk.pool": (NEW, "q"), "rootDisk.size": (LIVE, "20GiB"), "rootDisk.format": (NEW, "qcow2"),
        "rootDisk.bus": (BOOT, "virtio"), "rootDisk.deleteWithInstance": (LIVE, False),
        **{f"{disk}.{name}": change for disk in ("rootDisk", "disks") for name, change in OPTIONS.items()},
        "rootDisk.serial": (BOOT, "ROOT-2"), "disks.shareable": (BOOT, False),
        "disks.name": (LIVE, "other"), "disks.volume": (LIVE, "p/other"), "disks.readOnly": (LIVE, False),
        "disks.bus": (LIVE, "virtio"), "disks.serial": (LIVE, "data-2"),
        "nics.name": (LIVE, "other"), "nics.network": (LIVE, "m"), "nics.mac": (LIVE, "52:54:00:00:00:09"),
        "nics.address": (LIVE, "10.0.0.8"), "nics.hostname": (LIVE, "other"), "nics.firewall": (LIVE, "g"),
        "nics.model": (LIVE, "virtio"), "nics.bridge": (LIVE, "br1"), "nics.device": (LIVE, "eth1"),
        "nics.deviceMode": (LIVE, "private"), "nics.virtualPort": (LIVE, None), "nics.vlan": (LIVE, 43),
        "nics.trunk": (LIVE, [49]),
        "directKernel.kernel": (BOOT, "/l"),
        "directKernel.initrd": (BOOT, "/j"), "directKernel.cmdline": (BOOT, "debug"),
        "cloudInit.onChange": (LIVE, "ignore"), "cloudInit.hostname": (BOOT, "other"),
        "cloudInit.vendorData": (BOOT, "#!/bin/sh"), "cloudInit.metaData": (BOOT, {"role": "db"}),
        "cloudInit.userData": (BOOT, "#cloud-config\n{}"), "cloudInit.sshKeys": (BOOT, []),
        "cloudInit.packages": (BOOT, []), "cloudInit.runCommands": (BOOT, []),
        "cloudInit.networkConfig": (BOOT, "version: 2\n"), "cloudInit.files.path": (BOOT, "/etc/issue"),
        "cloudInit.files.content": (BOOT, "other"), "cloudInit.files.permissions": (BOOT, "0644"),
        "cloudInit.files.owner": (BOOT, "root:root"), "cloudInit.users.name": (BOOT, "other"),
        "cloudInit.users.password": (BOOT, "otherpw"), "cloudInit.users.sudo": (BOOT, False),
        "cloudInit.users.groups": (BOOT, []), "cloudInit.users.shell": (BOOT, "/bin/bash"),
        "cloudInit.users.sshKeys": (BOOT, []),
    },
}  # fmt: skip
"""How a change of each property takes effect, nested ones too, and a value to change it to."""
FULLY: dict[str, dict[str, Any]] = {
    "StoragePool": {"name": "a", "path": "/a", "type": "fs", "source": {"device": "/dev/a", "format": "ext4"}},
    "Template": {"name": "a", "pool": "p", "source": {"path": "/a", "digest": "a" * 64}},
    "Volume": {"name": "a", "pool": "p", "size": "1GiB", "template": "t"},
    "Snapshot": {"name": "a", "instance": "i", "description": "one"},
    "Firewall": {"name": "a", "rules": [{"name": "ssh", "protocol": "tcp", "ports": ["22"], "cidr": "10.0.0.0/8"}]},
    "Network": test_network_model.FULL,
    "Instance": test_instance_model.FULL,
}
URL = {"name": "a", "pool": "p", "source": {"url": "https://example.org/a", "checksum": "sha256:" + "a" * 64}}
SNAPSHOT = {"name": "a", "pool": "p", "snapshot": "i/s", "disk": "data"}
OF_DISK = {"name": "a", "pool": "p", "source": {"snapshot": "i/s", "disk": "data"}}


def with_disks(**given: Any) -> dict[str, Any]:
    """An instance in full with other properties of its disks."""
    full = test_instance_model.FULL
    root, data = ({**disk, **given} for disk in (full["rootDisk"], full["disks"][0]))
    return {**full, "rootDisk": root, "disks": [data]}


BRIDGED = {"mode": "bridge", "bridge": "br0", "virtualPort": "openvswitch", "vlan": 42, "trunk": [47]}
ON_WIRE = {"mode": "macvtap", "device": "eth1", "deviceMode": "private"}
COPY = {"name": "a", "snapshot": "i/s"}


def with_card(**given: Any) -> dict[str, Any]:
    """An instance in full with another card."""
    return {**test_instance_model.FULL, "nics": [{"name": "eth0", **given}]}


FETCHED = {"name": "a", "pool": "p", "imageUrl": "https://example.org/a"}
INSTEAD: dict[str, dict[str, Any]] = {
    "type": {"name": "a", "path": "/a"},
    "source.url": URL, "source.checksum": URL,
    "source.allowPrivateRedirects": {**URL, "source": {"url": "https://example.org/a"}},
    "source.upload": {"name": "a", "pool": "p", "source": {"upload": "sha256:" + "a" * 64}},
    "source.snapshot": OF_DISK, "source.disk": OF_DISK,
    "source.volume": {**OF_DISK, "source": {"volume": "p/v"}},
    "imageUpload": {"name": "a", "pool": "p", "imageUpload": "sha256:" + "a" * 64},
    "imageUrl": FETCHED, "imageChecksum": FETCHED,
    "snapshot": SNAPSHOT, "disk": SNAPSHOT, "Instance.snapshot": COPY, "Instance.snapshotDisks": COPY,
    "volume": {"name": "a", "pool": "p", "volume": "p/v"}, "imagePath": {"name": "a", "pool": "p", "imagePath": "/a"},
    "dhcp.enabled": {"cidr": f"{NET}.0/24", "dhcp": {"enabled": True}}, "ipv6.cidr": {"ipv6": {"cidr": "fd00::/64"}},
    "ipv6.dhcp.enabled": {"ipv6": {"cidr": "fd00::/64", "dhcp": {"enabled": True}}},
    "mode": {"cidr": f"{NET}.0/24"}, "dns.enabled": {"cidr": f"{NET}.0/24", "dns": {"enabled": True}},
    "portForwards.hostPorts": {
        "cidr": f"{NET}.0/24", "portForwards": [{"name": "calls", "hostPorts": "7000-7010", "to": f"{NET}.9"}]
    },
    "virtualPort": {**BRIDGED, "trunk": []}, "vlan": BRIDGED, "trunk": BRIDGED, "device": ON_WIRE,
    "deviceMode": ON_WIRE,
    "hostDevices": {"mode": "hostdev", "hostDevices": ["0000:03:10.1"]},
    "filesystems.driver": {**test_instance_model.FULL, "filesystems": [{"tag": "src", "source": "/srv/src"}]},
    "tpm.type": {**test_instance_model.FULL, "tpm": {}},
    "nics.bridge": with_card(bridge="br0"), "nics.device": with_card(device="eth0"),
    "nics.deviceMode": with_card(device="eth0", deviceMode="vepa"),
    **{f"nics.{name}": with_card(bridge="br0", virtualPort="openvswitch", vlan=42) for name in ("virtualPort", "vlan")},
    "nics.trunk": with_card(bridge="br0", virtualPort="openvswitch", trunk=[47]),
    "maxCpus": {**test_instance_model.FULL, "cpu": {}},
    "clock.offset": {**test_instance_model.FULL, "clock": {"offset": "utc"}},
    **{f"cpu.topology.{part}": {**test_instance_model.FULL, "maxCpus": UNKNOWN, "cpu": {"topology": {part: 1}}}
       for part in ("sockets", "dies", "cores", "threads")},
    "cloudInit.userData": {**test_instance_model.FULL, "cloudInit": {"userData": "#cloud-config\n"}},
    **{f"{disk}.{name}": with_disks(**given) for disk in ("rootDisk", "disks") for name, given in {
        "bus": {"wwn": None}, "cache": {"io": "threads"},
        **{f"iops.{side}": {"iops": {"total": 9, "totalMax": 9}} for side in ("total", "totalMax")},
        **{f"bandwidth.{side}": {"bandwidth": {"total": "9kB", "totalMax": "9kB"}} for side in ("total", "totalMax")},
    }.items()},
}  # fmt: skip
"""What a property is changed in that cannot stand in the declaration in full."""
MODELS = {"StoragePool": StoragePool, "Template": Template, "Volume": Volume, "Network": Network, "Instance": Instance,
          "Snapshot": Snapshot, "Firewall": Firewall}  # fmt: skip


def changed(token: str, name: str) -> tuple[Calls, dict[str, Any], dict[str, Any]]:
    """The calls over a node that nobody answers for, and a declaration before and after the change of one property."""
    _, value = CLASSES[token][name]
    calls = registry.calls(Provider(uri="qemu+unix:///system?socket=/nowhere", virt_type="qemu"))
    before = INSTEAD.get(f"{token}.{name}", INSTEAD.get(name, FULLY[token]))
    after = copy.deepcopy(before)
    parent = after
    *way, last = name.split(".")
    for step in way:
        found = parent[step]
        parent = found[0] if isinstance(found, list) else found
    assert parent.get(last) != value
    parent[last] = value
    return calls, before, after


@pytest.mark.parametrize("token", MODELS)
def test_every_property_has_a_class(token: str) -> None:
    assert set(CLASSES[token]) == leaves(MODELS[token])


@pytest.mark.parametrize(("token", "name"), [(token, name) for token in MODELS for name in CLASSES[token]])
def test_the_class_of_each_property(token: str, name: str) -> None:
    effect, _ = CLASSES[token][name]
    calls, before, after = changed(token, name)
    *way, last = name.split(".")
    checked = [calls.check(token, raw) for raw in (before, after)]
    assert [one.failures for one in checked] == [(), ()]
    stored = Stored("i", checked[0].inputs, checked[0].whole)
    changes = calls.diff(token, stored, checked[1].inputs).changes
    # An item of another name is another item.
    told = [change for change in changes if [one for one in change.path if isinstance(one, str)] in ([*way, last], way)]
    assert {change.effect for change in told} == {effect}


STATES = ("running", "paused", "stopped", "crashed", "active", "inactive", None)


@pytest.mark.parametrize("token", registry.TYPES)
def test_what_a_change_means_asks_no_host(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any) -> None:
        raise AssertionError("the host was asked")

    monkeypatch.setattr(Node, "_alive", ask)  # every connection comes from it
    for name in CLASSES[token]:
        calls, before, after = changed(token, name)
        handler, had = calls.handlers[token], calls.check(token, before)
        unknown = dict.fromkeys(had.whole, UNKNOWN)
        for state in STATES:
            whole = {**had.whole, "uuid": "i", "state": state, "rootDiskPath": "/p/root"}
            for new in (calls.check(token, after).whole, unknown):
                changes = diff(handler.spec, whole, had.inputs, new)
                assert changes
                found = [*handler.effects(changes, load(handler.state, whole), reveal(new))]
                assert {one.path for one in found} <= {one.path for one in changes}

"""For every registered kind: a minimal declaration, a change of it, and a foreign object in its way."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

Bag = dict[str, Any]
# Storage that is named by path is on the node; the daemon under test is on this machine.
IMAGE = b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa" + bytes(1024**2 - 512)


@dataclass(frozen=True)
class Kind:
    """How to exercise one kind. `bench` has what it stands on."""

    id: str
    token: str
    minimal: Callable[[Any, str], Bag]
    """The declaration, of a bench and a name."""
    changed: Callable[[Bag], Bag]
    """The same with one change that does not replace."""
    foreign: Callable[[Any, Bag], Any] | None = None
    """Make a foreign object that holds the name of a declaration; gives the libvirt object."""
    missing: Callable[[Bag], tuple[Bag, str, str]] | None = None
    """A declaration that refers to nothing, the property at fault, and which objects the error must name."""


def network(bench: Any, name: str) -> Bag:
    return {"name": name, "cidr": bench.cidr()}


def foreign_network(bench: Any, raw: Bag) -> Any:
    root = etree.Element("network")
    etree.SubElement(root, "name").text = raw["name"]
    etree.SubElement(root, "domain", name="foreign")
    return bench.connection.networkDefineXML(etree.tostring(root, encoding="unicode"))


def firewall(bench: Any, name: str) -> Bag:
    return {"name": name, "rules": [{"name": "ssh", "protocol": "tcp", "ports": ["22"]}]}


def foreign_firewall(bench: Any, raw: Bag) -> Any:
    root = etree.Element("filter", name=raw["name"])
    etree.SubElement(etree.SubElement(root, "rule", action="drop", direction="in"), "all", comment="foreign")
    return bench.connection.nwfilterDefineXML(etree.tostring(root, encoding="unicode"))


def pool(bench: Any, name: str) -> Bag:
    return {"name": name, "path": f"{bench.folder}/{name}"}


def foreign_pool(bench: Any, raw: Bag) -> Any:
    root = etree.Element("pool", type="dir")
    etree.SubElement(root, "name").text = raw["name"]
    etree.SubElement(etree.SubElement(root, "target"), "path").text = f"{bench.folder}/foreign"
    return bench.connection.storagePoolDefineXML(etree.tostring(root, encoding="unicode"), 0)


def volume(bench: Any, name: str) -> Bag:
    return {"name": name, "pool": bench.pool.id, "size": "2MiB"}


def foreign_volume(bench: Any, raw: Bag) -> Any:
    root = etree.Element("volume")
    etree.SubElement(root, "name").text = raw["name"]
    etree.SubElement(root, "capacity").text = "4096"
    holder = bench.connection.storagePoolLookupByUUIDString(bench.pool.id)
    return holder.createXML(etree.tostring(root, encoding="unicode"), 0)


def image(bench: Any, name: str, content: bytes) -> str:
    """An image beside the pools' folders, for templates."""
    path = Path("/var/tmp") / f"{bench.prefix}image-{name}"
    path.write_bytes(content)
    return str(path)


def template(bench: Any, name: str) -> Bag:
    return {"name": name, "pool": bench.pool.id, "source": {"path": image(bench, "one", IMAGE)}}


def changed_template(raw: Bag) -> Bag:
    path = Path(raw["source"]["path"] + ".gz")
    path.write_bytes(gzip.compress(IMAGE[:-1] + b"x"))
    return {**raw, "source": {"path": str(path)}}


def stopped(bench: Any, name: str) -> Bag:
    return {
        "name": name, "powerState": "stopped", "memory": "32MiB", "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "nics": [{"name": "eth0", "network": bench.network.id}],
        "disks": [{"name": "data", "volume": bench.volumes[0].id}],
        "cloudInit": {"hostname": "guest", "users": [{"name": "u", "password": "not-to-be-shown"}]},
    }  # fmt: skip


def running(bench: Any, name: str) -> Bag:
    return {**stopped(bench, name), "powerState": "running", "shutdownTimeout": "0s"}


def foreign_domain(bench: Any, raw: Bag) -> Any:
    root = etree.Element("domain", type="qemu")
    etree.SubElement(root, "name").text = raw["name"]
    etree.SubElement(root, "title").text = "foreign"
    etree.SubElement(root, "memory", unit="MiB").text = "32"
    etree.SubElement(etree.SubElement(root, "os"), "type").text = "hvm"
    return bench.connection.defineXML(etree.tostring(root, encoding="unicode"))


def record_of(bench: Any, token: str, object_id: str) -> Path:
    """The file of the record of what bears no mark itself."""
    holder, _, name = object_id.partition("/")
    if token == "Snapshot":
        holder, name = bench.pool.id, f"jvp-{holder}-snap-{name}"
    folder = etree.fromstring(bench.connection.storagePoolLookupByUUIDString(holder).XMLDesc(0)).findtext("target/path")
    return Path(folder or "") / f".jvp-{'template@' * (token == 'Template')}{name}.json"


def snapshot(bench: Any, name: str) -> Bag:
    return {"name": name, "instance": bench.machine().id}


KINDS = [
    Kind("network", "Network", network, lambda raw: {**raw, "autostart": False}, foreign_network),
    Kind("firewall", "Firewall", firewall, lambda raw: {**raw, "outbound": "drop"}, foreign_firewall),
    Kind("pool", "StoragePool", pool, lambda raw: {**raw, "autostart": False}, foreign_pool),
    Kind(
        "volume", "Volume", volume, lambda raw: {**raw, "size": "3MiB"}, foreign_volume,
        lambda raw: ({**raw, "pool": "no-such"}, "pool", "pool"),
    ),
    Kind(
        "template", "Template", template, changed_template, None,
        lambda raw: ({**raw, "pool": "no-such"}, "pool", "pool"),
    ),
    Kind(
        "stopped instance", "Instance", stopped, lambda raw: {**raw, "memory": "48MiB", "cpus": 2}, foreign_domain,
        lambda raw: ({**raw, "nics": [{"name": "eth0", "network": "no-such"}]}, "nics[0].network", "network"),
    ),
    Kind(
        "running instance", "Instance", running, lambda raw: {**raw, "autostart": True}, foreign_domain,
        lambda raw: ({**raw, "disks": [{"name": "a", "volume": "no-such/x"}]}, "disks[0].volume", "pool"),
    ),
    Kind(
        "snapshot", "Snapshot", snapshot, lambda raw: {**raw, "description": "before the upgrade"}, None,
        lambda raw: ({**raw, "instance": "no-such"}, "instance", "machine"),
    ),
]  # fmt: skip

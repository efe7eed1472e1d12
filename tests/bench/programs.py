"""The same objects in the words of each provider: JVP's, and those of two generations of dmacvicar/libvirt.

A resource is its kind, its name and its properties; `${name.output}` in a property is a reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Resource = tuple[str, str, dict[str, Any]]
MIB = 1 << 20
VOLUME_MIB, GUEST_MIB, BOOTED_MIB = 16, 64, 128


@dataclass(frozen=True)
class Objects:
    """What is to be there. `prefix` begins every name; `net` is the contestant's own 10.x network."""

    prefix: str
    net: int
    pools: Path
    pool: bool = False
    volumes: int = 0
    networks: int = 0
    image: Path | None = None
    guest: bool = False
    """A network and a running guest with a disk; no system is on it."""
    booted: tuple[Path, Path] | None = None
    """A network and a guest that boots this kernel and initrd, and asks for an address: the engine waits for it."""

    @property
    def folder(self) -> Path:
        return self.pools / f"{self.prefix}-pool"

    def cidr(self, number: int) -> str:
        return f"10.{self.net}.{number}.0/24"

    def addresses(self) -> Iterator[tuple[str, int]]:
        """Names of networks and their numbers."""
        if self.guest or self.booted:
            yield "net", 0
        yield from ((f"n{number}", number + 1) for number in range(self.networks))


def jvp(objects: Objects) -> Iterator[Resource]:
    """In JVP's own words, spelt as in Pulumi."""
    for name, number in objects.addresses():
        yield "Network", name, {"name": f"{objects.prefix}-{name}", "cidr": objects.cidr(number)}
    if objects.pool:
        yield "StoragePool", "pool", {"name": f"{objects.prefix}-pool", "path": str(objects.folder)}
    pool = "${pool.id}"
    for n in range(objects.volumes):
        yield "Volume", f"v{n}", {"name": f"v{n}", "pool": pool, "size": f"{VOLUME_MIB}MiB", "format": "raw"}
    if objects.image:
        yield "Template", "image", {"name": "image", "pool": pool, "source": {"path": str(objects.image)}}
    nic = {"name": "eth0", "network": "${net.id}"}
    guest: dict[str, Any] = {"name": f"{objects.prefix}-vm", "nics": [nic]}
    if objects.guest:
        disk = {"pool": pool, "size": f"{VOLUME_MIB}MiB"}
        yield "Instance", "vm", {**guest, "memory": f"{GUEST_MIB}MiB", "rootDisk": disk}
    if objects.booted:
        kernel, initrd = map(str, objects.booted)
        boot = {"directKernel": {"kernel": kernel, "initrd": initrd}, "waitFor": "ip"}
        yield "Instance", "vm", {**guest, "memory": f"{BOOTED_MIB}MiB", **boot}


def libvirt_09(objects: Objects) -> Iterator[Resource]:
    """For dmacvicar/libvirt 0.9, which has libvirt's XML as attributes."""
    for name, number in objects.addresses():
        start = f"10.{objects.net}.{number}"
        ranges = [{"start": f"{start}.2", "end": f"{start}.254"}]
        yield "libvirt_network", name, {
            "name": f"{objects.prefix}-{name}", "autostart": True, "forward": {"mode": "nat"},
            "ips": [{"address": f"{start}.1", "prefix": 24, "dhcp": {"ranges": ranges}}],
        }  # fmt: skip
    if objects.pool:
        target = {"path": str(objects.folder)}
        yield "libvirt_pool", "pool", {"name": f"{objects.prefix}-pool", "type": "dir", "target": target}

    def volume(name: str, format: str, **more: Any) -> Resource:
        target = {"format": {"type": format}}
        return "libvirt_volume", name, {"name": name, "pool": "${pool.name}", "target": target, **more}

    for n in range(objects.volumes):
        yield volume(f"v{n}", "raw", capacity=VOLUME_MIB * MIB)
    if objects.image:
        yield volume("image", "raw", create={"content": {"url": str(objects.image)}})
    if objects.guest:
        yield volume("root", "qcow2", capacity=VOLUME_MIB * MIB)
    nic: dict[str, Any] = {"model": {"type": "virtio"}, "source": {"network": {"network": "${net.name}"}}}
    machine = {"type": "hvm", "type_arch": "x86_64", "type_machine": "q35"}
    guest = {"name": f"{objects.prefix}-vm", "type": "qemu", "vcpu": 1, "memory_unit": "MiB", "running": True}
    if objects.guest:
        source = {"volume": {"pool": "${root.pool}", "volume": "${root.name}"}}
        disk = {"source": source, "target": {"dev": "vda", "bus": "virtio"}, "driver": {"type": "qcow2"}}
        devices = {"disks": [disk], "interfaces": [nic]}
        yield "libvirt_domain", "vm", {**guest, "memory": GUEST_MIB, "os": machine, "devices": devices}
    if objects.booted:
        kernel, initrd = map(str, objects.booted)
        boot = {**machine, "kernel": kernel, "initrd": initrd}
        devices = {"interfaces": [{**nic, "wait_for_ip": {"source": "lease", "timeout": 300}}]}
        yield "libvirt_domain", "vm", {**guest, "memory": BOOTED_MIB, "os": boot, "devices": devices}


def libvirt_08(objects: Objects) -> Iterator[Resource]:
    """For pulumi-libvirt 0.5, a bridge of dmacvicar/libvirt 0.8."""
    for name, number in objects.addresses():
        yield "libvirt:index/network:Network", name, {
            "name": f"{objects.prefix}-{name}", "mode": "nat", "addresses": [objects.cidr(number)],
            "dhcp": {"enabled": True}, "autostart": True,
        }  # fmt: skip
    if objects.pool:
        target = {"path": str(objects.folder)}
        properties = {"name": f"{objects.prefix}-pool", "type": "dir", "target": target}
        yield "libvirt:index/pool:Pool", "pool", properties

    def volume(name: str, format: str, **more: Any) -> Resource:
        return "libvirt:index/volume:Volume", name, {"name": name, "pool": "${pool.name}", "format": format, **more}

    for n in range(objects.volumes):
        yield volume(f"v{n}", "raw", size=VOLUME_MIB * MIB)
    if objects.image:
        yield volume("image", "raw", source=str(objects.image))
    if objects.guest:
        yield volume("root", "qcow2", size=VOLUME_MIB * MIB)
    guest = {"name": f"{objects.prefix}-vm", "type": "qemu", "machine": "q35", "vcpu": 1, "running": True}
    if objects.guest:
        devices = {"disks": [{"volumeId": "${root.id}"}], "networkInterfaces": [{"networkId": "${net.id}"}]}
        yield "libvirt:index/domain:Domain", "vm", {**guest, "memory": GUEST_MIB, **devices}
    if objects.booted:
        kernel, initrd = map(str, objects.booted)
        nic = {"networkId": "${net.id}", "waitForLease": True}
        boot = {"kernel": kernel, "initrd": initrd, "networkInterfaces": [nic]}
        yield "libvirt:index/domain:Domain", "vm", {**guest, "memory": BOOTED_MIB, **boot}


Words = Callable[[Objects], Iterator[Resource]]


def for_tofu(resources: Iterator[Resource], *, ours: bool) -> dict[str, dict[str, Any]]:
    """The `resource` part of a root module in JSON."""
    found: dict[str, dict[str, Any]] = {}
    kinds: dict[str, str] = {}
    for kind, name, properties in resources:
        kinds[name] = f"jvp_{_snake(kind)}" if ours else kind
        found.setdefault(kinds[name], {})[name] = _module_words(properties, kinds, ours)
    return found


def for_pulumi(resources: Iterator[Resource], *, ours: bool) -> list[Resource]:
    """What program.py reads."""
    return [(f"jvp:index:{kind}" if ours else kind, name, properties) for kind, name, properties in resources]


def _module_words(value: Any, kinds: dict[str, str], ours: bool) -> Any:
    """References say the kind, too; and JVP's properties are spelt as in Terraform."""
    if isinstance(value, dict):
        return {_snake(key) if ours else key: _module_words(item, kinds, ours) for key, item in value.items()}
    if isinstance(value, list):
        return [_module_words(item, kinds, ours) for item in value]
    found = re.fullmatch(r"\$\{(.+)\.(.+)\}", value) if isinstance(value, str) else None
    return f"${{{kinds[found[1]]}.{found[1]}.{found[2]}}}" if found else value


def _snake(word: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", word).lower()

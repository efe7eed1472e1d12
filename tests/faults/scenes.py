"""What is created, changed and deleted while the provider is killed: one scene for each way that a kind can go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.forks import Forks
from hosts.daemon import SystemHost
from jvp.core.identity import Key

MIB = 1 << 20


@dataclass(frozen=True)
class Scene:
    """A resource, and the same one as the program has it later (None: nothing of it can be updated)."""

    name: str
    token: str
    properties: Mapping[str, Any]
    later: Mapping[str, Any] | None = None

    @property
    def key(self) -> Key:
        return Key("", self.token, f"faults::{self.name}", self.name)


class Stage:
    """What the scenes stand on: a pool, a template, a network, volumes, all known to an engine."""

    def __init__(self, host: SystemHost, forks: Forks) -> None:
        self.host, self.forks = host, forks
        self.old, self.new = image(host.folder / "old.raw", b"old"), image(host.folder / "new.raw", b"new")
        with contextlib.ExitStack() as self._made:
            self.pool = self._make("StoragePool", "base", {"path": str(host.pools / "base")})
            self.network = self._make("Network", "lan", {"cidr": "192.168.88.0/24", "mode": "isolated"})
            source = {"path": str(self.old)}
            self.template = self._make("Template", "linux", {"pool": self.pool, "source": source})
            self.data = self._make("Volume", "data", {"pool": self.pool, "size": "8MiB"})
            self.more = self._make("Volume", "more", {"pool": self.pool, "size": "8MiB", "format": "raw"})
            self._made = self._made.pop_all()

    def _make(self, token: str, name: str, properties: dict[str, Any]) -> str:
        inputs = self.forks("check", token, properties)
        stored = self.forks("create", token, Key("", token, f"stage::{name}", name), inputs).stored
        self._made.callback(self.forks, "delete", token, stored)
        return str(self.forks("read", token, stored).id)

    def close(self) -> None:
        """Delete all of it, also what comes after a delete that failed."""
        self._made.close()

    def scene(self, name: str) -> Scene:
        if name.startswith("snapshot"):
            return self._snapshot(name, "stopped" if name == "snapshot" else "running")
        return next(one for one in self.scenes() if one.name == name)

    def _snapshot(self, name: str, power: str) -> Scene:
        """Of a machine of its own, which is made for it."""
        disk = self._make("Volume", f"{name}-data", {"pool": self.pool, "size": "8MiB", "format": "raw"})
        machine = {"memory": "64MiB", "template": self.template, "shutdownTimeout": "0s", "powerState": power,
                   "disks": [{"name": "data", "volume": disk}]}  # fmt: skip
        wanted = {"instance": self._make("Instance", f"{name}-machine", machine), "memory": name.endswith("memory")}
        return Scene(name, "Snapshot", wanted, {**wanted, "description": "before the upgrade"})

    def scenes(self) -> list[Scene]:
        pool, disk = {"pool": self.pool}, {"name": "data", "volume": self.data}
        cards = [{"name": "eth0", "network": self.network}]
        template = {**pool, "template": self.template}
        machine = {"memory": "64MiB", "template": self.template, "nics": cards, "shutdownTimeout": "0s"}
        seeded = {**machine, "cloudInit": {"hostname": "faults"}, "autostart": True}
        blank = {"memory": "64MiB", "rootDisk": {**pool, "size": "8MiB"}, "shutdownTimeout": "0s"}
        old, new = ({"source": {"path": str(path)}} for path in (self.old, self.new))
        lan = {"cidr": "192.168.89.0/24"}
        # libvirt writes the rules of NAT anew for each host, which takes it half a second.
        alone = {**lan, "mode": "isolated"}
        hosts = [{"name": f"h{one}", "mac": f"52:54:00:0d:4a:0{one}", "address": f"192.168.89.{one}"} for one in (5, 6)]
        swapped = [{**hosts[0], "address": "192.168.89.6"}, {**hosts[1], "name": "new", "address": "192.168.89.5"}]
        kept, moved = (
            {**machine, "powerState": "stopped", "nics": [{**cards[0], **more}]}
            for more in ({"address": "192.168.88.7"}, {"address": "192.168.88.8", "model": "e1000e"})
        )
        return [
            Scene("network", "Network", lan, {**lan, "dhcp": {"end": "192.168.89.90"}, "autostart": False}),
            Scene("network-hosts", "Network", {**alone, "reservations": hosts}, {**alone, "reservations": swapped}),
            Scene("network-hosts-gone", "Network", {**alone, "reservations": hosts},
                  {"mode": "route", "domain": "lab.example", "ipv6": {"cidr": "fd77:89::/64"}}),
            Scene("firewall", "Firewall", {"rules": [{"name": "ssh", "protocol": "tcp", "ports": ["22"]}]},
                  {"outbound": "drop", "antiSpoofing": True}),
            Scene("pool", "StoragePool", {"path": str(self.host.pools / "fresh")},
                  {"path": str(self.host.pools / "fresh"), "autostart": False, "active": False}),
            Scene("pool-there", "StoragePool", {"path": str(self.host.pools / "there")}),
            Scene("volume", "Volume", {**pool, "size": "8MiB"}, {**pool, "size": "16MiB"}),
            Scene("volume-compact", "Volume", {**pool, "size": "4MiB", "format": "raw"}),
            Scene("volume-overlay", "Volume", template, {**template, "size": "16MiB"}),
            Scene("volume-copy", "Volume", {**template, "format": "raw", "fullClone": True, "size": "8MiB"}),
            Scene("volume-converted", "Volume", {**template, "format": "qcow2", "fullClone": True, "size": "8MiB"}),
            Scene("volume-cloned", "Volume", {**pool, "volume": self.data, "size": "8MiB"}),
            Scene("volume-image", "Volume", {**pool, "imagePath": str(self.old), "format": "raw"}),
            Scene("template", "Template", {**pool, **old}, {**pool, **new}),
            Scene("instance", "Instance", machine,
                  {**machine, "memory": "96MiB", "disks": [disk], "nics": [*cards, {"name": "eth1"}]}),
            Scene("instance-seed", "Instance", seeded,
                  {**seeded, "cloudInit": {"hostname": "other"}, "autostart": False, "rootDisk": {"size": "16MiB"}}),
            Scene("instance-kept", "Instance", kept, moved),
            Scene("instance-iso", "Instance", {**blank, "iso": self.template, "powerState": "stopped"}),
            Scene("instance-uefi", "Instance", {**blank, "firmware": "uefi", "powerState": "paused"}),
            Scene("instance-off", "Instance",
                  {**machine, "powerState": "stopped", "disks": [disk], "rootDisk": {"format": "raw", "bus": "sata"}},
                  {**machine, "powerState": "paused", "name": "renamed"}),
        ]  # fmt: skip


def image(path: Path, content: bytes) -> Path:
    """A raw disk of 4 MiB with something in it. What boots it stops its CPU, which leaves ours to the tests."""
    path.write_bytes(b"\xfa\xf4".ljust(510, b"\0") + b"\x55\xaa" + content * 100_000)
    os.truncate(path, 4 * MIB)
    return path

"""The same objects by plain calls on one connection: what no provider can go below."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import libvirt

from bench.table import timed

_NETWORK = """<network><name>floor</name><forward mode='nat'/><bridge name='jvptfloor'/>
<ip address='192.168.93.1' prefix='24'><dhcp><range start='192.168.93.2' end='192.168.93.254'/></dhcp></ip></network>"""
_MANY = """<network><name>floor{0}</name><forward mode='nat'/><bridge name='jvptf{0}'/>
<ip address='10.199.{0}.1' prefix='24'><dhcp><range start='10.199.{0}.2' end='10.199.{0}.254'/></dhcp></ip></network>"""
_POOL = "<pool type='dir'><name>floor</name><target><path>{}</path></target></pool>"
_VOLUME = """<volume><name>{}</name><capacity unit='MiB'>16</capacity><allocation>0</allocation>
<target><format type='qcow2'/></target></volume>"""
_RAW = """<volume><name>{}</name><capacity>{}</capacity><allocation>0</allocation>
<target><format type='raw'/></target></volume>"""
_DOMAIN = """<domain type='qemu'><name>floor</name><memory unit='MiB'>64</memory>
<os><type machine='q35'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='{0}/root'/><target dev='vda' bus='virtio'/></disk><interface type='network'><source network='floor'/>
<model type='virtio'/></interface></devices></domain>"""


class Floor:
    """One of everything, by hand."""

    def __init__(self, connection: Any, folder: Path) -> None:
        self.connection, self.folder = connection, folder

    def apply(self) -> None:
        network = self.connection.networkDefineXML(_NETWORK)
        network.create()
        pool = self.pool()
        for name in ("data", "root"):
            pool.createXML(_VOLUME.format(name))
        self.connection.defineXML(_DOMAIN.format(self.folder)).create()

    def plan(self) -> None:
        self.connection.networkLookupByName("floor").XMLDesc(0)
        pool = self.connection.storagePoolLookupByName("floor")
        pool.XMLDesc(0)
        pool.storageVolLookupByName("data").XMLDesc(0)
        self.connection.lookupByName("floor").XMLDesc(0)

    def destroy(self) -> None:
        domain = self.connection.lookupByName("floor")
        domain.destroy()
        domain.undefine()
        self.drop_pool()
        network = self.connection.networkLookupByName("floor")
        network.destroy()
        network.undefine()

    def pool(self) -> Any:
        pool = self.connection.storagePoolDefineXML(_POOL.format(self.folder))
        pool.build()
        pool.create()
        return pool

    def drop_pool(self) -> None:
        pool = self.connection.storagePoolLookupByName("floor")
        for volume in pool.listAllVolumes():
            volume.delete()
        pool.destroy()
        pool.delete()
        pool.undefine()

    def work(self, name: str, uri: str, image: Path | None) -> dict[str, float]:
        """Seconds of each verb of a work; MiB that an image takes. Nothing where libvirt has no like of it."""
        if name == "stack":
            return {"up": timed(self.apply), "refresh": timed(self.plan), "down": timed(self.destroy)}
        if image is not None:
            took, allocated = self.upload(uri, image)
            return {"up": took, "allocated": allocated / (1 << 20)}
        digits = "".join(filter(str.isdigit, name))
        if name.startswith("volumes"):
            return self.volumes(int(digits))
        return self.networks(int(digits)) if name.startswith("networks") else {}

    def volumes(self, count: int) -> dict[str, float]:
        """Making them, reading them, removing them."""
        pool = self.pool()
        names = [f"v{number}" for number in range(count)]

        def make() -> None:
            for name in names:
                pool.createXML(_RAW.format(name, 16 << 20)).XMLDesc()

        def read() -> None:
            for name in names:
                pool.storageVolLookupByName(name).XMLDesc()

        def remove() -> None:
            for name in names:
                pool.storageVolLookupByName(name).delete()

        times = {"up": timed(make), "refresh": timed(read), "down": timed(remove)}
        self.drop_pool()
        return times

    def networks(self, count: int) -> dict[str, float]:
        """Making and starting them, reading them, stopping and removing them."""

        def make() -> None:
            for number in range(count):
                self.connection.networkDefineXML(_MANY.format(number)).create()

        def read() -> None:
            for number in range(count):
                self.connection.networkLookupByName(f"floor{number}").XMLDesc(0)

        def remove() -> None:
            for number in range(count):
                network = self.connection.networkLookupByName(f"floor{number}")
                network.destroy()
                network.undefine()

        return {"up": timed(make), "refresh": timed(read), "down": timed(remove)}

    def upload(self, uri: str, image: Path) -> tuple[float, int]:
        """Seconds that virsh takes to move an image sparsely, and the bytes that it takes then."""
        pool = self.pool()
        pool.createXML(_RAW.format("image", image.stat().st_size))
        virsh = [str(shutil.which("virsh")), "-q", "-c", uri]
        command = [*virsh, "vol-upload", "--sparse", "--pool", "floor", "image", str(image)]
        took = timed(lambda: subprocess.run(command, check=True))
        allocated = (self.folder / "image").stat().st_blocks * 512
        self.drop_pool()
        return took, allocated


def connect(uri: str) -> Any:
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt.open(uri)

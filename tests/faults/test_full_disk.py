"""A pool without room: one sentence, and nothing half made is left."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests import extent

from faults.forks import Forks
from faults.scenes import MIB
from hosts.daemon import SystemHost
from hosts.inventory import difference, inventory
from jvp.core.errors import NoSpace, Unreachable
from jvp.core.identity import Key
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage.streams import VolumeUpload

ROOM = 64 * MIB


class Full:
    """A pool on a filesystem of 64 MiB that exists in the node's namespace, and one with room beside it."""

    def __init__(self, host: SystemHost, forks: Forks) -> None:
        self.host, self.forks = host, forks
        folder = host.pools / "small"
        with contextlib.ExitStack() as self._made:
            folder.mkdir(exist_ok=True)
            self._made.callback(folder.rmdir)
            host.namespace.run("mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0755", "none", folder)
            self._made.callback(host.namespace.run, "umount", "--lazy", folder)
            self.small = self.make("StoragePool", "small", {"path": str(folder)}).id
            self.large = self.make("StoragePool", "large", {"path": str(host.pools / "large")}).id
            self._made = self._made.pop_all()

    def make(self, token: str, name: str, properties: dict[str, Any]) -> Stored:
        stored = self.forks("create", token, self.key(token, name), self.forks("check", token, properties)).stored
        self._made.callback(self.forks, "delete", token, stored)
        assert isinstance(stored, Stored)
        return stored

    def key(self, token: str, name: str) -> Key:
        return Key("", token, f"full::{name}", name)

    def refused(self, token: str, properties: dict[str, Any]) -> str:
        """What is said; the node stays as it was."""
        before = inventory(self.host.uri)
        inputs = self.forks("check", token, properties)
        reply = self.forks.order("create", token, self.key(token, "big"), inputs)
        assert reply.kind == "NoSpace", f"{reply.kind}: {reply.error}"
        assert difference(before, inventory(self.host.uri)) == ""
        assert reply.error is not None
        assert "\n" not in reply.error
        return reply.error

    def close(self) -> None:
        self._made.close()


@pytest.fixture
def full(fault_node: SystemHost, forks: Forks) -> Iterator[Full]:
    with contextlib.closing(Full(fault_node, forks)) as made:
        yield made


@pytest.fixture
def big(hosts_folder: Path) -> Iterator[Path]:
    """An image with more in it than fits."""
    path = hosts_folder / "big.raw"
    path.write_bytes(b"\0" * 510 + b"\x55\xaa" + os.urandom(ROOM + 8 * MIB))
    os.truncate(path, ROOM + 16 * MIB)
    yield path
    path.unlink()


def test_a_template(full: Full, big: Path) -> None:
    said = full.refused("Template", {"pool": full.small, "source": {"path": str(big)}})
    assert "small" in said


def test_a_copy_of_a_template(full: Full, big: Path) -> None:
    template = full.make("Template", "linux", {"pool": full.large, "source": {"path": str(big)}}).id
    for format in ("raw", "qcow2"):
        full.refused("Volume", {"pool": full.small, "template": template, "format": format, "fullClone": True})


@pytest.mark.parametrize("length", [1000, 64 * 1024])
def test_the_end_of_an_upload(full: Full, length: int) -> None:
    """libvirt alone says that all went well."""
    host = full.host
    with contextlib.closing(libvirt.open(host.uri)) as connection:
        pool = connection.storagePoolLookupByUUIDString(full.small)
        xml = f"<volume><name>end</name><capacity>{length}</capacity><allocation>0</allocation></volume>"
        volume = pool.createXML(xml)
        host.namespace.run("sh", "-c", f"cat /dev/zero >{host.pools}/small/filler 2>/dev/null || true")
        with pytest.raises(NoSpace):
            upload(connection, volume, os.urandom(length), tail=False)
        host.namespace.run("rm", f"{host.pools}/small/filler")
        upload(connection, volume, os.urandom(length))
        upload(connection, volume, b"")
        volume.delete()


@pytest.mark.parametrize("turn", range(extent.rounds(2, 6)))
def test_an_upload_that_libvirt_never_ends_is_ended(full: Full, turn: int) -> None:
    """Now and then libvirt waits for ever for the end of one with a tail, or loses its connection over it."""
    host = full.host
    with contextlib.closing(libvirt.open(host.uri)) as connection:
        pool = connection.storagePoolLookupByUUIDString(full.small)
        volume = pool.createXML("<volume><name>end</name><capacity>66000</capacity><allocation>0</allocation></volume>")
        host.namespace.run("sh", "-c", f"cat /dev/zero >{host.pools}/small/filler 2>/dev/null || true")
        with contextlib.closing(libvirt.open(host.uri)) as other, pytest.raises((NoSpace, Unreachable)):
            upload(other, other.storageVolLookupByPath(volume.path()), os.urandom(66_000))
        host.namespace.run("rm", f"{host.pools}/small/filler")
        volume.delete()


def test_an_upload_that_libvirt_never_ends_is_ended_on_our_own_connections(full: Full) -> None:
    """There calls wait for each other. The connection is given up, and the next one has another."""
    node, host = Node(full.host.uri), full.host
    pool = node.connection.storagePoolLookupByUUIDString(full.small)
    for _ in range(8):
        volume = pool.createXML("<volume><name>end</name><capacity>66000</capacity><allocation>0</allocation></volume>")
        host.namespace.run("sh", "-c", f"cat /dev/zero >{host.pools}/small/filler 2>/dev/null || true")
        with node.job(Work()) as other, pytest.raises((NoSpace, Unreachable)):
            upload(other, other.storageVolLookupByPath(volume.path()), os.urandom(66_000))
        host.namespace.run("rm", f"{host.pools}/small/filler")
        with node.job(Work()) as other:
            upload(other, other.storageVolLookupByPath(volume.path()), os.urandom(66_000))
        volume.delete()


def upload(connection: libvirt.virConnect, volume: libvirt.virStorageVol, data: bytes, *, tail: bool = True) -> None:
    """Data, and as a `tail` what leaves no trace."""
    stream = VolumeUpload(connection, volume)
    try:
        stream.send(data)
        if tail:
            stream.hole(4096)
            stream.send(bytes(4096))
        stream.finish()
    except NoSpace:
        stream.abort()
        raise


def test_not_even_a_record_fits(full: Full) -> None:
    host = full.host
    host.namespace.run("sh", "-c", f"cat /dev/zero >{host.pools}/small/filler 2>/dev/null || true")
    full.refused("Volume", {"pool": full.small, "size": "1MiB"})
    full.refused("Instance", {"rootDisk": {"pool": full.small, "size": "1MiB"}, "memory": "64MiB"})
    root = {"pool": full.small, "size": "1MiB", "format": "raw"}
    full.refused("Instance", {"rootDisk": root, "memory": "64MiB", "cloudInit": {"hostname": "full"}})
    host.namespace.run("rm", f"{host.pools}/small/filler")
    full.make("Volume", "fits", {"pool": full.small, "size": "1MiB"})
